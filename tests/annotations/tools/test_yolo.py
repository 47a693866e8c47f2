"""What the labels of a data set of Ultralytics say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml
from PIL import Image

from efld_tf.annotations import ibug, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas
from tests.annotations.tools.yolo_sets import (
    BOX,
    FACE,
    NAMES,
    POINTS,
    data_yaml,
    one_label,
    read_set,
    write_set,
)
from tests.annotations.writers import yolo_line
from tests.errors import assert_refusal, assert_told, refuses


def test_pixels_by_hand(tmp_path: Path) -> None:
    """0.3 of 640 pixels is 192, and 0.4 of 480 is 192; the box's centre is 0.45, 0.525."""
    path = one_label(tmp_path, FACE)
    cv2.imwrite(str(tmp_path / "images/train/a.jpg"), np.zeros((480, 640, 3), np.uint8))
    (record,) = sources.read(f"yolo:{path}?schema=mtfl5").records
    np.testing.assert_allclose(record.points[0], [192, 192], atol=1e-3)
    np.testing.assert_allclose(record.points, POINTS * [640, 480], atol=1e-3)
    np.testing.assert_allclose(record.box, [128, 144, 448, 360], atol=1e-3)
    assert not record.normalised and record.key == "images/train/a.jpg"


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_photos_are_read_as_they_are_shown(tmp_path: Path, orientation: int) -> None:
    path = one_label(tmp_path, FACE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (400, 300)).save(tmp_path / "images/train/a.jpg", exif=exif)
    (record,) = sources.read(f"yolo:{path}?schema=mtfl5").records
    shown = (300, 400) if orientation in (6, 8) else (400, 300)
    np.testing.assert_allclose(record.points, POINTS * shown, atol=1e-3)
    assert record.upright is True


def test_real_faces(shared_data: Path, tmp_path: Path) -> None:
    """Written as Ultralytics' converter of COCO does, read back, in a shuffled order by name."""
    truths = list(ibug.read(shared_data / "ibug" / "helen" / "testset"))[:8]
    order = np.random.default_rng(0).permutation(68)
    for folder in ("images", "labels"):
        (tmp_path / folder / "train").mkdir(parents=True)
    for truth in truths:
        image = cv2.imread(str(truth.image))
        size = np.array(image.shape[1::-1])
        (tmp_path / "images" / "train" / truth.image.name).write_bytes(truth.image.read_bytes())
        box = np.concatenate([truth.points.min(axis=0), truth.points.max(axis=0)])
        line = yolo_line(0, (truth.points / size)[order], box / np.tile(size, 2))
        (tmp_path / "labels" / "train" / f"{truth.image.stem}.txt").write_text(line)
    names = schemas.get("ibug68").names
    data = data_yaml(kpt_shape=[68, 3], kpt_names={0: [names[i] for i in order]})
    (tmp_path / "data.yaml").write_text(yaml.safe_dump(data))
    found = sources.read(f"yolo:{tmp_path}?schema=ibug68").records
    assert len(found) == 8
    for record, truth in zip(found, truths, strict=True):
        np.testing.assert_allclose(record.points, truth.points, atol=2e-3)
        assert record.image.name == truth.image.name


def test_points_by_their_names(tmp_path: Path) -> None:
    order = [2, 4, 0, 1, 3]
    path = one_label(tmp_path, yolo_line(0, POINTS[order], BOX),
                kpt_names={0: [NAMES[i] for i in order]})
    (record,) = read_set(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)
    (by_order,) = read_set(path, names="ignore")
    np.testing.assert_allclose(by_order.points, POINTS[order], atol=1e-6)


@pytest.mark.parametrize("names", [
    {0: NAMES}, {"0": NAMES}, [NAMES], NAMES, {0: ["1", "2", "3", "4", "5"]},
    {0: [0, 1, 2, 3, 4]}, {0: ["p-0", "p-1", "p-2", "p-3", "p-4"]},
])  # fmt: skip
def test_ways_of_naming_points(tmp_path: Path, names: Any) -> None:
    (record,) = read_set(one_label(tmp_path, FACE, kpt_names=names))
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)


