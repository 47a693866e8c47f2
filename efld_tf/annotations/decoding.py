"""Decodes the bytes of a photo to pixels, with the library that is right for its kind.

OpenCV decodes all kinds that it decodes correctly. Pillow decodes GIF and AVIF, which OpenCV 4.11
does not know, JPEG 2000 and animated PNG, of which damaged files can crash OpenCV, and TIFF with
transparency or in the colours of Lab, which OpenCV gets wrong. Pillow also reads the EXIF
orientation. It is only imported where it is needed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import struct
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from efld_tf.errors import DataError
from efld_tf.quiet import captured_stderr

if TYPE_CHECKING:
    from PIL import Image

# The limit for images that OpenCV does not decode; for others it is OPENCV_IO_MAX_IMAGE_PIXELS.
MAX_PIXELS = 1 << 27

# How a file of each kind begins; PPM stands for PBM and PGM, too.
_STARTS = {
    "JPEG": (b"\xff\xd8\xff",),
    "PNG": (b"\x89PNG\r\n\x1a\n",),
    "TIFF": (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    "BMP": (b"BM",),
    "GIF": (b"GIF87a", b"GIF89a"),
    "JPEG2000": (b"\0\0\0\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51"),
    "PPM": tuple(b"P%d" % number + space for number in range(1, 7) for space in (b"\n", b" ")),
    "JPEG XL": (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    "SVG": (b"<svg", b"<?xml"),
}
_BY_PILLOW = ("GIF", "AVIF", "JPEG2000", "animated PNG")
_REFUSED = ("HEIC", "JPEG XL", "SVG")

# Both libraries turn TIFF files while they decode them.
_WITH_ORIENTATION = ("JPEG", "PNG", "animated PNG", "WEBP", "AVIF")
_ORIENTATION_TAG = 0x0112

# Pillow raises these for damaged files, whatever the format.
_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, MemoryError, OverflowError, RuntimeError,
    IndexError, KeyError, TypeError, struct.error, zlib.error,
)  # fmt: skip
_NOTHING = logging.NullHandler()


def decode(content: bytes, path: Path, upright: bool) -> np.ndarray:
    """A photo's pixels as [H, W, 3] uint8 RGB; the first frame of an animation.

    Transparency and colour profiles are ignored; 16 bits a channel become 8.

    Args:
      content: the content of the file.
      path: the name of the file in messages.
      upright: whether to turn the picture as its EXIF orientation says. TIFF files are always
        turned, by both libraries.

    Raises:
      DataError: the file is no image, is truncated or damaged so that a part is missing, is of a
        kind that cannot be decoded, or has too many pixels.
    """
    kind = _kind(content)
    if kind is None:
        reason = "neither JPEG nor PNG nor another known kind" if content else "the file is empty"
        raise _undecodable(path, reason)
    if kind in _REFUSED:
        raise _undecodable(path, f"{kind} is not supported; convert it to JPEG or PNG first")
    if kind in _BY_PILLOW or (kind == "TIFF" and _is_for_pillow(content, path)):
        image = _by_pillow(content, kind, path)
    else:
        image = _by_opencv(content, kind, path)
    return turned(image, orientation(content, path)) if upright else image


def orientation(content: bytes, path: Path) -> int:
    """The EXIF orientation by which `decode(upright=True)` turns a photo, 1 to 8; 1 is none.

    Raises:
      DataError: the photo has too many pixels.
    """
    kind = _kind(content)
    if kind not in _WITH_ORIENTATION:
        return 1
    with _opened(content, kind, path) as image:
        try:
            value = 1 if image is None else image.getexif().get(_ORIENTATION_TAG, 1)
        except _DAMAGED:  # EXIF that cannot be read is ignored
            return 1
    return value if value in range(1, 9) else 1


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """An image [H, W, ...] turned upright by its EXIF orientation, 1 to 8."""
    if orientation in (5, 6, 7, 8):  # the rows are columns
        image = image.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def unturned_points(
    points: np.ndarray, orientation: int, width: int, height: int
) -> np.ndarray:
    """The places of a turned image's points in the file's own rows and columns.

    It is the inverse of `turned`.

    Args:
      points: [..., 2] in pixels of the turned image, pixel centres at whole numbers.
      width, height: the size of the turned image.
    """
    x, y = points[..., 0], points[..., 1]
    if orientation in (3, 4, 7, 8):
        y = height - 1 - y
    if orientation in (2, 3, 6, 7):
        x = width - 1 - x
    return np.stack([y, x] if orientation in (5, 6, 7, 8) else [x, y], axis=-1)


def _undecodable(path: Path, reason: str) -> DataError:
    return DataError(path, f"not an image that can be decoded: {reason}")


def _kind(content: bytes) -> str | None:
    """The kind of a file by its first bytes; None if it is no image."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        if b"avif" in content[8:64] or b"avis" in content[8:64]:
            return "AVIF"
        return "HEIC" if content[8:12] in (b"heic", b"heix", b"hevc", b"mif1", b"msf1") else None
    head = content[:16]
    kind = next((kind for kind, starts in _STARTS.items() if head.startswith(starts)), None)
    animated = kind == "PNG" and b"acTL" in content[: max(0, content.find(b"IDAT"))]
    return "animated PNG" if animated else kind


