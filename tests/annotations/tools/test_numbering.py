"""Faces whose points are numbered from 1 where others are from 0, or reversed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.format import Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools import labelme, numbering
from efld_tf.arrays import Floats
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tools.writers_labelme import shape, write
from tests.annotations.writers import write_image
from tests.errors import assert_refusal

SCHEMA = "mtfl5"
POINTS = np.array([[150, 160], [250, 158], [200.5, 210.25], [160, 260], [240, 262]])


@pytest.fixture
def faces(shared_data: Path) -> list[Floats]:
    """Faces of HELEN's test set."""
    return [face.points for face in sources.read(f"ibug:{shared_data}/ibug/helen/testset").records]


def _five(points: Floats) -> Floats:
    return np.stack([points[36:42].mean(0), points[42:48].mean(0), *points[[30, 48, 54]]])


@pytest.mark.parametrize(
    ("indices", "first"),
    [
        ({"0": 0, "3": 3}, 0), ({"1": 0, "5": 4}, 1), ({"point-07": 7}, 0), ({"p_1": 0}, 1),
        ({"0": 0, "2": 1}, None), ({"nose": 0}, None), ({"nose": 0, "1": 1}, None), ({}, None),
        ({"eye_0": 0, "mouth_0": 5}, None),
    ],
)  # fmt: skip
def test_where_names_start(indices: dict[str, int], first: int | None) -> None:
    assert numbering.start(indices) == first


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("schema", [SCHEMA, "ibug68"])
def test_shifted_faces_are_told_from_those_that_lack_a_point(
    faces: list[Floats], first: int, schema: str
) -> None:
    if schema == SCHEMA:
        faces = [_five(points) for points in faces]
    else:  # and half of the others
        rng = np.random.default_rng(5)
        for points in faces[5:]:
            points[rng.choice(np.arange(1, 67), 30, replace=False)] = np.nan
    lacking = 0 if first == 0 else -1
    right = [points.copy() for points in faces[5:30]]
    wrong = [points.copy() for points in faces[30:55]]
    for points in right:
        points[lacking] = np.nan
    for points in wrong:
        points[-1 - lacking] = np.nan
    wrong = [np.roll(points, 1 if first == 0 else -1, axis=0) for points in wrong]
    found = numbering.shifted([*faces[:5], *right, *wrong], first, schema)
    assert found == list(range(30, 55))
    # There are too few others, or points, to tell.
    assert numbering.shifted([*faces[:2], *wrong], first, schema) == []
    for points in wrong:
        points[3 if schema == SCHEMA else slice(10, 60)] = np.nan
    assert numbering.shifted([*faces[:5], *wrong], first, schema) == []


def _read(folder: Path, **options: str) -> list[FaceRecord | DataError | Note]:
    return list(labelme.read(folder, schema=SCHEMA, **options))


@pytest.mark.parametrize("first", [0, 1])
def test_a_file_that_is_numbered_otherwise(tmp_path: Path, first: int) -> None:
    def one(number: int, points: Floats, start: int) -> None:
        shapes = [shape(str(i + start), xy) for i, xy in enumerate(points) if np.isfinite(xy).all()]
        write_image(tmp_path / f"{number}.jpg")
        write(tmp_path / f"{number}.json", shapes, f"{number}.jpg")

    for number in range(4):
        one(number, POINTS + number, first)
    hidden = POINTS.copy()
    hidden[-1 if first == 0 else 0] = np.nan
    one(2, hidden, 1 - first)
    first_record, _, error, last = _read(tmp_path)
    assert isinstance(first_record, FaceRecord) and isinstance(last, FaceRecord)
    assert_refusal(error, "'2.jpg'", 0, 1, f"first={first}", path=tmp_path / "2.json")
    assert all(isinstance(item, FaceRecord) for item in _read(tmp_path, first=str(first)))
    hidden = POINTS.copy()
    hidden[0 if first == 0 else -1] = np.nan
    one(2, hidden, first)
    records = _read(tmp_path)
    assert isinstance(records[2], FaceRecord)
    np.testing.assert_array_equal(records[2].points, hidden.astype(np.float32))


def test_numbers_of_named_points_do_not_tell(tmp_path: Path) -> None:
    names = schemas.get(SCHEMA).names
    for number in range(4):
        write_image(tmp_path / f"{number}.jpg")
        rows = [1, 2, 3, 4, 0][: 5 - (number == 2)]
        write(tmp_path / f"{number}.json",
              [shape(names[row], POINTS[i]) for i, row in enumerate(rows)], f"{number}.jpg")
    assert all(isinstance(item, FaceRecord) for item in _read(tmp_path))
