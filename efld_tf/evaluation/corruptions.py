"""A registry of corruptions, with levels, that test how a model copes with worse inputs.

A level means the same for large and small faces, and for models with other crops, because it is
stated in parts of the face's box: the square on the longest side of the box that the crop rule
starts from. A corruption either looks at another square of the photo (`squares`), or changes the
picture (`pixels`). The picture is the clean crop, resampled so that the box has `FACE_PIXELS`
pixels, whatever it has in the photo; the result is shrunk to the model's input.

Each face, corruption and level has its own generator of random numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from efld_tf.landmarks.geometry import Crop, CropRule

# Longest side of the box in the picture that pixel corruptions act on, which is about that of a
# face in a selfie of 640 x 480 pixels.
FACE_PIXELS = 200

# The exponent between exposure and pixel values: the gamma of sRGB, without its toe.
GAMMA = 2.2


def reach(square: Crop) -> float:
    """Side of the smallest square around the clean crop's centre that holds `square`.

    Args:
      square: in the unit square of the clean crop.
    """
    corners = square.from_unit(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    return 2 * float(np.abs(corners - 0.5).max())


@dataclass(frozen=True)
class Corruption:
    """A way to make a face harder, with its levels.

    Attributes:
      name: its name in results.
      title, unit: texts for people.
      clean: the level at which nothing is done; None if there is no such number.
      levels: the other levels.
    """

    name: str
    title: str
    unit: str
    clean: float | None
    levels: tuple[float, ...]

    def fits(self, box: Crop, level: float, limit: float) -> bool:
        """Whether a level can be shown for faces of a source.

        Args:
          box: the box in the unit square of the clean crop.
          limit: how much is stored around a crop, `EvaluationFaces.reach`.
        """
        return True


@dataclass(frozen=True)
class Moved(Corruption):
    """A corruption that looks at another square of the photo.

    Attributes:
      squares: (box, level) -> squares to look at, of which each face gets a random one. The box
        and the squares are in the unit square of the clean crop.
    """

    squares: Callable[[Crop, float], list[Crop]]

    def fits(self, box: Crop, level: float, limit: float) -> bool:
        """Whether all squares of a level are stored; see `Corruption`."""
        return max(reach(square) for square in self.squares(box, level)) <= limit * (1 + 1e-9)


@dataclass(frozen=True)
class Changed(Corruption):
    """A corruption that changes the pixels.

    Attributes:
      pixels: (picture [W, W, 3] uint8 RGB, box, level, generator) -> the changed picture, of any
        size. The box is in the pixels of the picture.
    """

    pixels: Callable[[np.ndarray, Crop, float, np.random.Generator], np.ndarray]


def unit_box(rule: CropRule) -> Crop:
    """The box's square in the unit square of the crop that the rule makes of it.

    Raises:
      EfldError: the rule stretches.
    """
    scale = rule.need_scale("robustness")
    return Crop(0.5 - rule.offset_x / scale, 0.5 - rule.offset_y / scale, 1 / scale)


def generator(face: str, corruption: str, level: float) -> np.random.Generator:
    """The generator of random numbers of a face (by its key), a corruption and a level."""
    digest = hashlib.sha256(f"{corruption} {level:g} {face}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:8], "little"))


def shifted(box: Crop, percent: float) -> list[Crop]:
    """The box moved by `percent` of its side: along x, along y or diagonally, either way."""
    step = box.side * percent / 100
    angles = [math.radians(45 * eighth) for eighth in range(8)]
    return [
        Crop(0.5 + step * math.cos(angle), 0.5 + step * math.sin(angle), 1.0)
        for angle in angles
    ]


def scaled(box: Crop, percent: float) -> list[Crop]:
    """The box `percent` larger (or smaller) about its centre, and so the crop made of it."""
    factor = 1 + percent / 100
    x, y = (c + (0.5 - c) * factor for c in (box.center_x, box.center_y))
    return [Crop(x, y, factor)]


def turned(box: Crop, degrees: float) -> list[Crop]:
    """The photo turned about the crop's centre, in either direction; the crop keeps its side."""
    return [Crop(0.5, 0.5, 1.0, sign * math.radians(degrees)) for sign in (1, -1)]


def blurred(
    picture: np.ndarray, box: Crop, percent: float, _: np.random.Generator
) -> np.ndarray:
    """A Gaussian blur whose standard deviation is `percent` of the box's side."""
    return cv2.GaussianBlur(picture, (0, 0), box.side * percent / 100)


