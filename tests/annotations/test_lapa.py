from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import lapa, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from tests.annotations.real import assert_upright, coco_faces
from tests.annotations.writers import numbers, some_points, write_image


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
    assert found.notes == ["the split val has 1 faces here and 2000 officially"]


_ROWS = _text(some_points(106))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.txt: expected the number of points 106, got ''"),
        ("68\n" + _ROWS, "a.txt:1: expected the number of points 106, got '68'"),
        ("106\n1 2\n", "a.txt: the file ends after 1 of 106 points"),
        ("106\n1 -inf\n" + _ROWS, "a.txt:2: expected a coordinate in pixels, got '-inf'"),
        (_ROWS + "1 2\n", "a.txt:108: expected the end of the file after 106 points"),
    ],
)
def test_a_bad_file_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    _write(tmp_path / "train", "a", text)
    _write(tmp_path / "train", "b", _ROWS)
    error, record = lapa.read(tmp_path)
    assert isinstance(error, DataError) and isinstance(record, FaceRecord)
    assert message in str(error)


def test_missing_parts(tmp_path: Path) -> None:
    _write(tmp_path / "train", "a", _ROWS)
    (tmp_path / "train" / "images" / "a.jpg").unlink()
    (error,) = lapa.read(tmp_path)
    assert "a.jpg' does not exist" in str(error)
    with pytest.raises(DataError, match="expected the folders val/landmarks and val/images in it"):
        list(lapa.read(tmp_path, split="val"))
    with pytest.raises(EfldError, match="split: expected one of train, val, test, got 'all'"):
        list(lapa.read(tmp_path, split="all"))
