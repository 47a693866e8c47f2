"""`efld-data label`: what a model finds in photos is a source like any other."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from efld_tf.annotations import sources
from efld_tf.annotations.header import Header, read_header
from efld_tf.annotations.images import read_image, read_photo
from efld_tf.annotations.record import FaceRecord
from efld_tf.cli import common, data
from efld_tf.data import pack
from efld_tf.data.manifest import read_manifest, write_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import metrics, schemas
from efld_tf.runtime import labels as labels_module
from tests.cli.test_path import run
from tests.errors import assert_error_line, assert_told, refuses

INNER = schemas.get("ibug51")
TURNED = "turned.png"


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> list[FaceRecord]:
    return sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[:40:8]


@pytest.fixture(scope="module")
def folder(truth: list[FaceRecord], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in two folders: faces, one of them to be seen turned, no face, and no photo."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "in" / "more").mkdir(parents=True)
    for index, record in enumerate(truth):
        shutil.copy(record.image, folder / "in" / ("more" if index % 2 else "") / record.image.name)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # to be seen turned by a quarter, clockwise
    as_stored = np.rot90(read_image(truth[0]))
    Image.fromarray(np.ascontiguousarray(as_stored)).save(folder / "in" / TURNED, exif=exif)
    cv2.imwrite(str(folder / "in" / "nobody.png"), np.full((90, 120, 3), 99, np.uint8))
    (folder / "in" / "broken.jpg").write_text("no photo")
    return folder


def label(folder: Path, *arguments: object, capsys: pytest.CaptureFixture[str]) -> str:
    words = ["label", str(folder / "in"), "--quiet", *map(str, arguments)]
    assert common.run(data.main, words) == 0, capsys.readouterr().err
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def labels(folder: Path) -> Path:
    """Labels of 68 points by the mesh."""
    words = ["label", str(folder / "in"), "--output", str(folder / "mesh.jsonl"), "--quiet",
             "--model", "mesh", "--convert", "ibug68", "--views", "2"]
    assert data.main(words) is None
    return folder / "mesh.jsonl"


def worst_error(found: list[FaceRecord], truth: list[FaceRecord]) -> float:
    """The largest error of 51 points; the turned photo's truth is that of the first."""
    by_name = {record.image.name: record.points for record in truth}
    by_name[TURNED] = truth[0].points
    return max(
        metrics.nme(record.points[None, -51:], by_name[record.image.name][None, 17:], INNER)[0]
        for record in found
    )


def test_labels_are_read_back_and_lie_on_the_faces(labels: Path, truth: list[FaceRecord]) -> None:
    found = sources.read(f"json:{labels}?schema=ibug68").records
    names = {record.image.name for record in truth} | {TURNED}
    assert {record.image.name for record in found} == names and len(found) == len(names)
    assert worst_error(found, truth) < 0.08
    for record in found:
        x0, y0, x1, y1 = record.box
        middle = record.points.mean(axis=0)
        assert record.upright and x0 < middle[0] < x1 and y0 < middle[1] < y1
        assert 0.5 < float(record.attributes["score"]) <= 1
        assert 0.9 < float(record.attributes["confidence"]) <= 1
        assert 0 < float(record.attributes["spread_percent"]) < 10
        assert record.identity == record.image.relative_to(labels.parent).as_posix()


def test_a_photo_with_an_orientation_is_labelled_as_it_is_seen(
    labels: Path, truth: list[FaceRecord]
) -> None:
    found = {r.image.name: r for r in sources.read(f"json:{labels}?schema=ibug68").records}
    turned, as_is = found[TURNED], found[truth[0].image.name]
    np.testing.assert_allclose(turned.points, as_is.points, atol=0.05)
    np.testing.assert_array_equal(read_image(turned), read_image(as_is))
    assert read_photo(turned.image).shape == read_image(turned).transpose(1, 0, 2).shape


