"""Eyes and mouth tell how a face lies, and which orders of coordinates are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.landmarks import schemas
from efld_tf.landmarks.stance import Stances, exchange, stances

FACE = np.array([[-30, 0], [30, 0], [-22, 60], [22, 60]], float)  # right eye first, at the left


def _turned(anchors: np.ndarray, degrees: float) -> np.ndarray:
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    return anchors @ np.array([[cosine, sine], [-sine, cosine]])


@pytest.mark.parametrize("degrees", range(-180, 180, 30))
def test_a_turned_face_is_a_face(degrees: float) -> None:
    found = stances(_turned(FACE, degrees) + np.array([400, 300]))
    assert found.turn == pytest.approx(abs(degrees))
    assert not found.mirrored and not found.scrambled
    found = stances(_turned(FACE * [-1, 1], degrees))
    assert found.mirrored and not found.scrambled


def test_causes_are_told_apart() -> None:
    for wrong, turn, words in ((FACE[[1, 0, 3, 2]], 0, "left and right labels are exchanged"),
                               (FACE[:, ::-1], 90, "x and y are exchanged"),
                               (FACE * [1, -1], 180, "y is counted upwards")):
        found = stances(wrong)
        assert found.mirrored and found.turn == pytest.approx(turn)
        assert exchange(float(found.turn)).startswith(words)
    assert exchange(float("nan")) == exchange(0)


def test_what_is_missing_tells_nothing() -> None:
    part = FACE.copy()
    part[2:] = np.nan
    found = stances(np.stack([part, FACE]))
    assert np.isnan(found.turn).tolist() == [True, False]
    assert not found.mirrored.any() and not found.scrambled.any()


def _of(shared_data: Path, name: str) -> Stances:
    """Those of a set's faces."""
    if name == "profiles":
        lines = (shared_data / "aflw2000_shapes/shapes.jsonl").read_text().splitlines()
        points = np.array([json.loads(line)["shape68"] for line in lines])
        schema = schemas.get("ibug68")
    else:
        found = sources.read(name.format(shared_data))
        points = np.stack([record.points for record in found.records]).astype(float)
        schema = schemas.get(found.schema)
    return stances(schema.anchor_points(points))


@pytest.mark.parametrize(
    "name", ["profiles", "ibug:{}/ibug/helen/trainset", "ibug:{}/lfpw/trainset",
             "mtfl:{}/mtfl_aflw/training.txt", "mtfl:{}/net7876/trainImageList.txt"])
def test_real_faces_are_faces(shared_data: Path, name: str) -> None:
    """Of up to 120 degrees of yaw."""
    found = _of(shared_data, name)
    assert found.mirrored.sum() == 0
    assert found.scrambled.sum() <= (4 if name == "profiles" else 0)
