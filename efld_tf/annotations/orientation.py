"""Which reading a face fits: its photo as it is shown (EXIF), or as its pixels lie in the file."""

from __future__ import annotations

import numpy as np

from efld_tf.annotations.header import Header
from efld_tf.annotations.record import FaceRecord
from efld_tf.arrays import Flags, Floats
from efld_tf.landmarks import schemas
from efld_tf.landmarks.schema import ANCHORS

# The reading of a turned photo is told by faces that stand upright in it, within so many degrees,
# and are turned by so many more in the other one.
MOST_TURNED, LEAST_DIFFERENCE = 50.0, 60.0


def inside(points: Floats, size: tuple[int, int]) -> Flags:
    """Which points [N, 2] are in an image of that size, whose first pixel's centre is 0: [N]."""
    within: Flags = ((points >= -0.5) & (points <= np.array(size) - 0.5)).all(axis=-1)
    return within


def inside_better(record: FaceRecord, header: Header) -> bool | None:
    """Whether a face is inside its photo as shown, or as stored; None if in both, or neither."""
    points = record.points[np.isfinite(record.points).all(axis=-1)].astype(np.float64)
    stored, shown = (bool(inside(points, header.size(upright)).all()) for upright in (False, True))
    return shown if stored != shown else None


def stands_better(record: FaceRecord, header: Header) -> bool | None:
    """Whether a face stands upright in its photo as shown, or as stored; None if it lies so."""
    schema = schemas.get(record.schema)
    if not all(name in schema.anchors for name in ANCHORS):
        return None
    anchors = schema.anchor_points(record.points.astype(np.float64))
    if not np.isfinite(anchors).all():
        return None
    as_shown, as_stored = _turn(anchors), _turn(header.shown(anchors))
    if abs(as_shown - as_stored) < LEAST_DIFFERENCE or min(as_shown, as_stored) > MOST_TURNED:
        return None
    return as_shown < as_stored


def _turn(anchors: Floats) -> float:
    """By how many degrees a face is turned, plus 180 for a mirrored one; `anchors` are [4, 2]."""
    across = anchors[1] - anchors[0]
    down = anchors[2:].mean(axis=0) - anchors[:2].mean(axis=0)
    mirrored = across[0] * down[1] - across[1] * down[0] < 0
    return abs(float(np.degrees(np.arctan2(down[0], down[1])))) + 180 * mirrored
