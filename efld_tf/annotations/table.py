"""Reads a table of landmarks: a face a line, an image's name and coordinates in its columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path, PurePosixPath

from efld_tf.annotations import image_paths, listing, parsing, table_header, table_text
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
from efld_tf.annotations.table_numbers import Decimals, is_missing, optional_coordinates
from efld_tf.annotations.table_text import Row
from efld_tf.errors import DataError, EfldError

# The rows by which the decimal mark is told.
MARK_ROWS = 1000


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

    The header says which column is x or y of which point, see `table_points`. Columns named
    `box_x0`, `box_y0`, `box_x1`, `box_y1` and `identity` are what they say, and so are those of
    `efld-predict`: `frame` (of a video, counted from 0), `upright` (1 where the coordinates are of
    the photo turned as its EXIF orientation says) and, as attributes, `seconds`, `face`, `track`,
    `score`, `confidence`, `angle` and `expected_nme`; `image_width` and `image_height` state the
    size of the image that was annotated, and so do `width` and `height` if they are not of a box.
    Other columns are left out. An empty cell, `nan` and `NA` mean that a point is not annotated, or
    that nothing is said. The text is UTF-8 or UTF-16.

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
      order: `xy` (x0, y0, x1, y1 ...) or `xxyy` (all x, then all y) where no header says it;
        refused where the header says another.

    Raises:
      DataError: `path` is not a readable file, or its header does not fit the schema, or another
        header follows.
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
    rows = partial(table_text.rows, path, table_text.checked_delimiter(delimiter), with_header)
    lines = rows()
    first_row = next(lines, (1, []))
    second_row = next(lines, None) if with_header else first_row
    if isinstance(first_row, DataError):
        raise first_row
    if not first_row[1]:
        expected = "a header, with a column for images and those of points" if with_header \
            else "a face a line"
        raise DataError(path, f"the table is empty; expected {expected}", first_row[0])
    columns = _columns(first_row, second_row, with_header, image, layout)
    first_rows = islice((row for row in rows() if isinstance(row, tuple)), MARK_ROWS + with_header)
    decimals = _decimals([*first_rows][with_header:], columns, path)
    for row in chain([second_row] if second_row is not None else [], lines):
        if isinstance(row, DataError):
            yield row
            continue
        try:
            yield _record(row[1], columns, layout, decimals, row[0])
        except DataError as error:
            _check_no_header(row, first_row[1], columns, path)
            yield error
    yield from map(Note, columns.notes)


@dataclass(frozen=True)
class _Layout:
    """What the options say of a table."""

    path: Path
    folders: list[Path]
    schema: str
    origin: float
    order: str


def _decimals(rows: Sequence[Row], columns: Columns, path: Path) -> Decimals:
    return Decimals(path, [(line, [cells[i] for i in columns.coordinates])
                           for line, cells in rows if len(cells) >= columns.count])


def _columns(
    first_row: Row, second: Row | DataError | None, with_header: bool, image: str | None,
    layout: _Layout,
) -> Columns:  # fmt: skip
    """The columns of a table, by its header, or by the option `image` and the order."""
    line, first = first_row
    cells = second[1] if isinstance(second, tuple) else []
    path = layout.path
    if not with_header:
        column = 0
        if image is None:
            column = table_header.image_column([], first, IMAGE_SUFFIXES)
        elif image is not None and re.fullmatch("[0-9]{1,6}", image) and int(image) < len(first):
            column = int(image)
        elif image is not None:
            raise EfldError(f"image: without a header, a column from 0 to {len(first) - 1}, got "
                            f"{image!r}")
    elif image is None and any(cell.lower().endswith(IMAGE_SUFFIXES) for cell in first):
        raise DataError(path, "expected a header, got a face: add one, or say header=no, and "
                              "order=xy or order=xxyy", line)
    elif image is not None:
        if image not in first:
            raise DataError(path, f"expected a column {parsing.shorten(image)}", line)
        column = first.index(image)
    else:
        column = table_header.image_column(first, cells, IMAGE_SUFFIXES)
        if table_header.counts_lines(first[column]) and cells[column : column + 1] \
                and cells[column].isdecimal():
            raise DataError(path, "expected a column of the names of images, such as image: name "
                                  "it, or say which it is with image=", line)
    if with_header:
        _check_one_header(second, first, column, path)
    try:
        if not with_header:
            return table_header.counted(len(first), column, layout.schema, layout.order)
        return table_header.named(first, column, layout.schema, layout.order)
    except EfldError as error:
        other = table_header.other_layout(first if with_header else [], cells, layout.schema)
        raise DataError(path, other or str(error), line) from error


def _check_one_header(
    second: Row | DataError | None, first: list[str], image: int, path: Path
) -> None:
    """Raises DataError if the line after the header is of names, too (pandas, DeepLabCut)."""
    if not isinstance(second, tuple) or len(second[1]) != len(first):
        return
    number, cells = second
    words = [cell for i, cell in enumerate(cells) if i != image and not is_missing(cell)]
    if not cells[image].lower().endswith(IMAGE_SUFFIXES) and 2 * len(words) > len(cells) \
            and not any(re.match(r"[-+.\d]", word) for word in words):
        raise DataError(path, "expected a header of one line, got another line of names such as "
                              f"{parsing.shorten(words[-1])}: write one line, with NAME_x and "
                              "NAME_y of each point", number)


def _check_no_header(row: Row, first: list[str], columns: Columns, path: Path) -> None:
    """Raises DataError if a line is of other names than the header: tables were put together."""
    line, cells = row
    if len(cells) != len(first) or cells == first:
        return
    words = [i for i in columns.coordinates if re.match(r"[A-Za-z_]", cells[i])
             and not is_missing(cells[i])]
    if 2 * len(words) > len(columns.coordinates):
        other = next(i for i in range(len(cells)) if cells[i] != first[i])
        raise DataError(path, f"another header, with {parsing.shorten(cells[other])} in the place "
                              f"of {parsing.shorten(first[other])}: give the lines from here on as "
                              "a table of their own", line)


def _record(
    cells: list[str], columns: Columns, layout: _Layout, decimals: Decimals, line: int
) -> FaceRecord:
    path = layout.path
    cells = _checked_count(cells, columns, path, line)
    values = optional_coordinates(
        decimals.with_points([cells[i] for i in columns.coordinates], line), path, line)
    points = checked_points(
        values.reshape(-1, 2) - layout.origin, layout.schema, path, line, missing=True)
    box = None
    if not all(is_missing(cells[i]) for i in columns.box):
        corners = parsing.coordinates(
            [decimals.with_point(cells[i], line) for i in columns.box], path, line)
        box = parsing.box_of(corners - layout.origin, path, line)
    image, name = _image(cells[columns.image], layout, line)
    others = {key: "" if is_missing(cells[i]) else cells[i] for key, i in columns.others.items()}
    attributes = {key: others[key] for key in ATTRIBUTES if others.get(key)}
    frame = _frame(others.get(FRAME, ""), path, line)
    if frame is not None and name.lower().endswith(IMAGE_SUFFIXES):
        frame, attributes[FRAME] = None, str(frame)  # the number of a photo of a film
    return FaceRecord(
        image=image,
        points=points,
        schema=layout.schema,
        box=box,
        attributes=attributes,
        identity=others.get(IDENTITY) or name,
        frame=frame,
        upright=_upright(others.get(UPRIGHT, ""), path, line),
        image_size=_size([others.get(name, "") for name in SIZE], path, line),
    )


def _checked_count(cells: list[str], columns: Columns, path: Path, line: int) -> list[str]:
    """The cells of a line without those that a delimiter at its end makes."""
    while len(cells) > columns.count and not cells[-1]:
        cells = cells[:-1]
    more = len(cells) - columns.count
    if not more:
        return cells
    hint = ""
    if more == 1 and cells[columns.image + 1].lower().endswith(IMAGE_SUFFIXES):
        hint = "; are there names of rows, as R writes them? Say row.names=FALSE in write.table"
    elif more > 0:
        hint = "; are there decimal commas? Then separate cells by semicolons"
    raise DataError(path, f"expected {columns.count} cells, got {len(cells)}{hint}", line)


def _image(cell: str, layout: _Layout, line: int) -> tuple[Path, str]:
    """The image that a cell names, and its name; without a suffix it is the only one so named."""
    name = image_paths.relative_name(cell, layout.path, line, layout.folders)
    try:
        return image_paths.find_image(layout.folders, name, layout.path, line), name
    except DataError:
        place = PurePosixPath(name)
        found = [] if place.suffix else [
            folder / place.parent / other for folder in layout.folders
            for other in listing.same_stem(folder / place.parent, name)]
        if len(found) != 1:
            raise
        return found[0], str(place.parent / found[0].name)


def _size(cells: list[str], path: Path, line: int) -> tuple[int, int] | None:
    width, height = ("" if is_missing(cell) else cell for cell in cells)
    return parsing.stated_size(width, height, path, line)


def _frame(cell: str, path: Path, line: int) -> int | None:
    if not cell:
        return None
    if not re.fullmatch(r"\d{1,9}(\.0{1,9})?", cell, re.ASCII):  # pandas writes 7.0 beside NaN
        raise DataError(path, f"frame: expected a whole number, got {parsing.shorten(cell)}", line)
    return int(cell.partition(".")[0])


def _upright(cell: str, path: Path, line: int) -> bool | None:
    if not cell:
        return None
    value = {"0": False, "0.0": False, "false": False, "1": True, "1.0": True, "true": True}.get(
        cell.lower())
    if value is None:
        raise DataError(path, f"upright: expected 0 or 1, got {parsing.shorten(cell)}", line)
    return value


FORMAT = Format(
    "csv", "a table of your own", read, (), "FILE.csv",
    "an image's path and x0, y0, x1, y1 ... a line; needs schema=NAME or schema=FILE.yaml",
    "yours",
)
