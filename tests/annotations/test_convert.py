"""What is written for other programs comes back through the toolkit's own readers."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import convert as convert_module
from efld_tf.annotations import sources
from efld_tf.annotations.convert import convert
from efld_tf.annotations.header import Header, read_header
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import LICENSE, FaceRecord
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.landmarks import schemas
from tests.annotations.turned import write_turned
from tests.annotations.writers import ibug_text, json_lines, write_image
from tests.errors import assert_told, refuses

TOOLS = ["coco", "cvat", "labelme", "yolo"]
# What a format keeps: names of images in folders, several faces, photos stored turned.
NAMES = ("a.jpg", "sub/b, c.jpg", "sub/d & <e>.jpg", "Zoë.jpg", "two.jpg", "mirrored.jpg")


@pytest.fixture(scope="module")
def annotated(
    shared_data: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[FaceRecord]]:
    """A source of real faces with boxes, missing and occluded points, and its faces."""
    folder = tmp_path_factory.mktemp("annotated")
    faces = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records
    lines = []
    for index, (name, orientation) in enumerate(zip(NAMES, (1, 6, 3, 8, 1, 2), strict=True)):
        image = read_image(faces[index])[: 390 - 5 * index]
        write_turned(folder / "photos" / name, image, orientation)
        for number in range(2 if name == "two.jpg" else 1):
            points = (faces[index].points + 10 * number).round(3).tolist()
            visible = [True] * 68
            if index in (1, 4):
                points[3] = points[60 - number] = None
                visible[20] = visible[3] = visible[60 - number] = False
            box = [10.5 + number, 20.25, 300, 310 + 30 * number]
            lines.append(json.dumps({
                "image": name, "points": points, "visible": visible, "upright": True,
                "depth": [None if point is None else 0.5 * i for i, point in enumerate(points)],
                "identity": f"person {index}", "attributes": {"blur": "1"},
                **({} if index == 3 else {"box": box}),
            }))
    path = folder / "faces.jsonl"
    path.write_text("\n".join(lines))
    source = f"json:{path}?schema=ibug68&images={folder}/photos"
    return source, sources.read(source).records


def _by_photo(records: list[FaceRecord]) -> dict[tuple[Path, int], FaceRecord]:
    """The faces by their photo and their order from left to right."""
    ordered = sorted(records, key=lambda r: (str(r.image.resolve()), np.nanmean(r.points[:, 0])))
    seen: dict[Path, int] = {}
    result = {}
    for record in ordered:
        image = record.image.resolve()
        result[image, seen.setdefault(image, 0)] = record
        seen[image] += 1
    return result


@pytest.mark.parametrize("to", [name for name in OUTPUTS if name != "pts"])
def test_every_format_comes_back(
    tmp_path: Path, annotated: tuple[str, list[FaceRecord]], to: str
) -> None:
    source, expected = annotated
    summary = convert(source, tmp_path / "out", to, progress=False)
    assert (summary.faces, summary.images) == (7, 6)
    found = sources.read(summary.source).records
    assert len(found) == 7
    for key, face in _by_photo(found).items():
        truth = _by_photo(expected)[key]
        assert face.upright and face.schema == "ibug68"
        np.testing.assert_allclose(face.points, truth.points, atol=0.01, equal_nan=True)
        np.testing.assert_array_equal(read_image(face), read_image(truth))
        if truth.box is not None:
            np.testing.assert_allclose(face.box, truth.box, atol=0.01)
        if "visible" in OUTPUTS[to].keeps:
            np.testing.assert_array_equal(face.visible, truth.visible)
        if "depth" in OUTPUTS[to].keeps:
            np.testing.assert_array_equal(face.depth, truth.depth)
        if "identity" in OUTPUTS[to].keeps:
            assert face.identity == truth.identity
        if "attributes" in OUTPUTS[to].keeps:
            assert face.attributes == truth.attributes
    for name, words in (("visible", "occluded"), ("identity", "person"), ("depth", "depth")):
        assert any(words in note for note in summary.notes) == (name not in OUTPUTS[to].keeps)


@pytest.mark.parametrize("to", TOOLS)
@pytest.mark.parametrize("back", TOOLS)
def test_from_any_tool_to_any_other(
    tmp_path: Path, annotated: tuple[str, list[FaceRecord]], to: str, back: str
) -> None:
    source, expected = annotated
    first = convert(source, tmp_path / "first", to, progress=False)
    second = convert(first.source, tmp_path / "second", back, progress=False)
    for key, face in _by_photo(sources.read(second.source).records).items():
        truth = _by_photo(expected)[key]
        np.testing.assert_allclose(face.points, truth.points, atol=0.01, equal_nan=True)


def test_pts_files_are_of_the_photo_as_it_is_stored(
    tmp_path: Path, annotated: tuple[str, list[FaceRecord]]
) -> None:
    source, expected = annotated
    whole = [record for record in expected if np.isfinite(record.points).all()]
    lines = [json.dumps({"image": str(r.image), "points": r.points.tolist(), "upright": True})
             for r in whole]
    root = whole[0].image.parent
    path = root.parent / "whole.jsonl"
    path.write_text("\n".join(lines))
    summary = convert(f"json:{path}?schema=ibug68", tmp_path / "pts", "pts", progress=False)
    found = _by_photo(sources.read(summary.source).records)
    assert len(found) == len(whole) == 4
    turned = convert(summary.source, tmp_path / "back.json", "coco", progress=False)
    for key, face in _by_photo(sources.read(turned.source).records).items():
        assert not found[key].upright and face.upright
        truth = _by_photo(whole)[key]
        np.testing.assert_allclose(face.points, truth.points, atol=0.01)
    with refuses("not annotated", ".pts"):
        convert(source, tmp_path / "missing", "pts", progress=False)
    assert not (tmp_path / "missing").exists()


def test_nothing_is_replaced(tmp_path: Path, annotated: tuple[str, list[FaceRecord]]) -> None:
    source, _ = annotated
    path = tmp_path / "faces.json"
    path.write_text("corrected by hand")
    with refuses(path, "--force"):
        convert(source, path, "coco", progress=False)
    assert path.read_text() == "corrected by hand"
    convert(source, path, "coco", force=True, progress=False)
    assert len(json.loads(path.read_text())["annotations"]) == 7
    folder = tmp_path / "labelme"
    folder.mkdir()
    convert(source, folder, "labelme", progress=False)
    for force in (False, True):
        with refuses(folder, "another folder"):
            convert(source, folder, "labelme", force=force, progress=False)


@pytest.mark.parametrize("to", ["coco", "labelme", "pts"])
def test_what_appears_during_the_run_is_not_replaced(
    tmp_path: Path, annotated: tuple[str, list[FaceRecord]], to: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = tmp_path / "out"
    corrected = output / "a.json" if OUTPUTS[to].is_folder else output

    def appears(path: Path) -> Header | None:
        corrected.parent.mkdir(exist_ok=True)
        corrected.write_text("corrected by hand")
        return read_header(path)

    monkeypatch.setattr(convert_module, "read_header", appears)
    source = annotated[0].replace("faces.jsonl", "whole.jsonl") if to == "pts" else annotated[0]
    path = Path(annotated[0].removeprefix("json:").partition("?")[0])
    path.with_name("whole.jsonl").write_text(path.read_text().splitlines()[0])
    with refuses(output, "there already"):
        convert(source, output, to, progress=False)
    assert corrected.read_text() == "corrected by hand"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_links_and_pipes_are_never_replaced(
    tmp_path: Path, annotated: tuple[str, list[FaceRecord]]
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.json").write_text("mine")
    for to in OUTPUTS:
        for place in ("folder", "file.json", "absent"):
            link = tmp_path / f"{to}_{place}"
            link.symlink_to(tmp_path / place)
            with refuses(link, "link"):
                convert(annotated[0], link, to, force=True, progress=False)
            assert link.is_symlink()
        pipe = tmp_path / f"{to}_pipe"
        os.mkfifo(pipe)
        with refuses(pipe):
            convert(annotated[0], pipe, to, force=True, progress=False)
        assert pipe.is_fifo()
    assert (tmp_path / "file.json").read_text() == "mine" and not any(
        (tmp_path / "folder").iterdir())


def test_a_bad_annotation_leaves_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "in/a.jpg")
    write_image(tmp_path / "in/b.jpg")
    rng = np.random.default_rng(0)
    (tmp_path / "in/a.pts").write_text(ibug_text(rng.uniform(10, 390, (68, 2))))
    (tmp_path / "in/b.pts").write_text("damaged")
    for to in OUTPUTS:
        with refuses("damaged", path=tmp_path / "in/b.pts", line=1):
            convert(f"ibug:{tmp_path}/in", tmp_path / "out" / to, to, progress=False)
        assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())
    summary = convert(f"ibug:{tmp_path}/in", tmp_path / "out.json", "coco", on_error="skip",
                      progress=False)
    assert (summary.faces, len(summary.skipped)) == (1, 1)
    with refuses("--to", "coco", "'exif'"):
        convert(f"ibug:{tmp_path}/in", tmp_path / "out", "exif", progress=False)


def test_a_face_that_lacks_a_point_is_skipped_by_pts(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        write_image(tmp_path / name)
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    partial = [None, *points[1:].tolist()]
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": name, "points": some} for name, some in (
            ("a.jpg", partial), ("a.jpg", (points + 1).tolist()), ("b.jpg", partial))))
    with refuses("not annotated", ".pts", path=tmp_path / "a.jpg"):
        convert(source, tmp_path / "out", "pts", progress=False)
    assert not (tmp_path / "out").exists()
    summary = convert(source, tmp_path / "out", "pts", on_error="skip", progress=False)
    assert (summary.faces, summary.images) == (1, 1)
    assert [error.path.name for error in summary.skipped] == ["a.jpg", "b.jpg"]
    (record,) = sources.read(summary.source).records
    np.testing.assert_allclose(record.points, points + 1, atol=0.01)


def test_the_names_of_points_travel(tmp_path: Path) -> None:
    """Reordered in a tool, they come back right; another schema is refused by name."""
    write_image(tmp_path / "a.jpg")
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(2)
    (tmp_path / "a.pts").write_text(ibug_text(points))
    summary = convert(f"ibug:{tmp_path}", tmp_path / "out.json", "coco", progress=False)
    content = json.loads((tmp_path / "out.json").read_text())
    order = np.random.default_rng(1).permutation(68)
    names = content["categories"][0]["keypoints"]
    content["categories"][0]["keypoints"] = [names[i] for i in order]
    keypoints = np.reshape(content["annotations"][0]["keypoints"], (68, 3))
    content["annotations"][0]["keypoints"] = keypoints[order].ravel().tolist()
    (tmp_path / "out.json").write_text(json.dumps(content))
    (record,) = sources.read(summary.source).records
    np.testing.assert_allclose(record.points, points, atol=0.01)
    skeleton = content["categories"][0]["skeleton"]
    assert [1, 2] in skeleton and len(skeleton) == len(
        [1 for part in schemas.get("ibug68").parts for _ in part.polyline[1:]])


def test_a_model_s_licence_is_kept_or_said(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).tolist()
    (tmp_path / "a.jsonl").write_text(json.dumps(
        {"image": "a.jpg", "points": points, "attributes": {LICENSE: "CC-BY-NC-4.0"}}))
    source = f"json:{tmp_path}/a.jsonl?schema=ibug68"
    for to in OUTPUTS:
        summary = convert(source, tmp_path / f"out_{to}", to, progress=False)
        if "attributes" in OUTPUTS[to].keeps:
            (record,) = sources.read(summary.source).records
            assert record.attributes[LICENSE] == "CC-BY-NC-4.0"
        else:
            assert_told("\n".join(summary.notes), to, "CC-BY-NC-4.0")


def test_frames_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    (tmp_path / "a.jsonl").write_text("\n".join(
        json.dumps({"image": "clip.mp4", "points": (points + frame).tolist(), "frame": frame})
        for frame in (0, 7)))
    source = f"json:{tmp_path}/a.jsonl?schema=ibug68"
    for to, form in OUTPUTS.items():
        if not form.frames:
            with refuses(tmp_path / "clip.mp4", to, "json"):
                convert(source, tmp_path / f"out_{to}", to, progress=False)
            continue
        summary = convert(source, tmp_path / f"out_{to}", to, progress=False)
        first, second = sources.read(summary.source).records
        assert (first.frame, second.frame) == (0, 7)
        np.testing.assert_allclose(second.points, points + 7, atol=0.01)


def test_two_photos_of_one_stem(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    lines = []
    for index, name in enumerate(("a.jpg", "a.png", "b.jpg")):
        write_image(tmp_path / "photos" / name)
        lines.append(json.dumps({"image": name, "points": (points + index).tolist()}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = f"json:{tmp_path}/a.jsonl?schema=ibug68&images={tmp_path}/photos"
    for to in OUTPUTS:
        if to == "yolo":
            with refuses("a.jpg", "label file", path=tmp_path / "photos/a.png"):
                convert(source, tmp_path / "out_yolo", to, progress=False)
            assert not (tmp_path / "out_yolo").exists()
            continue
        summary = convert(source, tmp_path / f"out_{to}", to, progress=False)
        found = {r.image.name: r.points for r in sources.read(summary.source).records}
        np.testing.assert_allclose(found["a.png"], points + 1, atol=0.01)
        np.testing.assert_allclose(found["a.jpg"], points, atol=0.01)


@pytest.mark.parametrize("to", OUTPUTS)
@pytest.mark.parametrize("first", [True, False])
def test_faces_of_a_photo_as_it_is_shown_and_as_it_is_stored(
    tmp_path: Path, to: str, first: bool
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (300, 400, 3)).astype(np.uint8)  # as it is shown
    write_turned(tmp_path / "a.jpg", pixels, 6)
    shown = rng.uniform(10, 100, (2, 68, 2)) + np.array([[[0, 0]], [[250, 150]]])
    # Orientation 6 is shown turned by a quarter, clockwise: shown x is 299 - stored y.
    stored = np.stack([shown[..., 1], 399 - shown[..., 0]], axis=-1)
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": "a.jpg", "upright": upright, "points": (shown if upright else stored)[i].tolist()}
        for i, upright in enumerate((first, not first))))
    summary = convert(source, tmp_path / "out", to, progress=False)
    left, right = sorted(sources.read(summary.source).records, key=lambda r: r.key)
    for face, index in ((left, 0), (right, 1)):
        truth = (shown if face.upright else stored)[index]
        np.testing.assert_allclose(face.points, truth, atol=0.02)


def test_a_photo_behind_the_frames_of_a_video(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").touch()
    write_image(tmp_path / "a.jpg")
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    source = json_lines(
        tmp_path / "a.jsonl",
        *({"image": "clip.mp4", "points": points.tolist(), "frame": frame} for frame in (0, 1)),
        {"image": "a.jpg", "points": (points + 1).tolist()})
    for to in ("json", "csv", "pts"):
        summary = convert(source, tmp_path / f"out_{to}", to, progress=False)
        found = {r.frame: r for r in sources.read(summary.source).records}
        assert {frame: r.image.name for frame, r in found.items()} == {
            0: "clip.mp4", 1: "clip.mp4", None: "a.jpg"}
        np.testing.assert_allclose(found[None].points, points + 1, atol=0.01)


def test_an_identity_that_is_the_image_s_own_is_no_loss(tmp_path: Path) -> None:
    """Readers name a photo relative to the source, or by its stem; writers, to the root."""
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    for name in ("a.jpg", "sub/b.jpg"):
        write_image(tmp_path / "photos" / name)
        (tmp_path / "photos" / name).with_suffix(".pts").write_text(ibug_text(points))
    by_json = json_lines(tmp_path / "a.jsonl", *(
        {"image": f"photos/{name}", "points": points.tolist()} for name in ("a.jpg", "sub/b.jpg")))
    for index, source in enumerate((by_json, f"ibug:{tmp_path}/photos")):
        for to in OUTPUTS:
            summary = convert(source, tmp_path / f"{index}_{to}", to, progress=False)
            assert summary.notes == []
            assert len({r.identity for r in sources.read(summary.source).records}) == 2
        assert "identity" not in (tmp_path / f"{index}_csv").read_text()


def test_an_identity_that_images_share_is_kept_or_said(tmp_path: Path) -> None:
    """`b.jpg` looks like an image's own, but is of two."""
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).tolist()
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        write_image(tmp_path / name)
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": name, "points": points, "identity": identity}
        for name, identity in (("a.jpg", "b.jpg"), ("b.jpg", "b.jpg"), ("c.jpg", "c.jpg"))))
    for to in OUTPUTS:
        summary = convert(source, tmp_path / f"out_{to}", to, progress=False)
        if "identity" in OUTPUTS[to].keeps:
            people = [r.identity for r in sources.read(summary.source).records]
            assert people == ["b.jpg", "b.jpg", "c.jpg"]
        else:
            assert_told("\n".join(summary.notes), to, "person", "2 faces")
