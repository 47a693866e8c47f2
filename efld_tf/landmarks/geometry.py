"""Boxes, crops and affines, and the pixel conventions of all of them.

Image coordinates are in pixels with **pixel centres at whole numbers**: the top-left pixel's centre
is (0, 0), its outer corner (-0.5, -0.5). A crop's coordinates `u` are in the unit square, where
pixel j of W has its centre at u = (j + 0.5) / W. Affines are [2, 3] matrices that map column
vectors (x, y, 1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import cv2
import numpy as np

from efld_tf.arrays import Box, Float64s, Floats, Image
from efld_tf.errors import EfldError

# Crop sides or offsets of more boxes or images than this come from damaged annotations.
LARGEST = 100.0
# A stretched crop that is this many times as high as wide, or as wide as high, does, too.
MOST_ASPECT = 10.0
# Crops that follow from a detector's face or from points lie on a grid of so many parts of a pixel
# and of a radian, so that other CPUs and ports, whose numbers differ in the last digits, cut out
# the same pixels: an integer model answers one other level of a pixel with other points.
PIXEL_PARTS, RADIAN_PARTS = 64, 8192
# Their centres are off it by this much: on it, an upright crop's pixels would lie at ties of the
# 1/1024 pixel to which OpenCV rounds places, where the last digit decides.
OFF_TIES = 2.0**-17
# The longest side of a face's crop in pixels, as it is stored and as a model sees it.
LARGEST_CROP = 2048
# The mean places of the schemas' ANCHORS (eye centres, mouth corners) in the unit square of the
# reference crop, which is 1.25 times the tight box of the 68 iBUG points: the means over HELEN's
# training faces, made symmetric. They define how much of a crop a face fills.
REFERENCE_ANCHORS = np.array(
    [[0.3317, 0.2790], [0.6683, 0.2790], [0.3517, 0.6255], [0.6483, 0.6255]]
)
# The place between the eyes there.
BETWEEN_EYES = (0.5, 0.279)


@dataclass(frozen=True)
class Crop:
    """A square of an image, in image pixels, or an upright rectangle, stretched into a square.

    Attributes:
      center_x, center_y: its centre.
      side: its side; of a rectangle, its width.
      angle: the angle by which it is turned about its centre, in radians, clockwise as seen (x to
        the right, y down): a head that leans by this angle is upright in it.
      aspect: height / width, above 0.

    Raises:
      EfldError: a rectangle is turned, also as the result of the methods: it would be skewed in a
        crop of another angle.
    """

    center_x: float
    center_y: float
    side: float
    angle: float = 0.0
    aspect: float = 1.0

    def __post_init__(self) -> None:
        if self.aspect != 1 and self.angle:
            raise EfldError(f"a crop of height / width {self.aspect:g} cannot be turned: only "
                            "squares can")

    @classmethod
    def of_similarity(cls, matrix: Floats, size: int) -> Crop:
        """The crop whose `affine(size)` is a similarity [2, 3] without reflection.

        Raises:
          EfldError: the matrix stretches, skews or reflects.
        """
        (a, b), (c, d) = matrix[:, :2]
        if max(abs(a - d), abs(b + c)) > 1e-4 * math.hypot(a, b):
            raise EfldError(f"expected a similarity without reflection, got {matrix.tolist()}")
        x, y = apply_affine(invert_affine(matrix), np.array([size / 2 - 0.5, size / 2 - 0.5]))
        scale = math.sqrt(np.linalg.det(matrix[:, :2]))
        return cls(float(x), float(y), size / scale, math.atan2(matrix[0, 1], matrix[0, 0]))

    @property
    def origin(self) -> Floats:
        """The top left corner [2] of the crop, in image pixels."""
        return self.from_unit(np.zeros(2))

    @property
    def sides(self) -> Float64s:
        """Its width and its height [2], in image pixels."""
        return np.array([self.side, self.side * self.aspect])

    @property
    def mean_side(self) -> float:
        """The root of width times height in image pixels, by which depths are measured."""
        return self.side * math.sqrt(self.aspect)

    @property
    def axes(self) -> Floats:
        """The crop's sides [2, 2] along its x and its y, in image pixels."""
        cosine, sine = math.cos(self.angle), math.sin(self.angle)
        directions: Float64s = np.array([[cosine, sine], [-sine, cosine]])
        return directions * self.sides[:, None]

    def to_unit(self, points: Floats) -> Floats:
        """Image points [..., 2] in pixels as points in the crop's unit square."""
        if not self.angle:
            return (points - self.origin) / self.sides
        return (points - self.origin) @ self.axes.T / self.side**2

    def from_unit(self, points: Floats) -> Floats:
        """Points [..., 2] of the crop's unit square as image points in pixels."""
        centre: Float64s = np.array([self.center_x, self.center_y])
        if not self.angle:
            return points * self.sides + (centre - self.sides / 2)
        return (points - 0.5) @ self.axes + centre

    def on_grid(self) -> Crop:
        """The nearest square on the grid of `PIXEL_PARTS` and `RADIAN_PARTS`."""
        def nearest(value: float, parts: int) -> float:
            return math.floor(value * parts + 0.5) / parts

        return Crop(nearest(self.center_x, PIXEL_PARTS) + OFF_TIES,
                    nearest(self.center_y, PIXEL_PARTS) + OFF_TIES,
                    max(nearest(self.side, PIXEL_PARTS), 1 / PIXEL_PARTS),
                    nearest(self.angle, RADIAN_PARTS))

    def scaled(self, factor: float) -> Crop:
        """The concentric crop whose sides are `factor` times as long."""
        return replace(self, side=self.side * factor)

    def within(self, inner: Crop) -> Crop:
        """A crop that is given in this one's unit square, in image pixels."""
        x, y = self.from_unit(np.array([inner.center_x, inner.center_y]))
        return Crop(float(x), float(y), self.side * inner.side, self.angle + inner.angle,
                    self.aspect * inner.aspect)

    def around(self, inner: Crop) -> Crop:
        """The crop in whose unit square this one is `inner`: what `within` was called on.

        Raises:
          EfldError: one of the two is no square.
        """
        if not self.aspect == inner.aspect == 1:
            raise EfldError("only squares have a crop around them, got height / width "
                            f"{self.aspect:g} and {inner.aspect:g}")
        turned = Crop(0.0, 0.0, self.side / inner.side, self.angle - inner.angle)
        x, y = turned.from_unit(np.array([inner.center_x, inner.center_y]))
        return replace(turned, center_x=self.center_x - float(x), center_y=self.center_y - float(y))

    def affine(self, size: int) -> Floats:
        """The affine [2, 3] from image pixels to the pixels of the crop resized to `size`."""
        linear = self.axes * (size / self.sides**2)[:, None]
        shift = -linear @ self.origin - 0.5
        return np.concatenate([linear, shift[:, None]], axis=1)


