"""Points ordered by how their places vary together."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.data.correlation import most_correlated

RANDOM = np.random.default_rng(3)
WAY = RANDOM.normal(0, 1, (50, 2))  # how a face is moved


def test_by_hand() -> None:
    """Point 1 goes with point 0, point 3 mostly, point 2 against it; places do not matter."""
    points = np.stack([WAY, 3 * WAY + 9, 5 - WAY, WAY + RANDOM.normal(0, 0.5, (50, 2))], axis=1)
    order = most_correlated(points)
    assert order[0].tolist() == [1, 3, 2]
    assert order[1].tolist() == [0, 3, 2]
    assert order[2].tolist() == [3, 0, 1]  # 0 and 1 both are its opposite


def test_faces_without_a_point_do_not_count_for_it() -> None:
    points = np.stack([WAY, WAY, RANDOM.normal(0, 1, (50, 2))], axis=1)
    points[:25, 1] = np.nan
    points[25:, 2] = np.nan  # never together with point 1
    order = most_correlated(points)
    assert order[0].tolist() == [1, 2] and order[1][0] == 0
    points[:, 2] = 0.25  # does not vary: no correlation with anything
    assert sorted(most_correlated(points)[2].tolist()) == [0, 1]


@given(st.floats(0, 6.3), st.floats(0.1, 9))
def test_turning_and_scaling_all_faces_changes_nothing(angle: float, scale: float) -> None:
    points = np.stack([WAY + RANDOM.normal(0, s, (50, 2)) for s in (0.1, 0.4, 0.8, 1.5)], axis=1)
    turn = scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    np.testing.assert_array_equal(most_correlated(points @ turn + 4), most_correlated(points))
