"""Photos that are stored turned, with the EXIF orientation that turns them back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from efld_tf.annotations.decoding import unturned_points

# What turns a shown picture into the stored one of each orientation.
STORED = {
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image),
    7: lambda image: image[::-1, ::-1].swapaxes(0, 1),
    8: lambda image: np.rot90(image, -1),
}


def write_turned(path: Path, shown: np.ndarray, orientation: int) -> Path:
    """Writes a picture [H, W, 3] uint8 so that programs that heed EXIF show it as it is."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    stored = np.ascontiguousarray(STORED[orientation](shown))
    Image.fromarray(stored).save(path, quality=95, exif=exif)
    return path


def stored_points(points: np.ndarray, shown: np.ndarray, orientation: int) -> np.ndarray:
    """The places of a shown picture's points in the stored one."""
    height, width = shown.shape[:2]
    return unturned_points(points, orientation, width, height)
