"""Images of any name are found again in what is written for other programs, or refused."""

from __future__ import annotations

import glob
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from efld_tf.annotations import sources
from efld_tf.annotations.convert import convert
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.errors import DataError
from tests.annotations.writers import ibug_text, json_lines, write_image
from tests.errors import assert_told, refuses


@pytest.mark.parametrize("names", [
    ("IMG_7.jpg", "IMG_7_0.jpg", "IMG_7_1.jpg"), ("a.jpg", "A.jpg"), ("x.jpg", "x.JPG"),
    ("x.jpg", "x.jpeg", "x.JPEG"), ("a.jpg", "a.png", "a_jpg.jpg"),
    ("a.jpg", "a.png", "a_png.jpg", "a_jpg_2.jpg"), ("d/a.jpg", "e/a.jpg", "a.jpg"),
    ("clip.mp4/000001.jpg", "000001.jpg"),
])
@pytest.mark.parametrize("to", ["pts", "labelme", "csv"])
def test_files_are_read_as_of_the_image_that_they_were_written_for(
    tmp_path: Path, names: tuple[str, ...], to: str
) -> None:
    points = np.random.default_rng(0).uniform(10, 100, (68, 2)).round(3)
    for name in names:
        write_image(tmp_path / "photos" / name)
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": name, "points": (points + 100 * face + index).tolist()}
        for index, name in enumerate(names) for face in range(2)))
    source += f"&images={tmp_path}/photos"
    summary = convert(source, tmp_path / "out", to, progress=False)
    records = sources.read(summary.source).records
    assert len(records) == 2 * len(names)
    for record in records:
        name = os.path.relpath(record.image, tmp_path / "photos")
        shifts = np.median((record.points - points).reshape(-1, 2), axis=0)
        assert any(np.allclose(shifts, names.index(name) + 100 * face, atol=0.01)
                   for face in range(2)), name


def test_an_image_without_a_face_beside_the_others_keeps_its_name(tmp_path: Path) -> None:
    for name in ("IMG_7.jpg", "IMG_7_0.jpg"):
        write_image(tmp_path / name)
    points = np.random.default_rng(0).uniform(10, 100, (68, 2)).round(3)
    source = json_lines(tmp_path / "a.jsonl", {"image": "IMG_7.jpg", "points": points.tolist()})
    summary = convert(source, tmp_path / "out", "pts", progress=False)
    (record,) = sources.read(summary.source).records
    assert record.image.name == "IMG_7.jpg"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["IMG_7.jpg_0.pts"]


def test_an_image_that_no_pts_file_can_be_of(tmp_path: Path) -> None:
    for name in ("a.jpg", "a_0.jpg", "a.jpg_0.png"):
        write_image(tmp_path / name)
    points = np.random.default_rng(0).uniform(10, 100, (68, 2)).tolist()
    source = json_lines(tmp_path / "a.jsonl", {"image": "a.jpg", "points": points})
    with refuses(".pts", "rename", path=tmp_path / "a.jpg"):
        convert(source, tmp_path / "out", "pts", progress=False)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_the_source_would_read_too(tmp_path: Path) -> None:
    write_image(tmp_path / "photos/a.jpg")
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    (tmp_path / "photos/a.pts").write_text(ibug_text(points))
    source = f"ibug:{tmp_path}/photos"
    with refuses(tmp_path / "photos/corrected", "ibug", "outside"):
        convert(source, tmp_path / "photos/corrected", "pts", progress=False)
    shown = convert(source, tmp_path / "photos/labelme", "labelme", progress=False)
    with refuses(tmp_path / "photos/labelme/again", "labelme", "outside"):
        convert(shown.source, tmp_path / "photos/labelme/again", "labelme", progress=False)
    (record,) = sources.read(source).records
    np.testing.assert_allclose(record.points, points, atol=0.01)


@pytest.mark.parametrize("name", [
    "a\nb.jpg", "a\r\nb.jpg", "a\rb.jpg", " a.jpg", "a.jpg ", "\xa0a.jpg",
    "a\ufffe.jpg", "a\uffff.jpg", "a\x01.jpg", "a\udcff.jpg", "a\x85b.jpg", 'a"b.jpg', "#a.jpg",
    ".a.jpg", "x~.jpg", "x~", "none", "a.jpg#", "thumbs/a.jpg", ".d/a.jpg", "a.bak.jpg", "a.mp4",
    "a.json",
])
@pytest.mark.parametrize("to", OUTPUTS)
def test_any_name_comes_back_or_is_refused(tmp_path: Path, to: str, name: str) -> None:
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    write_image(tmp_path / "z.jpg")
    image = tmp_path / "photos" / name
    image.parent.mkdir(parents=True)
    shutil.copy(tmp_path / "z.jpg", image)
    shutil.copy(tmp_path / "z.jpg", tmp_path / "photos" / "z.jpg")
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": text, "points": (points + i).tolist()} for i, text in enumerate((name, "z.jpg"))))
    source += f"&images={tmp_path}/photos"
    try:
        summary = convert(source, tmp_path / "out", to, progress=False)
    except DataError as error:
        assert error.path == image and "rename" in error.reason and to != "json"
        assert not (tmp_path / "out").exists()
        kept = convert(source, tmp_path / "out", to, on_error="skip", progress=False)
        assert (kept.faces, kept.images, len(kept.skipped)) == (1, 1, 1)
        (record,) = sources.read(kept.source).records
        assert record.image.name == "z.jpg"
        return
    found = {r.image.resolve(): r.points for r in sources.read(summary.source).records}
    assert len(found) == 2
    np.testing.assert_allclose(found[image], points, atol=0.01)


