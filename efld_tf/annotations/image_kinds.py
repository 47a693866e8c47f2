"""What the headers of a photo say: its kind, of JPEG files how often their pixels are gone through,
and of PNG files their size and transparency.
"""

from __future__ import annotations

import os
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

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

# The brands of files that begin with `ftyp`, as videos do, too (ISO/IEC 23008-12). AVIF comes first
# because mif1 and msf1 are for any codec.
_BRANDS = {
    "AVIF": {b"avif", b"avis"},
    "HEIC": {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1",
             b"msf1"},
}
_MOST_BRAND_BYTES = 256

# Of PNG files: how they begin, the bit of colour types with an alpha channel, and the chunks of
# animations and of colours.
_PNG_START = _STARTS["PNG"][0]
_ALPHA = 4
_ANIMATION = (b"acTL", b"fcTL", b"fdAT")
_COLOURS = (b"PLTE", b"tRNS")

# Of JPEG files (ITU T.81, B.1.1): a marker that ends the data of a scan; those of frames, with
# the picture's size (SOF0 to SOF15 but for DHT, JPG and DAC); and those without a segment.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.DOTALL)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SCAN, _END = 0xDA, 0xD9
_ALONE = (0x01, 0xD8)

# Segments of a photo are some dozens, or thousands if they hold colour tables and previews.
_MOST_SEGMENTS = 1 << 16

# A picture of 2 GB has no more chunks; empty ones are written to take time.
_MOST_CHUNKS = 1 << 18


def kind(content: bytes) -> str | None:
    """The kind of a file by its first bytes, whatever its name; None if it is no image."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    if content[4:8] == b"ftyp":
        size = min(int.from_bytes(content[:4], "big"), _MOST_BRAND_BYTES)
        found = {content[place : place + 4] for place in (8, *range(16, size - 3, 4))}
        return next((kind for kind, brands in _BRANDS.items() if found & brands), None)
    head = content[:16]
    return next((kind for kind, starts in _STARTS.items() if head.startswith(starts)), None)


def is_opaque_webp(content: bytes) -> bool:
    """Whether a WEBP file is a lossy picture and nothing else, which has no alpha channel."""
    return content[12:16] == b"VP8 "


def has_bit_fields(content: bytes) -> bool:
    """Whether a BMP file says where colours and alpha are in its pixels of 32 bits."""
    return content[28:34] == struct.pack("<HI", 32, 3)


def jpeg_scans(content: bytes) -> tuple[int, int] | None:
    """How many scans a JPEG file has, and the number of pixels that each of them goes through.

    Those of previews in it, and of pictures behind it, do not count. Where the file is damaged it
    ends. None if it has more than `_MOST_SEGMENTS` segments, which are written to take time.
    """
    scans, pixels, place = 0, 0, 2
    for _ in range(_MOST_SEGMENTS):
        if (found := _MARKER.search(content, place)) is None:
            return scans, pixels
        marker, place = found[1][0], found.end()
        if marker == _END:
            return scans, pixels
        if marker in _ALONE:
            continue
        if marker in _FRAMES:
            height, width = struct.unpack(">HH", content[place + 3 : place + 7].rjust(4, b"\0"))
            pixels = max(pixels, height * width)
        scans += marker == _SCAN
        place += int.from_bytes(content[place : place + 2], "big")
    return None


@dataclass(frozen=True)
class Png:
    """A PNG file.

    Attributes:
      still: the file without its animation.
      may_be_transparent: whether it has an alpha channel, or colours that are transparent.
      transparent_grey: in a grey picture, the value that is transparent, as 8 bits or, if the file
        has them, 16; None where there is none.
    """

    still: bytes
    may_be_transparent: bool
    transparent_grey: int | None


def png(content: bytes) -> Png | None:
    """Reads the chunks of a PNG file; None if one that pixels depend on is damaged or missing."""
    view = memoryview(content)
    kept, animated, header, transparent = [view[:8]], False, b"", b""
    for name, start, end in _chunks(content):
        data = content[start + 8 : end - 4] if name in (b"IHDR", b"tRNS") else b""
        if name[:1].isupper() or name == b"tRNS":  # other chunks may be left out
            check = int.from_bytes(content[end - 4 : end], "big")
            if end > len(content) or zlib.crc32(view[start + 4 : end - 4]) != check:
                return None
        if name in _ANIMATION:
            animated = True
        else:
            kept.append(view[start:end])
        header = data if name == b"IHDR" else header
        transparent = data if name == b"tRNS" else transparent
        if name == b"IEND":
            break
    else:
        return None
    if len(header) < 10:
        return None
    bits, colours = header[8:10]
    grey = None
    if colours == 0 and transparent:
        grey = int.from_bytes(transparent, "big") & ((1 << bits) - 1)
        grey *= {1: 255, 2: 85, 4: 17}.get(bits, 1)
    return Png(b"".join(kept) if animated else content,
               bool(colours & _ALPHA or transparent), grey)


def _chunks(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG file: the name of each, where it starts, and where it ends."""
    place = 8
    while place + 12 <= len(content):
        end = place + 12 + int.from_bytes(content[place : place + 4], "big")
        yield content[place + 4 : place + 8], place, end
        place = end


@dataclass(frozen=True)
class PngHeader:
    """What a PNG file says of its picture.

    Attributes:
      width, height: its size, pixels.
      metadata: a PNG file of one pixel with the other chunks, which may lie behind the picture.
    """

    width: int
    height: int
    metadata: bytes


def png_header(file: BinaryIO) -> PngHeader | None:
    """Reads all of a PNG file but its picture and its animation; None if it is damaged."""
    size = file.seek(0, os.SEEK_END)
    place = file.seek(len(_PNG_START))
    header, animated, seen = b"", False, False
    before: list[bytes] = []
    behind: list[bytes] = []
    for _ in range(_MOST_CHUNKS):
        if place + 12 > size:
            break
        file.seek(place)
        start = file.read(8)
        name, end = start[4:], place + 12 + int.from_bytes(start[:4], "big")
        # Programs read the still picture of an animation, up to the next frame.
        if name == b"IEND" or end > size or (name == b"fcTL" and animated and seen):
            break
        if name == b"IHDR":
            header = file.read(8)
        elif name not in (b"IDAT", *_ANIMATION, *_COLOURS):
            (behind if seen else before).append(start + file.read(end - place - 8))
        animated |= name == b"acTL"
        seen |= name == b"IDAT"
        place = end
    else:
        return None
    width, height = (int.from_bytes(header[i : i + 4], "big") for i in (0, 4))
    if not width or not height:
        return None
    pixel = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    picture = _chunk(b"IDAT", zlib.compress(b"\0\0"))
    metadata = b"".join([_PNG_START, pixel, *before, picture, *behind, _chunk(b"IEND", b"")])
    return PngHeader(width, height, metadata)


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return len(data).to_bytes(4, "big") + name + data + check.to_bytes(4, "big")
