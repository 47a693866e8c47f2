"""Faces that were read wrongly, told by the others of their source."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import axes, likeness, sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from tests.annotations.tables import HEADER, POINT_NAMES, line_of
from tests.annotations.writers import write_image
from tests.errors import assert_refusal

SOURCES = ["ibug:ibug/helen/testset", "ibug:lfpw/trainset", "youtube_faces:youtube_faces",
           "mtfl:mtfl_aflw/training.txt"]
# Faces that all lie at one place of their photos, and turned ones, which say less of each other.
OTHERS = ["webmorph:webmorph", "face_synthetics:face_synthetics"]
ORDERS = [axes.X_FIRST, axes.IN_TURN]


@pytest.fixture(scope="module", params=SOURCES)
def five(request: pytest.FixtureRequest, shared_data: Path) -> np.ndarray:
    return _five(request.param, shared_data)


@functools.cache
def _five(source: str, shared_data: Path) -> np.ndarray:
    """Eyes, nose and corners of the mouth [F, 5, 2] of real faces."""
    reader, path = source.split(":")
    found = sources.read(f"{reader}:{shared_data / path}", on_error="skip")
    schema = schemas.get(found.records[0].schema)
    points = np.stack([record.points for record in found.records[:450]]).astype(float)
    nose = points[:, list(schema.nose_tip)].mean(axis=1)
    return np.insert(schema.anchor_points(points), 2, nose, axis=1)


def _misread(points: np.ndarray, order: str) -> np.ndarray:
    """What is read of coordinates that stand in `order`."""
    return axes.arranged(points, *(other for other in ORDERS if other != order))


def _lost(points: np.ndarray, index: int) -> np.ndarray:
    """Faces [F, N, 2] whose lines lack a point, and have blanks at their end."""
    blank = np.full((len(points), 1, 2), np.nan)
    return np.hstack([np.delete(points, index, axis=1), blank])


def _reasons(points: np.ndarray) -> np.ndarray:
    """The reasons [F] for which faces are refused, "" for none."""
    faces = [FaceRecord(Path("a.jpg"), face.astype(np.float32), "mtfl5", key=str(i))
             for i, face in enumerate(points)]
    items = [*likeness.checked(iter(faces), Path("source"))]
    keys = [item.key if isinstance(item, FaceRecord) else item.path.name for item in items]
    assert keys == [face.key for face in faces]
    reasons = [item.reason if isinstance(item, DataError) else "" for item in items]
    return np.array(reasons, dtype=object)


def _mirrored(points: np.ndarray) -> np.ndarray:
    half = points.copy()
    half[::2, :, 0] = 300 - half[::2, :, 0]
    return half


def _with_holes(points: np.ndarray) -> np.ndarray:
    holes = points.copy()
    rng = np.random.default_rng(0)
    holes[np.arange(len(points)), rng.integers(0, 5, len(points))] = np.nan
    return holes


@pytest.mark.parametrize("source", SOURCES + OTHERS)
@pytest.mark.parametrize("change", [lambda points: points, _mirrored, _with_holes])
def test_right_faces_are_let_through(
    shared_data: Path, source: str, change: Callable[[np.ndarray], np.ndarray]
) -> None:
    reasons = _reasons(change(_five(source, shared_data)))
    assert np.count_nonzero(reasons) <= (source in OTHERS and change is _with_holes)


@pytest.mark.parametrize("order", ORDERS)
def test_all_in_another_order(five: np.ndarray, order: str) -> None:
    """Whether they are many or few, or the last of many."""
    wrong = _misread(five, order)
    for faces in (wrong, wrong[:20], wrong[:203]):
        assert all(order in reason for reason in _reasons(faces))


@pytest.mark.parametrize("order", ORDERS)
def test_some_in_another_order(five: np.ndarray, order: str) -> None:
    points = five.copy()
    points[3::5] = _misread(five[3::5], order)
    reasons = _reasons(points)
    assert np.mean([order in reason for reason in reasons[3::5]]) > 0.75
    assert np.count_nonzero(reasons) == np.count_nonzero(reasons[3::5])


@pytest.mark.parametrize("index", range(4))
def test_a_lost_point(five: np.ndarray, index: int) -> None:
    points = five.copy()
    points[3::5] = _lost(five[3::5], index)
    reasons = _reasons(points)
    told = [reason.startswith(f"its points lie as if {POINT_NAMES[index]} were missing")
            for reason in reasons[3::5]]
    assert np.mean(told) > 0.6
    assert np.count_nonzero(reasons) == np.count_nonzero(reasons[3::5])


@pytest.mark.parametrize("count", [7, 100])
def test_faces_without_a_point_change_nothing(five: np.ndarray, count: int) -> None:
    """Whether there are enough others to compare, or too few."""
    points = five[:count].copy()
    points[3::5] = _lost(five[3:count:5], 1)
    alone = _reasons(points)
    for start in (0, 1):
        among = np.full((2 * count, 5, 2), np.nan)
        among[start::2] = points
        reasons = _reasons(among)
        np.testing.assert_array_equal(reasons[start::2], alone)
        assert not reasons[1 - start :: 2].any()


def test_lines_of_a_table(shared_data: Path, tmp_path: Path) -> None:
    faces = sources.read(f"mtfl:{shared_data}/mtfl_aflw/training.txt", on_error="skip").records
    points = np.stack([4 * face.points for face in faces[:12]])
    lines = [line_of(face, f"{i}.jpg") for i, face in enumerate(points)]
    lines[4] = line_of(np.delete(points[4], 1, axis=0), "4.jpg") + ",,"
    for i in range(12):
        write_image(tmp_path / f"{i}.jpg")
    (tmp_path / "a.csv").write_text("\n".join([HEADER, *lines]))
    found = sources.read(f"csv:{tmp_path}/a.csv?schema=mtfl5", on_error="skip")
    assert len(found.records) == 11
    [error] = found.skipped
    assert_refusal(error, POINT_NAMES[1], POINT_NAMES[4], path=tmp_path / "4.jpg")


@pytest.mark.parametrize("points", [
    np.ones((20, 5, 2)), np.full((20, 5, 2), np.nan), np.zeros((0, 5, 2)),
    np.tile(np.arange(10.0).reshape(5, 2), (20, 1, 1))])
def test_what_cannot_be_told(points: np.ndarray) -> None:
    assert not _reasons(points).any()
