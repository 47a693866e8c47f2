from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations.images import read_photo
from efld_tf.annotations.record import FaceRecord, checked_points
from tests.errors import refuses


def test_read_photo_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "ä.png"
    path.write_bytes(cv2.imencode(".png", np.full((2, 3, 3), (0, 0, 255), np.uint8))[1].tobytes())
    image = read_photo(path)
    assert image.shape == (2, 3, 3) and image.dtype == np.uint8
    assert (image == [255, 0, 0]).all()


def test_grey_images_become_rgb(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), np.full((2, 3), 77, np.uint8))
    assert (read_photo(path) == np.full((2, 3, 3), 77)).all()


@pytest.mark.parametrize(("content", "reason"), [
    (None, "No such file"), (b"", "empty"), (b"not an image", "neither"),
    (b"\xff\xd8\xff\xe0", "truncated"),
])
def test_read_photo_errors(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    with refuses(reason, path=path):
        read_photo(path)


def test_source_box() -> None:
    points = np.array([[3, 4], [np.nan, np.nan], [1, 9]], np.float32)
    record = FaceRecord(Path("a.jpg"), points, "mtfl5")
    np.testing.assert_array_equal(record.source_box("points"), [1, 4, 3, 9])
    with refuses("face box", path="a.jpg"):
        record.source_box("file")


def test_checked_points() -> None:
    path = Path("a.txt")
    points = checked_points(np.arange(10.0), "mtfl5", path)
    assert points.shape == (5, 2) and points.dtype == np.float32
    with refuses("points", 5, 4.5, path=path, line=3):
        checked_points(np.arange(9.0), "mtfl5", path, 3)
    with refuses("coordinate", "finite", path=path):
        checked_points(np.full(10, np.nan), "mtfl5", path)
