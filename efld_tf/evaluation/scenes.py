"""Faces pasted into larger scenes, so that a detector has to find them."""

from __future__ import annotations

import hashlib

import cv2
import numpy as np

# Share of the scene's shorter side that the face's longest side takes, at random.
FACE_SHARES = (0.15, 0.6)
SIZE = (1280, 960)  # width and height of the scene


def scene(
    image: np.ndarray, points: np.ndarray, key: str, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """A face's photo at a random size and place of a scene that is otherwise a smooth pattern.

    Args:
      image: [H, W, 3] uint8 RGB; it is resized so that the face has a random size, and what of it
        goes beyond the scene is cut off.
      points: [N, 2] in pixels of the image.
      key: of the face: with the seed it fixes all that is random.

    Returns:
      The scene [960, 1280, 3] uint8, and the points in it [N, 2]. The face is whole.
    """
    digest = hashlib.sha256(f"{seed}:{key}".encode()).digest()
    rng = np.random.default_rng(int.from_bytes(digest[:8], "little"))
    low, high = points.min(axis=0), points.max(axis=0)
    share = np.exp(rng.uniform(*np.log(FACE_SHARES)))
    factor = share * min(SIZE) / float((high - low).max())
    # Pixels grow by the same factor in both directions, centres at whole numbers.
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
    return canvas, points * factor + origin