ORDER = [2, 4, 0, 1, 3]
ORDERED = [NAMES[i] for i in ORDER]
OBJECTS = [{"id": i + 1, "name": name} for i, name in enumerate(ORDERED)]
WAYS = [
    ORDERED, [ORDERED], {0: ORDERED}, {"face": ORDERED}, dict(enumerate(ORDERED)),
    dict(enumerate(ORDERED, 1)), {name: i for i, name in enumerate(ORDERED)},
    {name: i for i, name in reversed([*enumerate(ORDERED, 1)])}, ", ".join(ORDERED),
    {"face": ",".join(ORDERED)}, OBJECTS, {0: OBJECTS}, [{"label": name} for name in ORDERED],
    {"face": {name: i for i, name in enumerate(ORDERED)}},
]  # fmt: skip


@pytest.mark.parametrize("key", ["kpt_names", "keypoint_names", "keypoints", "kpt_label"])
@pytest.mark.parametrize("names", WAYS)
def test_names_of_points_in_their_order(tmp_path: Path, key: str, names: Any) -> None:
    path = one_label(tmp_path, yolo_line(0, POINTS[ORDER], BOX), **{key: names})
    record, *notes = read_set(path)
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)
    assert len(notes) == (key != "kpt_names")
    for note in notes:
        assert_told(note.text, f"'{key}'", "data.yaml", "names=ignore")
    (by_order,) = read_set(path, names="ignore")
    np.testing.assert_allclose(by_order.points, POINTS[ORDER], atol=1e-6)


@pytest.mark.parametrize("value", [
    5, "a", [4, 3, 2, 1, 0], [0.1] * 5, [], "0, 1, 2, 3, 4", ["#ff0000", "#00ff00", "#0000ff"],
    "https://example.com",
])  # fmt: skip
def test_what_names_no_points(tmp_path: Path, value: Any) -> None:
    (record,) = read_set(one_label(tmp_path, FACE, keypoints=value))
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)


@pytest.mark.parametrize("key", ["kpt_names", "landmarks"])
@pytest.mark.parametrize("value", [
    {"hand": ORDERED}, OBJECTS[::-1], {i: [name, "#fff"] for i, name in enumerate(ORDERED)},
    {name: 2 * i for i, name in enumerate(ORDERED)}, {name: {"x": 1} for name in ORDERED},
    {i: name for i, name in enumerate(ORDERED, 2)}, [*OBJECTS[:4], ORDERED[4]],
])  # fmt: skip
def test_names_of_points_that_are_not_understood(tmp_path: Path, key: str, value: Any) -> None:
    """The order of points may be another one than the schema's."""
    path = one_label(tmp_path, FACE, **{key: value})
    with refuses(key, "5 names", "names=ignore", path=path):
        read_set(path)
    (record,) = read_set(path, names="ignore")
    np.testing.assert_allclose(record.points, POINTS, atol=1e-6)


@pytest.mark.parametrize("value", [ORDERED[:4], [*ORDERED[:4], ORDERED[0]], ", ".join(NAMES[:4])])
def test_names_of_other_points_under_another_key(tmp_path: Path, value: Any) -> None:
    path = one_label(tmp_path, FACE, landmarks=value)
    with refuses("landmarks", "5 names", "names=ignore", path=path):
        read_set(path)


def test_other_names_under_another_key(tmp_path: Path) -> None:
    path = one_label(tmp_path, FACE, keypoints=[*NAMES[:4], "mouth"])
    with refuses("keypoints", "'mouth'", "'mouth_left_corner'", "names=ignore", path=path):
        read_set(path)


def test_names_of_some_points(tmp_path: Path) -> None:
    """A data set may lack points of the schema, if it names those that it has."""
    line = yolo_line(0, POINTS[[2, 0]], BOX)
    path = one_label(tmp_path, line, kpt_shape=[2, 3], kpt_names={0: [NAMES[2], NAMES[0]]})
    (record,) = read_set(path)
    np.testing.assert_allclose(record.points[[0, 2]], POINTS[[0, 2]], atol=1e-6)
    assert np.isnan(record.points[[1, 3, 4]]).all()
    with refuses("expected 5 points", "got 2", path=path):
        read_set(path, names="ignore")


