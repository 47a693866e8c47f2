"""The flattened head as an image, with maps from places on the head, and brushes that paint on it.

The head fills the columns left of the ears' strip. The face itself is mapped at a constant number
of pixels a millimetre; skull, back and shoulders are squeezed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from efld_tf.annotations.synthetic.curves import PLAN_RADIUS, plan_angle
from efld_tf.annotations.synthetic.surface import BOTTOM_S, TOP_S

_FACE_ANGLE = np.radians(72.0)
_BACK_ANGLE = np.radians(158.0)
_FACE_TOP, _FACE_BOTTOM = -78.0, 106.0
_SUBPIXEL_BITS = 4
_AROUND = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE = np.stack([np.cos(_AROUND), np.sin(_AROUND)], -1)


@dataclass
class Atlas:
    """Geometry of the texture, at `scale` pixels a millimetre on the face."""

    scale: float
    angle_knots: np.ndarray = field(init=False)
    column_knots: np.ndarray = field(init=False)
    s_knots: np.ndarray = field(init=False)
    row_knots: np.ndarray = field(init=False)
    width: int = field(init=False)  # the width of the head's part
    height: int = field(init=False)
    ear: tuple[int, int] = field(init=False)  # the rows and columns of one ear's patch

    def __post_init__(self) -> None:
        face = PLAN_RADIUS * _FACE_ANGLE * self.scale
        side, top, bottom = 20 * self.scale, 28 * self.scale, 18 * self.scale
        columns = np.cumsum([0, side, 2 * face, side])
        rows = np.cumsum([0, top, (_FACE_BOTTOM - _FACE_TOP) * self.scale, bottom])
        self.width, self.height = 2 * round(columns[-1] / 2), 2 * round(rows[-1] / 2)
        self.angle_knots = np.array([-_BACK_ANGLE, -_FACE_ANGLE, _FACE_ANGLE, _BACK_ANGLE])
        self.column_knots = columns * (self.width - 1) / columns[-1]
        self.s_knots = np.array([TOP_S, _FACE_TOP, _FACE_BOTTOM, BOTTOM_S])
        self.row_knots = rows * (self.height - 1) / rows[-1]
        self.ear = (round(40 * self.scale), round(14 * self.scale))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the whole texture."""
        return self.height, self.width + self.ear[1]

    def ear_patch(self, side: int) -> tuple[slice, slice]:
        """Rows and columns of an ear's patch."""
        return slice(side * self.ear[0], (side + 1) * self.ear[0]), slice(self.width, None)

    def places(self, rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Angles [1, C] in radians and heights s [R, 1] in mm of pixels, float32."""
        angle = np.interp(columns, self.column_knots, self.angle_knots)
        s = np.interp(rows, self.row_knots, self.s_knots)
        return angle[None].astype(np.float32), s[:, None].astype(np.float32)

    def place(self, plan: np.ndarray) -> np.ndarray:
        """Plan positions [N, 2] in mm as texture pixels [N, 2]."""
        pixels = np.empty(plan.shape)
        pixels[:, 0] = np.interp(plan_angle(plan[:, 0]), self.angle_knots, self.column_knots)
        pixels[:, 1] = np.interp(plan[:, 1], self.s_knots, self.row_knots)
        return pixels


@dataclass(frozen=True)
class Mask:
    """A soft shape: `weight` [h, w] float32 in [0, 1] whose corner is at `corner` (x, y)."""

    corner: tuple[int, int]
    weight: np.ndarray

    def of(self, image: np.ndarray) -> np.ndarray:
        """The part of an image [..., H, W] under the mask (a view)."""
        x, y = self.corner
        return image[..., y : y + self.weight.shape[0], x : x + self.weight.shape[1]]


class Painter:
    """Paints shapes, given in the plan's millimetres, on atlas planes [3, H, W] float32."""

    def __init__(self, atlas: Atlas, image: np.ndarray):
        self.atlas = atlas
        self.image = image

    def polygon(self, plan: np.ndarray, blur: float = 0.0) -> Mask:
        """The inside of a closed outline [N, 2]; `blur` is the softness in mm."""
        points = self.atlas.place(plan)
        mask, corner = self._canvas(points, blur)
        cv2.fillPoly(mask, [_fixed(points - corner)], 255, cv2.LINE_AA, _SUBPIXEL_BITS)
        return self._finish(mask, corner, blur)

    def line(self, plan: np.ndarray, width: float, blur: float = 0.0) -> Mask:
        """An open polyline [N, 2] of `width` mm."""
        return self.strokes(np.asarray(plan)[None], width, blur)

    def strokes(self, plans: np.ndarray, width: float, blur: float = 0.0) -> Mask:
        """Many polylines [M, N, 2] at once."""
        points = self.atlas.place(plans.reshape(-1, 2))
        pixels = width * self.atlas.scale
        mask, corner = self._canvas(points, blur + width)
        fixed = _fixed(points - corner).reshape(plans.shape)
        cv2.polylines(
            mask, [*fixed], False, 255, max(1, round(pixels)), cv2.LINE_AA, _SUBPIXEL_BITS
        )
        drawn = self._finish(mask, corner, blur)
        # A line cannot be drawn thinner than a pixel, so it is drawn fainter instead.
        return Mask(drawn.corner, drawn.weight * min(1.0, pixels))

    def ellipse(self, centre: np.ndarray, wide: float, tall: float, blur: float = 0.0) -> Mask:
        """An ellipse with half axes in mm."""
        return self.polygon(np.asarray(centre) + _CIRCLE * np.array([wide, tall]), blur)

    def tint(self, mask: Mask, colour: np.ndarray, opacity: float = 1.0) -> None:
        """Mixes a colour in."""
        region = mask.of(self.image)
        colour = np.asarray(colour, np.float32)[:, None, None]
        region += (colour - region) * (mask.weight * np.float32(opacity))

    def shade(self, mask: Mask, factor: float | np.ndarray) -> None:
        """Multiplies by a factor, or by one for each channel."""
        change = np.broadcast_to(np.asarray(factor, np.float32) - 1, 3)[:, None, None]
        region = mask.of(self.image)
        region *= 1 + mask.weight * change

    def clip(self, mask: Mask, other: Mask) -> Mask:
        """The common part of two masks."""
        field = np.zeros(self.image.shape[1:], np.float32)
        other.of(field)[:] = other.weight
        return Mask(mask.corner, mask.weight * mask.of(field))

    def _canvas(self, points: np.ndarray, blur: float) -> tuple[np.ndarray, np.ndarray]:
        # This runs for every shape and uses plain numbers, since arrays of two are slow.
        margin = 3 * blur * self.atlas.scale + 3
        low, high = [], []
        for axis, limit in enumerate((self.atlas.width, self.atlas.height)):
            values = points[:, axis]
            low.append(min(max(int(values.min() - margin), 0), limit - 1))
            high.append(min(max(int(values.max() + margin) + 2, low[-1] + 1), limit))
        return np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8), np.array(low)

    def _finish(self, mask: np.ndarray, corner: np.ndarray, blur: float) -> Mask:
        mask = blurred(mask, blur * self.atlas.scale)
        weight = mask.astype(np.float32) * (1 / 255)
        return Mask((int(corner[0]), int(corner[1])), weight)


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of `sigma` pixels; wide ones are computed at a lower resolution."""
    if sigma < 0.25:
        return image
    factor = int(sigma / 2)
    height, width = image.shape[:2]
    if factor < 2 or min(height, width) < 4 * factor:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    size = (-(-width // factor), -(-height // factor))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma / factor)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cell: float) -> np.ndarray:
    """Noise [H, W] float32 of about unit deviation whose blobs are `cell` pixels wide."""
    small = (max(2, int(shape[0] / cell) + 2), max(2, int(shape[1] / cell) + 2))
    noise = rng.standard_normal(small, dtype=np.float32)
    return cv2.resize(noise, shape[::-1], interpolation=cv2.INTER_CUBIC)
