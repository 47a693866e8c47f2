"""Photos that are turned in their plane, for tests of faces at any angle."""

from __future__ import annotations

import math

import cv2
import numpy as np

from efld_tf.landmarks.geometry import apply_affine


def turned(image: np.ndarray, points: np.ndarray, degrees: float) -> tuple[np.ndarray, np.ndarray]:
    """A photo turned clockwise, whole, with black corners; and points [N, 2] in it."""
    height, width = image.shape[:2]
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    size = (math.ceil(abs(width * cosine) + abs(height * sine)),
            math.ceil(abs(width * sine) + abs(height * cosine)))
    linear = np.array([[cosine, -sine], [sine, cosine]])
    shift = (np.array(size) - 1) / 2 - linear @ (np.array([width, height]) - 1) / 2
    matrix = np.column_stack([linear, shift])
    return cv2.warpAffine(image, matrix, size, flags=cv2.INTER_LINEAR), apply_affine(matrix, points)
