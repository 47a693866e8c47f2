"""Which images, classes and points a data set of Ultralytics has."""

from __future__ import annotations

import unicodedata
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import yolo
from efld_tf.errors import DataError
from tests.annotations.tools.yolo_sets import (
    BOX,
    FACE,
    POINTS,
    data_yaml,
    one_label,
    read_set,
    write_set,
)
from tests.annotations.writers import write_image, yolo_line
from tests.errors import assert_refusal, assert_told, refuses

# As Ultralytics publishes its own, but for the points of a face.
DATA = """\
# Train/val/test sets as 1) dir: path/to/imgs, 2) file: path/to/imgs.txt, or 3) list: [path, ..]
path: ../datasets/faces # dataset root dir
train: images/train # train images (relative to 'path')
val: images/val # val images (relative to 'path')
test: # test images (optional)

# Keypoints
kpt_shape: [5, 3] # number of keypoints, number of dims (2 for x,y or 3 for x,y,visible)
flip_idx: [1, 0, 2, 4, 3]

# Classes
names:
  0: face

# Download script/URL (optional)
download: https://ultralytics.com/assets/faces.zip
"""


def test_the_layout_of_ultralytics(tmp_path: Path) -> None:
    path = write_set(tmp_path, {
        "images/train/a.jpg": FACE + FACE.replace("0.3", "0.4"), "images/train/sub/b.png": FACE,
        "images/train/empty.jpg": "", "images/train/none.jpg": None, "images/val/c.jpg": FACE,
    }, DATA)  # fmt: skip
    note, splits, first, second, third, without = read_set(path)
    assert_told(note.text, "path", "'../datasets/faces'", "data.yaml")
    assert_told(splits.text, "val", "split=all")
    assert_told(without.text, "1 image", "without a label")
    assert [r.image.relative_to(tmp_path).as_posix() for r in (first, second, third)] == [
        "images/train/a.jpg", "images/train/a.jpg", "images/train/sub/b.png"]
    np.testing.assert_allclose(first.points, POINTS, atol=1e-6)
    np.testing.assert_allclose(first.box, BOX, atol=1e-6)
    assert first.schema == "mtfl5" and first.identity == "images/train/a.jpg"
    assert first.normalised and first.upright is True and first.visible is None
    (_, face) = read_set(path, split="val")
    assert face.image.name == "c.jpg"
    assert sum(isinstance(item, FaceRecord) for item in read_set(path, split="all")) == 4
    with refuses("split test", "train", "val", path=path):
        read_set(path, split="test")


def test_the_layout_of_roboflow(tmp_path: Path) -> None:
    """`../train/images` is in the folder, beside data.yaml; copies of a photo are of one photo."""
    copies = [f"train/images/anna_jpg.rf.{digit * 32}.jpg" for digit in "ab"]
    path = write_set(
        tmp_path / "faces", {**dict.fromkeys(copies, FACE), "valid/images/b.jpg": FACE},
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\n"
        "kpt_shape: [5, 3]\nflip_idx: [1, 0, 2, 4, 3]\n\nnc: 1\nnames: ['face']\n\n"
        "roboflow:\n  workspace: a\n  project: b\n  version: 1\n  license: CC BY 4.0\n")
    splits, first, second = read_set(path)
    assert_told(splits.text, "val", "test", "split=all")
    assert [first.image.name, second.image.name] == [Path(copy).name for copy in copies]
    assert first.identity == second.identity == "anna_jpg"
    (other,) = read_set(path, split="val")
    assert other.image == tmp_path / "faces" / "valid" / "images" / "b.jpg"
    with refuses("test", "../test/images", path=path):
        read_set(path, split="test")
    # The split for tests is named, but Roboflow makes no folder for an empty one.
    note, *records = read_set(path, split="all")
    assert_told(note.text, "test", "../test/images")
    assert [record.image for record in records] == [first.image, second.image, other.image]
    for split in ("train", "valid"):
        (tmp_path / "faces" / split).rename(tmp_path / f"{split}.old")
    with refuses("train", "../train/images", path=path):
        read_set(path, split="all")


