"""`efld-predict` with photos, folders, lists and videos."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
import yaml
from PIL import Image

from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.cli import common, predict
from efld_tf.landmarks import align, schemas
from efld_tf.runtime import pictures
from efld_tf.runtime.faces import Faces
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.video import VideoReader
from tests.cli.predict.command import PROGRAM, film, lines, run
from tests.errors import assert_error_line, assert_told, refuses


def test_a_photo(folder: Path, landmarker: FaceLandmarker, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = run(folder, "photos/10.jpg")
    assert out.splitlines()[0] == "photos/10.jpg: 1 face" and not err
    (found,) = lines(folder / "predictions/faces.jsonl")
    image = read_photo(folder / "photos/10.jpg")
    (face,) = landmarker.find(image)
    np.testing.assert_allclose(found["points"], face.points, atol=1e-3)
    truth = render_face(5, 1, 256).points["ibug51"]
    eyes = schemas.get("ibug51").normaliser.distance(truth)
    assert np.linalg.norm(found["points"] - truth, axis=-1).mean() < 0.1 * eyes
    drawn = read_photo(folder / "predictions/pictures/10.png")
    np.testing.assert_array_equal(drawn, pictures.annotate_photo(image, [face]))
    # What is printed last reads the predictions again.
    source = re.search("'(json:.*)'", out)[1]
    monkeypatch.chdir(folder)
    (record,) = sources.read(source).records
    np.testing.assert_allclose(record.points, face.points, atol=1e-3)
    np.testing.assert_array_equal(ImageReader().read(record), image)


def test_a_photo_loads_only_what_it_needs(folder: Path) -> None:
    code = (
        "import sys\nfrom efld_tf.cli import predict\n"
        "assert not predict.main(sys.argv[1:])\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "photos/10.jpg", "--align", "--save", "json",
                           "csv", "pts", "pictures"],
                          cwd=folder, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "cv2" in loaded and "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "mediapipe", "jax", "scipy", "matplotlib",
                         "h5py", "av", "tqdm", "psutil", "pillow_heif"}


def test_predictions_are_corrected_in_tools_and_come_back(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = ("coco", "cvat", "labelme", "yolo")
    out, _ = run(folder, "photos", "--save", "json", *kinds, "--output", "tools")
    printed = dict(re.findall(r"^(\w+): after corrections, read it as '?(\S+?)'?$", out, re.M))
    assert [*printed] == list(kinds)
    monkeypatch.chdir(folder)
    records = sources.read(re.search("'(json:.*?)'", out)[1]).records
    truth = {record.image.name: record.points for record in records}
    assert len(truth) == 3
    # One point of one face is moved by 7 pixels, as a person would.
    path = folder / "tools/labelme/2.json"
    content = json.loads(path.read_text())
    point = next(s for s in content["shapes"] if s["label"] == schemas.get("ibug51").names[13])
    point["points"][0][0] += 7
    path.write_text(json.dumps(content))
    for kind, source in printed.items():
        for record in sources.read(source).records:
            expected = truth[record.image.name].copy()
            expected[13, 0] += 7 * (kind == "labelme" and record.image.name == "2.png")
            np.testing.assert_allclose(record.points, expected, atol=0.01)
    _, err = run(folder, "photos", "--save", "labelme", "--output", "tools", code=2)
    assert_error_line(err, "tools/labelme", "corrected", "--output")
    assert json.loads(path.read_text()) == content


def test_a_folder_with_everything(folder: Path) -> None:
    out, err = run(folder, "photos", "--save", "pictures", "json", "csv", "pts", "--align",
                   "--output", "out")
    assert out.splitlines()[:-1] == [
        "photos/2.png: 1 face", "photos/10.jpg: 1 face", "photos/sub/c.png: 1 face",
        "photos/wall.png: no face",
    ] and not err  # fmt: skip
    files = sorted(str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*.*"))
    assert files == [
        "aligned/10_0.png", "aligned/2_0.png", "aligned/sub/c_0.png", "faces.csv", "faces.jsonl",
        "pictures/10.png", "pictures/2.png", "pictures/sub/c.png", "pictures/wall.png",
        "pts/10_0.pts", "pts/2_0.pts", "pts/sub/c_0.pts",
    ]  # fmt: skip
    wall = read_photo(folder / "out/pictures/wall.png")
    assert (wall == 128).all()  # the photo as it is: nothing was found
    shutil.copytree(folder / "out/pts", folder / "photos", dirs_exist_ok=True)
    by_pts = sources.read(f"ibug:{folder}/photos").records
    by_table = sources.read(f"csv:{folder}/out/faces.csv?schema=ibug51&images={folder}/photos")
    points = {record.key: record.points for record in by_table.records}
    for record in by_pts:
        key = os.path.relpath(record.image, folder / "out")
        np.testing.assert_allclose(record.points, points[key], atol=1e-3)


def test_patterns_lists_and_outputs_that_are_no_inputs(folder: Path) -> None:
    out, _ = run(folder, "**/*.png")
    assert [line.partition(":")[0] for line in out.splitlines()[:-1]] == [
        "photos/2.png", "photos/sub/c.png", "photos/wall.png"]
    assert run(folder, "**/*.png")[0] == out  # and not the pictures of the first run
    found, _ = run(folder, "-", "photos/10.jpg", "--save", "json",
                   stdin="photos/sub/c.png\n\nphotos/sub/c.png\n")
    *lines, written, note = found.splitlines()
    assert lines == ["photos/sub/c.png: 1 face", "photos/10.jpg: 1 face"]
    assert_told(written, "written")
    assert_told(note, "note", "3 files", "predictions")


def test_a_closed_standard_input(folder: Path) -> None:
    done = subprocess.run(["sh", "-c", f"{PROGRAM} - <&-"], cwd=folder, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 2
    assert_error_line(done.stderr, "standard input")


def test_a_turned_photo(folder: Path, faces: list[np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(faces[0])).save(folder / "turned.png", exif=exif)
    run(folder, "turned.png", "photos/2.png", "--save", "pictures", "json", "pts")
    upright, turned = sorted(lines(folder / "predictions/faces.jsonl"), key=lambda f: f["image"])
    assert turned["points"] == upright["points"] and turned["upright"] is True
    np.testing.assert_array_equal(read_photo(folder / "predictions/pictures/turned.png"),
                                  read_photo(folder / "predictions/pictures/2.png"))
    (folder / "own").mkdir()
    for name in ("turned.png", "predictions/pts/turned_0.pts"):
        shutil.copy(folder / name, folder / "own")
    (record,) = sources.read(f"ibug:{folder}/own").records  # of the pixels as they lie in the file
    x, y = np.array(upright["points"]).T
    np.testing.assert_allclose(record.points, np.stack([y, 255 - x], axis=-1), atol=2e-3)


def test_an_odd_corpus(folder: Path, faces: list[np.ndarray]) -> None:
    photos = folder / "photos"
    jpeg = (photos / "10.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (photos / "closed.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    (photos / "cut.png").write_bytes((photos / "2.png").read_bytes()[:-100])
    (photos / "empty.png").touch()
    (photos / "text.jpg").write_text("Dear all,\n")
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (photos / "folder.jpg").mkdir()
    os.mkfifo(photos / "pipe.jpg")
    Image.fromarray(faces[3]).convert("L").save(photos / "grey.jpg", quality=95)
    Image.fromarray(faces[3]).convert("CMYK").save(photos / "cmyk.jpg", quality=95)
    Image.fromarray(np.dstack([faces[3], np.full((256, 256), 200, np.uint8)])).save(
        photos / "alpha.png")
    hidden = np.dstack([faces[3], np.zeros((256, 256), np.uint8)])
    Image.fromarray(hidden).save(photos / "hidden.png")
    pillow_heif.from_pillow(Image.fromarray(faces[3])).save(photos / "real.heic")
    out, err = run(folder, "photos", code=1)
    assert sorted(re.findall(r"photos/(.*): 1 face", out)) == \
        ["10.jpg", "2.png", "alpha.png", "cmyk.jpg", "grey.jpg", "real.heic", "sub/c.png"]
    assert re.search(r"photos/hidden\.png: (.*)", out)[1].startswith("no face")
    failed = err.splitlines()
    assert all(line.startswith("error: photos/") for line in failed)
    assert [re.match(r"error: photos/(.*?): ", line)[1] for line in failed] == [
        "closed.jpg", "cut.jpg", "cut.png", "empty.png", "phone.heic", "pipe.jpg", "text.jpg"]
    out, err = run(folder, "photos/text.jpg", "photos/cut.jpg", "--output", "none", code=2)
    assert not out and len(err.splitlines()) == 2 and not (folder / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["missing.jpg"], ["missing.jpg", "exist"]),
        (["empty"], ["empty", "folder"]),
        (["*.gif"], ["*.gif", "pattern"]),
        (["a.png", "--model", "missing.tflite"], ["missing.tflite", "research", "synthetic"]),
        (["a.png", "--model", "empty"], ["empty", "trained", ".h5"]),
        (["a.png", "--model", "a.png"], ["a.png", "model"]),
        (["a.png", "--detector", "missing.tflite"], ["missing.tflite", "no such file", "detector"]),
        (["a.png", "--boxes", "missing.json"], ["missing.json", "No such file"]),
        (["a.png", "--boxes", "b.json", "--min-confidence", "1"], ["--boxes", "--min-confidence"]),
        (["a.png", "--box-format", "xywh"], ["--box-format", "--boxes"]),
        (["a.png", "--output", "a.png"], ["a.png", "folder"]),
        (["out/pictures/a.png", "--output", "out"], ["out/pictures/a.png", "input", "--output"]),
        (["7"], ["camera 7"]),
        (["/dev/null"], ["camera /dev/null"]),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], facts: list[object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for path in (Path("a.png"), Path("out/pictures/a.png")):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(path)
    assert common.run(predict.main, arguments) == 2
    assert_error_line(capsys.readouterr().err, *facts)
    assert not Path("predictions").exists()


def test_wording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    for arguments, told in (
        (["missing.jpg"], "missing.jpg: does not exist"),
        (["a.png", "--box-format", "xywh"], "--box-format goes with --boxes"),
    ):
        assert common.run(predict.main, arguments) == 2
        assert capsys.readouterr().err == f"error: {told}\n"


def test_boxes_instead_of_a_detector(folder: Path, landmarker: FaceLandmarker) -> None:
    box = [60.0, 60.0, 200.0, 210.0]
    (folder / "boxes.json").write_text(json.dumps({"2.png": [box, box], "10.jpg": []}))
    out, err = run(folder, "photos/2.png", "photos/10.jpg", "photos/wall.png", "--boxes",
                   "boxes.json", code=1)
    assert out.splitlines()[:2] == ["photos/2.png: 2 faces", "photos/10.jpg: no face"]
    assert_error_line(err, "photos/wall.png", "boxes")
    first, _ = lines(folder / "predictions/faces.jsonl")
    (expected, _) = landmarker.find(read_photo(folder / "photos/2.png"), [box, box])
    np.testing.assert_allclose(first["points"], expected.points, atol=1e-3)
    assert first["box"] == box


def test_boxes_outside_the_picture_are_no_faces(folder: Path) -> None:
    height, width = read_photo(folder / "photos/2.png").shape[:2]
    out_right, out_above = [width, 10, width + 90, 100], [10, -90, 100, -1]
    at_corner = [width - 1, height - 1, width + 90, height + 90]
    (folder / "boxes.json").write_text(json.dumps(
        {"2.png": [out_right, [60, 60, 200, 210], out_above, at_corner], "10.jpg": [out_above]}))
    out, err = run(folder, "photos/2.png", "photos/10.jpg", "--boxes", "boxes.json")
    told = out.splitlines()
    assert (told[0], told[2], err) == ("photos/2.png: 2 faces", "photos/10.jpg: no face", "")
    assert told[1].startswith("note: ") and told[3].startswith("note: ")
    assert_told(told[1], "photos/2.png", "box 0", "box 2", f"{width} x {height}")
    assert_told(told[3], "photos/10.jpg", "box 0")
    first, second = lines(folder / "predictions/faces.jsonl")
    assert (first["box"], second["box"]) == ([60, 60, 200, 210], at_corner)


def test_what_has_no_face_is_no_source(folder: Path) -> None:
    out, _ = run(folder, "photos/wall.png", "--save", "json", "coco")
    assert out.splitlines() == ["photos/wall.png: no face", "written to predictions"]


def test_a_video(folder: Path, faces: list[np.ndarray]) -> None:
    film(folder / "clip.avi", faces, 30)
    out, err = run(folder, "clip.avi", "photos/2.png", "--save", "pictures", "json", "csv")
    assert out.splitlines()[:2] == ["clip.avi: 30 frames, 1 face", "photos/2.png: 1 face"]
    assert not err
    video = VideoReader(folder / "predictions/pictures/clip.mp4")
    frames = list(video)
    assert (video.width, video.height, len(frames)) == (480, 320, 30)
    assert frames[10].seconds == pytest.approx(0.4, abs=1e-3)
    found = lines(folder / "predictions/faces.jsonl")
    assert [face.get("frame") for face in found] == [*range(30), None]
    assert {face["identity"] for face in found} == {"clip.avi 0", "photos/2.png"}
    records = sources.read(
        f"json:{folder}/predictions/faces.jsonl?schema=ibug51&images={folder}").records
    (still,) = [r for r in records if r.frame == 20]
    # The points lie on the frame that the reader of sources finds: on its moving face.
    assert ImageReader().read(still).shape == (320, 480, 3)
    shift = still.points.mean(axis=0) - records[0].points.mean(axis=0)
    assert shift[0] == pytest.approx(60 * np.sin(20 / 12), abs=6) and abs(shift[1]) < 4


def test_one_bad_input_keeps_nothing_from_the_others(folder: Path, tmp_path: Path) -> None:
    (folder / "odd").mkdir(exist_ok=True)
    face = (folder / "photos/10.jpg").read_bytes()
    for name in ("a" * 246 + ".jpg", "e\x1b[31m.jpg", "good.jpg"):
        (folder / "odd" / name).write_bytes(face)
    cv2.imwrite(str(folder / "odd/long.png"), np.full((4, 40000, 3), 90, np.uint8))
    (folder / "odd" / "b\\c.jpg").write_bytes(face)
    out, err = run(folder, "odd", "--output", tmp_path / "out", code=1)
    assert len(err.splitlines()) == 2
    assert_told(err, "error", "too long")
    assert_told(err, "error", "c.jpg", "rename")
    assert "\x1b" not in out and "e\\x1b[31m.jpg: 1 face" in out
    assert "long.png: no face" in out and "good.jpg: 1 face" in out
    assert len(lines(tmp_path / "out/faces.jsonl")) >= 2


def test_a_video_that_cannot_be_written_keeps_nothing_from_the_others(
    folder: Path, tmp_path: Path
) -> None:
    import av

    with av.open(str(tmp_path / "wide.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 17000, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((64, 17000, 3), 90, np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    out, err = run(folder, tmp_path / "wide.mkv", "photos/10.jpg", "--output", tmp_path / "out",
                   code=1)
    assert_error_line(err, "wide.mp4", "written")
    assert "photos/10.jpg: 1 face" in out and lines(tmp_path / "out/faces.jsonl")


def test_boxes_take_the_place_of_the_detector(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{}")
    _, err = run(folder, "photos/10.jpg", "--boxes", tmp_path / "b.json", "--min-face", 50, code=2)
    assert_error_line(err, "--boxes", "--min-face")


def test_faces_are_aligned_as_asked_for(folder: Path, landmarker: FaceLandmarker) -> None:
    places = {name: [x - 3, y] for name, (x, y) in align.TEMPLATE.items()}
    (folder / "places.yaml").write_text(yaml.safe_dump(places))
    run(folder, "photos/10.jpg", "--align", "--align-by", "head", "--align-size", 80,
        "--align-border", "repeat", "--align-template", "places.yaml", "--save", "json")
    image = read_photo(folder / "photos/10.jpg")
    (face,) = landmarker.find(image)
    expected = align.align(image, face.points, schemas.get("ibug51"), align.Alignment(
        "head", 80, places, "repeat"))
    np.testing.assert_array_equal(read_photo(folder / "predictions/aligned/10_0.png"), expected)
    (plain,) = Faces([face], image).aligned("inner", 96, "mirror")
    assert plain.shape == (96, 96, 3)
    with refuses("by", "'nose'"):
        Faces([face], image).aligned("nose")


@pytest.mark.parametrize(("options", "facts"), [
    (["--align-by", "head"], ["--align-by", "--align"]),
    (["--align", "--align-template", "none.yaml"], ["none.yaml"]),
    (["--align-size", "80", "--align-border", "black"], ["--align-size", "--align-border"]),
])
def test_alignments_that_cannot_be(folder: Path, options: list[str], facts: list[str]) -> None:
    _, err = run(folder, "photos/10.jpg", *options, code=2)
    assert_error_line(err, *facts)
    assert not (folder / "predictions").exists()
