"""What is written of faces, read again by the toolkit's own readers."""

from __future__ import annotations

import csv
import json
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.annotations.writing.annotated import AnnotatedImage
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.annotations.writing.lines import LineFile, json_line
from efld_tf.errors import DataError
from efld_tf.landmarks import mean_head, pose, schemas
from efld_tf.runtime import inputs, pictures
from efld_tf.runtime.faces import Face
from efld_tf.runtime.inputs import CameraInput, Photo, VideoFile
from efld_tf.runtime.outputs import FOR_TOOLS, UNFINISHED, Outputs, Result
from tests.errors import assert_told, refuses
from tests.faces import mean_shape


def _face(x: float = 40, y: float = 30, side: float = 60, track: int | None = None) -> Face:
    points = (mean_shape("ibug51") * side + [x, y]).astype(np.float32)
    box = np.array([x, y, x + side, y + side + 0.25])
    return Face(points, "ibug51", box, 0.91234567, 0.75, track)


def _photo(path: Path, size: tuple[int, int] = (160, 120), orientation: int = 1) -> Path:
    """A photo of noise with an EXIF orientation."""
    width, height = size
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif, **({} if path.suffix == ".png" else
                                                     {"quality": 95}))
    return path


KINDS = ("pictures", "json", "csv", "pts", "aligned")


def _write(
    folder: Path, *results: Result, kinds: tuple[str, ...] = KINDS, root: Path | None = None
) -> Path:
    output = folder / "predictions"
    with Outputs(output, kinds, "ibug51", root) as outputs:
        for result in results:
            outputs.write(result)
    return output


def _results(folder: Path, *names: str, orientation: int = 1) -> list[Result]:
    for name in names:
        _photo(folder / name, orientation=orientation)
    return [Result(item, read_photo(item.path, upright=True), [_face(), _face(10, 5, 45.5)])
            for item in inputs.expand([str(folder)]).items]


def _close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1.01e-3)


