"""Decodes TIFF files, of whose many layouts no library reads all right.

Pillow, which has the newer libtiff, decodes what it reads right, and OpenCV some of the rest. What
neither reads right is refused. Both turn the picture as the file's orientation says.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from efld_tf.annotations import by_pillow
from efld_tf.annotations.by_pillow import DAMAGED, damaged, undecodable
from efld_tf.quiet import silenced_stderr

if TYPE_CHECKING:
    from PIL import Image

# The numbers of tags (TIFF 6.0, appendix A) and some of their values.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _STRIP_HEIGHT, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 320, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339
_UNCOMPRESSED, _JPEG = 1, 7
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR, _LAB = 0, 1, 2, 3, 5, 6, 8
_UNSPECIFIED, _PREMULTIPLIED = 0, 1

# How many samples are colours.
_COLOURS = {
    _WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _CMYK: 4, _YCBCR: 3, _LAB: 3,
}  # fmt: skip

# The bytes of a value of each type, and the types that are whole numbers.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4,
               16: 8, 17: 8, 18: 8}  # fmt: skip
_WHOLE = {1: "u1", 3: "u2", 4: "u4", 16: "u8"}


def decode(content: bytes, path: Path, by_opencv: Callable[[], np.ndarray]) -> np.ndarray:
    """The first picture of a TIFF file as [H, W, 3] uint8 RGB.

    Args:
      content: the content of the file.
      path: the name of the file in messages.
      by_opencv: decodes the file with OpenCV.

    Raises:
      DataError: the file is damaged, has too many pixels, or is of a layout that is not read right.
    """
    try:
        layout = _layout(content)
    except DAMAGED as error:
        raise damaged(path, "TIFF") from error
    if layout.width * layout.height > by_pillow.MAX_PIXELS:
        raise undecodable(path, "too large")
    if not layout.unsigned:
        raise undecodable(path, "TIFF of floats, signed or 32-bit integers is not supported; "
                                "convert it to 8 or 16 bits first")
    if layout.is_for_pillow():
        with by_pillow.opened(content, "TIFF", path) as image:
            if image is not None:
                try:
                    with silenced_stderr():  # libtiff writes its errors there
                        return _pixels(image, layout)
                except DAMAGED as error:
                    pixels = layout.width * layout.height
                    raise by_pillow.failed(error, "TIFF", path, pixels) from error
    if layout.is_for_opencv():
        return by_opencv()
    raise undecodable(path, f"TIFF of this layout is not supported ({layout}); convert it to RGB "
                            "of 8 bits first")


@dataclass(frozen=True)
class _Layout:
    """How the samples of a picture lie in a TIFF file.

    Attributes:
      width, height: the size of the picture as it lies in the file.
      photometric: what the colours mean.
      bits: of each sample.
      samples: of each pixel.
      extra: what the samples behind the colours mean.
      planes: whether each sample has a plane of its own.
      compressed, tiled: whether the pixels are.
      byte_palette: whether the colours of the palette were written as bytes into 16 bits, as some
        old programs did.
      unsigned: whether all samples are unsigned integers of at most 16 bits.
    """

    width: int
    height: int
    photometric: int
    bits: int
    samples: int
    extra: tuple[int, ...]
    planes: bool
    compressed: bool
    tiled: bool
    byte_palette: bool
    unsigned: bool

    def __str__(self) -> str:
        return (f"photometric {self.photometric}, {self.samples} samples of {self.bits} bits"
                f"{' in planes' if self.planes else ''}")

    @property
    def _known(self) -> bool:
        """Whether the file says what each sample is."""
        return _COLOURS.get(self.photometric, 0) + len(self.extra) == self.samples

    def is_for_pillow(self) -> bool:
        """Whether Pillow gets the picture right, if it opens the file at all."""
        if self.planes:
            right = self.compressed or (self.bits == 8 and _PREMULTIPLIED not in self.extra)
            return (right and self._known and len(self.extra) < 2
                    and self.photometric in (_RGB, _CMYK))
        if self.photometric == _YCBCR:
            return self.compressed
        return self.photometric in _COLOURS and not self.byte_palette

    def is_for_opencv(self) -> bool:
        """Whether OpenCV gets a picture right that Pillow does not, if it decodes it at all."""
        if not self._known or self.extra not in ((), (_UNSPECIFIED,), (_PREMULTIPLIED,)):
            return False  # it would overlook what is transparent
        if self.photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
            return self.bits in (8, 16) and not self.tiled
        if self.photometric == _RGB:
            return self.bits in (8, 16)
        return self.bits <= 8 and self.photometric in (_PALETTE, _YCBCR)


def _layout(content: bytes) -> _Layout:
    """The layout of the first picture; raises one of `DAMAGED` if a part of the file is missing."""
    tags = _tags(content)

    def value(tag: int, default: int | None = None) -> int:
        return int(tags[tag][0]) if default is None or tag in tags else default

    one = np.array([1])
    bits, samples = tags.get(_BITS, one), value(_SAMPLES, 1)
    compression = value(_COMPRESSION, _UNCOMPRESSED)
    layout = _Layout(
        width=value(_WIDTH), height=value(_HEIGHT), photometric=value(_PHOTOMETRIC),
        bits=int(bits[0]), samples=samples,
        extra=tuple(map(int, tags.get(_EXTRA_SAMPLES, [])[:8])),
        planes=samples > 1 and value(_PLANAR, 1) == 2,
        compressed=compression != _UNCOMPRESSED, tiled=_TILE_WIDTH in tags,
        byte_palette=_COLOUR_MAP in tags and bool((tags[_COLOUR_MAP] < 256).all()),
        unsigned=bool((bits <= 16).all() and (tags.get(_SAMPLE_FORMAT, one) == 1).all()),
    )  # fmt: skip
    # Pillow overlooks that pixels are missing if they are not compressed, libtiff if they are JPEG.
    if compression in (_UNCOMPRESSED, _JPEG):
        width, height = layout.width, value(_STRIP_HEIGHT, layout.height)
        offsets, sizes = _STRIP_OFFSETS, _STRIP_BYTES
        if layout.tiled:
            width, height = value(_TILE_WIDTH), value(_TILE_HEIGHT)
            offsets, sizes = _TILE_OFFSETS, _TILE_BYTES
        count = -(-layout.width // width) * -(-layout.height // height)
        count *= samples if layout.planes else 1
        starts = tags[offsets][:count]
        if len(starts) < count or not starts.all():
            raise ValueError("a strip or tile is missing")
        if compression == _JPEG:
            blocks = zip(map(int, starts), map(int, tags[sizes][:count]), strict=True)
            if not all(b"\xff\xd9" in content[start : start + size][-4:] for start, size in blocks):
                raise ValueError("a strip or tile ends early")
    return layout


def _tags(content: bytes) -> dict[int, np.ndarray]:
    """The tags of the first picture that are whole numbers; raises one of `DAMAGED`.

    No data of a tag may be counted twice, so that no small file takes much memory to open.
    """
    order = "<" if content[:2] == b"II" else ">"
    big = b"+" in content[2:4]  # BigTIFF
    offset = struct.Struct(order + ("Q" if big else "I"))
    entries = struct.Struct(order + ("Q" if big else "H"))
    entry = struct.Struct(order + ("HHQ" if big else "HHI"))
    (start,) = offset.unpack_from(content, offset.size)
    (count,) = entries.unpack_from(content, start)
    start += entries.size
    length = entry.size + offset.size
    total = 0
    tags: dict[int, np.ndarray] = {}
    for place in range(start, start + count * length, length):
        tag, kind, number = entry.unpack_from(content, place)
        size = number * _TYPE_BYTES.get(kind, 0)
        total += size
        if total > len(content) or tag in tags:
            raise ValueError("tags overlap")
        if kind in _WHOLE and number:
            at = place + entry.size
            if size > offset.size:
                (at,) = offset.unpack_from(content, at)
            tags[tag] = np.frombuffer(content, np.dtype(order + _WHOLE[kind]), number, at)
    return tags


def _pixels(image: Image.Image, layout: _Layout) -> np.ndarray:
    # Pillow turns a picture as XMP says where the file says nothing; OpenCV does not.
    image.info.pop("xmp", None)
    if not image.mode.startswith("I;16"):
        return by_pillow.rgb(image)
    grey: np.ndarray = (np.array(image) >> (layout.bits - 8)).astype(np.uint8)
    colours = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    return 255 - colours if layout.photometric == _WHITE_IS_ZERO else colours
