"""How a face lies in its picture, by its eyes and mouth, which tell wrong orders of coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efld_tf.arrays import Flags, Floats

# In units of the larger of the distances between the eyes and from the eyes to the mouth: across
# times down is above -0.18 in 2,000 faces up to 120 degrees of yaw, and below 1.3 in all of 17,000.
# Their eyes and mouths are level to 0.55, but for a few (tests).
LEAST_MIRRORED, MOST_WIDE, MOST_SLANTED = 0.3, 1.35, 0.55

# A face is upright, upside down or on its side within so many degrees.
NEAR = 45.0


@dataclass(frozen=True, eq=False)
class Stances:
    """How faces lie; what lacks an eye or the mouth is neither mirrored nor scrambled.

    Attributes:
      turn: [...] the degrees from straight down to the way from the eyes to the mouth, 0 to 180;
        NaN without eyes and mouth.
      width: [...] the distance of the eyes, in that from the eyes to the mouth; NaN without them.
      mirrored: [...] bool; clearly so, which a profile never is.
      scrambled: [...] bool; no view of a face, nor of a mirrored one, has its eyes and mouth so.
    """

    turn: Floats
    width: Floats
    mirrored: Flags
    scrambled: Flags


def stances(anchors: Floats) -> Stances:
    """How faces lie whose `anchor_points` are [..., 4, 2], in coordinates with y downwards."""
    eyes = anchors[..., 1, :] - anchors[..., 0, :]
    mouth = anchors[..., 3, :] - anchors[..., 2, :]
    down = anchors[..., 2:, :].mean(axis=-2) - anchors[..., :2, :].mean(axis=-2)
    unit = np.maximum((eyes**2).sum(axis=-1), (down**2).sum(axis=-1))
    with np.errstate(invalid="ignore", divide="ignore"):
        areas = np.stack([_cross(way, down) / unit for way in (eyes, mouth)])
        width = np.linalg.norm(eyes, axis=-1) / np.linalg.norm(down, axis=-1)
        slants = np.stack([(way * down).sum(axis=-1) / unit for way in (eyes, mouth)])
    sides = (areas < -LEAST_MIRRORED).sum(axis=0)
    wrong = (abs(slants) > MOST_SLANTED).any(axis=0) | (abs(areas) > MOST_WIDE).any(axis=0) \
        | ((sides == 1) & (areas > LEAST_MIRRORED).any(axis=0))
    turn = abs(np.degrees(np.arctan2(down[..., 0], down[..., 1])))
    return Stances(turn, width, (sides == 2) & ~wrong, wrong)


def _cross(one: Floats, other: Floats) -> Floats:
    product: Floats = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return product


def exchange(turn: float) -> str:
    """What makes a face mirrored that is turned by so many degrees (NaN: unknown), as a text."""
    if turn > 180 - NEAR:
        return "y is counted upwards, or left and right labels are exchanged: the face is upside " \
            "down and mirrored"
    if turn >= NEAR:
        return "x and y are exchanged, or left and right labels are: the face is on its side and " \
            "mirrored"
    return "left and right labels are exchanged (or the photo alone is mirrored)"