def check_zoom(zoom: float) -> None:
    """Raises EfldError for a zoom that shows no face."""
    if not 0.25 <= zoom <= 4:
        raise EfldError(f"zoom: expected 0.25 to 4, got {zoom}")


def check_mean_shape(shape: Sequence[Sequence[float]], count: int, place: str) -> None:
    """Checks a mean shape [N, 2] in crop sides, as files have it.

    Args:
      count: the number N of points that it must have.
      place: what it is called in the message.

    Raises:
      EfldError: it has other points, or one that is no part of a face in the crop.
    """
    if [len(shape), *{len(point) for point in shape}] != [count, 2]:
        raise EfldError(f"{place}: expected {count} points (x, y)")
    far = [value for point in shape for value in point if not abs(value) < LARGEST]
    if far:
        raise EfldError(f"{place}: expected less than {LARGEST:g} crop sides, got {far[0]:g}")


def check_scales(
    scale: float | None, scale_x: float | None, scale_y: float | None, largest: float
) -> None:
    """Checks the scales of a crop as files have them; none at all is for the caller to judge.

    Raises:
      EfldError: one is not above 0 and below `largest`, one of the pair is missing, or there are
        both a scale and the pair.
    """
    for name, value in (("scale", scale), ("scale_x", scale_x), ("scale_y", scale_y)):
        if value is not None and not 0 < value < largest:
            limit = f" and below {largest:g}" if largest < math.inf else ", and finite"
            raise EfldError(f"{name}: expected a number above 0{limit}, got {value}")
    if (scale_x is None) != (scale_y is None):
        raise EfldError(f"scale_x, scale_y: expected both or none, got {scale_x} and {scale_y}")
    if scale is not None and scale_x is not None:
        raise EfldError("scale: expected one scale, or scale_x and scale_y; leave one of both out")


