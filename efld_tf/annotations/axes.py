"""Tells whether x and y of a face were read in another order than they stand in.

Some files have x and y of each point in turn, others all x before all y. Points that were read in
the wrong order are as many, and in the image. But neighbours in a schema are neighbours in the
face: pairs of x, or of y, lie on the diagonal, and pairs of points that are far apart make jumps.
"""

from __future__ import annotations

import numpy as np

from efld_tf.arrays import Floats

X_FIRST, IN_TURN = "all x before all y", "x and y of each point in turn"

# With fewer points it cannot be told.
FEWEST = 12

# In real faces, however they are turned, x and y correlate by less than 0.5, and their median
# distance is more than 0.13 of the extent of both. Where x stood before y, these are more than 0.57
# and less than 0.1.
CORRELATION, DIAGONAL = 0.55, 0.1
# The way from point to point in the other order is at least 0.84 of the way as read, or less than
# 0.64 where that was wrong.
SHORTER = 0.65
# Points farther from the middle than this many times the median of all are none of the face.
FARTHEST = 4.0


def other_order(points: Floats) -> str | None:
    """The order in which x and y seem to stand, where they were read in another; else None.

    Args:
      points: [N, 2] in pixels, NaN where they are not annotated.
    """
    present = _of_face(points[np.isfinite(points).all(axis=1)].astype(float))
    if len(present) < FEWEST or not np.ptp(present, axis=0).all():
        return None
    x, y = (present - present.mean(axis=0)).T
    distance = np.median(np.abs(present[:, 0] - present[:, 1]))
    diagonal = distance < DIAGONAL * np.ptp(present) \
        and abs(x @ y) > CORRELATION * np.sqrt((x @ x) * (y @ y))
    in_turn = _way(arranged(present, IN_TURN))
    if not diagonal and in_turn >= SHORTER * _way(present):
        return None
    return X_FIRST if _way(arranged(present, X_FIRST)) < in_turn else IN_TURN


def arranged(points: Floats, order: str) -> Floats:
    """Points [..., N, 2] as they are if their coordinates stand in `order`, and not in the other.

    Args:
      order: `X_FIRST` or `IN_TURN`.
    """
    if order == X_FIRST:
        return np.swapaxes(points.reshape(*points.shape[:-2], 2, -1), -1, -2)
    return np.swapaxes(points, -1, -2).reshape(points.shape)


def refusal(order: str) -> str:
    """What is wrong with a face of which the coordinates stand in `order`."""
    return f"its coordinates seem to stand in another order than they are read in: {order}"


def _of_face(points: Floats) -> Floats:
    """The points without those that may be marks of missing ones: at one place, or far away."""
    # As complex numbers, which are sorted faster than rows.
    _, places, counts = np.unique(points @ [1, 1j], return_inverse=True, return_counts=True)
    single = points[counts[places] == 1]
    if not len(single):
        return single
    distances = np.linalg.norm(single - np.median(single, axis=0), axis=1)
    return single[distances <= FARTHEST * np.median(distances)]


def _way(points: Floats) -> float:
    """The length of the way from point to point."""
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