def _is_whole_png(content: bytes) -> bool:
    """Whether the critical chunks of a PNG file are there and undamaged, to its end."""
    place = 8
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        name = content[place + 4 : place + 8]
        if name[:1].isupper():  # other chunks may be left out
            check = int.from_bytes(content[end - 4 : end], "big")
            if end > len(content) or zlib.crc32(content[place + 4 : end - 4]) != check:
                return False
        if name == b"IEND":
            return True
        place = end
    return False


def _by_opencv(content: bytes, kind: str, path: Path) -> np.ndarray:
    damaged = _undecodable(path, f"a truncated or damaged {kind} file")
    if kind == "PNG" and not _is_whole_png(content):
        raise damaged
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        with captured_stderr() as captured:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            message = captured() if kind == "JPEG" else b""
    except cv2.error as error:  # a header that promises more pixels than OpenCV accepts
        raise _undecodable(path, "too large") from error
    # If the data of a closed file end early, libjpeg fills the rest with grey and only warns.
    if image is None or b"premature end" in message:
        raise damaged
    return image


def _is_for_pillow(content: bytes, path: Path) -> bool:
    """Whether OpenCV would get the colours of a TIFF file wrong.

    Raises:
      DataError: the file has floats or 32-bit integers, whose white is not defined.
    """
    with _opened(content, "TIFF", path) as image:
        mode = None if image is None else image.mode
    if mode in ("F", "I"):
        raise _undecodable(path, "TIFF of floats or 32-bit integers is not supported; convert it "
                                 "to 8 or 16 bits first")
    return mode in ("RGBA", "LAB")


def _by_pillow(content: bytes, kind: str, path: Path) -> np.ndarray:
    with _opened(content, kind, path) as image:
        try:
            if image is not None and image.mode == "I;16":  # converting would cut it off at 255
                return np.repeat((np.array(image) >> 8).astype(np.uint8)[..., None], 3, axis=-1)
            if image is not None:
                return np.array(image.convert("RGB"))
        except _DAMAGED:
            pass
    raise _undecodable(path, f"a truncated or damaged {kind} file")


@contextlib.contextmanager
def _opened(content: bytes, kind: str, path: Path) -> Iterator[Image.Image | None]:
    """Opens a photo with Pillow, which reads its header; yields None if the header is damaged."""
    from PIL import Image

    logging.getLogger("PIL").addHandler(_NOTHING)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # damaged EXIF, and many pixels, which are limited below
        try:
            image = Image.open(io.BytesIO(content), formats=[kind.removeprefix("animated ")])
        except Image.DecompressionBombError as error:
            raise _undecodable(path, "too large") from error
        except _DAMAGED:
            image = None
        if image is not None and image.width * image.height > MAX_PIXELS:
            raise _undecodable(path, "too large")
        yield image