@pytest.mark.parametrize(
    ("names", "facts"),
    [
        (["left_eye", *NAMES[1:]], ["kpt_names", "'left_eye'", "'right_eye_centre'"]),
        ([*NAMES[:4], NAMES[0]], ["kpt_names", "same name"]),
        ([*NAMES, "ear"], ["kpt_names", 6, "kpt_shape", 5]),
        (["1", "2", "3", "4", "6"], ["kpt_names", "numbered"]),
    ],
)
def test_names_that_do_not_fit(tmp_path: Path, names: list[str], facts: list[object]) -> None:
    path = one_label(tmp_path, FACE, kpt_names={0: names})
    with refuses(*facts, path=path):
        read_set(path)


def test_a_flip_that_contradicts_the_schema(tmp_path: Path) -> None:
    _, note = read_set(one_label(tmp_path, FACE, flip_idx=[0, 1, 2, 3, 4]))
    assert_told(note.text, "flip_idx", "mtfl5", "4 points", "right_eye_centre")
    (record,) = read_set(one_label(tmp_path, FACE, flip_idx=[1, 0, 2, 4, 3]))
    assert isinstance(record, FaceRecord)
    # The partners by their places in the file: 0 is the nose, 2 and 3 are the eyes.
    names = [[NAMES[i] for i in (2, 4, 0, 1, 3)]]
    (record,) = read_set(one_label(tmp_path, FACE, flip_idx=[0, 4, 3, 2, 1], kpt_names=names))
    assert isinstance(record, FaceRecord)
    _, note = read_set(one_label(tmp_path, FACE, flip_idx=[1, 0, 2, 4, 3], kpt_names=names))
    assert_told(note.text, "flip_idx", "mtfl5", "5 points")
    for flip_idx in ([0, 1], "x", [1, 0, 2, 4, 9], [1, 0, 2, 4, None]):
        _, note = read_set(one_label(tmp_path, FACE, flip_idx=flip_idx))
        assert_told(note.text, "flip_idx", "not used")


@pytest.mark.parametrize(
    ("flags", "missing", "hidden"),
    [
        ([2] * 5, 0, None),
        ([1] * 5, 0, None),  # as programs write it that do not tell
        ([0, 2, 2, 2, 2], 1, None),
        ([0, 1, 1, 1, 1], 1, None),
        ([1, 2, 2, 2, 2], 0, 1),
        ([0, 1, 1, 2, 2], 1, 3),
    ],
)
def test_visibility(tmp_path: Path, flags: list[int], missing: int, hidden: int | None) -> None:
    (record,) = read_set(one_label(tmp_path, yolo_line(0, POINTS, BOX, flags)))
    assert np.isnan(record.points).all(axis=1).sum() == missing
    np.testing.assert_allclose(record.points[missing:], POINTS[missing:], atol=1e-6)
    assert (None if record.visible is None else (~record.visible).sum()) == hidden


def test_one_data_set_has_one_meaning_of_visibility(tmp_path: Path) -> None:
    path = write_set(tmp_path, {"images/train/a.jpg": yolo_line(0, POINTS, BOX, 1),
                             "images/train/b.jpg": yolo_line(0, POINTS, BOX, 2)}, data_yaml())
    first, second = read_set(path)
    assert not first.visible.any() and second.visible.all()


def test_points_without_visibility(tmp_path: Path) -> None:
    """0 0 and what is negative is not labelled; one coordinate may be 0."""
    points = POINTS.copy()
    points[0], points[1], points[2] = (0, 0), (-0.005, 0.3), (0, 0.4)
    path = one_label(tmp_path, yolo_line(0, points, BOX, None), kpt_shape=[5, 2])
    record, note = read_set(path)
    assert_told(note.text, "1 point", "negative")
    np.testing.assert_array_equal(np.isnan(record.points).all(axis=1), [1, 1, 0, 0, 0])
    np.testing.assert_allclose(record.points[2:], points[2:], atol=1e-6)
    assert record.visible is None
    with_flags = one_label(tmp_path, yolo_line(0, points, BOX, [0, 2, 2, 2, 2]))
    (record,) = read_set(with_flags)  # what is said to be visible may lie outside
    np.testing.assert_allclose(record.points[1:], points[1:], atol=1e-6)


