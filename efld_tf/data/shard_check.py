"""Checks packed faces before they are used: that they are those of the manifest, and that they fit.

What TensorFlow is not told to expect, it may answer by ending the process, as for a record that
says it is longer than any memory.
"""

from __future__ import annotations

import functools
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from efld_tf import files
from efld_tf.annotations import parsing
from efld_tf.data.manifest import Manifest, Shard
from efld_tf.data.splits import SPLITS
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import MOST_ASPECT

# What a record may have beside its JPEG, and a JPEG beside what it would take without compression.
ROOM = 1 << 16
# A point of a face that the crop does not show lies outside of it, but not farther than this.
MOST_SIDES = 1e6

HEADER, FOOTER = 12, 4  # of a TFRecord: its length and a checksum; a checksum
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_SCAN, JPEG_BASELINE = 0xDA, (0xC0, 0xC1)
# Other kinds of JPEG can take much longer to decode.
JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}


def check(folder: str | Path, manifest: Manifest, split: str | None = None) -> None:
    """Checks the shards of a packed folder; a shard that has not changed is checked once a process.

    Args:
      split: whose shards; None for all.

    Raises:
      DataError: a shard is not the file that was packed, or its faces are not as the manifest says.
    """
    points = schemas.resolved(manifest.schema, manifest.schema_fields).num_points
    for name in SPLITS if split is None else (split,):
        for shard in manifest.shards[name]:
            path = Path(folder) / shard.file
            try:
                status = path.stat()
                _check_file(path.absolute(), status.st_size, status.st_mtime_ns, shard,
                            manifest.pack.size, points)
            except OSError as error:
                raise DataError(path, f"cannot be read: {error.strerror}") from error
            except EfldError as error:
                raise DataError(path, f"{error}; delete {folder} and pack again") from error


@functools.cache
def _check_file(
    path: Path, size: int, changed_ns: int, shard: Shard, side: int, points: int
) -> None:
    """Checks one file.

    Args:
      size, changed_ns: of the file; they tell if it is still the same.
      side: of the stored crops in pixels.
      points: number of points of a face.

    Raises:
      EfldError: the file is another one, or one of its faces cannot be used.
    """
    largest = record_limit(side, points)
    if size > shard.faces * (largest + HEADER + FOOTER):
        raise EfldError(f"expected {shard.faces} faces, got {size} bytes")
    # The hash comes first, since it finds a face by its number only in the file that was packed.
    if (found := files.sha256(path)) != shard.sha256:
        raise EfldError(f"not the file that was packed: its SHA-256 is {found[:12]}..., expected "
                        f"{shard.sha256[:12]}...")
    count = 0
    for record in _records(path, size, largest):
        try:
            _check_face(record, side, points)
        except EfldError as error:
            raise EfldError(f"face {count}: {error}") from error
        count += 1
    if count != shard.faces:
        raise EfldError(f"expected {shard.faces} faces, got {count}")


def record_limit(side: int, points: int) -> int:
    """The most bytes of a record of a crop of `side` pixels."""
    return 2 * 3 * side * side + 16 * points + ROOM


def _records(path: Path, size: int, largest: int) -> Iterator[bytes]:
    """Yields the records of a file of `size` bytes; their checksums are TensorFlow's to check."""
    with open(path, "rb") as file:
        end = 0
        while header := file.read(HEADER):
            number = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else size
            end += HEADER + number + FOOTER
            if end > size:
                raise EfldError(f"a record of {number} bytes leads beyond the end")
            if number > largest:
                raise EfldError(f"a record of {number} bytes, expected at most {largest}")
            yield file.read(number)
            file.read(FOOTER)


def _check_face(record: bytes, side: int, points: int) -> None:
    """Checks the features of `shards.read`."""
    try:
        features = tf.train.Example.FromString(record).features.feature
    except DecodeError as error:
        raise EfldError("not an example of TensorFlow") from error
    kinds = {"jpeg": "bytes_list", "name": "bytes_list", "points": "float_list",
             "side": "float_list", "side_y": "float_list"}
    values = {name: list(getattr(features[name], kind).value) if name in features else []
              for name, kind in kinds.items()}
    for name, expected in {"jpeg": 1, "name": 1, "points": 2 * points, "side": 1}.items():
        if len(values[name]) != expected:
            raise EfldError(f"{name}: expected {expected} values, got {len(values[name])}")
    if len(values["side_y"]) > 1:  # squares have none
        raise EfldError(f"side_y: expected one value at most, got {len(values['side_y'])}")
    for name in ("side", "side_y"):
        for pixels in values[name]:
            if not 0 < pixels < math.inf:
                raise EfldError(f"{name}: expected a positive number of pixels, got {pixels}")
            stretch = max(pixels / values["side"][0], values["side"][0] / pixels)
            if stretch > 1.001 * MOST_ASPECT:  # up to rounding
                raise EfldError(f"{name}: expected at most {MOST_ASPECT:g} times side or a part of "
                                f"it, got {stretch:g}")
    far = np.abs(np.array(values["points"])) > MOST_SIDES  # NaN is a point that is not annotated
    if far.any():
        raise EfldError(f"points: expected at most {MOST_SIDES:g} crop sides, got "
                        f"{values['points'][int(far.argmax())]:g}")
    try:
        values["name"][0].decode()
    except UnicodeDecodeError as error:
        raise EfldError(f"name: expected UTF-8, got {parsing.shorten(repr(values['name'][0]))}") \
            from error
    _check_jpeg(values["jpeg"][0], side)


def _check_jpeg(content: bytes, side: int) -> None:
    """Checks that a JPEG is whole and has `side` x `side` pixels; its scan is not decoded."""
    if not content.startswith(JPEG_START) or not content.endswith(JPEG_END):
        raise EfldError("jpeg: expected a whole JPEG")
    place, found = len(JPEG_START), False
    while content[place : place + 1] == b"\xff" and place + 10 <= len(content):
        kind = content[place + 1]
        if kind == JPEG_SCAN:
            break
        if kind in JPEG_FRAMES:
            if kind not in JPEG_BASELINE:
                raise EfldError("jpeg: expected a baseline JPEG")
            bits, height, width, colours = struct.unpack(">BHHB", content[place + 4 : place + 10])
            if (bits, colours) != (8, 3):
                raise EfldError(f"jpeg: expected 3 colours of 8 bits, got {colours} of {bits}")
            if found or (width, height) != (side, side):
                raise EfldError(f"jpeg: expected {side} x {side} pixels, got {width} x {height}")
            found = True
        place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    if not found:
        raise EfldError(f"jpeg: expected {side} x {side} pixels, got none")