def test_the_layout_of_cvat(tmp_path: Path) -> None:
    """Lists of images; of two skeletons the smaller one is filled up with unlabelled points."""
    face = yolo_line(1, np.vstack([POINTS, np.zeros((2, 2))]), BOX, [2] * 5 + [0] * 2)
    hand = yolo_line(0, np.full((7, 2), 0.5), BOX)
    path = write_set(tmp_path, {"images/train/a.jpg": face + hand + "2 0.5 0.5 0.1 0.1\n",
                             "images/train/unlisted.jpg": face},
                  "path: ./ # dataset root dir\ntrain: train.txt\nkpt_shape: [7, 3]\n"
                  "names:\n  0: hand\n  1: face\n  2: car\n")
    (tmp_path / "train.txt").write_text("images/train/a.jpg\n\n")
    record, *notes = read_set(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)
    assert_told("\n".join(note.text for note in notes), "1 object", "class 'hand'")
    assert_told("\n".join(note.text for note in notes), "1 object", "class 'car'")
    with refuses("expected 5 points", "mtfl5", "got 7", "'hand'", path=path):
        read_set(path, category="hand")


@pytest.mark.parametrize("line", [
    "images/train/a.jpg", "./images/train/a.jpg", "/content/faces/images/train/a.jpg",
    "images\\train\\a.jpg", "{root}/images/train/a.jpg",
])  # fmt: skip
def test_lists_of_images(tmp_path: Path, line: str) -> None:
    path = one_label(tmp_path, FACE, train="train.txt", path="/content/faces")
    (tmp_path / "train.txt").write_text(line.format(root=tmp_path) + "\n")
    note, record = read_set(path)
    assert record.image == tmp_path / "images" / "train" / "a.jpg"
    assert_told(note.text, "'/content/faces'")


def test_bad_lines_of_lists(tmp_path: Path) -> None:
    path = one_label(tmp_path, FACE, train=["list.txt"])
    text = "../../etc/a.jpg\nimages/train/no.jpg\nimages/train/a.jpg\nimages/train/a.jpg\n"
    (tmp_path / "list.txt").write_text(text)
    unsafe, missing, face = read_set(path)
    assert_refusal(unsafe, "inside", "'../../etc/a.jpg'", path=tmp_path / "list.txt", line=1)
    assert_refusal(missing, "exist", path=tmp_path / "list.txt", line=2)
    assert isinstance(face, FaceRecord)  # once


def test_folders_without_a_data_yaml(tmp_path: Path) -> None:
    write_set(tmp_path, {"images/b.jpg": FACE, "images/sub/a.jpg": FACE, "images/none.jpg": None})
    by_name = {r.image.name: r for r in read_set(tmp_path) if isinstance(r, FaceRecord)}
    assert sorted(by_name) == ["a.jpg", "b.jpg"]
    assert by_name["a.jpg"].identity == "images/sub/a.jpg"
    for folder in ("images", "images/sub"):  # the labels are beside what is named
        assert any(isinstance(r, FaceRecord) for r in read_set(tmp_path / folder))
    with refuses("split", "data.yaml"):
        read_set(tmp_path, split="train")
    with refuses("root", "data.yaml"):
        read_set(tmp_path, root=str(tmp_path))
    side_by_side = tmp_path / "together"
    write_image(side_by_side / "a.jpg")
    (side_by_side / "a.txt").write_text(yolo_line(0, POINTS, BOX, None))  # without visibility
    (side_by_side / "classes.txt").write_text("face\n")
    (record,) = read_set(side_by_side)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)


@pytest.mark.parametrize("train", ["images", "images/train", "list.txt", "train/images"])
def test_images_elsewhere(tmp_path: Path, train: str) -> None:
    """The labels stay in the data set; the images are where `images` would be."""
    folder = {"images/train": "train", "train/images": "train/images"}.get(train, "")
    image = write_image(tmp_path / "photos" / folder / "sub" / "a.jpg")
    data = tmp_path / "data"
    place = {"images/train": "labels/train", "train/images": "train/labels"}.get(train, "labels")
    (data / place / "sub").mkdir(parents=True)
    (data / place / "sub" / "a.txt").write_text(FACE)
    (data / "list.txt").write_text("./images/sub/a.jpg\nimages/sub/b.jpg\n")
    (data / "data.yaml").write_text(yaml.safe_dump(data_yaml(train=train)))
    *errors, record = read_set(data, images=str(tmp_path / "photos"))
    assert record.image == image
    assert record.identity == f"{place.replace('labels', 'images')}/sub/a.jpg"
    assert len(errors) == (train == "list.txt")
    with refuses(path=data / "data.yaml") if train != "list.txt" else nullcontext():
        assert not any(isinstance(item, FaceRecord) for item in read_set(data))


