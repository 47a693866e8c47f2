"""Reads a table of landmarks: a face a line, an image's name and coordinates in its columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing, table_header
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.listing import IMAGE_SUFFIXES
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.annotations.table_header import (
    ATTRIBUTES,
    FRAME,
    IDENTITY,
    SIZE,
    UPRIGHT,
    Columns,
)
from efld_tf.errors import DataError, EfldError

DELIMITERS = {"tab": "\t", "space": None}
# Those that a header is searched for. Where commas are as frequent, they are in the numbers.
COMMON_DELIMITERS = ("\t", ";", "|", ",")
NOT_ANNOTATED = ("", "nan", "na", "n/a", "#n/a", "none", "null")

# The rows by which the decimal mark is told.
MARK_ROWS = 1000

Row = tuple[int, list[str]]


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    prefix: str = "",
    image: str | None = None,
    delimiter: str = "",
    header: str = "yes",
    origin: str = "0",
    order: str = "",
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a table, in its order; the identity is the image, if no column says otherwise.

    The header says which column is x or y of which point, see `table_header`. Columns named
    `box_x0`, `box_y0`, `box_x1`, `box_y1` and `identity` are what they say, and so are those of
    `efld-predict`: `frame` (of a video, counted from 0), `upright` (1 where the coordinates are of
    the photo turned as its EXIF orientation says) and, as attributes, `seconds`, `face`, `track`,
    `score` and `confidence`; `image_width` and `image_height` state the size of the image that was
    annotated. Other columns are left out. An empty cell, `nan` and `NA` mean that the point is not
    annotated. The text is UTF-8 or UTF-16.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder that image paths are relative to; by default the table's.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      image: the image's column, by its name, or counted from 0 where there is no header; by
        default the one that is named so, or whose cells look so.
      delimiter: a character, `tab` or `space`; by default what a line `sep=;` says, or the tab,
        semicolon, bar or comma that the first line has most of.
      header: `yes` or `no`.
      origin: what the table calls the first pixel's centre, `0`, `0.5` or `1`.
      order: `xy` (x0, y0, x1, y1 ...) or `xxyy` (all x, then all y) where no header says it.

    Raises:
      DataError: `path` is not a readable file, or its header does not fit the schema.
      EfldError: an option has an unknown value.
    """
    layout = _Layout(
        path=path,
        folders=image_folders(images, [path.parent], prefix),
        schema=schema_named(schema),
        origin=float(choice("origin", origin, ("0", "0.5", "1"))),
        order=order and choice("order", order, ("xy", "xxyy")),
    )
    with_header = choice("header", header, ("yes", "no")) == "yes"
    rows = _rows(path, _checked_delimiter(delimiter))
    first_row = next(rows, (1, []))
    second_row = next(rows, None) if with_header else first_row
    if isinstance(first_row, DataError):
        raise first_row
    columns = _columns(first_row[1], second_row, with_header, image, layout)
    decimals = _Decimals.of(path, _rows(path, _checked_delimiter(delimiter)), columns, with_header)
    for row in chain([second_row] if second_row is not None else [], rows):
        if isinstance(row, DataError):
            yield row
            continue
        try:
            yield _record(row[1], columns, layout, decimals, row[0])
        except DataError as error:
            yield error
    if columns.assumed:
        yield Note("the columns are taken as x0, y0, x1, y1, ...: say order=xxyy if all x stand "
                   "before all y, order=xy if not")
    if columns.left_out:
        names = ", ".join(parsing.shorten(name, 30) for name in columns.left_out[:8])
        more = ", ..." if len(columns.left_out) > 8 else ""
        yield Note(f"left out: the columns {names}{more}")


@dataclass(frozen=True)
class _Layout:
    """What the options say of a table."""

    path: Path
    folders: list[Path]
    schema: str
    origin: float
    order: str


