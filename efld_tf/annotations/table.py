"""Reads a table of landmarks: a face a line, an image's name and coordinates in its columns."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format
from efld_tf.annotations.listing import IMAGE_SUFFIXES
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas

DELIMITERS = {"tab": "\t", "space": None}
BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
# Columns that occur at most once; those of efld-predict that describe a face are attributes.
IDENTITY, FRAME, UPRIGHT = "identity", "frame", "upright"
ATTRIBUTES = ("seconds", "face", "track", "score", "confidence")
NOT_ANNOTATED = ("", "nan")


def read(
    path: Path,
    *,
    schema: str | None = None,
    images: str | None = None,
    image: str | None = None,
    delimiter: str = ",",
    header: str = "yes",
    origin: str = "0",
    order: str = "xy",
) -> Iterator[FaceRecord | DataError]:
    """The faces of a table, in its order; the identity is the image, if no column says otherwise.

    With a header, columns named `box_x0`, `box_y0`, `box_x1`, `box_y1` and `identity` are what
    they say, and so are those of `efld-predict`: `frame` (of a video, counted from 0), `upright`
    (1 where the coordinates are of the photo turned as its EXIF orientation says) and, as
    attributes, `seconds`, `face`, `track`, `score` and `confidence`. All other columns but the
    image's are coordinates. An empty cell and `nan` mean that the point is not annotated.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder that image paths are relative to; by default the table's.
      image: the image's column, by its name, or counted from 0 where there is no header; by
        default the first.
      delimiter: a character, `tab` or `space`.
      header: `yes` or `no`.
      origin: what the table calls the first pixel's centre, `0` or `1`.
      order: `xy` (x0, y0, x1, y1 ...) or `xxyy` (all x, then all y).

    Raises:
      DataError: `path` is not a readable file, or its header does not fit the schema.
      EfldError: an option has an unknown value.
    """
    layout = _Layout(
        path=path,
        folders=image_folders(images, [path.parent]),
        schema=schema_named(schema),
        delimiter=_delimiter(delimiter),
        origin=int(choice("origin", origin, ("0", "1"))),
        xxyy=choice("order", order, ("xy", "xxyy")) == "xxyy",
    )
    lines: Iterator[tuple[int, str]] = (
        (n, text) for n, _, text in parsing.lines_with_offsets(path) if text.strip()
    )
    number, text = first_line = next(lines, (1, ""))
    cells = layout.cells(text, number)
    if choice("header", header, ("yes", "no")) == "yes":
        if image is None and cells and Path(cells[0]).suffix.lower() in IMAGE_SUFFIXES:
            raise DataError(path, "expected a header, got a face: add one, or say header=no", 1)
        columns = _named_columns(cells, image, layout)
    else:
        columns = _counted_columns(len(cells), image, layout)
        lines = chain([first_line], lines)
    for number, text in lines:
        try:
            yield _record(layout.cells(text, number), columns, layout, number)
        except DataError as error:
            yield error


@dataclass(frozen=True)
class _Layout:
    """The layout of a table, as the options give it."""

    path: Path
    folders: list[Path]
    schema: str
    delimiter: str | None
    origin: int
    xxyy: bool

    def cells(self, text: str, line: int) -> list[str]:
        """The stripped cells of a line."""
        if self.delimiter is None:
            return text.split()
        try:
            cells = next(csv.reader([text.rstrip("\r\n")], delimiter=self.delimiter), [])
        except csv.Error as error:
            raise DataError(self.path, f"not a line of a table: {error}", line) from error
        return [cell.strip() for cell in cells]


@dataclass(frozen=True)
class _Columns:
    """The places of cells in a line of `count`; `others` are by the names of columns."""

    count: int
    image: int
    coordinates: list[int]
    box: list[int]
    others: dict[str, int]


def _delimiter(option: str) -> str | None:
    if option in DELIMITERS:
        return DELIMITERS[option]
    if len(option) != 1 or option in '"\r\n':
        raise EfldError(f"delimiter: expected a character, tab or space, got {option!r}")
    return option


def _named_columns(header: list[str], image: str | None, layout: _Layout) -> _Columns:
    column = header[0] if image is None and header else image
    if column not in header:
        raise DataError(layout.path, f"expected a column {parsing.shorten(str(column))}", 1)
    present = [name for name in BOX if name in header]
    if present and len(present) < len(BOX):
        raise DataError(layout.path, f"expected all of {', '.join(BOX)}, or none", 1)
    named = (IDENTITY, FRAME, UPRIGHT, *ATTRIBUTES)
    apart = {column, *BOX, *named}
    coordinates = [i for i, name in enumerate(header) if name not in apart]
    _check_count(coordinates, layout)
    return _Columns(
        count=len(header),
        image=header.index(column),
        coordinates=coordinates,
        box=[header.index(name) for name in present],
        others={name: header.index(name) for name in named if name in header and name != column},
    )


def _counted_columns(count: int, image: str | None, layout: _Layout) -> _Columns:
    if image is not None and not (image.isdecimal() and int(image) < count):
        raise EfldError(f"image: without a header, a column from 0 to {count - 1}, got {image!r}")
    column = int(image or 0)
    coordinates = [i for i in range(count) if i != column]
    _check_count(coordinates, layout)
    return _Columns(count, column, coordinates, [], {})


def _check_count(coordinates: Sequence[int], layout: _Layout) -> None:
    expected = 2 * schemas.get(layout.schema).num_points
    if len(coordinates) != expected:
        raise DataError(
            layout.path,
            f"expected {expected} columns of coordinates of {layout.schema}, got "
            f"{len(coordinates)}; is the delimiter right?", 1,
        )


def _record(cells: list[str], columns: _Columns, layout: _Layout, line: int) -> FaceRecord:
    path = layout.path
    if len(cells) != columns.count:
        raise DataError(path, f"expected {columns.count} cells, got {len(cells)}", line)
    values = optional_coordinates([cells[i] for i in columns.coordinates], path, line)
    pairs = values.reshape(2, -1).T if layout.xxyy else values.reshape(-1, 2)
    points = checked_points(pairs - layout.origin, layout.schema, path, line, missing=True)
    box = None
    if columns.box:
        corners = parsing.coordinates([cells[i] for i in columns.box], path, line)
        box = parsing.box_of(corners - layout.origin, path, line)
    name = image_paths.relative_name(cells[columns.image], path, line)
    others = {key: cells[i] for key, i in columns.others.items()}
    return FaceRecord(
        image=image_paths.find_image(layout.folders, name, path, line),
        points=points,
        schema=layout.schema,
        box=box,
        attributes={key: others[key] for key in ATTRIBUTES if others.get(key)},
        identity=others.get(IDENTITY, name),
        frame=_frame(others.get(FRAME, ""), path, line),
        upright=_upright(others.get(UPRIGHT, ""), path, line),
    )


def _frame(cell: str, path: Path, line: int) -> int | None:
    if not cell:
        return None
    if not (cell.isdecimal() and len(cell) < 10):
        raise DataError(path, f"frame: expected a whole number, got {parsing.shorten(cell)}", line)
    return int(cell)


def _upright(cell: str, path: Path, line: int) -> bool:
    if cell not in ("", "0", "1"):
        raise DataError(path, f"upright: expected 0 or 1, got {parsing.shorten(cell)}", line)
    return cell == "1"


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
