"""Reads arrays in MATLAB files: versions 5 to 7 by a small parser, version 7.3 (HDF5) by h5py.

SciPy's reader allocates what a file declares, at any depth of nesting, and inflates without a
bound. The data sets here hold only arrays of numbers and characters, and cells of them, so that a
parser with bounds is short.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from efld_tf import hdf5
from efld_tf.annotations import parsing
from efld_tf.errors import DataError

if TYPE_CHECKING:  # imported where it is used: few of the readers that start with this file need it
    import h5py

# The largest HDF5 file of a data set here (COFW's training images) takes some hundred MB.
MAX_HDF5_BYTES = 1 << 32

HEADER_BYTES = 128
UINT32, INT32, MATRIX, COMPRESSED = 6, 5, 14, 15
NUMBERS = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
TEXT = {1: "utf-8", 2: "utf-8", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
CELL_CLASS, CHAR_CLASS, NUMERIC_CLASSES = 1, 4, range(6, 16)
COMPLEX = 0x0800

# An array of numbers (float64), a text, or a cell array's texts and arrays in MATLAB's order.
Value = np.ndarray | str | list["Value"]


class _Damaged(Exception):
    """The content does not follow the format or the data set; the text is the reason."""


def read_mat(path: Path, names: Collection[str], limit: int) -> dict[str, Value]:
    """Reads those of the variables `names` that a MATLAB file of version 5 to 7 has.

    Args:
      limit: the most bytes of the file, and of its decompressed arrays together.

    Raises:
      DataError: the file cannot be read, is too large, of another version or damaged, or one of
        `names` is neither numbers nor text nor a cell array of those.
    """
    content = parsing.read_bytes(path, limit)
    if content.startswith(b"MATLAB 7.3"):
        raise DataError(path, "a MATLAB 7.3 file; expected version 5 to 7: save it with -v7")
    order = {b"IM": "<", b"MI": ">"}.get(content[126:HEADER_BYTES])
    if order is None:
        raise DataError(path, "expected a MATLAB file of version 5 to 7")
    variables: dict[str, Value] = {}
    try:
        for matrix in _matrices(memoryview(content)[HEADER_BYTES:], order, limit):
            name, value = _matrix(matrix, order, names)
            if value is not None:
                variables.setdefault(name, value)
    except _Damaged as error:
        raise DataError(path, f"a damaged MATLAB file: {error}") from error
    return variables


def array(variables: Mapping[str, Value], name: str, path: Path, *shape: int | None) -> np.ndarray:
    """The numbers of a variable, float64, which must have a shape (None allows any size).

    Raises:
      DataError: there is no such variable, or it has another shape.
    """
    value = variables.get(name)
    expected = " x ".join("N" if size is None else str(size) for size in shape)
    if not isinstance(value, np.ndarray):
        raise DataError(path, f"expected an array {name} of {expected} numbers; there is none")
    fits = value.ndim == len(shape) and all(
        required in (None, size) for required, size in zip(shape, value.shape, strict=True)
    )
    if not fits:
        got = " x ".join(map(str, value.shape))
        raise DataError(path, f"expected an array {name} of {expected} numbers, got {got}")
    return value


def pixels(values: np.ndarray, path: Path, subject: str) -> np.ndarray:
    """Converts coordinates that count from 1, as MATLAB's do, to count from 0.

    Raises:
      DataError: a coordinate is not a number of pixels; the message starts with `subject`.
    """
    if not (np.abs(values) <= parsing.MAX_COORDINATE).all():
        raise DataError(path, f"{subject}: expected coordinates in pixels")
    return values - 1


def open_hdf5(path: Path) -> h5py.File:
    """Opens a MATLAB 7.3 file.

    Raises:
      DataError: the file cannot be read, is too large or is not an HDF5 file.
    """
    try:
        parsing.check_file(path, MAX_HDF5_BYTES)
        return hdf5.opened(path)
    except hdf5.ERRORS as error:
        raise DataError(path, "not a MATLAB 7.3 file that can be read") from error


def read_hdf5(file: h5py.File, key: str | h5py.Reference, kinds: str, limit: int) -> np.ndarray:
    """Reads a dataset of a MATLAB 7.3 file in MATLAB's order of axes.

    Args:
      key: its name in the file, or a reference to it.
      kinds: the NumPy kinds of values that it may have.
      limit: the most values that it may have.

    Raises:
      ValueError or another of `hdf5.ERRORS`: it is not such a dataset, or is damaged.
    """
    data = hdf5.find(file, key) if isinstance(key, str) else file[key]
    return hdf5.values(data, kinds, limit).T  # MATLAB stores columns first


def _matrices(data: memoryview, order: str, limit: int) -> Iterator[memoryview]:
    """Yields the decompressed matrix elements of a file, at most `limit` bytes together."""
    at = 0
    while at < len(data):
        kind, content, at = _element(data, at, order)
        if kind == COMPRESSED:
            try:
                inflated = zlib.decompressobj().decompress(content, limit + 1)
            except zlib.error as error:
                raise _Damaged("an array cannot be decompressed") from error
            limit -= len(inflated)
            if limit < 0:
                raise _Damaged("more bytes are compressed in it than its data set has")
            kind, content, _ = _element(memoryview(inflated), 0, order)
        if kind == MATRIX:
            yield content


def _element(data: memoryview, at: int, order: str) -> tuple[int, memoryview, int]:
    """The type and the content of the element at byte `at`, and the start of the next one."""
    if at + 8 > len(data):
        raise _Damaged("it ends within an array")
    kind, size = struct.unpack_from(order + "II", data, at)
    if kind >> 16:  # the tag itself holds up to 4 bytes of content
        kind, size = kind & 0xFFFF, kind >> 16
        start, end = at + 4, at + 8
        if size > 4:
            raise _Damaged("an array has a wrong size")
    else:
        start = at + 8
        end = start + size if kind == COMPRESSED else start + -(-size // 8) * 8
    if start + size > len(data):
        raise _Damaged("it ends within an array")
    return kind, data[start : start + size], end


def _matrix(data: memoryview, order: str, names: Collection[str]) -> tuple[str, Value | None]:
    """The name and the value of a matrix element; no value if it is not one of `names`."""
    head = _head(data, order)
    if head.name not in names:
        return head.name, None
    if head.flags & 0xFF == CELL_CLASS:
        return head.name, _cells(data, head.end, order, math.prod(head.shape))
    return head.name, _plain(data, order, head)


class _Head(NamedTuple):
    """The head of a matrix element, whose content starts at byte `end`."""

    name: str
    flags: int
    shape: tuple[int, ...]
    end: int


def _head(data: memoryview, order: str) -> _Head:
    kind, flags, at = _element(data, 0, order)
    if kind != UINT32 or len(flags) != 8:
        raise _Damaged("an array has no flags")
    (bits,) = struct.unpack_from(order + "I", flags)
    kind, sizes, at = _element(data, at, order)
    if kind != INT32 or len(sizes) % 4 or len(sizes) > 32:
        raise _Damaged("an array has no sizes")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    if len(shape) < 2 or min(shape) < 0:
        raise _Damaged("an array has wrong sizes")
    _, text, at = _element(data, at, order)
    return _Head(bytes(text).decode("latin-1"), bits, shape, at)


def _plain(data: memoryview, order: str, head: _Head) -> np.ndarray | str:
    """The value of a matrix element that is no cell array."""
    name, flags, shape, at = head
    kind, content, _ = _element(data, at, order)
    if flags & 0xFF == CHAR_CLASS and kind in TEXT:
        codec = TEXT[kind] + {"<": "-le", ">": "-be"}[order] * (TEXT[kind] == "utf-16")
        return bytes(content).decode(codec, "replace")
    if flags & 0xFF not in NUMERIC_CLASSES or kind not in NUMBERS or flags & COMPLEX:
        raise _Damaged(f"array {parsing.shorten(name)} is neither real numbers nor text")
    number = np.dtype(order + NUMBERS[kind])
    if math.prod(shape) * number.itemsize != len(content):
        raise _Damaged(f"array {parsing.shorten(name)} has {len(content)} bytes for {shape}")
    values = np.frombuffer(content, number).reshape(shape, order="F")
    with np.errstate(invalid="ignore"):  # signalling NaNs stay NaN
        return values.astype(np.float64)


def _cells(data: memoryview, at: int, order: str, count: int) -> list[Value]:
    values: list[Value] = []
    while len(values) < count:  # each cell takes bytes, so that a wrong count ends with the data
        kind, content, at = _element(data, at, order)
        if kind != MATRIX:
            raise _Damaged("a cell array holds something else than arrays")
        # MATLAB writes an empty matrix without content.
        values.append(
            _plain(content, order, _head(content, order)) if content else np.empty((0, 0))
        )
    return values
