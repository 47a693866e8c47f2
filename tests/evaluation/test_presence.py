"""Crops with and without a face are what their kind says."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.images import read_photo
from efld_tf.evaluation import presence
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.runtime.predictor import LandmarkPredictor
from tests import faces
from tests.errors import refuses

SIZE = 64


def crops(variation: presence.Variation = presence.AS_IS) -> presence.PresenceCrops:
    return presence.PresenceCrops(SIZE, variation, np.random.default_rng(0))


def test_a_crop_as_it_is() -> None:
    image = np.random.default_rng(1).integers(0, 256, (90, 120, 3), np.uint8)
    found, crop = crops(), Crop(50.0, 40.0, 30.0)
    found.add(image, crop, presence.PATCH, "scenes", "a.jpg")
    np.testing.assert_array_equal(found.stacked[0], extract_crop(image, crop, SIZE))
    assert (found.kinds, found.sources, found.photos) == (["patch"], ["scenes"], ["a.jpg"])


@pytest.mark.parametrize(
    ("crop", "shown"),
    [
        (Crop(0.0, 0.0, 10.0), True),
        (Crop(6.9, 0.0, 10.0), True),  # seven tenths of a side away
        (Crop(7.1, 0.0, 10.0), False),
        (Crop(5.0, 5.0, 10.0), False),  # the same along the diagonal
        (Crop(9.0, 0.0, 20.0), True),  # of the larger side
        (Crop(0.0, 0.0, 24.9), True),
        (Crop(0.0, 0.0, 25.1), False),  # so small in it that it cannot be meant
        (Crop(0.0, 0.0, 3.9), False),
    ],
)
def test_when_a_face_could_be_meant(crop: Crop, shown: bool) -> None:
    assert presence.shows_face(crop, [Crop(50.0, 50.0, 10.0), Crop(0.0, 0.0, 10.0)]) == shown


def test_a_source_gives_its_faces_and_what_is_beside_them(tmp_path: Path) -> None:
    folder = faces.write_ibug(tmp_path / "faces", 12)
    found = crops()
    assert presence.add_source(found, f"ibug:{folder}", 10) == 10
    kinds = Counter(found.kinds)
    # One of every second face, but for squares so large that the face could still be meant.
    assert kinds["face"] == 10 and 3 <= kinds["partial"] <= 5
    assert set(found.sources) == {f"ibug:{folder}"} and len(set(found.photos)) == 10
    # The drawn faces are bright discs with dark spots; beside them it is darker or black.
    middle = found.stacked[:, 16:48, 16:48].mean(axis=(1, 2, 3))
    is_face = np.array(found.kinds) == "face"
    assert middle[is_face].min() > middle[~is_face].max()


def test_small_faces_are_left_out(tmp_path: Path, monkeypatch) -> None:
    folder = faces.write_ibug(tmp_path / "faces", 4)
    monkeypatch.setattr(presence, "SMALLEST_FACE", 90.0)
    assert presence.add_source(crops(), f"ibug:{folder}") == 0


def test_blanks_have_no_face_and_differ() -> None:
    found = crops()
    found.add_blanks(30)
    assert len({pixels.tobytes() for pixels in found.pixels}) == 30
    assert set(found.kinds) == {"blank"} and len(set(found.photos)) == 30


def test_what_is_made_worse_keeps_its_size_and_is_repeatable() -> None:
    image = np.random.default_rng(1).integers(60, 200, (SIZE, SIZE, 3), np.uint8)
    first, again = ([presence.worsened(image, 0.5, random) for _ in range(40)]
                    for random in (np.random.default_rng(2), np.random.default_rng(2)))
    np.testing.assert_array_equal(first, again)
    changed = [not np.array_equal(image, pixels) for pixels in first]
    assert 10 < sum(changed) < 30
    assert {pixels.shape for pixels in first} == {image.shape}


def test_scenes_are_cut_where_their_boxes_say(shared_data: Path, monkeypatch) -> None:
    """Patches touch no box, faces lie on one, nothing else could be meant for one."""
    folder = shared_data / "wider_scenes"
    halves = [presence.read_scenes(str(folder), str(folder / "boxes_xywh.json"), half)
              for half in (0, 1)]
    assert len(halves[0]) + len(halves[1]) == 60
    assert not {path for path, _ in halves[0]} & {path for path, _ in halves[1]}
    cut: list[tuple[str, str, Crop]] = []
    monkeypatch.setattr(
        presence.PresenceCrops, "add",
        lambda self, image, crop, kind, source, photo: cut.append((kind, photo, crop)))
    scenes = [scene for scene in halves[1] if len(scene[1]) > 2][:2]
    presence.add_scenes(crops(), scenes, LandmarkPredictor(assets.INT8_MODEL), rounds=2)
    assert set(kind for kind, _, _ in cut) >= {"face", "patch", "partial"}
    for path, boxes in scenes:
        around = [presence.SCENE_RULE.crop(box) for box in boxes]
        for kind, photo, crop in cut:
            if photo != path.name:
                continue
            low, high = crop.origin, crop.origin + crop.side
            touching = ((boxes[:, :2] < high) & (boxes[:, 2:] > low)).all(axis=1)
            if kind == "patch":
                assert not touching.any()
                assert presence.PATCH_SIDES[0] <= crop.side <= presence.PATCH_SIDES[1]
            assert presence.shows_face(crop, around) == (kind == "face")
        large = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= presence.SMALLEST_FACE
        shown = sum(kind == "face" and photo == path.name for kind, photo, _ in cut)
        assert shown == 2 * presence.SCENE_LOOKS * large.sum()
    assert read_photo(scenes[0][0]).ndim == 3


@pytest.mark.parametrize(
    ("content", "name", "line", "facts"),
    [
        ("{", "boxes.json", 1, ["JSON"]),
        ("[1]", "boxes.json", None, ["object"]),
        ('{"a.jpg": [[1, 2, 3]]}', "boxes.json", None, ["'a.jpg'", "box 0", 4, 3]),
        ('{"a.jpg": "x"}', "boxes.json", None, ["'a.jpg'", "list"]),
        ('{"a.jpg": [[1, 2, 0, 4]]}', "boxes.json", None, ["'a.jpg'", "box 0", "area", "xywh"]),
        ('{"b.jpg": []}', "b.jpg", None, ["boxes.json"]),
        ("{}", "boxes.json", None, ["scene"]),
    ],
)
def test_broken_boxes_are_named(
    tmp_path: Path, content: str, name: str, line: int | None, facts: list[object]
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "boxes.json").write_text(content)
    with refuses(*facts, path=tmp_path / name, line=line):
        presence.read_scenes(str(tmp_path), str(tmp_path / "boxes.json"))


def test_boxes_that_are_not_there_and_photos_without_faces(tmp_path: Path) -> None:
    with refuses("No such file", path=tmp_path / "boxes.json"):
        presence.read_scenes(str(tmp_path), str(tmp_path / "boxes.json"))
    (tmp_path / "a.jpg").write_bytes(b"")
    (tmp_path / "boxes.json").write_text(json.dumps({"a.jpg": []}))
    ((path, boxes),) = presence.read_scenes(str(tmp_path), str(tmp_path / "boxes.json"))
    assert path.name == "a.jpg" and boxes.shape == (0, 4)
