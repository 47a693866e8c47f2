"""Pastes faces into larger scenes, so that a detector has to find them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

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
    block = max(1, int(1 / factor))
    small = cv2.resize(image, None, fx=1 / block, fy=1 / block, interpolation=cv2.INTER_AREA) \
        if block > 1 else image
    scale = np.array(image.shape[1::-1]) / small.shape[1::-1]
    shift = origin + factor * (scale - 1) / 2
    matrix = np.array([[factor * scale[0], 0, shift[0]], [0, factor * scale[1], shift[1]]])
    cv2.warpAffine(small, matrix, SIZE, dst=canvas, flags=cv2.INTER_LINEAR,
                   borderMode=cv2.BORDER_TRANSPARENT)
    return Scene(canvas, factor, origin)