def zoomed(zoom: float) -> Crop:
    """The part of the reference crop that a crop of that zoom shows, in its unit square.

    The place between the eyes stays the same.
    """
    x, y = (eyes + (0.5 - eyes) / zoom for eyes in BETWEEN_EYES)
    return Crop(x, y, 1 / zoom)


@dataclass(frozen=True)
class CropRule:
    """The rule by which a crop follows from a face's box; it is saved with every model.

    It has either a `scale`, for a square about the box, or `scale_x` and `scale_y`, for a
    rectangle that is stretched into the square, as PIPNet's code does with all boxes (H. Jin et
    al., "Pixel-in-Pixel Net", IJCV 2021). What of it lies outside the image is black; PIPNet clips
    it to the image instead, so that faces at the edge are stretched in another way there.

    Attributes:
      box: `points`, the tight box of all points of an annotation in `schema`, or `file`, the box
        in the annotation itself (for points that do not span a face).
      schema: the schema of the annotation that the box comes from.
      scale: side of the crop, divided by the longest side of the box; None with the other two.
      offset_x, offset_y: crop centre minus box centre, divided by the longest side of the box; in a
        stretched crop, divided by its width and by its height.
      zoom: side of the reference crop, divided by the side of the crop; it tells which part of a
        face `scale` and the offsets show.
      scale_x, scale_y: width and height of a stretched crop, divided by those of the box; None
        with a scale.
    """

    box: str
    schema: str
    scale: float | None = None
    offset_x: float = 0.0
    offset_y: float = 0.0
    zoom: float = 1.0
    scale_x: float | None = None
    scale_y: float | None = None

    def __post_init__(self) -> None:
        if self.box not in ("points", "file"):
            raise EfldError(f"box: expected 'points' or 'file', got {self.box!r}")
        check_scales(self.scale, self.scale_x, self.scale_y, LARGEST)
        if self.scale is None and not self.stretched:
            raise EfldError("scale: expected a number, or scale_x and scale_y")
        if not max(abs(self.offset_x), abs(self.offset_y)) < LARGEST:
            raise EfldError(f"offset_x, offset_y: expected below {LARGEST:g}, got {self.offset_x} "
                            f"and {self.offset_y}")
        check_zoom(self.zoom)

    @property
    def name(self) -> str:
        """The schema and the kind of box that the crop is made from, e.g. `ibug68-points`."""
        return f"{self.schema}-{self.box}"

    @property
    def stretched(self) -> bool:
        """Whether a rectangle is stretched into the crop."""
        return self.scale_x is not None

    @property
    def scales(self) -> tuple[float, float]:
        """What the box's sides are multiplied by, in x and y; of a square the same twice."""
        x, y = (self.scale if value is None else value for value in (self.scale_x, self.scale_y))
        assert x is not None and y is not None  # `__post_init__` has checked them
        return x, y

    @property
    def scale_text(self) -> str:
        """The scale, or both, in words."""
        x, y = self.scales
        return f"scale {x:g} x {y:g}, stretched" if self.stretched else f"scale {x:g}"

    def need_scale(self, purpose: str) -> float:
        """The one scale of a crop that is a square.

        Args:
          purpose: what it is needed for, as the message begins.

        Raises:
          EfldError: the rule stretches.
        """
        if self.scale is None:
            raise EfldError(
                f"{purpose}: expected square crops, but those of this model's rule, {self.name}, "
                "are stretched (scale_x, scale_y), which works with annotated boxes alone; train "
                "with a crop.scale, or without one, for this")
        return self.scale

    def fields(self) -> dict[str, Any]:
        """The rule as files have it, without what it does not have.

        A stretched one has no `scale`, so that readers who know of nothing else refuse it.
        """
        unset = [name for name in ("scale", "scale_x", "scale_y") if getattr(self, name) is None]
        return {name: value for name, value in asdict(self).items() if name not in unset}

    def crop(self, box: Box) -> Crop:
        """The crop for a box (x0, y0, x1, y1) in pixels.

        Raises:
          EfldError: the box is empty or not finite, or for a stretched crop too narrow.
        """
        x0, y0, x1, y1 = (float(v) for v in box)
        width = height = max(x1 - x0, y1 - y0)
        if self.stretched:
            width, height = x1 - x0, y1 - y0
        if not (np.isfinite([x0, y0, x1, y1]).all() and min(width, height) > 0):
            raise EfldError(f"an empty or infinite face box: {[x0, y0, x1, y1]}")
        scale_x, scale_y = self.scales
        aspect = height * scale_y / (width * scale_x) if self.stretched else 1.0
        if not 1 / MOST_ASPECT <= aspect <= MOST_ASPECT:
            raise EfldError(f"a face box of {width:g} x {height:g}: expected a stretched crop at "
                            f"most {MOST_ASPECT:g} times as high as wide, or as wide as high")
        return Crop((x0 + x1) / 2 + self.offset_x * width, (y0 + y1) / 2 + self.offset_y * height,
                    width * scale_x, aspect=aspect)


