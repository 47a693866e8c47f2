"""Decodes photos with Pillow, and HEIC with its plug-in pillow-heif, where that is installed."""

from __future__ import annotations

import contextlib
import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from efld_tf.errors import DataError

if TYPE_CHECKING:
    from PIL import Image

# The limit for images that OpenCV does not decode; for others it is OPENCV_IO_MAX_IMAGE_PIXELS.
MAX_PIXELS = 1 << 27

# Pillow raises these for damaged files, whatever the format.
DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, RuntimeError,
    IndexError, KeyError, TypeError, AssertionError, ZeroDivisionError, struct.error, zlib.error,
)  # fmt: skip
# What decoders take for a pixel of three colours of 16 bits, beside what they return.
_DECODER_BYTES = 12
_NOTHING = logging.NullHandler()
_ORIENTATION_TAG = 0x0112

# The sizes of the pictures in a HEIC file, before they are cropped: libheif decodes no larger ones
# (ISO/IEC 23008-12, 6.5.3). A box may have its length in 64 bits.
_HEIC_SIZE = re.compile(rb"ispe(?:\0{7}\x1c)?\0{4}(.{4})(.{4})", re.DOTALL)


def undecodable(path: Path, reason: str) -> DataError:
    """The error for a file that cannot be decoded."""
    return DataError(path, f"not an image that can be decoded: {reason}")


def damaged(path: Path, kind: str) -> DataError:
    """The error for a file of which a part is missing."""
    return undecodable(path, f"a truncated or damaged {kind} file")


def failed(error: Exception | None, kind: str, path: Path, pixels: int = 0) -> DataError:
    """The error for a file that a decoder has not decoded: damaged, or too large for the memory.

    Decoders that lack memory say so (Pillow, OpenCV), or only that they have failed (dav1d,
    libtiff). Then it is tried whether there would have been enough.

    Args:
      pixels: of the picture, as far as they are known.
    """
    lacking = isinstance(error, MemoryError) or "memory" in str(error).casefold()
    try:
        np.empty(pixels * _DECODER_BYTES, np.uint8)
    except MemoryError:
        lacking = True
    if lacking:
        return DataError(path, f"not enough memory to decode this {kind} file")
    return damaged(path, kind)


def decode(content: bytes, kind: str, path: Path) -> np.ndarray:
    """A photo's pixels as [H, W, 3] uint8 RGB.

    Raises:
      DataError: the file is damaged, has too many pixels or takes too much memory, or is HEIC and
        pillow-heif is missing.
    """
    with opened(content, kind, path) as image:
        if image is None:
            raise damaged(path, kind)
        try:
            return rgb(image)
        except DAMAGED as error:
            raise failed(error, kind, path, image.width * image.height) from error


def orientation(image: Image.Image) -> int:
    """The EXIF orientation of a photo, 1 to 8; 1, which is none, where it cannot be read.

    Raises:
      MemoryError: there is not enough memory to read it.
    """
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except MemoryError:  # A photo that lies on its side would be read as upright.
        raise
    except DAMAGED:
        return 1
    return value if value in range(1, 9) else 1


@contextlib.contextmanager
def opened(content: bytes, kind: str, path: Path) -> Iterator[Image.Image | None]:
    """Opens a photo, which reads its header; yields None if the header is damaged.

    Raises:
      DataError: the photo has too many pixels, or is HEIC and pillow-heif is missing.
    """
    from PIL import Image

    logging.getLogger("PIL").addHandler(_NOTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF, and many pixels, which are limited below
        try:
            image = _heic(content, path) if kind == "HEIC" else Image.open(
                io.BytesIO(content), formats=[kind])
        except Image.DecompressionBombError as error:
            raise undecodable(path, "too large") from error
        except DAMAGED as error:
            if isinstance(error, MemoryError):
                raise failed(error, kind, path) from error
            image = None
        if image is not None and image.width * image.height > MAX_PIXELS:
            raise undecodable(path, "too large")
        yield image


def _heic(content: bytes, path: Path) -> Image.Image:
    """Opens a HEIC file without telling Pillow, and thereby the user's program, of the plug-in."""
    for size in _HEIC_SIZE.findall(content):
        width, height = (int.from_bytes(side, "big") for side in size)
        if width * height > MAX_PIXELS:
            raise undecodable(path, "too large")
    try:
        from pillow_heif import HeifImageFile

        return HeifImageFile(io.BytesIO(content))
    except ImportError as error:
        raise undecodable(path, "HEIC is not supported; pip install pillow-heif, or convert it to "
                                "JPEG or PNG first") from error


def rgb(image: Image.Image) -> np.ndarray:
    """The pixels of an image that Pillow has opened as [H, W, 3] uint8 RGB; see `on_black`."""
    image.load()
    if image.mode.startswith("I;16"):  # converting would cut it off at 255
        return cv2.cvtColor((np.array(image) >> 8).astype(np.uint8), cv2.COLOR_GRAY2RGB)
    if not image.has_transparency_data:
        return np.array(image.convert("RGB"))
    rgba = np.array(image.convert("RGBA"))
    return on_black(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), rgba[..., 3])


def on_black(colours: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blends transparent pixels with black, which is what a crop shows outside of its photo.

    What an editor has made transparent is no picture, though its colours are still in the file.

    Args:
      colours: [H, W, 3] uint8 or uint16, not multiplied by `alpha`.
      alpha: [H, W] of the same type.
    """
    opaque = np.iinfo(colours.dtype).max
    return cv2.multiply(colours, cv2.merge([alpha] * 3), scale=1 / opaque)
