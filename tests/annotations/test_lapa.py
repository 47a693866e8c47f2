from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import lapa, sources
from efld_tf.annotations.record import FaceRecord
from tests.annotations.real import assert_upright, coco_faces
from tests.annotations.writers import numbers, some_points, write_image
from tests.errors import assert_refusal, assert_told, refuses


def _text(points: np.ndarray) -> str:
    return f"{len(points)}\n" + "".join(numbers(point) + "\n" for point in points)


def _write(folder: Path, name: str, text: str) -> None:
    write_image(folder / "images" / f"{name}.jpg")
    (folder / "landmarks").mkdir(exist_ok=True)
    (folder / "landmarks" / f"{name}.txt").write_text(text)


def test_real_points_in_the_native_layout(shared_data: Path, tmp_path: Path) -> None:
    faces = list(coco_faces(shared_data, "lapa"))
    for image, points, _ in faces:
        _write(tmp_path / "test", image.stem, _text(points))
        (tmp_path / "test" / "images" / image.name).write_bytes(image.read_bytes())
    records = list(lapa.read(tmp_path, split="test"))
    assert [record.identity for record in records] == ["10773046825", "13609937564"]
    for record, (image, points, box) in zip(records, faces, strict=True):
        assert record.image.name == image.name
        np.testing.assert_allclose(record.points, points, atol=1e-3)
        assert_upright(record)
        assert cv2.imread(str(record.image)) is not None
        # MMPose's box is LaPa's face's: most points lie in it, widened a little.
        margin = 0.1 * (box[2:] - box[:2])
        inside = (record.points > box[:2] - margin) & (record.points < box[2:] + margin)
        assert inside.mean() > 0.9


def test_splits_are_folders(tmp_path: Path) -> None:
    names = {"train": "1_0", "val": "2_0", "test": "3_1"}
    for split, name in names.items():
        _write(tmp_path / split, name, _text(some_points(106)))
    for split, name in names.items():
        (record,) = lapa.read(tmp_path, split=split)
        assert record.image == tmp_path / split / "images" / f"{name}.jpg"
        assert (record.schema, record.identity) == ("lapa106", name[0])
    (record,) = lapa.read(tmp_path)
    assert record.identity == "1"
    np.testing.assert_allclose(record.points, some_points(106), atol=1e-4)


def test_official_counts_are_compared(tmp_path: Path) -> None:
    _write(tmp_path / "val", "1_0", _text(some_points(106)))
    found = sources.read(f"lapa:{tmp_path}?split=val")
    (note,) = found.notes
    assert_told(note, "split val", 1, 2000)


_ROWS = _text(some_points(106))


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("", None, [106, "''"]),
        ("68\n" + _ROWS, 1, [106, 68]),
        ("106\n1 2\n", None, ["ends", "1 of 106"]),
        ("106\n1 -inf\n" + _ROWS, 2, ["coordinate", "-inf"]),
        (_ROWS + "1 2\n", 108, ["end of the file", 106]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    _write(tmp_path / "train", "a", text)
    _write(tmp_path / "train", "b", _ROWS)
    error, record = lapa.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=tmp_path / "train" / "landmarks" / "a.txt", line=line)


def test_missing_parts(tmp_path: Path) -> None:
    _write(tmp_path / "train", "a", _ROWS)
    (tmp_path / "train" / "images" / "a.jpg").unlink()
    (error,) = lapa.read(tmp_path)
    assert_refusal(error, "a.jpg", "exist", path=tmp_path / "train" / "landmarks" / "a.txt")
    with refuses("val/landmarks", "val/images", path=tmp_path):
        list(lapa.read(tmp_path, split="val"))
    with refuses("split", "all", "train", "val", "test"):
        list(lapa.read(tmp_path, split="all"))