def tight_box(points: Floats) -> Floats:
    """The smallest box (x0, y0, x1, y1) around points [N, 2]."""
    return np.concatenate([points.min(axis=0), points.max(axis=0)])


def squared(box: Box) -> Float64s:
    """The square (x0, y0, x1, y1) with a box's middle and its longest side."""
    x0, y0, x1, y1 = (float(v) for v in box)
    half = max(x1 - x0, y1 - y0) / 2
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    return np.array([x - half, y - half, x + half, y + half])


def apply_affine(matrix: Floats, points: Floats) -> Floats:
    """Maps points [..., 2] by an affine [2, 3]."""
    linear: Floats = matrix[:, :2]
    return points @ linear.T + matrix[:, 2]


def invert_affine(matrix: Floats) -> Floats:
    """The inverse of an affine [2, 3]."""
    linear: Floats = np.linalg.inv(matrix[:, :2])
    return np.concatenate([linear, -(linear @ matrix[:, 2:])], axis=1)


def compose_affines(second: Floats, first: Floats) -> Floats:
    """The affine [2, 3] that applies `first`, then `second`."""
    bottom = [[0.0, 0.0, 1.0]]
    composed: Floats = np.concatenate([second, bottom]) @ np.concatenate([first, bottom])
    return composed[:2]


def extract_crop(image: Image, crop: Crop, size: int, out: Image | None = None) -> Image:
    """Resamples a crop of `image` [H, W, 3] uint8 to [size, size, 3]; outside the image is black.

    The result is written to `out` [size, size, 3] uint8, if that is given, without a copy.

    If the crop shrinks by two or more, whole blocks of pixels are averaged first, so that fine
    texture does not alias; the remaining factor (below 2) and the sub-pixel shift are bilinear. In
    a stretched crop, x and y shrink each by its own factor.

    Raises:
      EfldError: the crop has no size, or is absurdly larger than the image.
    """
    height, width = image.shape[:2]
    if not crop.sides.min() > 0:
        raise EfldError(f"a crop of {crop.sides.min():g} px")
    if (longest := crop.sides.max()) > LARGEST * max(height, width):
        raise EfldError(f"a crop of {longest:.0f} px in an image of {width} x {height}")
    # A factor of 1.9999999 is 2 but for rounding.
    block = np.maximum(1, (crop.sides / size + 1e-6).astype(int))
    # Only the region around the crop is read.
    corners = crop.from_unit(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    low = np.maximum(np.floor(corners.min(axis=0)).astype(int) - block, 0)
    high = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + block + 1, [width, height])
    if (high - low <= 0).any():
        out = np.empty((size, size, 3), np.uint8) if out is None else out
        out[:] = 0
        return out
    region = image[low[1] : high[1], low[0] : high[0]]
    if block.max() > 1:
        right, bottom = (int(n) for n in -(high - low) % block)
        region = cv2.copyMakeBorder(region, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        shrunk = (region.shape[1] // int(block[0]), region.shape[0] // int(block[1]))
        region = cv2.resize(region, shrunk, interpolation=cv2.INTER_AREA)
    # Pixel s of the region, shrunk or not, has its centre at block * s + (block - 1) / 2 + low.
    x, y = (block - 1) / 2 + low
    to_image = np.array([[block[0], 0, x], [0, block[1], y]])
    matrix = compose_affines(crop.affine(size), to_image)
    warped: Image = cv2.warpAffine(region, matrix, (size, size), dst=out, flags=cv2.INTER_LINEAR)
    return warped


def extract_aligned(image: Image, matrix: Floats, size: int) -> Image:
    """Resamples the square of `image` that a similarity maps to the result; see `extract_crop`.

    Args:
      image: [H, W, 3] uint8.
      matrix: [2, 3] similarity without reflection from image pixels to pixels of the result.
      size: side of the result in pixels.
    """
    return extract_crop(image, Crop.of_similarity(matrix, size), size)
