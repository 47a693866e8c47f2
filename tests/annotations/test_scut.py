from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import scut
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import scut_bytes, some_points, write_image
from tests.errors import assert_refusal, refuses


def _write(folder: Path, name: str, content: bytes) -> Path:
    write_image(folder / "Images" / f"{name}.jpg")
    path = folder / "facial landmark" / f"{name}.pts"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_real_data(shared_data: Path) -> None:
    items = list(scut.read(shared_data / "scut_fbp5500"))
    records = [item for item in items if isinstance(item, FaceRecord)]
    (error,) = (item for item in items if isinstance(item, DataError))
    assert len(records) == 3999
    path = shared_data / "scut_fbp5500" / "facial landmark" / "CM152.pts"
    assert_refusal(error, "692 bytes", "86 points", 4, path=path)
    assert records[0].identity == "AF100" and records[0].schema == "scut86"
    points = np.stack([record.points for record in records])
    assert (np.abs(points - 112) < 224).all()  # in or near the images of 224 pixels


def test_round_trip(tmp_path: Path) -> None:
    points = some_points(86)
    _write(tmp_path, "AF2", scut_bytes(points))
    _write(tmp_path, "AF1", scut_bytes(points + 1))
    first, second = scut.read(tmp_path)
    assert (first.identity, second.identity) == ("AF1", "AF2")
    assert second.image == tmp_path / "Images" / "AF2.jpg"
    np.testing.assert_array_equal(second.points, points)


_GOOD = scut_bytes(some_points(86))
_INFINITE = np.array([np.inf], "<f4").tobytes()
_NAN = np.array([np.nan], "<f4").tobytes()


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ["692 bytes", 0]),
        (_GOOD[:4], ["692 bytes", "86 points", 4]),
        (_GOOD[:-1], ["692 bytes", 691]),
        (_GOOD + b"\0", ["692 bytes", 693]),
        (_GOOD + bytes(1 << 17), ["65536 bytes", len(_GOOD) + (1 << 17)]),
        (b"\xff\xff\xff\x7f" + _GOOD[4:], ["86 points", 2147483647]),
        (b"\xff\xff\xff\xff" + _GOOD[4:], ["86 points", -1]),
        (_GOOD[:4] + _INFINITE + _GOOD[8:], ["coordinate", "beyond"]),
        (_GOOD[:4] + _NAN + _GOOD[8:], ["coordinate", "finite"]),
    ],
)
def test_errors(tmp_path: Path, content: bytes, facts: list[object]) -> None:
    path = _write(tmp_path, "a", content)
    _write(tmp_path, "b", _GOOD)
    error, record = scut.read(tmp_path)
    assert isinstance(record, FaceRecord)
    assert_refusal(error, *facts, path=path)


def test_a_huge_file_is_not_read(tmp_path: Path) -> None:
    path = _write(tmp_path, "a", b"")
    os.truncate(path, 1 << 34)  # sparse: takes no room on the disk
    (error,) = scut.read(tmp_path)
    assert_refusal(error, "65536 bytes", 1 << 34, path=path)


def test_missing_images_and_folders(tmp_path: Path) -> None:
    path = _write(tmp_path, "a", _GOOD)
    (tmp_path / "Images" / "a.jpg").unlink()
    (error,) = scut.read(tmp_path)
    assert_refusal(error, "a.jpg", "exist", path=path)
    shutil.rmtree(tmp_path / "facial landmark")
    with refuses("facial landmark", "Images", path=tmp_path):
        list(scut.read(tmp_path))