@dataclass(frozen=True)
class _Decimals:
    """Whether a table has decimal commas."""

    comma: bool

    @classmethod
    def of(
        cls, path: Path, rows: Iterator[Row | DataError], columns: Columns, with_header: bool
    ) -> _Decimals:
        """The decimal mark of a table, by its first rows.

        Raises:
          DataError: its marks may be thousands separators, or it has both.
        """
        first_rows = islice((row for row in rows if isinstance(row, tuple)), int(with_header),
                            MARK_ROWS)
        cells = [(number, row[i]) for number, row in first_rows
                 if len(row) >= columns.count for i in columns.coordinates]
        found = {mark: [(number, cell) for number, cell in cells if mark in cell] for mark in ",."}
        plain = [cell for _, cell in cells if re.fullmatch(r"[+-]?\d{1,3}", cell)]
        for mark, marked in found.items():
            by_three = rf"[+-]?[1-9]\d{{0,2}}\{mark}\d{{3}}"
            if marked and plain and all(re.fullmatch(by_three, cell) for _, cell in marked):
                number, cell = marked[0]
                raise DataError(
                    path, f"{parsing.shorten(cell)} beside {parsing.shorten(plain[0])}: is the "
                    f"{'comma' if mark == ',' else 'point'} a thousands separator? Write numbers "
                    "without one, or all of them with decimals", number)
        if found[","] and found["."]:
            number, cell = found[","][0]
            raise DataError(path, f"{parsing.shorten(cell)} beside "
                            f"{parsing.shorten(found['.'][0][1])}: is the comma a decimal mark, "
                            "or a thousands separator?", number)
        return cls(bool(found[","]))


