"""The text of `.pts` files, as iBUG and others write them.

    version: 1
    n_points:  68
    {
    100.500000 160.173611
    ...
    }

A row may have a third number: of its point in front, or a flag in front or behind, or a depth. What
the columns are is decided by the file as a whole. `NaN NaN` is a point that is not annotated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.record import checked_points
from efld_tf.errors import DataError

# 1,000 lines of three numbers with twenty digits each.
MAX_FILE_BYTES = 1 << 16

COMMENTS = ("#", "//", "%")

# From so many rows on, numbers of points may have gaps, as those of the 17 to 67 of 68 that a file
# has without some of them. Positions are farther apart.
MIN_WITH_GAPS = 8

# A face is less than this many times as wide as high, and the other way round.
MAX_ASPECT = 8


@dataclass(frozen=True)
class Pts:
    """The content of a file.

    Attributes:
      points: [N, 2] float32, counted from 0.
      schema: the name of their schema.
      left_out: the column that is no coordinate, and what it is, with `{files}` for the number of
        files; None if there are two columns.
    """

    points: np.ndarray
    schema: str
    left_out: str | None


def read(path: Path, schemas: Mapping[int, str], origin: int = 1) -> Pts:
    """Reads a file.

    Args:
      schemas: the numbers of points that the file may have, and the schema of each.
      origin: what the file calls the first pixel's centre.

    Raises:
      DataError: the file does not follow the format, has none of the numbers of points, or three
        columns that may be read in several ways.
    """
    values, left_out = _positions(_values(path, schemas), path)
    schema = schemas[len(values)]
    return Pts(checked_points(values - origin, schema, path, missing=True), schema, left_out)


def text(points: np.ndarray) -> str:
    """Points [N, 2], counted from 0, as the text of a file, which counts from 1."""
    rows = "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in points.astype(np.float64))
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}}}\n"


def _positions(values: np.ndarray, path: Path) -> tuple[np.ndarray, str | None]:
    """The columns x and y of rows of two or three numbers, and which other column is left out.

    Rows with numbers of their points are put in the order of these.
    """
    if values.shape[1] == 2:
        return values, None
    first, last = values[:, 0], values[:, 2]
    in_front = _are_numbers(first) or _are_flags(first)
    behind = _are_numbers(last) or _are_flags(last)
    counted = first[0] in (0, 1) and (np.diff(first) == 1).all()
    if counted or (in_front and not behind and _is_face(values[:, 1:])):
        if not _are_numbers(first):
            return values[:, 1:], "the first column of {files}, flags or numbers of parts"
        order = np.argsort(first)
        by_it = "" if (np.diff(order) == 1).all() else ", which are in another order than the rows"
        return values[order, 1:], f"the first column of {{files}}, numbers of points{by_it}"
    if not in_front and not np.isnan(last).any() and _is_face(values[:, :2]):
        return values[:, :2], "the third column of {files}"
    raise DataError(path, "three columns, of which the first or the third may be numbers of points "
                          "or flags: expected x and y alone")


def _are_numbers(column: np.ndarray) -> bool:
    """Whether a column counts the points: whole numbers, each once, with no gaps or in order."""
    steps, span = np.diff(column), np.ptp(column)
    if not np.array_equal(column, np.round(column)) or len(np.unique(column)) < len(column):
        return False
    return bool(span == len(column) - 1) or (
        len(column) >= MIN_WITH_GAPS and span <= 2 * (len(column) - 1)
        and bool((steps > 0).all() or (steps < 0).all()))


def _are_flags(column: np.ndarray) -> bool:
    """Whether a column has few different whole numbers, as of occluded points, or parts."""
    different = np.unique(column)
    return np.array_equal(different, np.round(different)) \
        and len(different) <= max(2, len(column) // 8)


def _is_face(points: np.ndarray) -> bool:
    """Whether points span a width and a height that may be those of a face."""
    present = points[np.isfinite(points).all(axis=1)]
    if len(present) < 2:
        return True
    width, height = np.ptp(present, axis=0)
    return bool(max(width, height) <= MAX_ASPECT * min(width, height))


def _values(path: Path, schemas: Mapping[int, str]) -> np.ndarray:
    """The numbers [N, 2] or [N, 3] of a file; NaN for points that are not annotated."""
    lines = ((number, text) for number, text in parsing.text_lines(path, MAX_FILE_BYTES)
             if not text.startswith(COMMENTS))
    count = _read_header(lines, path, schemas)
    rows: list[np.ndarray] = []
    for number, line in lines:
        if line == "}":
            break
        if len(rows) == count:
            raise DataError(path, f"expected '}}' after {count} points", number)
        words = _words(line)
        if len(words) not in (2, 3) or (rows and len(words) != len(rows[0])):
            expected = len(rows[0]) if rows else 2
            got = parsing.shorten(line)
            raise DataError(path, f"expected {expected} numbers, got {got}", number)
        missing = [word.lower().strip("+-") == "nan" for word in words]
        if sum(missing) == 2 and not (len(words) == 3 and missing[0] and missing[2]):
            words = ["0" if absent else word for word, absent in zip(words, missing, strict=True)]
            rows.append(np.where(missing, np.nan, parsing.coordinates(words, path, number)))
        else:
            rows.append(parsing.coordinates(words, path, number))
    else:
        raise DataError(path, f"the file ends after {len(rows)} of {count} points")
    if len(rows) != count:
        raise DataError(path, f"expected {count} points, got {len(rows)}", number)
    if further := next((number for number, text in lines if text.strip()), None):
        raise DataError(path, "expected the end of the file after '}': a second face has a file of "
                              "its own, NAME_1.pts", further)
    return np.array(rows)


def _words(line: str) -> list[str]:
    """The numbers of a line, with white space or commas between them; `1,5 2,5` is refused."""
    if any(character.isspace() for character in line):
        return re.split(r"\s*,\s+|\s+,\s*|\s+", line)
    return line.split(",")


def _read_header(
    lines: Iterator[tuple[int, str]], path: Path, schemas: Mapping[int, str]
) -> int:
    """Consumes the lines up to `{` and returns the number of points that they promise."""
    fields: dict[str, str] = {}
    for number, line in lines:
        begun = line.endswith("{")
        line = line.removesuffix("{").strip()
        if line:
            name, colon, value = (word.strip() for word in line.lower().partition(":"))
            if not colon or name not in ("version", "n_points"):
                expected = "'version: 1', 'n_points: N' or '{'"
                raise DataError(path, f"expected {expected}, got {parsing.shorten(line)}", number)
            fields[name] = value
        if begun:
            break
    else:
        raise DataError(path, "expected '{' before the points")
    if not re.fullmatch(r"1(\.0*)?", fields.get("version", "1"), re.ASCII):
        raise DataError(path, f"expected 'version: 1', got "
                              f"{parsing.shorten(str(fields.get('version')))}")
    for count in schemas:
        if fields.get("n_points") == str(count):
            return count
    counts = " or ".join(str(count) for count in schemas)
    got = parsing.shorten(str(fields.get("n_points")))
    raise DataError(path, f"expected 'n_points: {counts}', got {got}; "
                    "ibug:FOLDER?schema= reads others")
