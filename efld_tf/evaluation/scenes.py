"""Pastes faces into larger scenes, and turns photos, so that a detector has to find them."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import cv2
import numpy as np

from efld_tf.landmarks.geometry import apply_affine

# Share of the scene's shorter side that the face's longest side takes, at random.
FACE_SHARES = (0.15, 0.6)
SIZE = (1280, 960)  # width and height of the scene


@dataclass(frozen=True, eq=False)
class Scene:
    """A photo pasted into a scene.

    Attributes:
      image: [960, 1280, 3] uint8 RGB.
      factor, origin: a place p of the photo, in pixels, is at p * factor + origin of the scene.
    """

    image: np.ndarray
    factor: float
    origin: np.ndarray

    def place(self, points: np.ndarray) -> np.ndarray:
        """Points [..., 2] of the photo in the scene, both in pixels."""
        return points * self.factor + self.origin


def paste(image: np.ndarray, points: np.ndarray, key: str, seed: int = 0) -> Scene:
    """Pastes a face's photo at a random size and place into a smooth pattern.

    Args:
      image: [H, W, 3] uint8 RGB; it is resized so that the face has a random size, and cut off at
        the border of the scene.
      points: [N, 2] of the face in pixels of the image, NaN where not annotated; all of them are
        in the scene.
      key: the key of the face; with the seed it determines all that is random.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    share = np.exp(rng.uniform(*np.log(FACE_SHARES)))
    factor = share * min(SIZE) / float((high - low).max())
    # Pixels grow by the same factor in both directions; their centres are at whole numbers.
    room = np.array(SIZE) - 1 - (high - low) * factor
    origin = rng.uniform(0, 1, 2) * room - low * factor
    coarse = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    canvas = cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)
    _draw(canvas, image, factor, origin)
    return Scene(canvas, factor, origin)


def _draw(canvas: np.ndarray, image: np.ndarray, factor: float, origin: np.ndarray) -> None:
    """Draws an image onto a canvas, `factor` times as large and its first pixel at `origin`."""
    block = max(1, int(1 / factor))  # pixels are averaged before they are left out
    small = cv2.resize(image, None, fx=1 / block, fy=1 / block, interpolation=cv2.INTER_AREA) \
        if block > 1 else image
    scale = np.array(image.shape[1::-1]) / small.shape[1::-1]
    shift = origin + factor * (scale - 1) / 2
    matrix = np.array([[factor * scale[0], 0, shift[0]], [0, factor * scale[1], shift[1]]])
    cv2.warpAffine(small, matrix, canvas.shape[1::-1], dst=canvas, flags=cv2.INTER_LINEAR,
                   borderMode=cv2.BORDER_TRANSPARENT)


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A photo turned clockwise, whole, with black corners.

    Args:
      image: [H, W, 3] uint8 RGB.
      points: [N, 2] in pixels of the image.

    Returns:
      The photo [H', W', 3], and the points in it.
    """
    height, width = image.shape[:2]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    size = (math.ceil(abs(width * cosine) + abs(height * sine)),
            math.ceil(abs(width * sine) + abs(height * cosine)))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    shift = (np.array(size) - 1) / 2 - linear @ (np.array([width, height]) - 1) / 2
    matrix = np.column_stack([linear, shift])
    whole = cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR)
    return whole, apply_affine(matrix, points)


def place(
    canvas: np.ndarray, image: np.ndarray, points: np.ndarray, size: float, middle: np.ndarray
) -> np.ndarray:
    """Draws a photo onto a canvas, so that the tight box of a face's points has a size and place.

    Args:
      canvas: [H, W, 3] uint8 RGB, which is drawn on.
      image: [h, w, 3] uint8 RGB.
      points: [N, 2] of the face in pixels of the image.
      size: the longest side of the box on the canvas in pixels.
      middle: [2] its middle there.

    Returns:
      The points on the canvas.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    factor = size / float((high - low).max())
    origin = middle - factor * (low + high) / 2
    _draw(canvas, image, factor, origin)
    return points * factor + origin
