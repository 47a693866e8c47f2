"""Images with one soft spot at a known place, and where such a spot is."""

from __future__ import annotations

import numpy as np


def blob_image(width: int, height: int, x: float, y: float, sigma: float) -> np.ndarray:
    """[height, width, 3] uint8, black but for a Gaussian spot centred at (x, y)."""
    rows, columns = np.mgrid[:height, :width]
    spot = 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(spot).astype(np.uint8)[..., None], 3, axis=2)


def centroid(image: np.ndarray, background: float = 0) -> np.ndarray:
    """The centre of gravity (x, y) of what differs from the background, in pixels."""
    weight = np.abs(image.astype(float) - background).sum(axis=-1)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
