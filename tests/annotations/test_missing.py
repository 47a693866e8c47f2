"""Points that stand for missing ones are told, and left out where the user says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import missing, sources
from efld_tf.annotations.placement import PlacementError
from tests.annotations import placed
from tests.annotations.turned import write_turned
from tests.annotations.writers import numbers
from tests.errors import assert_refusal, assert_told, refuses


@pytest.fixture(scope="module")
def face(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    return placed.real_face(shared_data)


@pytest.mark.parametrize("mark", [(0, 0), (-1, -1), (-9999, -9999)])
def test_points_that_stand_for_missing_ones(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], mark: tuple[int, int]
) -> None:
    image, points = face
    write_turned(tmp_path / "a.jpg", image, 1)
    points = points.copy()
    points[3:5] = mark
    source = placed.write("csv", tmp_path, points, None)
    told = f"missing={mark[0]},{mark[1]}"
    assert_told("\n".join(sources.read(source).notes), "2 points", told)
    found = sources.read(f"{source}&{told}")
    assert np.flatnonzero(np.isnan(placed.only(found).points).any(axis=1)).tolist() == [3, 4]
    assert not found.notes
    with refuses("missing", "'no'", "0,0"):
        sources.read(f"{source}&missing=no")
    every = placed.write("csv", tmp_path, np.tile(mark, (68, 1)), None)
    (error,) = sources.stream(f"{every}&{told}")
    assert_refusal(error, "no point", path=tmp_path / "a.jpg")
    assert not isinstance(error, PlacementError)
    source = placed.write("ibug", tmp_path, points - 1, None)  # as the file writes it, from 1
    assert np.isnan(placed.only(sources.read(placed.with_option(source, told))).points[3:5]).all()


def _source(
    folder: Path, face: tuple[np.ndarray, np.ndarray], changes: list[dict[int, tuple[float, float]]]
) -> str:
    """A table with a face for each of the changes of its points."""
    image, points = face
    lines = [placed.COLUMNS]
    for index, change in enumerate(changes):
        write_turned(folder / f"{index}.jpg", image, 1)
        changed = points + 0.25 * index
        for point, place in change.items():
            changed[point] = place
        lines.append(f"{index}.jpg,{numbers(changed, ',')}")
    (folder / "a.csv").write_text("\n".join(lines))
    return f"csv:{folder}/a.csv?schema=ibug68"


def _missing(found: sources.Annotations) -> list[int]:
    return [int(np.isnan(record.points).any(axis=1).sum()) for record in found.records]


def test_several_marks_are_told_and_said_together(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """What is left after the option is told, and so is a mark that no point has."""
    source = _source(tmp_path, face, [{3: (0, 0), 4: (0, 0)}, {3: (-1, -1), 4: (-1, -1)}])
    told = "\n".join(sources.read(source).notes)
    assert_told(told, "2 points at 0, 0", "2 points at -1, -1", "missing=0,0;-1,-1")
    found = sources.read(f"{source}&missing=0,0")
    assert _missing(found) == [2, 0]
    assert_told("\n".join(found.notes), "2 points at -1, -1", "missing=0,0;-1,-1")
    found = sources.read(f"{source}&missing=0,0;-1,-1")
    assert (_missing(found), found.notes) == ([2, 2], [])
    found = sources.read(f"{source}&missing=-99,-99")
    assert _missing(found) == [0, 0]
    assert_told("\n".join(found.notes), "missing=-99,-99", "no point")
    assert_told("\n".join(found.notes), "missing=0,0;-1,-1")


@pytest.mark.parametrize("mark", [(-99, -99), (9999, 9999), (-10, -10), (5000, 0), (-77.5, 3)])
def test_places_far_away_are_marks(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray], mark: tuple[float, float]
) -> None:
    """If several points of a face have them, or several faces."""
    option = f"missing={mark[0]:g},{mark[1]:g}"
    one_face = _source(tmp_path / "one", face, [{0: mark, 1: mark}])
    three_faces = _source(tmp_path / "three", face, [{7: mark}] * 3)
    for source, number in ((one_face, [2]), (three_faces, [1, 1, 1])):
        assert_told("\n".join(sources.read(source).notes), f"{sum(number)} points", option)
        found = sources.read(f"{source}&{option}")
        assert (_missing(found), found.notes) == (number, [])
    assert sources.read(_source(tmp_path / "a", face, [{7: mark}])).notes == []


def test_one_coordinate_alone(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    for axis, option in ((0, "missing=0,*"), (1, "missing=*,0")):
        changes = []
        for index in range(3):
            place = np.full((3, 2), 150.0 + index) + np.arange(3)[:, None]
            place[:, axis] = 0
            changes.append({point: tuple(place[point]) for point in range(3)})
        source = _source(tmp_path / option[-3], face, changes)
        assert_told("\n".join(sources.read(source).notes), "9 points", option)
        found = sources.read(f"{source}&{option}")
        assert (_missing(found), found.notes) == ([3, 3, 3], [])


def test_faces_at_the_border_have_no_marks(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """Points that were cut off at the image's border, and closed lips in whole pixels."""
    points = face[1]
    moved = points - [np.sort(points[:, 0])[12], 0]
    moved[:, 0] = np.maximum(moved[:, 0], 0)
    moved[[65, 66, 67]] = moved[[63, 62, 61]]
    changes = [dict(enumerate(map(tuple, moved.tolist())))] * 4
    assert sources.read(_source(tmp_path, face, changes)).notes == []


def test_faces_beyond_the_image_have_no_marks(
    tmp_path: Path, face: tuple[np.ndarray, np.ndarray]
) -> None:
    """Closed lips that are below the image, or that of a larger image."""
    image, points = face
    closed = points.copy()
    closed[[65, 66, 67]] = closed[[63, 62, 61]]
    below = closed + np.array([0, image.shape[0] - closed[30, 1]])  # its nose is on the border
    for moved in (below, closed * 2 + 150, closed * 4):
        changes = [dict(enumerate(map(tuple, moved.tolist())))] * 4
        notes: list[str] = []
        list(sources.stream(_source(tmp_path, face, changes), notes))
        assert not [note for note in notes if "missing=" in note]


def test_most_points_missing(tmp_path: Path, face: tuple[np.ndarray, np.ndarray]) -> None:
    source = _source(tmp_path, face, [dict.fromkeys(range(1, 17), (-99, -99)) | dict.fromkeys(
        range(17, 68), (-10, -10)) | {36: (150, 180), 45: (250, 180)}])
    notes = "\n".join(sources.read(source).notes)
    assert_told(notes, "16 points at -99, -99", "49 points at -10, -10")


@pytest.mark.parametrize("text", ["0", "*,*", "0,0;", "0,0,1,1", "a,b", "1e3,0"])
def test_what_is_no_mark_is_refused(text: str) -> None:
    with refuses("missing", "0,0;-1,-1", "0,*", repr(text)):
        missing.parse(text)
