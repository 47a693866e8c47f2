"""The mean head, and heads placed by it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.landmarks import mean_head, pose, schemas
from tests.errors import refuses

angle = st.floats(-60, 60)
# Schemas that tell all 68 places, the inner ones, by a conversion, or five; and their numbers.
PLACES = {"ibug68_3d": 68, "ibug51": 51, "ibug68": 51, "wflw98": 51, "mtfl5": 5, "makeup65": 5}


def annotated(schema: str, places: np.ndarray) -> np.ndarray:
    """Points of a schema whose places are those given."""
    told = mean_head.places_of(schema)
    points: np.ndarray = np.linalg.lstsq(told.means, places, rcond=None)[0]
    return points


def test_it_is_what_the_tool_finds() -> None:
    sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
    import fit_mean_head

    np.testing.assert_allclose(fit_mean_head.fitted(), mean_head.mean_head(), atol=1e-4)


def test_it_is_symmetric_and_lies_as_the_mean_face() -> None:
    head, schema = mean_head.mean_head(), schemas.get("ibug68_3d")
    np.testing.assert_allclose(head[list(schema.known_flip)] * [-1, 1, 1], head, atol=2e-4)
    five = np.concatenate([schema.anchor_points(head[None])[0], head[list(schema.nose_tip)]])
    assert np.abs(five - pose.MEAN_FACE).max() < 0.08
    yaw, pitch, roll = pose.estimate(head[None, :, :2] * [1, -1], schema, head[None, :, 2])[0]
    assert max(abs(yaw), abs(pitch), abs(roll)) < 1


def test_real_heads_have_its_form(shared_data: Path) -> None:
    """Their places lie within a tenth of the distance of the eyes of its own."""
    for record in sources.read(f"aflw2000:{shared_data}/aflw2000", progress=False).records:
        placed = mean_head.fit(record.points, schemas.get("ibug68_3d"), record.depth)
        miss = np.linalg.norm(placed.project(mean_head.mean_head()) - record.points, axis=-1)
        assert miss[17:].mean() < 0.12 * placed.scale


@pytest.mark.parametrize("schema", PLACES)
@pytest.mark.parametrize("deep", [False, True])
@given(yaw=st.floats(-85, 85), pitch=angle, roll=st.floats(-180, 180), scale=st.floats(1, 900),
       x=angle, y=angle)
def test_a_turned_head_is_placed(schema, deep, yaw, pitch, roll, scale, x, y) -> None:
    told = mean_head.places_of(schema)
    assert len(told.head) == PLACES[schema]
    rotation = (pose.axes(yaw, pitch, roll) * [1, -1, 1]).T
    placed = mean_head.Placed(scale, rotation, np.array([x, y]))
    depth = scale * told.head @ rotation[2] + 7
    points = annotated(schema, np.column_stack([placed.project(told.head), depth]))
    found = mean_head.fit(points[:, :2], schemas.get(schema), points[:, 2] if deep else None)
    assert found.scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-5)
    np.testing.assert_allclose(found.shift, [x, y], atol=1e-4 * scale)


def test_what_is_not_known_is_left_out() -> None:
    head = mean_head.mean_head()
    placed = mean_head.Placed(90.0, np.eye(3), np.array([40.0, 50.0]))
    points = placed.project(head)
    points[:40] = np.nan
    found = mean_head.fit(points, schemas.get("ibug68_3d"))
    assert found.scale == pytest.approx(90) and np.allclose(found.shift, [40, 50])
    points[:64] = np.nan
    with refuses("head", "5"):
        mean_head.fit(points, schemas.get("ibug68_3d"))
    with refuses("head", "coincide"):
        mean_head.fit(np.ones((68, 2)), schemas.get("ibug68_3d"))
    with refuses("head", "5"):
        mean_head.fit(np.random.default_rng(0).uniform(size=(86, 2)), schemas.get("scut86"))