def test_depths_and_poses_are_written_of_models_that_tell_them(tmp_path: Path) -> None:
    (result,) = _results(tmp_path / "photos", "a.png")
    deep, flat = _face(), _face(10, 5, 45.5)
    depth = np.random.default_rng(0).normal(0, 9, 51).astype(np.float32)
    deep = replace(deep, depth=depth)
    output = tmp_path / "predictions"
    with Outputs(output, ("json", "csv", "pictures"), "ibug51", depth=True) as outputs:
        outputs.write(replace(result, faces=[deep, flat]))
    first, second = (json.loads(line) for line in (output / "faces.jsonl").read_text().splitlines())
    _close(first["depth"], depth)
    yaw, pitch, roll = deep.pose
    assert [first["attributes"][name] for name in ("yaw", "pitch", "roll")] == [
        round(yaw, 1), round(pitch, 1), round(roll, 1)]
    assert "depth" not in second and "yaw" not in second["attributes"]
    photos = f"schema=ibug51&images={tmp_path}/photos"
    (found, _) = sources.read(f"json:{output}/faces.jsonl?{photos}").records
    _close(found.depth, depth)
    with (output / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    _close([float(rows[0][f"{name}_depth"]) for name in deep.names], depth)
    assert (float(rows[0]["yaw"]), rows[1]["yaw"]) == (round(yaw, 1), "")
    assert not any(rows[1][f"{name}_depth"] for name in flat.names)
    read = sources.read(f"csv:{output}/faces.csv?{photos}").records
    _close(read[0].points, deep.points)


def test_expected_errors_are_written_of_models_that_tell_them(tmp_path: Path) -> None:
    (result,) = _results(tmp_path / "photos", "a.png")
    errors = np.linspace(0.5, 3, 51).astype(np.float32)
    told, plain = replace(_face(), errors=errors), _face(10, 5, 45.5)
    expected = 1.75 / np.linalg.norm(told.points[28] - told.points[19])  # the eyes' outer corners
    assert told.expected_nme == pytest.approx(expected, rel=1e-4) and plain.expected_nme is None
    output = tmp_path / "predictions"
    with Outputs(output, ("json", "csv"), "ibug51", errors=True) as outputs:
        outputs.write(replace(result, faces=[told, plain]))
    first, second = (json.loads(line) for line in (output / "faces.jsonl").read_text().splitlines())
    _close(first["expected_errors"], errors)
    assert first["attributes"]["expected_nme"] == round(told.expected_nme, 4)
    assert "expected_errors" not in second and "expected_nme" not in second["attributes"]
    with (output / "faces.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    _close([float(rows[0][f"{name}_error"]) for name in told.names], errors)
    assert not any(rows[1][name] for name in rows[1] if name.endswith(("_error", "_nme")))
    photos = f"schema=ibug51&images={tmp_path}/photos"
    for source in ("json:{}/faces.jsonl", "csv:{}/faces.csv"):
        found, _ = sources.read(f"{source.format(output)}?{photos}").records
        _close(found.points, told.points)
        assert float(found.attributes["expected_nme"]) == round(told.expected_nme, 4)


def test_points_that_may_be_far_off_are_rings() -> None:
    image, face = np.zeros((160, 160, 3), np.uint8), _face(30, 30, 90)
    size = 1 / replace(face, errors=np.ones(51, np.float32)).expected_nme
    sure, unsure = (pictures.annotate(image, [replace(face, errors=np.full(51, share * size))])
                    for share in (0.099, 0.101))
    centres = np.rint(face.points).astype(int)
    lit = [picture[centres[:, 1], centres[:, 0]].sum() for picture in (sure, unsure)]
    assert lit[1] < lit[0]


def test_pictures_show_the_axes_of_heads_whose_depths_are_told() -> None:
    image, face = np.zeros((160, 160, 3), np.uint8), _face(30, 30, 90)
    turned = replace(face, depth=0.7 * (face.points[:, 0] - face.points[:, 0].mean()))
    yaw, _, _ = turned.pose
    assert abs(yaw) > 20
    plain, drawn = pictures.annotate(image, [face]), pictures.annotate(image, [turned])
    changed = (drawn != plain).any(axis=-1)
    nose, across = face.points[13], int(np.sign(pose.axes(*turned.pose)[2, 0]))
    forward = changed[int(nose[1]) - 3 : int(nose[1]) + 4]
    assert changed.sum() > 40 and forward[:, int(nose[0]) + 12 * across].any()
    half = pictures.annotate_to_fit(image, [turned], 80, 80)
    assert half.shape == (80, 80, 3)
    again = pictures.annotate_to_fit(image, [replace(turned, depth=None)], 80, 80)
    assert 10 < (half != again).any(axis=-1).sum() < changed.sum()


def test_the_axis_of_a_profile_leaves_its_face() -> None:
    rotation = (pose.axes(80, 0, 0) * [1, -1, 1]).T
    placed = mean_head.Placed(40.0, rotation, np.array([100.0, 60.0]))
    head = mean_head.mean_head()[mean_head.FIRST_INNER:]
    points = placed.project(head).astype(np.float32)
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    face = Face(points, "ibug51", box, 1.0, 1.0,
                depth=(40 * head @ rotation[2]).astype(np.float32))
    drawn = pictures.annotate(np.zeros((160, 160, 3), np.uint8), [face])
    nose, length = points[13], 0.6 * (box[2:] - box[:2]).max()
    x, y = (nose + 0.9 * length * pose.axes(*face.pose)[2, :2]).astype(int)
    assert x < box[0] - 10 and drawn[y - 2 : y + 3, x - 2 : x + 3].any()


def test_files_follow_the_layout_of_the_inputs(tmp_path: Path) -> None:
    results = _results(tmp_path / "photos", "a.png", "sub/b.png")
    empty = Result(results[0].input, results[0].image, [])
    output = _write(tmp_path, *results, empty)
    found = sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file())
    assert found == [
        "aligned/a_0.png", "aligned/a_1.png", "aligned/sub/b_0.png", "aligned/sub/b_1.png",
        "faces.csv", "faces.jsonl", "pictures/a.png", "pictures/sub/b.png",
        "pts/a_0.pts", "pts/a_1.pts", "pts/sub/b_0.pts", "pts/sub/b_1.pts",
    ]
    assert cv2.imread(str(output / "aligned/sub/b_1.png")).shape == (112, 112, 3)


def test_json_lines_have_the_agreed_form(tmp_path: Path) -> None:
    (result,) = _results(tmp_path / "photos", "a.png")
    lines = (_write(tmp_path, result) / "faces.jsonl").read_text().splitlines()
    first = json.loads(lines[0])
    assert list(first) == ["image", "points", "box", "identity", "attributes", "upright",
                           "image_size"]
    assert first["image_size"] == [160, 120]
    assert (first["image"], first["identity"], first["upright"]) == ("a.png", "a.png", True)
    assert first["attributes"] == {"score": 0.9123, "confidence": 0.75, "angle": 0.0}
    face = _face(track=3).annotated("v/clip.mp4")
    video = json_line(AnnotatedImage("v/clip.mp4", "x", [face], frame=7), face)
    assert json.loads(video)["identity"] == "v/clip.mp4 3" and json.loads(video)["frame"] == 7
    assert "upright" not in json.loads(video)


@pytest.mark.parametrize("reader", ["json:{}/faces.jsonl", "csv:{}/faces.csv"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_tables_are_sources_again(tmp_path: Path, reader: str, orientation: int) -> None:
    photos = tmp_path / "photos"
    results = _results(photos, "a.png", "sub/b, c.png", orientation=orientation)
    output = _write(tmp_path, *results)
    source = f"{reader.format(output)}?schema=ibug51&images={photos}"
    records = sources.read(source).records
    assert [r.key for r in records] == [
        f"../photos/{name}{number}" for name in ("a.png", "sub/b, c.png") for number in ("", "@1")]
    images = ImageReader()
    for record, (result, face) in zip(
        records, [(r, f) for r in results for f in r.faces], strict=True
    ):
        _close(record.points, face.points)
        _close(record.box, face.box)
        assert record.attributes["score"] == "0.9123"
        np.testing.assert_array_equal(images.read(record), result.image)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_tools_are_given_comes_back(tmp_path: Path, orientation: int) -> None:
    photos = tmp_path / "photos"
    results = _results(photos, "a.png", "sub/b, c.png", orientation=orientation)
    output = _write(tmp_path, *results, kinds=FOR_TOOLS, root=photos)
    for kind in FOR_TOOLS:
        form = OUTPUTS[kind]
        source = form.read_back(form.path(output), "ibug51", photos, orientation != 1)
        records = sources.read(source).records
        assert len(records) == 4
        images = ImageReader()
        truths = [(r, f) for r in results for f in r.faces]
        for record, (result, face) in zip(records, truths, strict=True):
            assert record.image.resolve() == result.input.path.resolve()
            np.testing.assert_allclose(record.points, face.points, atol=0.01)
            np.testing.assert_allclose(record.box, face.box, atol=0.01)
            np.testing.assert_array_equal(images.read(record), result.image)


@pytest.mark.parametrize("reader", ["json:{}/faces.jsonl", "csv:{}/faces.csv"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_that_was_resized_since_is_told(
    tmp_path: Path, reader: str, orientation: int
) -> None:
    photos = tmp_path / "photos"
    output = _write(tmp_path, *_results(photos, "a.png", orientation=orientation), root=photos)
    source = f"{reader.format(output)}?schema=ibug51&images={photos}"
    truth = sources.read(source).records
    _photo(photos / "a.png", (320, 240), orientation)
    with refuses("sizes=scale"):
        sources.read(source)
    for face, true in zip(sources.read(f"{source}&sizes=scale").records, truth, strict=True):
        np.testing.assert_allclose(face.points, true.points * 2 + 0.5, atol=0.01)


def test_what_was_given_to_tools_is_never_replaced(tmp_path: Path) -> None:
    results = _results(tmp_path / "photos", "a.png")
    output = _write(tmp_path, *results, kinds=FOR_TOOLS, root=tmp_path / "photos")
    found = inputs.expand([str(tmp_path / "photos")])
    for kind in FOR_TOOLS:
        with refuses(OUTPUTS[kind].path(output), "corrected", "--output"):
            Outputs(output, (kind,), "ibug51").check(found)
    Outputs(output, ("json",), "ibug51").check(found)


@pytest.mark.parametrize("kind", OUTPUTS)
def test_links_and_pipes_are_never_replaced(tmp_path: Path, kind: str) -> None:
    _results(tmp_path / "photos", "a.png")
    found = inputs.expand([str(tmp_path / "photos")])
    path = OUTPUTS[kind].path(tmp_path)
    path.symlink_to(tmp_path / "absent")
    with refuses(path, "link", "--output"):
        Outputs(tmp_path, (kind,), "ibug51").check(found)
    if not OUTPUTS[kind].is_folder:
        path.unlink()
        os.mkfifo(path)
        with refuses(path, "--output"):
            Outputs(tmp_path, (kind,), "ibug51").check(found)


def test_frames_are_left_out_of_what_tools_are_given(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "clip.avi", "clip.avi", "clip")
    frame = Result(video, np.zeros((48, 64, 3), np.uint8), [_face()], 3, 0.1)
    output = _write(tmp_path, frame, kinds=("json", *FOR_TOOLS), root=tmp_path)
    assert len((output / "faces.jsonl").read_text().splitlines()) == 1
    assert json.loads((output / "coco.json").read_text())["images"] == []


def test_frames_are_sources_again(tmp_path: Path) -> None:
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for index in range(4):
        writer.write(np.full((48, 64, 3), 60 * index, np.uint8))
    writer.release()
    video = VideoFile(path, "clip.avi", "clip")
    output = _write(tmp_path, *(
        Result(video, np.full((48, 64, 3), 60 * index, np.uint8), [_face(track=5)], index,
               index / 25) for index in (0, 3)))
    assert not (output / "pictures").exists()  # a video's are a video
    assert sorted(p.name for p in (output / "pts" / "clip.avi").iterdir()) == \
        ["000000_5.pts", "000003_5.pts"]
    for reader in ("json:{}/faces.jsonl", "csv:{}/faces.csv"):
        source = f"{reader.format(output)}?schema=ibug51&images={tmp_path}"
        first, second = sources.read(source).records
        assert (first.frame, second.frame, second.upright) == (0, 3, False)
        assert second.key == "../clip.avi#3"
        assert abs(ImageReader().read(second).mean() - 180) < 3
    rows = list(csv.DictReader((output / "faces.csv").open()))
    assert rows[1]["seconds"] == "0.120000" and rows[1]["track"] == "5"
    assert (rows[1]["frame"], rows[1]["upright"], rows[1]["face"]) == ("3", "0", "0")


def test_the_table_has_a_column_for_each_coordinate(tmp_path: Path) -> None:
    (result,) = _results(tmp_path / "photos", "a.png")
    with (_write(tmp_path, result, kinds=("csv",)) / "faces.csv").open() as file:
        first, second = csv.DictReader(file)
    assert list(first)[:8] == \
        ["image", "frame", "upright", "seconds", "face", "track", "score", "confidence"]
    names = schemas.get("ibug51").names
    assert (first["image_width"], first["image_height"]) == ("160", "120")
    assert abs(float(first["angle"]) - result.faces[0].angle) <= 0.05
    assert list(first)[15:] == [f"{name}_{axis}" for name in names for axis in "xy"]
    assert (second["face"], second["frame"], second["track"], second["seconds"]) == \
        ("1", "", "", "")
    _close(float(first[f"{names[9]}_y"]), result.faces[0].points[9, 1])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pts_files_beside_their_images_are_a_source(tmp_path: Path, orientation: int) -> None:
    """In the file's own rows and columns, which is what the reader and other tools look at."""
    photos = tmp_path / "photos"
    (result,) = _results(photos, "face.png", orientation=orientation)
    height, width = result.image.shape[:2]
    assert (width < height) == (orientation >= 5)
    # A point on a pixel that is unlike the others: where the reader says, it must be there.
    marked = _face()
    marked.points[7] = [width - 21, 13]
    shutil.copytree(_write(tmp_path, Result(result.input, result.image, [_face(), marked])) / "pts",
                    photos, dirs_exist_ok=True)
    first, second = sources.read(f"ibug:{photos}").records
    assert (first.schema, first.image, first.identity) == ("ibug51", photos / "face.png", "face")
    assert second.identity == first.identity
    if orientation == 1:
        _close(first.points, result.faces[0].points)
    column, row = second.points[7].round().astype(int)
    np.testing.assert_array_equal(read_photo(second.image)[row, column],
                                  result.image[13, width - 21])


def test_a_picture_keeps_its_pixels_and_shows_the_faces(tmp_path: Path) -> None:
    photo = np.full((600, 900, 3), 90, np.uint8)
    face = _face(300, 200, 150)
    drawn = pictures.annotate_photo(photo, [face])
    assert drawn.shape == photo.shape and (photo == 90).all()
    assert (drawn[:150] == 90).all() and (drawn[:, 600:] == 90).all()
    for x, y in face.points.round().astype(int):
        assert abs(drawn[y, x].astype(int) - 90).max() > 40
    path = pictures.write(tmp_path / "a", drawn)
    assert path.name == "a.jpg"
    assert abs(read_photo(path).astype(int) - drawn).mean() < 1


def test_sizes_follow_the_face() -> None:
    """A face of a tenth of a large photo is drawn as it would be alone."""
    small = np.full((6000, 4000, 3), 90, np.uint8)
    drawn = pictures.annotate_photo(small, [_face(2000, 3000, 400)])
    share = (drawn[2900:3500, 1900:2500] != 90).any(axis=-1).mean()
    alone = pictures.annotate_photo(np.full((600, 600, 3), 90, np.uint8), [_face(100, 100, 400)])
    assert share == pytest.approx((alone != 90).any(axis=-1).mean(), rel=0.05)
    assert 0.01 < share < 0.06


def test_a_thumbnail_is_enlarged() -> None:
    image = np.random.default_rng(0).integers(0, 256, (80, 100, 3)).astype(np.uint8)
    drawn = pictures.annotate_photo(image, [])
    assert drawn.shape == (400, 500, 3)
    face = _face(20, 20, 50)
    found = pictures.annotate_photo(np.full((80, 100, 3), 90, np.uint8), [face])
    for x, y in ((face.points + 0.5) * 5 - 0.5).round().astype(int):
        assert abs(found[y, x].astype(int) - 90).max() > 40
    assert pictures.annotate_photo(np.zeros((1, 1, 3), np.uint8), []).shape == (8, 8, 3)
    assert pictures.annotate(image, []).shape == image.shape  # frames keep their size


def test_faces_at_the_edge_and_outside_and_tracks() -> None:
    image = np.full((500, 500, 3), 90, np.uint8)
    drawn = pictures.annotate(image, [_face(-30, 450, 100), _face(5000, 50), _face(-900, -900)])
    assert (drawn[420:, :80] != 90).any() and (drawn[:400] == 90).all()
    numbered = pictures.annotate(image, [_face(100, 100, 200, track=12)])
    plain = pictures.annotate(image, [_face(100, 100, 200)])
    changed = (numbered != plain).any(axis=-1)
    assert changed[60:100, 100:160].any() and not changed[101:].any()
    top = pictures.annotate(image, [_face(100, 5, 200, track=12)])
    assert (top != pictures.annotate(image, [_face(100, 5, 200)]))[6:60, 100:160].any()


@pytest.mark.parametrize(("size", "suffix"), [((256, 256), ".png"), ((1200, 900), ".jpg"),
                                              ((70_000, 8), ".png"), ((1, 66_000), ".png")])
def test_png_where_jpeg_would_smear_or_cannot(
    tmp_path: Path, size: tuple[int, int], suffix: str
) -> None:
    image = np.full((size[1], size[0], 3), 90, np.uint8)
    path = pictures.write(tmp_path / "a.b", image)
    assert path.name == f"a.b{suffix}" and read_photo(path).shape == image.shape


@pytest.mark.parametrize("error", [None, KeyboardInterrupt, ValueError])
@pytest.mark.parametrize("partial", [True, False])
def test_lines_are_whole_whatever_ends_the_run(
    tmp_path: Path, error: type[BaseException] | None, partial: bool
) -> None:
    path = tmp_path / "faces.jsonl"
    path.write_text("old\n")
    with suppress(KeyboardInterrupt, ValueError), LineFile(path, partial) as file:
        file.write("one")
        file.write("two")
        if error:
            file._file.write(b"cut of")  # as Ctrl-C in the middle of a line would leave it
            raise error
    kept = error is None or (partial and error is KeyboardInterrupt)
    part = tmp_path / "faces.jsonl.part"
    assert path.read_text() == ("one\ntwo\n" if kept else "old\n")
    assert part.exists() == (partial and not kept)
    if part.exists():
        assert part.read_text() == "one\ntwo\n"
    assert {*os.listdir(tmp_path)} <= {path.name, part.name}


def test_what_killed_runs_found_is_kept_under_names_of_their_own(tmp_path: Path) -> None:
    results = _results(tmp_path / "photos", "a.png", "b.png")
    for killed in ("faces_killed", "faces_killed2"):
        output = _write(tmp_path, results[0], kinds=("json", "csv", "cvat"), root=tmp_path)
        faces = (output / "faces.jsonl").read_bytes()
        (output / "faces.jsonl").rename(output / "faces.jsonl.part")
        for name in ("faces.csv", "cvat/annotations.xml"):  # cut in the last face
            content = (output / name).read_bytes()
            cut = content[:-30] if name == "faces.csv" else content.rpartition(b"<image")[0] \
                + content.rpartition(b"  </image>")[0].rpartition(b"<image")[1]
            (output / f"{name}.part").write_bytes(cut)
            (output / name).unlink()
        with Outputs(output, ("json",), "ibug51") as outputs:
            pass
        assert (output / f"{killed}.jsonl").read_bytes() == faces
        table = (output / f"{killed}.csv").read_bytes()
        assert content != table and table.count(b"\n") == 2
        assert output / f"{killed}.jsonl" in outputs.recovered
        assert not [*output.rglob("*.part")]
        shutil.rmtree(output / "cvat")
    # Nothing is left of a run that had found nothing.
    (output / "faces.jsonl.part").write_bytes(b'{"ima')
    (output / "faces.csv.part").write_bytes(b"image,frame\r\na")
    with Outputs(output, ("json",), "ibug51") as outputs:
        assert outputs.recovered == []
    assert {path.name for path in output.iterdir()} == {
        f"faces_killed{number}.{suffix}" for number in ("", "2") for suffix in ("jsonl", "csv")}


def test_what_a_killed_run_had_written_for_tools_makes_room(tmp_path: Path) -> None:
    """Nobody has corrected it; what a run has ended with is never moved."""
    results = _results(tmp_path / "photos", "a.png", "b.png")
    output, kinds = tmp_path / "predictions", ("json", "cvat", "labelme")
    child = os.fork()
    if not child:  # a process that is killed
        try:
            outputs = Outputs(output, kinds, "ibug51", tmp_path)
            outputs.__enter__()
            outputs.write(results[0])
        finally:
            os._exit(9)
    os.waitpid(child, 0)
    assert (output / UNFINISHED).exists()
    with Outputs(output, kinds, "ibug51", tmp_path) as outputs:
        outputs.check(inputs.expand([str(tmp_path / "photos")]))
        for result in results:
            outputs.write(result)
    told = [str(path.relative_to(output)) for path in outputs.recovered]
    assert told == ["faces_killed.jsonl", "cvat_killed", "labelme_killed"]
    assert {*os.listdir(output / "cvat_killed")} == {"annotations_killed.xml", "labels.json"}
    for name in ("cvat", "cvat_killed"):
        path = next((output / name).glob("*.xml"))
        found = sources.read(f"cvat:{path}?schema=ibug51&images={tmp_path}/photos")
        assert len(found.records) == (4 if name == "cvat" else 2)
    assert not (output / UNFINISHED).exists()
    with Outputs(output, kinds, "ibug51", tmp_path) as outputs, refuses("corrected"):
        outputs.check(inputs.expand([str(tmp_path / "photos")]))


def test_two_runs_never_write_to_one_folder(tmp_path: Path) -> None:
    results = _results(tmp_path / "photos", "a.png")
    with Outputs(tmp_path / "predictions", ("json",), "ibug51") as outputs:
        with refuses(tmp_path / "predictions", "another"):
            _write(tmp_path, *results)
        outputs.write(results[0])
    assert os.listdir(tmp_path / "predictions") == ["faces.jsonl"]


def test_no_result_writes_nothing_and_no_face_an_empty_table(tmp_path: Path) -> None:
    assert not _write(tmp_path).exists()
    (result,) = _results(tmp_path / "photos", "a.png")
    output = _write(tmp_path, Result(result.input, result.image, []))
    assert (output / "faces.jsonl").read_text() == ""
    assert len((output / "faces.csv").read_text().splitlines()) == 1
    assert (output / "pictures/a.png").exists() and not (output / "pts").exists()


def test_inputs_are_never_replaced(tmp_path: Path) -> None:
    _photo(tmp_path / "out/pictures/a.jpg")
    found = inputs.expand([str(tmp_path / "out/pictures/a.jpg")])
    with refuses(tmp_path / "out/pictures/a.jpg", "input", "--output"):
        Outputs(tmp_path / "out", KINDS, "ibug51").check(found)
    Outputs(tmp_path / "other", KINDS, "ibug51").check(found)
    with refuses(tmp_path / "out/pictures/a.jpg", "folder"):
        Outputs(tmp_path / "out/pictures/a.jpg", KINDS, "ibug51").check(found)


def test_tables_of_others_are_never_replaced(tmp_path: Path) -> None:
    (result,) = _results(tmp_path / "photos", "a.png")
    found = inputs.expand([str(tmp_path / "photos/a.png")])
    for suffix, content in (("csv", "image,x0,y0\na.png,1,2\n"), ("jsonl", '{"image": "a.png"}\n'),
                            ("jsonl", "[" * 100_000)):
        folder = tmp_path / suffix
        folder.mkdir(exist_ok=True)
        (folder / f"faces.{suffix}").write_text(content)
        with refuses(folder / f"faces.{suffix}", "replaced", "--output"):
            Outputs(folder, KINDS, "ibug51").check(found)
        Outputs(folder, ("pictures",), "ibug51").check(found)
    for faces in ([], result.faces):
        output = _write(tmp_path, Result(result.input, result.image, faces))
        Outputs(output, KINDS, "ibug51").check(found)  # its own


def test_where_a_video_goes(tmp_path: Path) -> None:
    camera, video = CameraInput(0, "camera0", "camera0"), VideoFile(Path("a.mov"), "a.mov", "s/a")
    outputs = Outputs(tmp_path, ("pictures",), "ibug51")
    assert outputs.video_path(camera) == tmp_path / "pictures/camera0.mp4"
    assert outputs.video_path(video) == tmp_path / "pictures/s/a.mp4"
    assert Outputs(tmp_path, ("json",), "ibug51").video_path(video) is None
    assert not isinstance(Photo(Path("a.jpg"), "a.jpg", "a"), VideoFile)


def test_pts_files_of_images_whose_names_are_like_those_of_faces(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    results = _results(photos, "IMG_7.png", "IMG_7_0.png")
    output = _write(tmp_path, *results, kinds=("pts",), root=photos)
    records = sources.read(f"ibug:{output}/pts?images={photos}").records
    assert sorted(record.key for record in records) == [
        f"../../photos/{name}{number}" for name in ("IMG_7.png", "IMG_7_0.png")
        for number in ("", "@1")]
    shutil.copytree(output / "pts", photos, dirs_exist_ok=True)
    assert sorted(r.key for r in sources.read(f"ibug:{photos}").records) == [
        "IMG_7.png", "IMG_7.png@1", "IMG_7_0.png", "IMG_7_0.png@1"]


@pytest.mark.parametrize(("name", "kind"), [("x~.png", "labelme"), ("x~.png", "yolo"),
                                            (" a.png", "csv"), (".a.png", "pts"),
                                            ("a\uffff.png", "cvat")])
def test_a_photo_that_a_format_cannot_name_is_in_no_file(
    tmp_path: Path, name: str, kind: str
) -> None:
    photos = tmp_path / "photos"
    (result,) = _results(photos, "b.png")
    wrong = _photo(photos / name)
    other = Result(Photo(wrong, name, wrong.stem), result.image, result.faces)
    with Outputs(tmp_path / "out", ("json", kind), "ibug51", photos) as outputs:
        with pytest.raises(DataError) as caught:
            outputs.write(other)
        assert caught.value.path == wrong
        assert_told(caught.value.reason, kind, "rename")
        outputs.write(result)
    lines = (tmp_path / "out/faces.jsonl").read_text().splitlines()
    assert {json.loads(line)["image"] for line in lines} == {"b.png"}
    form = OUTPUTS[kind]
    source = form.read_back(form.path(tmp_path / "out"), "ibug51", photos, False)
    assert {r.image.name for r in sources.read(source).records} == {"b.png"}