def test_what_is_no_face_is_left_out_and_counted(tmp_path: Path) -> None:
    text = FACE + "1 0.5 0.5 0.2 0.2\n0 0.5 0.5 0.2 0.2\n1 0.4 0.5 0.2 0.2\n"
    text += yolo_line(0, POINTS, BOX, 0)  # labelled nowhere
    face, *notes = read_set(one_label(tmp_path, text, names=["face", "hat"]))
    assert isinstance(face, FaceRecord)
    told = "\n".join(note.text for note in notes)
    assert_told(told, "2 objects", "class 'hat'", "without")
    assert_told(told, "2 objects", "class 'face'", "without")
    path = one_label(tmp_path, yolo_line(0, POINTS, BOX, 0))
    with refuses("no annotated face", "1 object", "without labelled points"):
        sources.read(f"yolo:{path}?schema=mtfl5")


def test_several_classes_with_points(tmp_path: Path) -> None:
    text = FACE + yolo_line(1, POINTS + 0.1, BOX)
    path = one_label(tmp_path, text, names={0: "face", 1: "cat's face"})
    with refuses("several classes", "'face'", "category=NAME", path=path):
        read_set(path)
    for category in ("face", "0"):
        record, note = read_set(path, category=category)
        np.testing.assert_allclose(record.points, POINTS, atol=1e-6)
        assert_told(note.text, "1 object", '''"cat's face"''')
    both = read_set(path, category="0,cat's face")
    assert len(both) == 2 and all(isinstance(item, FaceRecord) for item in both)
    with refuses("'dog'", "'face'", path=path):
        read_set(path, category="dog")


def test_the_class_whose_points_have_the_schema_s_names(tmp_path: Path) -> None:
    names = {0: ["a", "b", "c", "d", "e"], 1: NAMES}
    path = one_label(tmp_path, FACE + yolo_line(1, POINTS, BOX), names=["hand", "face"],
                kpt_names=names)
    record, note = read_set(path)
    assert isinstance(record, FaceRecord)
    assert_told(note.text, "1 object", "class 'hand'")


def test_boxes(tmp_path: Path) -> None:
    no_box = yolo_line(0, POINTS, [0] * 4)
    empty = yolo_line(0, POINTS, [0.2, 0.3, 0.2, 0.5])
    path = one_label(tmp_path, no_box + empty)
    record, error = read_set(path)
    assert record.box is None
    label = tmp_path / "labels" / "train" / "a.txt"
    assert_refusal(error, "empty", path=label, line=2)


@pytest.mark.parametrize(
    ("line", "facts"),
    [
        ("0 0.5 0.5 0.2 0.2 0.1", ["5 or 20 numbers", 6]),
        (FACE.strip() + " 0.9", ["5 or 20 numbers", 21]),
        (FACE.replace("0.300000", "x", 1), ["number", "x"]),
        (FACE.replace("0.300000", "nan", 1), ["nan"]),
        (FACE.replace(" 2 ", " 3 ", 1), ["0, 1 or 2"]),
        (FACE.replace(" 2 ", " 0.87 ", 1), ["0, 1 or 2"]),
        ("1" + FACE[1:], ["class", "0 to 0", "'1'"]),
        ("-1" + FACE[1:], ["class", "'-1'"]),
        ("0.5" + FACE[1:], ["class", "'0.5'"]),
        ("1e300" + FACE[1:], ["1e300"]),
    ],
)
def test_a_bad_line_is_one_error(tmp_path: Path, line: str, facts: list[object]) -> None:
    path = one_label(tmp_path, f"{FACE.strip()}\n{line.strip()}\n{FACE}")
    first, error, last = read_set(path)
    assert isinstance(first, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, *facts, path=tmp_path / "labels" / "train" / "a.txt", line=2)


def test_pixels_where_shares_belong(tmp_path: Path) -> None:
    path = one_label(tmp_path, yolo_line(0, POINTS * 400, BOX))
    with refuses("0 to 1", "normalised"):
        sources.read(f"yolo:{path}?schema=mtfl5")