@pytest.mark.parametrize("place", ["", "labels"])
def test_labels_alone_with_images_elsewhere(tmp_path: Path, place: str) -> None:
    image = write_image(tmp_path / "photos" / "sub" / "a.jpg")
    label = tmp_path / "export" / place / "sub" / "a.txt"
    label.parent.mkdir(parents=True)
    label.write_text(FACE)
    (record,) = read_set(tmp_path / "export", images=str(tmp_path / "photos"))
    assert record.image == image


def test_labels_of_the_last_images(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"images/images/a.jpg": FACE}, data_yaml(train="images"))
    assert (tmp_path / "images" / "labels" / "a.txt").is_file()
    assert isinstance(read_set(path)[0], FaceRecord)


def test_the_folder_that_path_names(tmp_path: Path) -> None:
    """It is used if it is in the folder; another one has to be said to be meant."""
    inside = write_set(tmp_path / "a", {"data/images/train/a.jpg": FACE}, data_yaml(path="data"))
    (record,) = read_set(inside)
    assert record.identity == "images/train/a.jpg"
    outside = write_set(tmp_path / "b", {"images/train/b.jpg": FACE})
    folder = tmp_path / "a" / "data"
    for there in (str(folder), "../a/data", "/", ".."):
        (outside / "data.yaml").write_text(yaml.safe_dump(data_yaml(path=there)))
        with refuses("path", repr(there), "root=FOLDER", path=outside / "data.yaml"):
            read_set(outside)
        (record,) = read_set(outside, root=str(folder))
        assert record.image == folder / "images" / "train" / "a.jpg"
        (record,) = read_set(outside / "data.yaml", root=str(outside))
        assert record.image == outside / "images" / "train" / "b.jpg"


@pytest.mark.parametrize("train", ["../../images", "/etc", "C:\\faces", "a\0b", "images/no",
                                   "data.yaml", "x" * 5000, ["images/train", "/etc"]])
def test_folders_that_lead_elsewhere_are_refused(tmp_path: Path, train: Any) -> None:
    path = one_label(tmp_path / "deep", FACE, train=train)
    write_image(tmp_path / "images" / "a.jpg")
    with refuses(path=path):
        read_set(path)


@pytest.mark.parametrize("forms", [("NFD", "NFC"), ("NFC", "NFD")])
def test_labels_whose_names_are_composed_otherwise(
    tmp_path: Path, forms: tuple[str, str]
) -> None:
    image, label = (unicodedata.normalize(form, "é") for form in forms)
    path = write_set(tmp_path, {f"images/train/{image}.jpg": None, "images/train/a.jpg": FACE,
                                "images/train/A.jpg": None}, data_yaml())
    (tmp_path / "labels/train" / f"{label}.txt").write_text(FACE)
    records = read_set(path)
    assert [r.image.stem for r in records if isinstance(r, FaceRecord)] == ["a", image]
    (note,) = [item for item in records if isinstance(item, Note)]
    assert_told(note.text, "1 image", "without a label")  # A.jpg


def test_labels_whose_images_are_all_gone(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"images/train/a.jpg": FACE}, data_yaml())
    (tmp_path / "images/train/a.jpg").rename(tmp_path / "images/train/b.jpg")
    without, note = read_set(path)
    assert_told(without.text, "1 image", "without a label")
    assert_told(note.text, "1 label file", "'a.txt'")


