"""A small picture, how the kinds of photos are made of it, and what is decoded of them."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from efld_tf.annotations import decoding

Y, X = np.mgrid[0:48, 0:64]
RGB = np.stack([X * 4, Y * 5, (X + Y) * 2], axis=-1).astype(np.uint8)
PICTURE = Image.fromarray(RGB)
OTHER = Image.fromarray(255 - RGB)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    found = Image.Exif()
    found[ExifTags.Base.Orientation] = orientation
    return found


def decoded(content: bytes, upright: bool = False) -> np.ndarray:
    return decoding.decode(content, Path("a.jpg"), upright)


def apart(found: np.ndarray, expected: np.ndarray) -> int:
    """The largest difference of a channel."""
    assert found.shape == expected.shape and found.dtype == np.uint8
    assert found.flags.c_contiguous
    return int(np.abs(found.astype(int) - expected).max())
