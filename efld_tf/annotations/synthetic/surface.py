"""The head in space: a star-shaped base, relief, hair volume and ears.

A place on the head is (angle, s): the angle around the vertical axis in radians, 0 at the nose and
positive to the image's right, and the height s in millimetres, equal to the plan's y except on the
skull cap, where it is arc length. Space is (x right, y down, z towards the viewer), millimetres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from efld_tf.annotations.synthetic import hair
from efld_tf.annotations.synthetic.curves import CHIN_Y, PLAN_RADIUS, Curves
from efld_tf.annotations.synthetic.parameters import FaceParameters

AXIS_Z = -75.0  # the vertical axis of the head
CAP_S = -70.0  # above this the skull closes like a quarter circle
CAP_HEIGHT = 84.0
TOP_S = CAP_S - CAP_HEIGHT * np.pi / 2 + 1.0
BOTTOM_S = 270.0
_BACK_DEPTH = 98.0


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.minimum(np.maximum(x, 0), 1)
    return x * x * (3 - 2 * x)


@dataclass(frozen=True)
class Profile:
    """A smooth curve through points that does not overshoot them (monotone cubic, as PCHIP).

    SciPy's takes a millisecond to build, which matters because every face needs three.
    """

    x: np.ndarray
    y: np.ndarray
    slope: np.ndarray

    @staticmethod
    def through(xs: Sequence[float], ys: Sequence[float]) -> Profile:
        """The curve through points with rising `xs`; it is constant beyond the ends."""
        x, y = np.asarray(xs, float), np.asarray(ys, float)
        step, rise = np.diff(x), np.diff(y) / np.diff(x)
        before, after = rise[:-1], rise[1:]
        first, second = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
        product = before * after
        weighted = first * after + second * before
        safe = np.where(product > 0, weighted, 1)
        inner = np.where(product > 0, (first + second) * product / safe, 0)
        return Profile(x, y, np.concatenate([rise[:1], inner, rise[-1:]]))

    def __call__(self, at: np.ndarray) -> np.ndarray:
        """Heights at `at`, of its shape, float32."""
        at = np.minimum(np.maximum(at, self.x[0]), self.x[-1])
        i = np.minimum(np.searchsorted(self.x, at, side="right") - 1, len(self.x) - 2)
        step = self.x[i + 1] - self.x[i]
        t = (at - self.x[i]) / step
        start, end = (1 + 2 * t) * (1 - t) ** 2, t * t * (3 - 2 * t)
        bend = step * t * (1 - t) * ((1 - t) * self.slope[i] - t * self.slope[i + 1])
        return (start * self.y[i] + end * self.y[i + 1] + bend).astype(np.float32)


@dataclass(frozen=True)
class Head:
    """The surface of one face."""

    face: FaceParameters

    @cached_property
    def curves(self) -> Curves:
        """The outlines of its features."""
        return Curves(self.face)

    @cached_property
    def _profiles(self) -> tuple[Profile, Profile]:
        """Half width and front depth of the head by height, without nose and neck."""
        shape, low = self.face.shape, self.curves.lowered
        width = Profile.through(
            [CAP_S, -40, -10, 15, float(low(34)), float(low(53)), float(low(77)), 300],
            [69.5, 72, 72, 70, 66 + 0.7 * shape.jaw_width, 59.5 + shape.jaw_width, 54, 54],
        )
        depth = Profile.through(
            [CAP_S, -52, -42, -20, 0, 15, 30, *low([43, 56, 67, 76]), 300],
            [88.5 + shape.forehead_bulge, 87, 84.5, 87, 90, 92.5, 93.5, 89, 88, 84, 80, 80],
        )
        return width, depth

    @cached_property
    def _nose_height(self) -> Profile:
        nose, shape = self.curves.nose, self.face.shape
        high = shape.nose_height
        middle = (nose.nasion + nose.tip) / 2
        return Profile.through(
            [nose.nasion - 14, nose.nasion, middle, nose.tip - 3, nose.tip + 2, nose.tip + 8,
             nose.base, nose.base + 5],
            [0, 2.5 * high, 12.0 * high + shape.nose_bump, 22.5 * high, 23.0 * high, 16 * high,
             5.5 * high, 0],
        )  # fmt: skip

    def relief(self, angle: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Height of the features above the base, in mm; angle and s are broadcast."""
        sine = np.sin(angle)
        x = PLAN_RADIUS * np.where(np.cos(angle) > 0, sine, np.sign(angle) * (2 - np.abs(sine)))
        away = np.abs(x)
        return self._nose_relief(away, s) + self._soft_relief(x, away, s) + self._lip_relief(x, s)

    def _nose_relief(self, away: np.ndarray, s: np.ndarray) -> np.ndarray:
        nose, shape = self.curves.nose, self.face.shape
        width = np.interp(
            s, [nose.nasion - 5, (nose.nasion + nose.tip) / 2, nose.tip, nose.base],
            [6.5 * shape.nose_bridge_width, 7.6 * shape.nose_bridge_width,
             8.6 * shape.nose_width, 7.5 * shape.nose_width],
        )  # fmt: skip
        width = width.astype(np.float32)
        height = self._nose_height(s)
        ridge = height * np.exp(-((away / width) ** 2) * 0.8)
        wing = _bump(away, s, nose.half_width - 4.2, nose.base - 6.0, 3.6, 4.6, 9.0)
        crease = _bump(away, s, nose.half_width + 2.2, nose.base - 7.0, 2.2, 6.0, -1.6)
        nostril = _bump(away, s, 5.8 * shape.nose_width, nose.base - 1.2, 2.6, 1.8, -2.5)
        return ridge + wing + crease + nostril

    def _soft_relief(self, x: np.ndarray, away: np.ndarray, s: np.ndarray) -> np.ndarray:
        shape, expression, low = self.face.shape, self.face.expression, self.curves.lowered
        eye_x, eye_y = shape.eye_distance, shape.eye_y
        right, left = (np.float32(max(0.0, value)) for value in expression.smile)
        smile = np.where(x < 0, right, left)
        aged = self.face.look.age
        fold = 15 + 0.78 * (s - self.curves.nose.base + 4)
        fold_depth = -(0.4 + 1.1 * aged + 1.3 * smile)
        along = np.exp(-(((s - 17) / 11) ** 2))
        return (
            _bump(away, s, eye_x, eye_y - 2, 14, 10.5, -shape.eye_depth)
            + _bump(away, s, eye_x - 15, eye_y - 2, 5, 8, -0.5 * shape.eye_depth)
            + _bump(away, s, eye_x + 0.5, eye_y, 9, 6.5, shape.eye_depth - 0.8)
            + _bump(away, s, eye_x - 2, -57 + shape.brow_y, 20, 5.5, 1.5 + shape.brow_ridge)
            + _bump(away, s, 43, -9, 16, 13, shape.cheek_height)
            + _bump(away, s, 36, 2, 12, 11, 2.8) * smile
            + fold_depth * np.exp(-(((away - fold) / 2.4) ** 2)) * along
            + _bump(away, s, 0, 27, 22, 16, 2.5)
            + _bump(away, s, 0, float(low(45)), 15, 4.5, -2.5)
            + _bump(away, s, 0, float(low(58)), 12, 8.5, shape.chin_height)
            + _bump(away, s, 0, self.curves.nose.base + 8, 2.2, 5, -0.9)
            + _bump(away, s, 48, 30, 14, 18, -2.0)
        )

    def _lip_relief(self, x: np.ndarray, s: np.ndarray) -> np.ndarray:
        half = self.curves.mouth_half_width
        q = np.clip(x / half, -1, 1)
        upper_out, upper_in, lower_in, lower_out = (
            edge[..., 1].astype(np.float32) for edge in self.curves.lips(q)
        )
        fade = np.clip(1 - q**2, 0, 1) ** 0.6
        pucker = 1 + 0.8 * self.face.expression.pucker
        top = _ridge(s, upper_out, upper_in) * 3.0
        bottom = _ridge(s, lower_in, lower_out) * 4.0
        line = np.exp(-(((s - (upper_in + lower_in) / 2) / 1.4) ** 2)) * -1.5
        gap = lower_in - upper_in
        inside = smoothstep((s - upper_in) / 2) * smoothstep((lower_in - s) / 2)
        cavity = -4.0 * inside * np.minimum(gap / 4, 1)
        corner = np.exp(-(((np.abs(x) - half - 1) / 2.5) ** 2) - ((s - upper_in) / 3) ** 2) * -1.4
        return (top + bottom) * fade * pucker + (line + cavity) * fade + corner

    def surface(self, angle: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Places (broadcast angle and s) on the skin, under any hair, as points [..., 3] in mm."""
        angle, s = np.asarray(angle, np.float32), np.asarray(s, np.float32)
        bald = np.zeros(np.broadcast_shapes(angle.shape, s.shape), np.float32)
        return self._points(angle, s, self.relief(angle, s), bald)

    def haired(self, angle: np.ndarray, s: np.ndarray, relief: np.ndarray) -> np.ndarray:
        """The outside of the head, hair included; `relief` is that of the same places."""
        return self._points(angle, s, relief, hair.coverage(self.face.look, angle, s))

    def _points(
        self, angle: np.ndarray, s: np.ndarray, relief: np.ndarray, hair_alpha: np.ndarray
    ) -> np.ndarray:
        shape = self.face.shape
        profile_width, profile_depth = self._profiles
        cap = np.clip((CAP_S - s) / CAP_HEIGHT, 0, np.pi / 2)
        body = np.maximum(s, CAP_S)
        shrink = np.cos(cap)
        width = profile_width(body) * shrink
        depth = profile_depth(body) * shrink
        sine, cosine = np.sin(angle), np.cos(angle)
        back = _BACK_DEPTH * shrink
        x = width * sine
        z = AXIS_Z + np.where(cosine > 0, depth, back) * cosine
        neck = smoothstep((s - hair.skull_edge(angle, self.curves)) / 17 + 0.12)
        neck = neck * (1 - hair_alpha * hair.drapes(self.face.look))
        neck_x, neck_z = self._neck(sine, cosine, s)
        x = x + (neck_x - x) * neck
        z = z + (neck_z - z) * neck
        out = relief * (1 - neck) * shrink
        out = out + hair_alpha * hair.thickness(self.face.look, angle, s)
        y = np.where(s < CAP_S, CAP_S - CAP_HEIGHT * np.sin(cap), s)
        y = y - out * np.sin(cap)
        level = np.cos(cap)
        x = x + out * sine * level
        z = z + out * cosine * level
        x, y, z = np.broadcast_arrays(x * shape.width, y * shape.length, z)
        return np.stack([x, y, z], -1).astype(np.float32)

    def _neck(
        self, sine: np.ndarray, cosine: np.ndarray, s: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        chin = float(self.curves.lowered(CHIN_Y))
        shoulder = smoothstep((s - chin - 28) / 70) ** np.float32(1.3)
        width = 49 + 0.6 * self.face.shape.jaw_width + 115 * shoulder
        depth = np.where(cosine > 0, 46 + 12 * shoulder, 50 + 10 * shoulder)
        return width * sine, AXIS_Z - 12 + depth * cosine

    @cached_property
    def _ear_roots(self) -> np.ndarray:
        return self.surface(np.radians([-86.0, 86.0]), np.full(2, -17.0))

    def ear(self, side: int, rows: int = 7, columns: int = 20) -> np.ndarray:
        """Points [rows, columns, 3] of an ear: rows from its middle to its rim."""
        shape = self.face.shape
        sign = 2 * side - 1
        radius = np.linspace(0, 1, rows)[:, None]
        around = np.linspace(0, 2 * np.pi, columns)[None]
        flare = np.radians(shape.ear_flare)
        # An egg: wide on top, its lobe narrow.
        tall = 29 * shape.ear_size * radius * -np.cos(around)
        wide = 16.5 * shape.ear_size * radius * np.sin(around) * (1 - 0.28 * tall / 29)
        wide = wide + 12 - 0.22 * tall
        lift = 3.0 * np.exp(-(((radius - 0.84) / 0.13) ** 2)) - 3.5 * np.exp(-((radius / 0.5) ** 2))
        root = self._ear_roots[side]
        out = wide * np.sin(flare) + lift * np.cos(flare)
        back = wide * np.cos(flare) - lift * np.sin(flare)
        x = root[0] + sign * out
        return np.stack(np.broadcast_arrays(x, root[1] + 2 + tall, root[2] - 4 - back), -1).astype(
            np.float32
        )


def _bump(
    x: np.ndarray, s: np.ndarray, x0: float, s0: float, wide: float, tall: float, height: float
) -> np.ndarray:
    """A Gaussian hill; separable, so that it is cheap on a grid."""
    return height * np.exp(-0.5 * ((x - x0) / wide) ** 2) * np.exp(-0.5 * ((s - s0) / tall) ** 2)


def _ridge(s: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """A hill between two heights that may coincide."""
    half = np.maximum((end - start) / 2, 0.6)
    return np.exp(-0.8 * ((s - (start + end) / 2) / half) ** 2)
