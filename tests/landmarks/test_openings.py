"""How far eyes and mouths are open, and which of their points lie opposite each other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.landmarks import openings, schemas
from tests.faces import mean_shape

IBUG68 = [(37, 41), (38, 40), (43, 47), (44, 46), (61, 67), (62, 66), (63, 65)]


@pytest.mark.parametrize(("schema", "expected"), [
    ("ibug68", IBUG68),
    ("ibug51", [(one - 17, other - 17) for one, other in IBUG68]),
    ("mtfl5", []),
])
def test_opposite_points(schema: str, expected: list[tuple[int, int]]) -> None:
    found = openings.pairs(schemas.get(schema), mean_shape(schema))
    assert sorted(map(sorted, found)) == sorted(map(list, expected))


@pytest.mark.parametrize("name", ["ibug68", "wflw98"])
def test_a_mirrored_face_has_the_mirrored_pairs(name: str) -> None:
    schema, shape = schemas.get(name), mean_shape(name)
    flip = schema.known_flip
    pairs = openings.pairs(schema, shape)
    mirrored = openings.pairs(schema, (shape * [-1, 1])[list(flip)])
    assert {frozenset(pair) for pair in mirrored} == {frozenset(pair) for pair in pairs}
    assert {frozenset(flip[end] for end in pair) for pair in pairs} \
        == {frozenset(pair) for pair in pairs}


def diamond_eyes(right: float, left: float) -> np.ndarray:
    """A face of `ibug51` whose eyes are 10 wide and so high."""
    points = mean_shape("ibug51") * 100
    for start, x, height in ((19, 20.0, right), (25, 60.0, left)):
        outline = [(0, 0), (3, -0.5), (7, -0.5), (10, 0), (7, 0.5), (3, 0.5)]
        points[start : start + 6] = [(x + along, 50 + up * height) for along, up in outline]
    return points


@given(st.floats(0, 8), st.floats(0, 8), st.floats(-3, 3), st.floats(0.1, 10))
def test_height_by_width_of_both_eyes(
    right: float, left: float, angle: float, scale: float
) -> None:
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = diamond_eyes(right, left) @ turn.T + [5, 7]
    found = openings.of_eyes(points[None], schemas.get("ibug51"))
    np.testing.assert_allclose(found, [[right / 10, left / 10]], atol=1e-6)


def test_a_smile_keeps_its_pairs() -> None:
    """All of its lips may lie below the line between the corners."""
    points, schema = mean_shape("ibug51"), schemas.get("ibug51")
    lips = next(part.points for part in schema.parts if part.name == "inner_lips")
    before = openings.pairs(schema, points)
    middle = points[list(lips), 0].mean()
    points[list(lips), 1] += 0.05 * (1 - ((points[list(lips), 0] - middle) / 0.1) ** 2)
    assert openings.pairs(schema, points) == before and len(before) == 7


def test_an_eye_that_is_not_annotated_is_not_closed() -> None:
    points = diamond_eyes(3, 3)
    points[21] = np.nan
    found = openings.of_eyes(points[None], schemas.get("ibug51"))
    assert np.isnan(found[0, 0]) and found[0, 1] == pytest.approx(0.3)
    assert openings.of_eyes(mean_shape("mtfl5")[None], schemas.get("mtfl5")) is None
