"""The common parts of readers of annotation files: bounded reading, and numbers.

Annotation files come from anywhere, so nothing here reads more than a stated number of bytes at
once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from efld_tf.errors import DataError
from efld_tf.files import check_file as check_file
from efld_tf.files import open_limited as open_limited
from efld_tf.files import read_bytes as read_bytes

# A line of the widest format here (WFLW's 207 fields) takes about 2 kB.
MAX_LINE_BYTES = 1 << 16

# No image is wider; larger values are damage, and would overflow arithmetic on boxes.
MAX_COORDINATE = 1e6


def text_lines(path: Path, limit: int | None = None) -> Iterator[tuple[int, str]]:
    """The non-empty lines of a text file, stripped, with their 1-based numbers.

    Bytes that are not UTF-8 become U+FFFD, which no number and no image name contains, so that
    they are reported as an error of their line.

    Raises:
      DataError: the file cannot be read, is longer than `limit` bytes, or has a line longer than
        `MAX_LINE_BYTES`.
    """
    for number, _, text in lines_with_offsets(path, limit):
        if text := text.strip():
            yield number, text


def lines_with_offsets(path: Path, limit: int | None = None) -> Iterator[tuple[int, int, str]]:
    """All lines of a text file as they are, with their 1-based numbers and their byte offsets.

    Decoding and errors are those of `text_lines`.
    """
    try:
        with open_limited(path, limit) as file:
            number = offset = 0
            while line := file.readline(MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > MAX_LINE_BYTES:
                    raise DataError(path, f"a line longer than {MAX_LINE_BYTES} bytes", number)
                encoding = "utf-8-sig" if number == 1 else "utf-8"
                yield number, offset, line.decode(encoding, "replace")
                offset += len(line)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error


def coordinates(words: Sequence[str], path: Path, line: int | None = None) -> np.ndarray:
    """Words as finite numbers of pixels [len(words)], float64.

    Raises:
      DataError: a word is not a number, or beyond `MAX_COORDINATE` in magnitude.
    """
    values = []
    for word in words:
        try:
            # Python also takes 1_000, which is no number in a file, and digits of other scripts.
            value = float(word if word.isascii() and "_" not in word else "")
        except ValueError:
            raise DataError(path, f"expected a number, got {shorten(word)}", line) from None
        if not abs(value) <= MAX_COORDINATE:
            raise DataError(path, f"expected a coordinate in pixels, got {shorten(word)}", line)
        values.append(value)
    return np.array(values, dtype=np.float64)


def point(text: str, path: Path, line: int | None = None) -> np.ndarray:
    """A line of two numbers as a point [2], float64.

    Raises:
      DataError: the line is anything else.
    """
    words = text.split()
    if len(words) != 2:
        raise DataError(path, f"expected 2 numbers, got {shorten(text)}", line)
    return coordinates(words, path, line)


def points(lines: Iterator[tuple[int, str]], count: int, path: Path) -> np.ndarray:
    """The next `count` lines (from `text_lines`) as points [count, 2], float64.

    Raises:
      DataError: a line is no point, or there are fewer lines.
    """
    rows = [point(text, path, number) for number, text in islice(lines, count)]
    if len(rows) != count:
        raise DataError(path, f"the file ends after {len(rows)} of {count} points")
    return np.array(rows)


def box_of(
    corners: Sequence[float] | np.ndarray, path: Path, line: int | None = None
) -> np.ndarray:
    """A checked box (x0, y0, x1, y1) as float32 [4].

    Raises:
      DataError: the box is empty, or beyond `MAX_COORDINATE`.
    """
    x0, y0, x1, y1 = corners
    with np.errstate(over="ignore"):
        box = np.asarray(corners, dtype=np.float32)
    # A side that is there in float64 alone has no pixels.
    if not (box[2:] > box[:2]).all():
        raise DataError(path, f"an empty face box: x {x0:g} to {x1:g}, y {y0:g} to {y1:g}", line)
    if max(-x0, -y0, x1, y1) > MAX_COORDINATE:
        raise DataError(path, f"a face box too large for pixels: x {x0:g} to {x1:g}, y {y0:g} to "
                              f"{y1:g}", line)
    return box


def number_of(value: object) -> float | None:
    """A number, or a text of one, such as `"400"`, as some programs write them; else None."""
    if isinstance(value, str) and re.fullmatch(
        r"\s*[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?\s*", value, re.ASCII | re.IGNORECASE
    ):
        return float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        # Integers may be too long for a float.
        return float(value) if not abs(value) > MAX_COORDINATE else float("inf")
    return None


def stated_size(
    width: object, height: object, path: Path, line: int | None = None
) -> tuple[int, int] | None:
    """An image's width and height in pixels as an annotation states them; None without them.

    Nothing, an empty text, 0 and -1 mean that a program did not know them.

    Raises:
      DataError: it states something else, or one of both alone.
    """
    if all(value in (None, "") or number_of(value) in (0, -1) for value in (width, height)):
        return None
    size = [number_of(value) for value in (width, height)]
    whole = [round(value) for value in size
             if value is not None and 0.5 < value <= MAX_COORDINATE]
    if len(whole) < 2:
        got = " and ".join(shorten(str(value), 20) for value in (width, height))
        raise DataError(path, f"expected an image's width and height in pixels, or neither, "
                              f"got {got}", line)
    return whole[0], whole[1]


def shorten(text: str, length: int = 60) -> str:
    """`text` quoted for an error message, cut to about `length` characters."""
    return repr(text if len(text) <= length else text[: length - 3] + "...")