def test_the_summary_counts_everything(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = label(folder, "--output", folder / "own.jsonl", capsys=capsys)
    assert_told(out, "broken.jpg", "image")
    assert_told(out, "photos: 7", "faces: 6", "without a face: 1", "confidence: 0", "unreadable",
                "photos: 1")
    assert f"json:{folder / 'own.jsonl'}?schema=ibug51" in out
    # All 468 points, and nobody is surer than that.
    sure = ("--output", folder / "sure.jsonl", "--model", "mesh")
    out = label(folder, *sure, capsys=capsys)
    assert len(sources.read(f"json:{folder / 'sure.jsonl'}?schema=mediapipe468").records) == 6
    kept = [json.loads(line)["attributes"]["confidence"]
            for line in (folder / "sure.jsonl").read_text().splitlines()]
    with refuses(folder / "sure.jsonl", "--force"):
        data.main(["label", str(folder / "in"), *map(str, sure)])
    out = label(folder, *sure, "--force", "--min-confidence", max(kept) - 1e-4, capsys=capsys)
    fewer = sources.read(f"json:{folder / 'sure.jsonl'}?schema=mediapipe468").records
    assert 0 < len(fewer) <= 6
    assert_told(out, f"confidence: {6 - len(fewer)}")


def test_the_shipped_model_labels_too(
    folder: Path, truth: list[FaceRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    out = label(folder, "--output", folder / "shipped.jsonl", "--views", 3, "--detector", "full",
                capsys=capsys)
    assert_told(out, "note", "licence", "non-commercial")
    found = sources.read(f"json:{folder / 'shipped.jsonl'}?schema=ibug51").records
    assert len(found) >= 5 and worst_error(found, truth) < 0.08
    assert {record.attributes["weights_license"][:14] for record in found} == {"non-commercial"}


def test_several_models_label_together(
    folder: Path, truth: list[FaceRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    several = ("--model", "mesh", "--model", "research", "--convert", "ibug51", "--views", 2)
    out = label(folder, "--output", folder / "both.jsonl", *several, capsys=capsys)
    assert_told(out, "mediapipe468", "ibug51")
    found = sources.read(f"json:{folder / 'both.jsonl'}?schema=ibug51").records
    assert len(found) == 6 and worst_error(found, truth) < 0.08
    licence = found[0].attributes["weights_license"]
    assert re.match("Apache-2.0; also labelled by weights under: non-commercial", str(licence))
    apart = sorted(float(record.attributes["spread_percent"]) for record in found)
    assert apart[0] > 0 and apart[-1] < 10
    out = label(folder, "--output", folder / "both.jsonl", "--force", *several, "--max-spread",
                (apart[3] + apart[4]) / 2, capsys=capsys)
    assert_told(out, "faces: 4", "disagree: 2")
    fewer = sources.read(f"json:{folder / 'both.jsonl'}?schema=ibug51").records
    assert sorted(float(record.attributes["spread_percent"]) for record in fewer) == apart[:4]


def test_photos_elsewhere_are_found_by_the_source_that_is_printed(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = label(folder, "--output", tmp_path / "deep" / "l.jsonl", capsys=capsys)
    (source,) = re.findall("json:[^']+", out.splitlines()[-1])
    assert source.endswith(f"&images={folder / 'in'}")
    assert len(sources.read(source).records) == 6


def test_labels_are_looked_at_and_checked(labels: Path) -> None:
    folder, source = labels.parent, f"json:{labels}?schema=ibug68"
    assert data.main(["show", source, "--output", str(folder / "faces.png"), "--quiet"]) is None
    assert cv2.imread(str(folder / "faces.png")).std() > 10
    assert data.main(["check", source, "--quiet", "--workers", "1"]) == 0


@pytest.mark.long
def test_the_mesh_is_packed_for_training(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    label(folder, "--output", folder / "mesh468.jsonl", "--model", "mesh", capsys=capsys)
    source = "json:mesh468.jsonl?schema=mediapipe468"
    out, _ = run(folder, "data", "pack", source, "packed", "--size", 96, "--quiet")
    assert out == "packed: 6 train, 0 validation, mediapipe468\n"
    manifest = json.loads((folder / "packed" / "manifest.json").read_text())
    assert np.shape(manifest["mean_shape"]) == (468, 2)
    assert manifest["licenses"] == ["Apache-2.0"]


def test_all_licences_of_labels_are_packed(labels: Path, tmp_path: Path) -> None:
    """Also where an older version packed the folder and has written none down."""
    first, *others = [json.loads(line) for line in labels.read_text().splitlines()]
    first["attributes"]["weights_license"] = "research only"
    del others[0]["attributes"]["weights_license"]  # a person's
    (tmp_path / "mixed.jsonl").write_text("\n".join(map(json.dumps, [first, *others])))
    source = f"json:{tmp_path / 'mixed.jsonl'}?schema=ibug68&convert=ibug51&images={labels.parent}"
    options = SourceOptions(name="mixed", source=source, heads=("ibug51",))
    made = pack.pack(options, tmp_path / "packed", PackOptions(), workers=1, progress=False)
    assert made.licenses == ["Apache-2.0", "research only"]
    write_manifest(tmp_path / "packed", replace(made, licenses=[]))
    assert pack.pack(options, tmp_path / "packed", PackOptions(), progress=False) == made
    assert read_manifest(tmp_path / "packed") == made


def start(folder: Path) -> subprocess.Popen:
    """Begins to label many photos; returns once the file has been begun."""
    many = folder / "many"
    if not many.exists():
        many.mkdir()
        photos = sorted((folder / "in").glob("*_*.jpg"))
        for index in range(120):
            os.link(photos[index % len(photos)], many / f"{index}.jpg")
    program = Path(sys.executable).parent / "efld-data"
    process = subprocess.Popen(
        [str(program), "label", "many", "--output", "many.jsonl", "--views", "8", "--quiet"],
        cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    while not list(folder.glob(".many.*.tmp.jsonl")):
        assert process.poll() is None
        time.sleep(0.02)
    return process


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_killed_run_leaves_nothing_and_the_next_the_whole_file(
    folder: Path, how: signal.Signals
) -> None:
    process = start(folder)
    process.send_signal(how)
    assert process.wait(60) == (common.EXIT_SIGNALLED + how if how != signal.SIGKILL else -how)
    assert not (folder / "many.jsonl").exists()
    if how != signal.SIGKILL:
        assert not list(folder.glob(".many.*"))
        run(folder, "data", "label", "many", "--output", "many.jsonl", "--quiet")
        assert len(sources.read(f"json:{folder / 'many.jsonl'}?schema=ibug51").records) >= 120
    for left in (*folder.glob(".many.*"), *folder.glob("many.jsonl")):
        left.unlink()


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["absent"], ["absent", "exist"]),
        (["in", "--model", "absent.tflite"], ["absent.tflite", "research", "synthetic"]),
        (["in", "--convert", "ibug68"], ["ibug51", "ibug68", "none"]),
        (["in", "--model", "mesh", "--convert", "mtfl5"],
         ["mediapipe468", "mtfl5", "ibug51", "ibug68"]),
        (["in", "--model", "research", "--model", "mesh", "--convert", "ibug68"],
         ["ibug51", "ibug68"]),
        (["in", "--max-spread", "2"], ["--max-spread", "--views", "--model"]),
        (["in", "--views", "2", "--max-spread", "0.001"], ["no face", "of 6 the points disagree"]),
        (["in/nobody.png"], ["no face", "of 1 photos 1"]),
        (["in/broken.jpg"], ["1 photos", "in/broken.jpg", "image"]),
        (["in", "--output", "in"], ["in", "a file", "a folder"]),
        (["in", "--output", "wrong.csv", "--save", "json", "csv"], ["wrong.csv", "json", "csv"]),
        (["in", "--output", "in/broken.jpg/l.jsonl"], ["in/broken.jpg"]),
        (["0"], ["no photo"]),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    folder: Path, arguments: list[str], facts: list[str],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    output = [] if "--output" in arguments else ["--output", "wrong.jsonl"]
    assert common.run(data.main, ["label", *arguments, *output, "--quiet"]) == 2
    assert_error_line(capsys.readouterr().err, *facts)
    assert not (folder / "wrong.jsonl").exists() and not list(folder.glob(".wrong*"))


@pytest.mark.parametrize("value", ["-0.1", "1.5", "nan", "much"])
def test_a_confidence_is_a_fraction(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        data.main(["label", "in", "--output", "l.jsonl", f"--min-confidence={value}"])
    assert_error_line(capsys.readouterr().err, "--min-confidence", repr(value), 0, 1)


def test_labels_for_annotation_tools(
    folder: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All at once, beside the JSON lines, each of them a source of the same faces."""
    output = folder / "tools.jsonl"
    saved = ("json", "coco", "cvat", "labelme", "yolo", "csv", "pts")
    out = label(folder, "--output", output, "--save", *saved, capsys=capsys)
    named = [line.partition("read it as ")[2].strip("'") for line in out.splitlines()
             if "read it as" in line]
    truth = {r.image.resolve(): r.points for r in sources.read(named[0]).records}
    assert len(named) == len(saved) and len(truth) == 6
    for source in named:
        found = sources.read(source).records
        assert len(found) == 6
        for record in found:
            points = record.points
            if source.startswith("ibug:") and record.image.name == TURNED:  # as it is stored
                height = read_photo(record.image, upright=True).shape[1]
                points = np.stack([height - 1 - points[:, 1], points[:, 0]], axis=-1)
            np.testing.assert_allclose(points, truth[record.image.resolve()], atol=0.01)
    with refuses(folder / "tools_labelme", "another folder"):
        data.main(["label", str(folder / "in"), "--output", str(folder / "tools.jsonl"), "--force",
                   "--save", "labelme"])


def test_what_appears_during_the_run_is_not_replaced(
    folder: Path, tmp_path: Path, truth: list[FaceRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "labels.jsonl"

    def appears(path: Path) -> Header | None:
        output.write_text("mine")
        return read_header(path)

    monkeypatch.setattr(labels_module, "read_header", appears)
    words = ["label", str(folder / "in" / truth[0].image.name), "--output", str(output), "--quiet"]
    with refuses(output, "--force"):
        data.main([*words, "--save", "json", "coco"])
    assert output.read_text() == "mine" and [*tmp_path.iterdir()] == [output]
    data.main([*words, "--force"])
    assert json.loads(output.read_text())["image"].endswith(truth[0].image.name)


def test_a_photo_that_a_format_cannot_name_is_skipped(
    folder: Path, tmp_path: Path, truth: list[FaceRecord], capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither one of a hidden file nor one that has the label file of another photo."""
    names = ("x~.jpg", "y.jpg", "z.jpg", "z.jpeg")
    for name in names:
        shutil.copy(truth[0].image, tmp_path / name)
    words = ["label", *(str(tmp_path / name) for name in names), "--quiet",
             "--output", str(tmp_path / "out/l.jsonl"), "--save", "json", "labelme", "yolo"]
    data.main(words)
    out = capsys.readouterr().out
    assert_told(out, "skipped", tmp_path / "x~.jpg", "labelme", "rename")
    assert_told(out, "skipped", tmp_path / "z.jpeg", "YOLO", "rename")
    assert_told(out, "photos: 2", "unreadable photos: 2")
    for line in out.splitlines():
        if "read it as" in line:
            found = sources.read(line.partition("read it as ")[2].strip("'")).records
            assert {record.image.name for record in found} == {"y.jpg", "z.jpg"}
