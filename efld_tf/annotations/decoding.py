"""Decodes the bytes of a photo to pixels, with the library that is right for its kind.

OpenCV decodes all kinds that it decodes correctly. Pillow decodes GIF and AVIF, which OpenCV 4.11
does not know, JPEG 2000, of which damaged files can crash OpenCV, BMP with bit fields, which OpenCV
overlooks, and TIFF, for which it has the newer libtiff. Pillow also reads the EXIF orientation. It
is only imported where it is needed.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from efld_tf.annotations import by_pillow, image_kinds, tiff
from efld_tf.annotations.by_pillow import damaged, undecodable
from efld_tf.quiet import captured_stderr

MAX_PIXELS = by_pillow.MAX_PIXELS

# A progressive JPEG file comes in scans, each of which goes through all pixels of the picture, so
# that a small file can take minutes. Programs write about 10 (libjpeg for colours: 10), and even an
# empty scan takes about a nanosecond a pixel. At 10 scans, up to 429 megapixels are decoded.
MOST_SCANS = 100
MOST_SCANNED_PIXELS = 1 << 32

_BY_PILLOW = ("GIF", "AVIF", "JPEG2000", "HEIC")
_REFUSED = ("JPEG XL", "SVG")

# TIFF and HEIC are turned while they are decoded, by all libraries.
WITH_ORIENTATION = ("JPEG", "PNG", "WEBP", "AVIF")


def decode(content: bytes, path: Path, upright: bool) -> np.ndarray:
    """A photo's pixels as [H, W, 3] uint8 RGB; the first frame of an animation.

    Transparent pixels are blended with black, which is what crops show outside of a photo. Colour
    profiles are ignored; 16 bits a channel become 8.

    Args:
      content: the content of the file.
      path: the name of the file in messages.
      upright: whether to turn the picture as its EXIF orientation says. TIFF and HEIC files are
        always turned, as all programs do.

    Raises:
      DataError: the file is no image, is truncated or damaged so that a part is missing, is of a
        kind that cannot be decoded, has too many pixels or scans, or the memory does not suffice.
    """
    kind = image_kinds.kind(content)
    if kind is None:
        reason = "neither JPEG nor PNG nor another known kind" if content else "the file is empty"
        raise undecodable(path, reason)
    if kind in _REFUSED:
        raise undecodable(path, f"{kind} is not supported; convert it to JPEG or PNG first")
    if kind in _BY_PILLOW or (kind == "BMP" and image_kinds.has_bit_fields(content)):
        image = by_pillow.decode(content, kind, path)
    elif kind == "TIFF":
        image = tiff.decode(content, path, lambda: _by_opencv(content, kind, path))
    elif kind == "PNG":
        image = _png(content, path)
    elif kind == "JPEG":
        image = _jpeg(content, path)
    elif kind == "WEBP" and not image_kinds.is_opaque_webp(content):
        image = _without_alpha(_by_opencv(content, kind, path, cv2.IMREAD_UNCHANGED))
    else:
        image = _by_opencv(content, kind, path)
    return turned(image, orientation(content, path)) if upright else image


def orientation(content: bytes, path: Path) -> int:
    """The EXIF orientation by which `decode(upright=True)` turns a photo, 1 to 8; 1 is none.

    Raises:
      DataError: the photo has too many pixels, or there is not enough memory.
    """
    kind = image_kinds.kind(content)
    if kind not in WITH_ORIENTATION:
        return 1
    with by_pillow.opened(content, kind, path) as image:
        try:
            return 1 if image is None else by_pillow.orientation(image)
        except MemoryError as error:
            raise by_pillow.failed(error, kind, path) from error


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


def _jpeg(content: bytes, path: Path) -> np.ndarray:
    """Decodes a JPEG file whose scans can be gone through in seconds."""
    counted = image_kinds.jpeg_scans(content)
    if counted is None:
        raise undecodable(path, "a JPEG file of too many segments")
    scans, pixels = counted
    if scans > MOST_SCANS or scans * pixels > MOST_SCANNED_PIXELS:
        raise undecodable(path, f"a JPEG file of {scans} scans, which takes too long; save it with "
                                "fewer, or not progressive")
    return _by_opencv(content, "JPEG", path)


def _png(content: bytes, path: Path) -> np.ndarray:
    """Decodes a PNG file, without its animation: damaged ones can crash OpenCV."""
    png = image_kinds.png(content)
    if png is None:
        raise damaged(path, "PNG")
    if not png.may_be_transparent:
        return _by_opencv(png.still, "PNG", path)
    image = _by_opencv(png.still, "PNG", path, cv2.IMREAD_UNCHANGED)
    return _without_alpha(image, png.transparent_grey)


def _without_alpha(image: np.ndarray, transparent_grey: int | None = None) -> np.ndarray:
    """What OpenCV has decoded unchanged as [H, W, 3] uint8 RGB.

    Args:
      image: grey [H, W], BGR [H, W, 3] or BGRA [H, W, 4], uint8 or uint16.
      transparent_grey: the value of grey pixels that are transparent.
    """
    if image.ndim == 2:
        colours = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
        if transparent_grey is not None:
            colours[image == transparent_grey] = 0
    elif image.shape[2] == 3:
        colours = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
    else:
        colours = by_pillow.on_black(cv2.cvtColor(image, cv2.COLOR_BGRA2RGB), image[..., 3])
    return colours if colours.dtype == np.uint8 else (colours >> 8).astype(np.uint8)


def _by_opencv(
    content: bytes, kind: str, path: Path,
    flags: int = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION,
) -> np.ndarray:  # fmt: skip
    try:
        with captured_stderr() as captured:
            image = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
            message = captured() if kind == "JPEG" else b""
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise by_pillow.failed(MemoryError(), kind, path) from error
        # a header that promises more pixels than OpenCV accepts
        raise undecodable(path, "too large") from error
    if image is None:
        with by_pillow.opened(content, kind, path) as header:
            pixels = 0 if header is None else header.width * header.height
        raise by_pillow.failed(None, kind, path, pixels)
    # If the data of a closed file end early, libjpeg fills the rest with grey and only warns.
    if b"premature end" in message:
        raise damaged(path, kind)
    return image
