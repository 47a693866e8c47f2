"""The outlines of eyes, brows, lips, nose and jaw on the flattened face.

Positions are (x, y) in millimetres as seen on a frontal, average head: x to the image's right, y
down, the origin between eyes and mouth. `surface.Head` lifts them into space. Side 0 is the
subject's right (x < 0), side 1 the left. The same curves shape the relief, the paint and the
landmarks, which is what makes the landmarks exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efld_tf.annotations.synthetic.parameters import FaceParameters

PLAN_RADIUS = 71.0  # x = PLAN_RADIUS * sin(angle around the head)
CHIN_Y = 70.5  # of the closed average face
INNER_LIP_END = 0.88  # where the inner lip line ends, as a part of the half mouth

_JAW_ANGLES = np.radians([80, 79, 77, 73.5, 66, 54, 37, 18.5, 0])
_JAW_Y = np.array([-37, -18, 1, 19, 35.5, 49, 60, 68, 70.5])
_BROW_T = np.array([0, 0.2, 0.47, 0.75, 1.0])
_BROW_Y = np.array([-49.5, -57.5, -61.0, -60.0, -55.5])


def plan_angle(x: np.ndarray) -> np.ndarray:
    """The angle around the head, in radians, of a plan position x."""
    return np.arcsin(np.minimum(np.maximum(np.asarray(x) / PLAN_RADIUS, -1), 1))


@dataclass(frozen=True)
class Nose:
    """Heights (y) of the nasion, tip and base, and the half width of the wings."""

    nasion: float
    tip: float
    base: float
    half_width: float


@dataclass(frozen=True)
class Curves:
    """All outlines of one face."""

    face: FaceParameters

    @property
    def jaw_shift(self) -> float:
        """How far the chin lies below its usual place."""
        return self.face.shape.chin_drop + 0.72 * self.face.expression.mouth_gap

    def lowered(self, y: np.ndarray | Sequence[float] | float) -> np.ndarray:
        """Where the open jaw and a long chin bring the height y of the closed average face."""
        return np.asarray(y) + self.jaw_shift * np.clip((np.asarray(y) - 24) / 46, 0, 1)

    @property
    def nose(self) -> Nose:
        """The heights of the nose."""
        shape = self.face.shape
        smile = max(0.0, sum(self.face.expression.smile) / 2)
        base = 9.5 + shape.nose_length - 0.8 * smile
        return Nose(
            nasion=-40.5 + 0.5 * (shape.eye_y + 37.5),
            tip=base - 13.5,
            base=base,
            half_width=(14.3 + 1.0 * smile) * shape.nose_width,
        )

    def eye_centre(self, side: int) -> np.ndarray:
        """The middle [2] between the corners."""
        shape = self.face.shape
        return np.array([(2 * side - 1) * shape.eye_distance, shape.eye_y])

    def eye_lids(self, side: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Upper and lower lid edges [N, 2] at t in [0, 1] from the outer to the inner corner."""
        shape, expression = self.face.shape, self.face.expression
        opening = expression.eye_opening[side]
        x = shape.eye_half_width * (1 - 2 * t)
        corners = shape.eye_y - shape.eye_tilt * (1 - 2 * t)
        arc = 4 * t * (1 - t)
        cheek = 0.8 * max(0.0, expression.smile[side])
        low = corners + (0.31 * shape.eye_height - cheek) * arc**0.85 * (0.8 + 0.2 * opening)
        high = corners - 0.69 * shape.eye_height * arc**0.72 * (1 + 0.18 * (t - 0.5))
        # A closed eye's lids meet near the lower lid.
        upper = low + (high - low) * (0.03 + 0.97 * opening)
        sign = 2 * side - 1
        place = sign * (shape.eye_distance + x)
        return np.stack([place, upper], -1), np.stack([place, low], -1)

    def iris_centre(self, side: int) -> np.ndarray:
        """The centre [2] of the iris by the gaze; a closed eye's lies between its lids."""
        shape, (gaze_x, gaze_y) = self.face.shape, self.face.expression.gaze
        centre = self.eye_centre(side)
        centre += np.array([4.6 * gaze_x, -0.2 * shape.eye_height + 1.6 * gaze_y])
        t = np.linspace(0, 1, 33)
        upper, lower = self.eye_lids(side, t)
        order = np.argsort(upper[:, 0])
        top = np.interp(centre[0], upper[order, 0], upper[order, 1])
        bottom = np.interp(centre[0], lower[order, 0], lower[order, 1])
        margin = 0.25 * (bottom - top)
        centre[1] = np.clip(centre[1], top + margin, bottom - margin)
        return centre

    def brow(self, side: int, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Upper and lower brow edges [N, 2] at t in [0, 1] from the outer tip to the inner end."""
        shape, expression = self.face.shape, self.face.expression
        arch = np.interp(t, _BROW_T, _smooth_brow(shape.brow_arch))
        lift = expression.brow_raise[side] * (4.2 + 1.5 * np.sin(np.pi * t))
        frown = expression.frown * t**2
        y = -53.0 + arch + shape.brow_y - lift + 4.0 * frown + shape.brow_tilt * (2 * t - 1)
        y = y + 0.6 * (shape.eye_y + 37.5)
        x = 60.5 - 48.0 * t + (shape.eye_distance - 32.6) - 2.2 * frown
        thickness = shape.brow_thickness * np.interp(
            t, [0, 0.12, 0.35, 0.7, 0.95, 1], [0.12, 0.42, 0.78, 1.0, 1.05, 0.9]
        )
        x = (2 * side - 1) * x
        return np.stack([x, y], -1), np.stack([x, y + thickness], -1)

    @property
    def mouth_half_width(self) -> float:
        """Half the distance between the mouth's corners."""
        expression = self.face.expression
        smile = sum(expression.smile) / 2
        wide = 1 + 0.16 * smile - 0.3 * expression.pucker - 0.007 * expression.mouth_gap
        return self.face.shape.mouth_half_width * wide

    def lips(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Upper outer, upper inner, lower inner, lower outer edges [N, 2], q in [-1, 1] along x."""
        shape, expression = self.face.shape, self.face.expression
        away = np.abs(q)
        smile = np.where(q < 0, expression.smile[0], expression.smile[1])
        gap = expression.mouth_gap
        middle = shape.mouth_y + 0.45 * shape.nose_length + 0.25 * gap * away**2
        middle = middle - 6.5 * smile * away**1.8 + 0.9 * np.maximum(smile, 0)
        middle = middle + 0.9 * (np.cos(3 * np.pi * np.minimum(away, 1)) - 1) * 0.4 * (1 - away)
        inner = np.maximum(0, 1 - (q / INNER_LIP_END) ** 2) ** 0.7
        upper_in = middle - 0.2 * gap * inner
        lower_in = middle + 0.8 * gap * inner
        full = 1 + 0.25 * expression.pucker - 0.22 * np.maximum(smile, 0)
        bow = np.interp(away, [0, 0.1, 0.24, 0.6, 0.85, 1], [1, 1, 1.0, 0.68, 0.33, 0])
        dip = shape.cupid_bow * 0.3 * np.exp(-((q / 0.13) ** 2))
        upper_out = upper_in - shape.upper_lip * full * (bow - dip)
        # Towards the corner the outer edge must not cross the inner one.
        lower_out = lower_in + shape.lower_lip * full * np.maximum(0, 1 - away**2.2) ** 0.8
        x = q * self.mouth_half_width
        return tuple(np.stack([x, y], -1) for y in (upper_out, upper_in, lower_in, lower_out))

    def jaw(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angle (radians) and y of the jaw line, t in [0, 1] evenly from the right ear to the left.

        Even means along the contour as seen from the front.
        """
        dense = np.linspace(0, 8, 161)
        angle = _spline(dense, _JAW_ANGLES)
        y = self.lowered(_spline(dense, _JAW_Y))
        step = np.hypot(np.diff(np.sin(angle) * 66), np.diff(y))
        length = np.concatenate([[0], np.cumsum(step)]) / step.sum()
        along = 1 - np.abs(2 * np.asarray(t) - 1)
        side = np.sign(np.asarray(t) - 0.5)
        return side * np.interp(along, length, angle), np.interp(along, length, y)


def _smooth_brow(arch: float) -> np.ndarray:
    return (_BROW_Y + 53.0) * (0.55 + 0.45 * arch)


def _spline(at: np.ndarray, knots: np.ndarray) -> np.ndarray:
    """A Catmull-Rom spline through `knots` at 0, 1, 2, ...

    It is mirrored past the chin and straight at the ear.
    """
    padded = np.concatenate([[2 * knots[0] - knots[1]], knots, [knots[-2]]])
    if knots[-1] == 0:  # angles change sign across the chin
        padded[-1] = -knots[-2]
    i = np.minimum(at.astype(int), len(knots) - 2)
    f = at - i
    p0, p1, p2, p3 = (padded[i + k] for k in range(4))
    slope = (p2 - p0) / 2, (p3 - p1) / 2
    return (
        (2 * f**3 - 3 * f**2 + 1) * p1
        + (f**3 - 2 * f**2 + f) * slope[0]
        + (3 * f**2 - 2 * f**3) * p2
        + (f**3 - f**2) * slope[1]
    )
