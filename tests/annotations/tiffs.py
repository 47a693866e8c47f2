"""Writes TIFF files of any layout; the libraries write a few of those that they read."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence

import numpy as np

# The types of tags that are written.
SHORT, LONG, LONG8 = 3, 4, 16
_FORMATS = {1: "B", SHORT: "H", LONG: "I", LONG8: "Q"}


def tiff(
    samples: np.ndarray, photometric: int, *, bits: int = 8, dtype: str | None = None,
    order: str = "<", big: bool = False, planes: bool = False, tile: int | None = None,
    rows: int | None = None, deflate: bool = False, predictor: bool = False,
    tags: Mapping[int, tuple[int, Sequence[int]] | None] | None = None,
) -> bytes:  # fmt: skip
    """A TIFF file of one picture.

    Args:
      samples: [H, W, S] whole numbers, or anything that `dtype` takes.
      bits: of a sample.
      dtype: the type of samples that are no unsigned integers.
      planes: writes each sample in a plane of its own.
      tile: the side of tiles; without it, the picture is in strips of `rows` rows.
      deflate, predictor: compress the pixels, the latter their differences.
      tags: (type, values) of further tags, or None for one to be left out.
    """
    height, width, count = samples.shape
    dtype = dtype or f"u{max(1, bits // 8)}"
    blocks = [block for plane in (np.split(samples, count, axis=2) if planes else [samples])
              for block in _blocks(plane, tile, rows or height)]
    if predictor:
        blocks = [np.diff(block.astype(int), axis=1, prepend=0) % (1 << bits) for block in blocks]
    data = [b"".join(_packed(row.ravel(), bits, np.dtype(dtype).newbyteorder(order))
                     for row in block) for block in blocks]
    if deflate:
        data = [zlib.compress(block) for block in data]
    out = bytearray(16)
    places = [_append(out, block) for block in data]
    sizes = [len(block) for block in data]
    entries: dict[int, tuple[int, Sequence[int]] | None] = {
        256: (LONG, [width]), 257: (LONG, [height]), 258: (SHORT, [bits] * count),
        259: (SHORT, [8 if deflate else 1]), 262: (SHORT, [photometric]), 277: (SHORT, [count]),
        284: (SHORT, [2 if planes else 1]), 317: (SHORT, [2 if predictor else 1]),
    }  # fmt: skip
    if tile:
        entries |= {322: (LONG, [tile]), 323: (LONG, [tile]), 324: (LONG, places),
                    325: (LONG, sizes)}
    else:
        entries |= {273: (LONG, places), 278: (LONG, [rows or height]), 279: (LONG, sizes)}
    return _directory(out, entries | dict(tags or {}), order, big)


def _blocks(plane: np.ndarray, tile: int | None, rows: int) -> list[np.ndarray]:
    height, width = plane.shape[:2]
    if tile is None:
        return [plane[y : y + rows] for y in range(0, height, rows)]
    padded = np.pad(plane, [(0, -height % tile), (0, -width % tile), (0, 0)])
    return [padded[y : y + tile, x : x + tile]
            for y in range(0, height, tile) for x in range(0, width, tile)]


def _packed(row: np.ndarray, bits: int, dtype: np.dtype) -> bytes:
    if bits % 8 == 0:
        return row.astype(dtype).tobytes()
    digits = "".join(f"{int(value):0{bits}b}" for value in row)
    return b"".join(int(digits[at : at + 8].ljust(8, "0"), 2).to_bytes(1, "big")
                    for at in range(0, len(digits), 8))


def _append(out: bytearray, data: bytes) -> int:
    """Where it was written."""
    place = len(out)
    out += data + bytes(len(data) % 2)
    return place


def _directory(
    out: bytearray, tags: Mapping[int, tuple[int, Sequence[int]] | None], order: str, big: bool
) -> bytes:
    """Adds the header and the tags to the pixels."""
    offset = struct.Struct(order + ("Q" if big else "I"))
    entries = b""
    written = [(tag, entry) for tag, entry in sorted(tags.items()) if entry is not None]
    for tag, (kind, values) in written:
        data = struct.pack(f"{order}{len(values)}{_FORMATS[kind]}", *values)
        entries += struct.pack(order + ("HHQ" if big else "HHI"), tag, kind, len(values))
        entries += (data if len(data) <= offset.size else offset.pack(_append(out, data))).ljust(
            offset.size, b"\0")
    start = _append(out, struct.pack(order + ("Q" if big else "H"), len(written)) + entries
                    + bytes(offset.size))
    head = {"<": b"II", ">": b"MM"}[order]
    head += struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    head += offset.pack(start)
    out[: len(head)] = head
    return bytes(out)