def _rows(path: Path, delimiter: str | None) -> Iterator[Row | DataError]:
    """The stripped cells of each line that is not empty, with its number.

    Args:
      delimiter: None for spaces, "" for what the table's first line says.
    """
    lines = _lines(path)
    number, first = next(lines, (1, ""))
    if said := re.fullmatch(r"sep=(.)\s*", first, re.IGNORECASE):
        if delimiter not in ("", said[1]):
            raise DataError(path, f"its first line says {first.strip()!r}, not delimiter="
                                  f"{delimiter or 'space'}", 1)
        delimiter = said[1]
    else:
        lines = chain([(number, first)], lines)
    if delimiter is None:
        yield from ((n, text.split()) for n, text in lines if text.strip())
        return
    if not delimiter:
        delimiter = max(COMMON_DELIMITERS, key=first.count) if any(
            map(first.count, COMMON_DELIMITERS)) else ","
    reached = [number - 1 if said is None else number]

    def texts() -> Iterator[str]:
        for n, text in lines:
            reached[0] = n
            yield text

    reader = csv.reader(texts(), delimiter=delimiter, strict=True)
    while True:
        start = reached[0] + 1
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            yield DataError(path, f"not a line of a table: {error}", start)
            continue
        if any("\ufffd" in cell for cell in cells):
            yield DataError(path, "not a text in UTF-8 or UTF-16: save the table as UTF-8", start)
        elif any(cells):
            yield start, cells


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text in UTF-8 or UTF-16, whatever ends them, with their numbers.

    Raises:
      DataError: the file cannot be read, or has a line longer than `parsing.MAX_LINE_BYTES`.
    """
    try:
        with parsing.open_limited(path) as file:
            start = file.read(2)
            file.seek(0)
            encoding = "utf-8-sig"
            if start in (b"\xff\xfe", b"\xfe\xff"):
                encoding = "utf-16"
            elif 0 in start:
                encoding = "utf-16-le" if start[0] else "utf-16-be"
            text = io.TextIOWrapper(file, encoding, "replace", newline="")
            number = 0
            while line := text.readline(parsing.MAX_LINE_BYTES + 1):
                number += 1
                if len(line) > parsing.MAX_LINE_BYTES:
                    raise DataError(
                        path, f"a line longer than {parsing.MAX_LINE_BYTES} bytes", number)
                yield number, line
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error


def _checked_delimiter(option: str) -> str | None:
    if option in DELIMITERS:
        return DELIMITERS[option]
    if len(option) > 1 or (option in '"\r\n' and option):
        raise EfldError(f"delimiter: expected a character, tab or space, got {option!r}")
    return option


def _columns(
    first: list[str], second: Row | DataError | None, with_header: bool, image: str | None,
    layout: _Layout,
) -> Columns:  # fmt: skip
    """The columns of a table, by its header, or by the option `image` and the order."""
    cells = second[1] if isinstance(second, tuple) else []
    path = layout.path
    if not with_header:
        column = 0
        if image is None and first:
            column = table_header.image_column([], first, IMAGE_SUFFIXES)
        elif image is not None and image.isdecimal() and int(image) < len(first):
            column = int(image)
        elif image is not None:
            raise EfldError(f"image: without a header, a column from 0 to {len(first) - 1}, got "
                            f"{image!r}")
    elif image is None and any(cell.lower().endswith(IMAGE_SUFFIXES) for cell in first):
        raise DataError(path, "expected a header, got a face: add one, or say header=no, and "
                              "order=xy or order=xxyy", 1)
    elif image is not None or not first:
        if image not in first:
            raise DataError(path, f"expected a column {parsing.shorten(str(image or 'image'))}", 1)
        column = first.index(image)
    else:
        column = table_header.image_column(first, cells, IMAGE_SUFFIXES)
    try:
        if with_header:
            return table_header.named(first, column, layout.schema, layout.order)
        return table_header.counted(len(first), column, layout.schema, layout.order)
    except EfldError as error:
        raise DataError(path, str(error), 1) from error


def _record(
    cells: list[str], columns: Columns, layout: _Layout, decimals: _Decimals, line: int
) -> FaceRecord:
    path = layout.path
    while len(cells) > columns.count and not cells[-1]:  # a delimiter at the line's end
        cells = cells[:-1]
    if len(cells) != columns.count:
        hint = "; are there decimal commas? Then separate cells by semicolons" \
            if len(cells) > columns.count else ""
        raise DataError(path, f"expected {columns.count} cells, got {len(cells)}{hint}", line)
    values = optional_coordinates(
        [_decimal(cells[i], decimals, path, line) for i in columns.coordinates], path, line)
    points = checked_points(
        values.reshape(-1, 2) - layout.origin, layout.schema, path, line, missing=True)
    box = None
    if columns.box and any(cells[i] for i in columns.box):
        corners = parsing.coordinates(
            [_decimal(cells[i], decimals, path, line) for i in columns.box], path, line)
        box = parsing.box_of(corners - layout.origin, path, line)
    name = image_paths.relative_name(cells[columns.image], path, line, layout.folders)
    others = {key: cells[i] for key, i in columns.others.items()}
    attributes = {key: others[key] for key in ATTRIBUTES if others.get(key)}
    frame = _frame(others.get(FRAME, ""), path, line)
    if frame is not None and name.lower().endswith(IMAGE_SUFFIXES):
        frame, attributes[FRAME] = None, str(frame)  # the number of a photo of a film
    return FaceRecord(
        image=image_paths.find_image(layout.folders, name, path, line),
        points=points,
        schema=layout.schema,
        box=box,
        attributes=attributes,
        identity=others.get(IDENTITY, name),
        frame=frame,
        upright=_upright(others.get(UPRIGHT, ""), path, line),
        image_size=_size([others.get(name, "") for name in SIZE], path, line),
    )


def _decimal(cell: str, decimals: _Decimals, path: Path, line: int) -> str:
    """A cell with a point as its decimal mark."""
    if not decimals.comma:
        return cell
    if "." in cell:
        raise DataError(path, f"expected a decimal comma as in other lines, got "
                              f"{parsing.shorten(cell)}", line)
    return cell.replace(",", ".", 1)


def _size(cells: list[str], path: Path, line: int) -> tuple[int, int] | None:
    width, height = cells
    return parsing.stated_size(width, height, path, line)


def _frame(cell: str, path: Path, line: int) -> int | None:
    if not cell:
        return None
    if not (cell.isdecimal() and len(cell) < 10):
        raise DataError(path, f"frame: expected a whole number, got {parsing.shorten(cell)}", line)
    return int(cell)


def _upright(cell: str, path: Path, line: int) -> bool | None:
    if cell not in ("", "0", "1"):
        raise DataError(path, f"upright: expected 0 or 1, got {parsing.shorten(cell)}", line)
    return cell == "1" if cell else None


def optional_coordinates(cells: Sequence[str], path: Path, line: int | None = None) -> np.ndarray:
    """Cells as float64 [len(cells)], NaN if empty or `nan`; errors are as in `coordinates`."""
    present = [i for i, cell in enumerate(cells) if cell.strip().lower() not in NOT_ANNOTATED]
    values = np.full(len(cells), np.nan)
    values[present] = parsing.coordinates([cells[i] for i in present], path, line)
    return values


FORMAT = Format(
    "csv", "a table of your own", read, (), "FILE.csv",
    "an image's path and x0, y0, x1, y1 ... a line; needs schema=NAME or schema=FILE.yaml",
    "yours",
)