def _ultralytics_label(image: Path) -> Path:
    """Where Ultralytics 8.4 looks for the label of an image."""
    head, _, tail = str(image).rpartition("/images/")
    return Path(f"{head}/labels/{tail.rpartition('.')[0]}.txt")


def _ultralytics_images(folder: Path) -> list[Path]:
    """The images that Ultralytics 8.4 finds: all below those that data.yaml names."""
    config = yaml.safe_load((folder / "data.yaml").read_text())
    places = config["train"] if isinstance(config["train"], list) else [config["train"]]
    return [Path(text) for place in places
            for text in glob.glob(f"{folder}/{place}/**/*.*", recursive=True)
            if text.endswith((".jpg", ".png"))]


@pytest.mark.parametrize("names", [
    ("a.jpg", "sub/b.jpg"), ("train/images/a.jpg", "val/images/b.jpg", "val/images/c/d.jpg"),
    ("x/images/y/images/a.jpg", "x/images/y/images/b.jpg"), ("a.jpg", "train/images/b.jpg"),
    ("labels/a.jpg", "images/b.jpg"), ("train/images/a.jpg", "train/images/more/images/b.jpg"),
])
@pytest.mark.parametrize("links", [True, False])
def test_yolo_s_labels_are_where_ultralytics_looks(
    tmp_path: Path, names: tuple[str, ...], links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("a file system without links")

    if not links:
        monkeypatch.setattr(os, "symlink", refuse)
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    for index, name in enumerate(names):
        image = write_image(tmp_path / "photos" / name)
        image.write_bytes(image.read_bytes() + bytes([index]))
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": f"photos/{name}", "points": (points + i).tolist()}
        for i, name in enumerate(names)))
    summary = convert(source, tmp_path / "out", "yolo", progress=False)
    assert summary.notes == [] and "images=" not in summary.source
    found = {r.image.read_bytes(): r.points for r in sources.read(summary.source).records}
    assert len(found) == len(names)
    for index, name in enumerate(names):
        content = (tmp_path / "photos" / name).read_bytes()
        np.testing.assert_allclose(found[content], points + index, atol=0.01)
    images = _ultralytics_images(tmp_path / "out")
    assert len(images) == len(names)
    assert all(_ultralytics_label(image).is_file() for image in images)
    assert all(image.is_symlink() == links for image in images)


def test_a_yolo_data_set_among_its_photos_has_those_that_were_written(tmp_path: Path) -> None:
    """Those without an annotation would be trained on as photos without a face."""
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).round(3)
    for name in ("a.jpg", "sub/b.jpg", "no face yet.jpg", "pictures/a.jpg"):
        write_image(tmp_path / name)
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": name, "points": points.tolist()} for name in ("a.jpg", "sub/b.jpg")))
    for output in ("first", "second"):
        summary = convert(source, tmp_path / output, "yolo", progress=False)
        found = sources.read(summary.source)
        assert found.notes == []
        assert sorted(r.key for r in found.records) == ["images/a.jpg", "images/sub/b.jpg"]
        assert len(_ultralytics_images(tmp_path / output)) == 2
    (tmp_path / "sub/b.jpg").rename(tmp_path / "moved.jpg")
    link = tmp_path / "second/images/sub/b.jpg"
    with refuses("link", tmp_path / "sub/b.jpg", "images=", path=link):
        sources.read(summary.source)


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("a.jpg", "images/a.jpg")])
def test_yolo_gives_no_image_the_label_of_another(tmp_path: Path, names: tuple[str, str]) -> None:
    for name in names:
        write_image(tmp_path / "photos" / name)
    points = np.random.default_rng(0).uniform(10, 390, (68, 2)).tolist()
    source = json_lines(tmp_path / "a.jsonl", *(
        {"image": f"photos/{name}", "points": points} for name in names))
    with refuses("label file", names[0], "rename", path=tmp_path / "photos" / names[1]):
        convert(source, tmp_path / "out", "yolo", progress=False)
    assert not (tmp_path / "out").exists()
    kept = convert(source, tmp_path / "out", "yolo", on_error="skip", progress=False)
    assert (kept.images, len(kept.skipped), len(_ultralytics_images(tmp_path / "out"))) == (1, 1, 1)
    (tmp_path / "a.jsonl").write_text((tmp_path / "a.jsonl").read_text().splitlines()[0])
    alone = convert(source, tmp_path / "alone", "yolo", progress=False)
    assert [r.key for r in sources.read(alone.source).records] == ["images/a.jpg"]


def test_yolo_gets_no_coordinate_outside_of_the_image(tmp_path: Path) -> None:
    width, height = 408, 408
    write_image(tmp_path / "a.jpg")
    points = np.random.default_rng(0).uniform(20, 200, (68, 2)).round(3)
    points[:4] = [-0.5, 30], [30, height + 9], [width, height], [0, 0]
    source = json_lines(tmp_path / "a.jsonl", {
        "image": "a.jpg", "points": points.tolist(), "box": [-10, 5, 220, height + 20]})
    summary = convert(source, tmp_path / "out", "yolo", progress=False)
    assert_told("\n".join(summary.notes), "yolo", "2 points")
    values = np.array((tmp_path / "out/labels/a.txt").read_text().split()[1:], float)
    assert ((values[4:].reshape(68, 3)[:, :2] >= 0) & (values[4:].reshape(68, 3)[:, :2] <= 1)).all()
    (record,) = sources.read(summary.source).records
    assert np.isnan(record.points[:2]).all()
    np.testing.assert_allclose(record.points[2:], points[2:], atol=0.01)
    np.testing.assert_allclose(record.box, [0, 5, 220, height], atol=0.01)