def test_labels_that_are_not_of_one_image(tmp_path: Path) -> None:
    path = one_label(tmp_path, FACE)
    write_image(tmp_path / "images" / "train" / "a.png")
    (tmp_path / "labels" / "train" / "b.txt").write_text(FACE)
    (tmp_path / "labels" / "train" / "classes.txt").write_text("face\n")
    error, face, note = read_set(path)
    label = tmp_path / "labels" / "train" / "a.txt"
    assert_refusal(error, "several", "a.jpg", "a.png", path=label)
    assert isinstance(face, FaceRecord)
    assert_told(note.text, "1 label file", "'b.txt'")


@pytest.mark.parametrize(
    ("data", "line", "facts"),
    [
        ("- 1", None, ["data.yaml", "kpt_shape"]),
        ("train: images/train\nnames: [face]\n", None, ["kpt_shape", "pose"]),
        (data_yaml(kpt_shape=[5]), None, ["kpt_shape"]),
        (data_yaml(kpt_shape=[5, 4]), None, ["kpt_shape"]),
        (data_yaml(kpt_shape=["5", 3]), None, ["kpt_shape"]),
        (data_yaml(kpt_shape=[0, 3]), None, ["kpt_shape"]),
        (data_yaml(names={"face": 0}), None, ["names"]),
        (data_yaml(names=[["face"]]), None, ["names"]),
        (data_yaml(names=5), None, ["names"]),
        (data_yaml(kpt_names=5), None, ["kpt_names"]),
        (data_yaml(kpt_names={0: {"a": "b"}}), None, ["kpt_names"]),
        (data_yaml(path=5), None, ["path"]),
        (data_yaml(train=5), None, ["train"]),
        (data_yaml(train=None), None, ["no split train", "none"]),
        ("train: [1\n", 2, ["YAML"]),
        ("a: &a [1]\nb: *a\n", 2, ["YAML", "aliases"]),
        ("train: a\ntrain: b\n", 2, ["YAML", "twice"]),
        ("names: {0: a, 0: b}\n", 1, ["YAML", "twice"]),
        ("1.5: a\n", 1, ["YAML", "1.5"]),
        ("kpt_shape: [0x" + "f" * 5000 + ", 3]\n", 1, ["1000 digits"]),
        ("kpt_shape: [5, 3]\nnames:\n  ? 0x" + "f" * 5000 + "\n  : a\n", 3, ["1000 digits"]),
        ("kpt_shape: [5, 3]\nnames: [0x" + "f" * 5000 + "]\n", 2, ["1000 digits"]),
    ],
)
def test_a_data_yaml_that_is_none(
    tmp_path: Path, data: Any, line: int | None, facts: list[str]
) -> None:
    path = write_set(tmp_path, {"images/train/a.jpg": FACE}, data)
    with refuses(*facts, path=path, line=line):
        read_set(path)


def test_classes_without_names(tmp_path: Path) -> None:
    data = data_yaml(nc=2)
    del data["names"]
    text = "1" + FACE[1:]
    record, = read_set(write_set(tmp_path, {"images/train/a.jpg": text}, data), category="class_1")
    assert isinstance(record, FaceRecord)
    assert isinstance(read_set(tmp_path)[0], FaceRecord)  # the folder of a data.yaml


def test_wrong_use(tmp_path: Path) -> None:
    path = one_label(tmp_path, FACE)
    with refuses("schema", "mtfl5"):
        list(yolo.read(path))
    for option in ("images", "root"):
        with refuses(option, "nowhere"):
            read_set(path, **{option: "nowhere"})
    for option, value in (("split", "dev"), ("names", "x"), ("first", "2")):
        with refuses(option, repr(value)):
            read_set(path, **{option: value})
    with refuses("expected 68 points", "ibug68", "got 5", path=path):
        read_set(path, "ibug68")
    error, = [item for item in read_set(write_set(tmp_path / "b", {"images/a.jpg": FACE}), "ibug68")
              if isinstance(item, DataError)]
    assert_refusal(error, "5 or 141 or 209 numbers", 20,
                   path=tmp_path / "b" / "labels" / "a.txt", line=1)
    label = tmp_path / "labels" / "train" / "a.txt"
    with refuses(path=label):
        read_set(label)
    assert not any(isinstance(item, Note) for item in read_set(path))