def noisy(
    picture: np.ndarray, _: Crop, deviation: float, random: np.random.Generator
) -> np.ndarray:
    """Gaussian noise, drawn anew for each pixel and channel, in steps of the 255 of a channel."""
    noise = random.standard_normal(picture.shape, np.float32) * np.float32(deviation)
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def compressed(
    picture: np.ndarray, _: Crop, quality: float, __: np.random.Generator
) -> np.ndarray:
    """JPEG of that quality (libjpeg's scale, 1 to 100; colour at half the resolution)."""
    options = [cv2.IMWRITE_JPEG_QUALITY, int(quality)]
    encoded = cv2.imencode(".jpg", picture[..., ::-1], options)[1]
    return cv2.cvtColor(cv2.imdecode(encoded, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def darkened(
    picture: np.ndarray, _: Crop, stops: float, __: np.random.Generator
) -> np.ndarray:
    """The picture exposed by fewer stops: light divided by 2 ** stops, rounded to 8 bits again."""
    values = np.rint(np.arange(256) * 2 ** (-stops / GAMMA))
    return cv2.LUT(picture, values.astype(np.uint8))


def covered(
    picture: np.ndarray, box: Crop, percent: float, random: np.random.Generator
) -> np.ndarray:
    """Covers a random rectangle in the box, of `percent` of its area, with sides up to 1 : 1.5.

    It is covered by clouds with the mean and the covariance of the colours in the box, so that
    neither colour nor contrast tells it from the face.
    """
    longer = 1.5 ** random.uniform(-0.5, 0.5)
    sides = math.sqrt(percent / 100) * np.array([longer, 1 / longer])
    left_top = box.origin + random.uniform(size=2) * (1 - sides) * box.side
    low = np.rint(left_top).astype(int)
    high = np.rint(left_top + sides * box.side).astype(int)
    low, high = np.clip([low, high], 0, picture.shape[0])
    if not (high > low).all():
        return picture
    result = picture.copy()
    width, height = high - low
    result[low[1] : high[1], low[0] : high[0]] = _clouds(
        _colours(picture, box), height, width, random
    )
    return result


def coarse(
    picture: np.ndarray, box: Crop, pixels: float, _: np.random.Generator
) -> np.ndarray:
    """The face with `pixels` pixels along the box's side; it is enlarged again for the model."""
    side = max(1, round(picture.shape[0] * pixels / box.side))
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _colours(picture: np.ndarray, box: Crop) -> np.ndarray:
    """Every fourth pixel of every fourth row in the box: [P, 3]."""
    low = np.maximum(np.rint(box.origin).astype(int), 0)
    high = np.rint(box.origin + box.side).astype(int)
    return picture[low[1] : high[1] : 4, low[0] : high[0] : 4].reshape(-1, 3)


def _clouds(
    colours: np.ndarray, height: int, width: int, random: np.random.Generator
) -> np.ndarray:
    """Noise with the same contrast at every scale, as in photos, in the palette of some colours.

    Returns:
      [height, width, 3] uint8.
    """
    noise = np.zeros((height, width, 3), np.float32)
    for cells in (2, 4, 8, 16):
        grid = random.standard_normal((cells, cells, 3), np.float32)
        noise += cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR)
    noise = (noise - noise.mean(axis=(0, 1))) / (noise.std(axis=(0, 1)) + 1e-6)
    # A factor of the covariance turns independent channels into the palette of the face.
    covariance = np.cov(colours.astype(float), rowvar=False) + 1e-3 * np.eye(3)
    palette = noise @ np.linalg.cholesky(covariance).T.astype(np.float32)
    return np.clip(np.rint(palette + colours.mean(axis=0)), 0, 255).astype(np.uint8)


CORRUPTIONS: tuple[Moved | Changed, ...] = (
    Moved("box_shift", "box shift", "% of the box's longest side", 0,
          (2.5, 5, 10, 15, 20, 30), shifted),
    Moved("box_scale", "box scale", "% larger or smaller", 0,
          (-30, -20, -10, 10, 20, 30, 50), scaled),
    Moved("rotation", "in-plane rotation", "degrees", 0,
          (5, 10, 20, 30, 45, 60), turned),
    Changed("blur", "Gaussian blur", "deviation, % of the box", 0,
            (0.5, 1, 2, 3, 5), blurred),
    Changed("noise", "sensor noise", f"deviation, of 255, at {FACE_PIXELS} px a face", 0,
            (5, 10, 20, 40, 60), noisy),
    Changed("jpeg", "JPEG", f"quality, at {FACE_PIXELS} px a face", None,
            (60, 40, 20, 10, 5), compressed),
    Changed("darkness", "darkness", "stops less light", 0,
            (1, 2, 3, 4, 6, 8), darkened),
    Changed("occlusion", "occlusion", "% of the box's area", 0,
            (5, 10, 20, 30, 50), covered),
    Changed("resolution", "resolution", "px along the box", None,
            (100, 64, 48, 32, 24, 16), coarse),
)
