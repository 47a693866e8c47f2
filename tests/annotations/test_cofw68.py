from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import cofw68, images
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.writers import mat_bytes, some_points, write_cofw
from tests.errors import assert_refusal, refuses


def _images(path: Path, count: int) -> Path:
    cells = [np.full((4 + k, 5, 3), k, np.uint8) for k in range(count)]
    return write_cofw(path, cells, np.ones((count, 87)), np.ones((count, 4)))


def _folder(root: Path, count: int = 3) -> Path:
    """The layout as published, with COFW's file beside it."""
    folder = root / "COFW68_Data"
    (folder / "test_annotations").mkdir(parents=True)
    for number in range(1, count + 1):
        (folder / "test_annotations" / f"{number}_points.mat").write_bytes(_face(number))
    boxes = np.array([[k + 1, 11, 20, 30] for k in range(count)], np.int16)
    (folder / "cofw68_test_bboxes.mat").write_bytes(mat_bytes(bboxes=boxes))
    _images(root / "COFW_test_color.mat", count)
    return folder


def _face(number: int) -> bytes:
    occluded = np.arange(68)[None] < number
    return mat_bytes(Points=some_points(68, number).astype(float) + 1, Occ=occluded)


def test_real_files(shared_data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cofw68"
    shutil.copytree(shared_data / "cofw68", folder)
    _images(folder / "COFW_test_color.mat", 120)
    records = list(cofw68.read(folder))
    assert [record.frame for record in records] == [9, *range(99, 117)]
    for record in records:
        right_eye, left_eye, mouth_right, mouth_left = schemas.get("ibug68").anchor_points(
            record.points
        )
        assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
        assert (record.points > record.box[:2] - 60).all()
        assert (record.points < record.box[2:] + 60).all()
        x, y = record.points.mean(axis=0)
        assert record.box[0] < x < record.box[2] and record.box[1] < y < record.box[3]
    assert any(not record.visible.all() for record in records)
    assert any(record.visible.any() for record in records)


def test_round_trip(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    records = list(cofw68.read(folder))
    assert [record.frame for record in records] == [0, 1, 2]
    for number, record in enumerate(records, 1):
        assert (record.schema, record.identity) == ("ibug68", f"COFW_T_{number - 1}")
        np.testing.assert_allclose(record.points, some_points(68, number), atol=1e-4)
        np.testing.assert_array_equal(record.visible, np.arange(68) >= number)
        np.testing.assert_array_equal(record.box, [number - 1, 10, number + 19, 40])
        assert images.read_image(record).shape == (3 + number, 5, 3)
        assert (images.read_image(record) == number - 1).all()


@pytest.mark.parametrize("place", ["", "COFW68_Data", "COFW68_Data/test_annotations"])
def test_where_the_images_are_looked_for(tmp_path: Path, place: str) -> None:
    annotations = _folder(tmp_path) / "test_annotations"
    file = tmp_path / "COFW_test_color.mat"
    moved = tmp_path / place / file.name
    shutil.move(file, moved)
    for record in cofw68.read(annotations):
        assert record.image.samefile(moved)
        assert record.box is not None


def test_images_option(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    other = _images(tmp_path / "elsewhere" / "COFW_test_color.mat", 3)
    assert all(record.image == other for record in cofw68.read(folder, images=str(other)))
    with refuses("images", tmp_path / "nowhere.mat", "file"):
        list(cofw68.read(folder, images=str(tmp_path / "nowhere.mat")))
    (tmp_path / "COFW_test_color.mat").unlink()
    with refuses("COFW_test_color.mat", "images=FILE.mat", path=folder):
        list(cofw68.read(folder))


def test_without_boxes(tmp_path: Path) -> None:
    folder = _folder(tmp_path)
    boxes = folder / "cofw68_test_bboxes.mat"
    boxes.unlink()
    assert all(record.box is None for record in cofw68.read(folder))
    boxes.write_bytes(mat_bytes(bboxes=np.ones((3, 5))))
    with refuses("bboxes", "N x 4", "3 x 5", path=boxes):
        list(cofw68.read(folder))


_POINTS = np.ones((68, 2))


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("2_points.mat", b"", ["MATLAB"]),
        ("2_points.mat", mat_bytes(Points=_POINTS), ["Occ", "1 x 68", "none"]),
        ("2_points.mat", mat_bytes(Points=_POINTS.T, Occ=_POINTS), ["Points", "68 x 2", "2 x 68"]),
        ("2_points.mat", mat_bytes(Points=_POINTS * np.nan, Occ=np.ones((1, 68))),
         ["Points", "coordinates"]),
        ("9_points.mat", _face(1), ["cofw68_test_bboxes.mat", "box 9", 3]),
        ("x_points.mat", _face(1), ["number", "_points"]),
        ("0_points.mat", _face(1), ["number", "_points"]),
    ],
)
def test_a_bad_file_is_one_error(
    tmp_path: Path, name: str, content: bytes, facts: list[object]
) -> None:
    folder = _folder(tmp_path)
    (folder / "test_annotations" / "2_points.mat").unlink()
    path = folder / "test_annotations" / name
    path.write_bytes(content)
    items = list(cofw68.read(folder))
    (error,) = (item for item in items if isinstance(item, DataError))
    assert_refusal(error, *facts, path=path)
    assert sum(isinstance(item, FaceRecord) for item in items) == 2


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with refuses("folder", "N_points.mat", path=tmp_path / "a"):
        list(cofw68.read(tmp_path / "a"))
