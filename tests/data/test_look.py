"""Faces of photos and of packed folders are the same faces, and drawn where they are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.sources import FORMATS
from efld_tf.cli import data
from efld_tf.data import look, pack, show
from efld_tf.data.manifest import MANIFEST
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import drawing, schemas
from tests import faces
from tests.errors import assert_told, refuses
from tests.landmarks.blobs import centroid


@given(length=st.integers(0, 60), count=st.integers(0, 20), seed=st.integers(0, 9))
def test_a_sample_is_of_the_stream_in_its_order(length: int, count: int, seed: int) -> None:
    found = look.sample(iter(range(length)), count, seed)
    assert len(found) == min(length, count)
    assert found == sorted(set(found)) and set(found) <= set(range(length))
    assert found == look.sample(range(length), count, seed)


def test_every_item_is_equally_likely() -> None:
    counts = np.zeros(10)
    for seed in range(2000):
        counts[look.sample(range(10), 3, seed)] += 1
    # 600 each on average, with a standard deviation of 20.
    assert np.abs(counts - 600).max() < 100


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return faces.write_ibug(tmp_path / "photos", 6)


def test_faces_of_a_source(photos: Path) -> None:
    (photos / "face_002x.pts").write_text("damaged")
    told = look.Remarks()
    found = list(look.faces(f"ibug:{photos}", told))
    assert [face.record.key for face in found] == [f"face_{k:03d}x.png" for k in (0, 1, 3, 4, 5)]
    assert [error.path.name for error in told.errors] == ["face_002x.pts"]
    assert found[0].pixels().shape == (96, 96, 3) and found[0].scale == 1


def test_packed_faces_are_those_of_the_photos(tmp_path: Path, photos: Path) -> None:
    options = SourceOptions(source=f"ibug:{photos}", name="s", heads=["ibug68"])
    pack.pack(options, tmp_path / "p", PackOptions(size=128, margin=1.5), progress=False)
    packed = list(look.faces(f"packed:{tmp_path / 'p'}", look.Remarks()))
    original = list(look.faces(f"ibug:{photos}", look.Remarks()))
    for face, photo in zip(packed, original, strict=True):
        assert face.record.key == photo.record.key and face.packed
        # Distances in pixels of the photo, and the same pixels at the eyes.
        ours, theirs = face.record.points * face.scale, photo.record.points
        np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-2)
        image, source = face.pixels(), photo.pixels()
        for eye in (slice(36, 42), slice(42, 48)):
            x, y = face.record.points[eye].mean(axis=0).round().astype(int)
            u, v = photo.record.points[eye].mean(axis=0).round().astype(int)
            assert image[y, x].max() < 90 and source[v, u].max() < 90  # the drawn pupils


def test_wrong_use(tmp_path: Path, photos: Path) -> None:
    for source, split, facts in (
        (f"ibug:{photos}", "train", ["packed", "splits"]),
        (f"packed:{photos}?a=1", None, ["packed", "options"]),
        (f"packed:{photos}", "test", ["split", "test", "train", "validation"]),
        (f"ibag:{photos}", None, ["ibag", "packed", *FORMATS]),
    ):
        with refuses(source, *facts):
            list(look.faces(source, look.Remarks(), split))
    with refuses("packed folder", path=photos / MANIFEST):
        list(look.faces(f"packed:{photos}", look.Remarks()))


def _record(points: np.ndarray, **fields) -> FaceRecord:
    return FaceRecord(Path("a.png"), np.asarray(points, np.float32), "mtfl5", key="a.png", **fields)


FACE = np.array([[130, 95], [170, 95], [150, 115], [135, 135], [165, 135]], float)


def test_a_picture_shows_the_face_at_its_scale() -> None:
    """The nose is the median of the points: it is in the middle; 2 face boxes are 2 x 2.4 x 40."""
    black = np.zeros((300, 400, 3), np.uint8)
    points = np.full((5, 2), np.nan)
    points[[0, 1, 3, 4]] = FACE[[0, 1, 3, 4]]
    points[2] = FACE[2]
    tile = look.picture(_record(points), black, 480, 2)
    scale = 480 / (2 * 2.4 * 40)
    only_nose = tile * (tile == _nose_colour()).all(axis=-1, keepdims=True)
    x, y = centroid(only_nose[235:246, 235:246])
    assert (x + 235, y + 235) == pytest.approx((239.5, 239.5), abs=1)
    left_eye = np.array([239.5, 239.5]) + (FACE[0] - FACE[2]) * scale
    column, row = left_eye.round().astype(int)
    assert tile[row, column].max() > 100
    assert not tile[:60].any() and not tile[:, :60].any()


def _nose_colour() -> np.ndarray:
    return np.array(drawing.GREEN)


def test_a_face_at_the_edge_is_shown_with_background() -> None:
    white = np.full((300, 400, 3), 255, np.uint8)
    tile = look.picture(_record(FACE - [140, 85]), white, 200, 2)
    assert (tile[-1, -1] == 255).all() and (tile[0, 0] == drawing.BACKGROUND).all()


def test_a_face_outside_the_image_shows_the_whole_image() -> None:
    white = np.full((300, 400, 3), 255, np.uint8)
    tile = look.picture(_record(FACE + 5000), white, 240, 2)
    share = (tile == 255).all(axis=-1).mean()
    assert share == pytest.approx(400 * 300 / 480**2, abs=0.01)


@pytest.fixture
def chosen(photos: Path) -> list[look.Face]:
    return list(look.faces(f"ibug:{photos}", look.Remarks()))


def test_a_sheet(chosen: list[look.Face]) -> None:
    plain = show.sheet(chosen, look.Remarks(), columns=4, tile=100)
    assert plain.shape == (2 * (100 + 16), 400, 3)
    assert plain[:100, :100].std() > 20
    assert (plain[120:210, 250:] == drawing.BACKGROUND).all()  # the sheet's empty end
    named = show.sheet(chosen, look.Remarks(), columns=4, tile=100, names=True)
    np.testing.assert_array_equal(named[: len(plain)], plain)
    assert len(named) > len(plain)
    numbered = show.sheet(chosen, look.Remarks(), columns=4, tile=100, numbers=True)
    assert (numbered != plain).any()


def test_faces_without_pixels_are_told(photos: Path, chosen: list[look.Face]) -> None:
    (photos / "face_001x.png").write_bytes(b"no image")
    told = look.Remarks()
    assert show.sheet(chosen, told, columns=6, tile=64).shape[1] == 5 * 64
    assert [error.path.name for error in told.errors] == ["face_001x.png"]
    with refuses("image", path=photos / "face_001x.png"):
        show.sheet(chosen[1:2], look.Remarks())
    with refuses("face"):
        show.sheet([], look.Remarks())


def test_the_command_tells_how_points_were_made(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = f"coco:{shared_data}/format_samples/wflw/test_wflw.json?convert=ibug68"
    output = tmp_path / "new" / "faces.png"
    assert not data.main(["show", source, "--output", str(output), "--tile", "64"])
    assert cv2.imread(str(output)).shape == (64 + 16, 4 * 64, 3)
    out = capsys.readouterr().out
    assert_told(out, "note", "wflw98", "ibug68")
    assert_told(out, "written", output)


def test_a_photo_of_the_source_is_not_replaced(photos: Path) -> None:
    photo = photos / "face_001x.png"
    before = photo.read_bytes()
    with refuses(photo, "replaced"):
        data.main(["show", f"ibug:{photos}", "--output", str(photo), "--count", "1"])
    assert photo.read_bytes() == before


def test_every_schema_has_a_sheet_and_a_legend() -> None:
    for name in schemas.names():
        schema = schemas.get(name)
        colours = drawing.part_colours(schema)
        assert len(set(colours)) == len(colours) == len(schema.parts)
        legend = drawing.legend(schema, 600)
        assert legend.shape[1] == 600 and legend.std() > 5
