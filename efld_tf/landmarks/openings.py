"""How far eyes and mouth are open, and which points lie opposite each other there."""

from __future__ import annotations

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.landmarks.schema import LandmarkSchema, Part

EYES = ("right_eye", "left_eye")
PARTS = (*EYES, "inner_lips")
# How far along the corners' line opposite points may be from each other, of the corners' distance.
_TOLERANCE = 0.1


def pairs(schema: LandmarkSchema, shape: Floats) -> list[tuple[int, int]]:
    """Pairs of opposite points: upper and lower eyelid, upper and lower lip.

    Of a closed outline, the two points that are furthest apart are its corners. Each point between
    them on the one way round belongs to the point on the other way that is nearest along the
    corners' line, if it is near.

    Args:
      shape: [N, 2] a face with open eyes, such as the mean face, in any unit.

    Returns:
      Each point is in one pair at most; none of a schema without such outlines.
    """
    found = []
    for part in outlines(schema):
        outline = shape[list(part.points)].astype(float)
        apart = np.linalg.norm(outline[:, None] - outline, axis=-1)
        first, last = np.unravel_index(apart.argmax(), apart.shape)
        line = (outline[last] - outline[first]) / apart.max() ** 2
        offset = outline - outline[first]
        along = offset @ line
        first, last = sorted((int(first), int(last)))
        sides = [[*range(first + 1, last)], [*range(last + 1, len(outline)), *range(first)]]
        if not all(sides):
            continue
        gaps = np.abs(along[sides[0]][:, None] - along[sides[1]])
        for here, there in zip(range(len(sides[0])), gaps.argmin(axis=1), strict=True):
            # Both are nearest to each other.
            if gaps[:, there].argmin() == here and gaps[here, there] <= _TOLERANCE:
                found.append((part.points[sides[0][here]], part.points[sides[1][there]]))
    return found


def outlines(schema: LandmarkSchema) -> list[Part]:
    """The closed outlines of eyes and lips, which open and close."""
    return [part for part in schema.parts
            if part.name in PARTS and part.closed and len(part.points) >= 4]


def of_eyes(points: Floats, schema: LandmarkSchema) -> Floats | None:
    """Height / width of the outlines of both eyes, in upright faces.

    Args:
      points: [F, N, 2] with square pixels.

    Returns:
      [F, 2], right and left; NaN where a point of the eye is not annotated; None if the schema has
      no outlines of eyes.
    """
    level = upright(points, schema)
    eyes = [part.points for side in EYES for part in schema.parts
            if part.name == side and len(part.points) >= 4]
    if level is None or len(eyes) < 2:
        return None
    sizes = [np.ptp(level[:, list(outline)], axis=1) for outline in eyes]
    found: Floats = np.stack(
        [size[:, 1] / np.maximum(size[:, 0], 1e-6) for size in sizes], axis=-1)
    return found


def upright(points: Floats, schema: LandmarkSchema) -> Floats | None:
    """Points [F, N, 2], turned so that the line between the eyes, or else the mouth, is level.

    None if the schema has neither.
    """
    across = schema.across(points)
    if across is None:
        return None
    angle = np.arctan2(across[:, 1], across[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, sin], -1), np.stack([-sin, cos], -1)], -2)
    level: Floats = np.einsum("fij,fnj->fni", turn, points)
    return level
