"""What the header of a table of landmarks says: where the image, the points and the box are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from efld_tf.annotations import table_points
from efld_tf.annotations.parsing import shorten
from efld_tf.annotations.table_points import INDICES, cleaned
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
# Columns that occur at most once; those of efld-predict that describe a face are attributes.
IDENTITY, FRAME, UPRIGHT = "identity", "frame", "upright"
ATTRIBUTES = ("seconds", "face", "track", "score", "confidence", "angle", "expected_nme")
SIZE = ("image_width", "image_height")
OWN = (*BOX, *SIZE, IDENTITY, FRAME, UPRIGHT, *ATTRIBUTES)

# What tables call the column of the image.
IMAGES = ("image", "image_name", "image_path", "file_name", "filename", "file", "path", "img",
          "photo", "name", "image_id")  # fmt: skip
# What programs call the width and the height of the image.
_SIZES = (SIZE, ("imagewidth", "imageheight"), ("img_width", "img_height"),
          ("imgwidth", "imgheight"), ("image_w", "image_h"), ("img_w", "img_h"))  # fmt: skip
# They may also be those of a box whose corner or centre is beside them, but not its other corner.
_BARE_SIZE = ("width", "height")
_CORNER = re.compile(r"(?:^|_|\d|c)[xy](?:c|_|\d|$)|[xy]_?(?:min|cent)|left|top|cent(?:er|re)")
_OTHER_CORNER = re.compile(r"max|right|bottom|(?:^|_)[xy]_?2|2_?[xy]$")
ASSUMED = ("the columns are taken as x0, y0, x1, y1, ...: say order=xxyy if all x stand before all "
           "y, order=xy if not")


@dataclass(frozen=True)
class Columns:
    """The places of cells in a line of `count`.

    Attributes:
      image: the place of the image's name.
      coordinates: the places of x0, y0, x1, y1, ... in the schema's order.
      box: the places of `BOX`; empty if there is no box.
      others: the places of the other columns of `OWN` by their names.
      notes: what the user should know.
    """

    count: int
    image: int
    coordinates: list[int]
    box: list[int]
    others: dict[str, int]
    notes: list[str]


def named(header: Sequence[str], image: int, schema: str, order: str) -> Columns:
    """The columns of a table with a header.

    Args:
      header: the names of the columns.
      image: the image's column.
      order: `xy` or `xxyy` if the user said so, or "".

    Raises:
      EfldError: the names do not say which column is which, or contradict the order.
    """
    names = {i: cleaned(name) for i, name in enumerate(header) if i != image}
    twice = next((name for name in OWN if [*names.values()].count(name) > 1), None)
    if twice:
        raise EfldError(f"two columns are named {twice}")
    own = {name: i for i, name in names.items() if name in OWN and name not in SIZE}
    box = [own.pop(name) for name in BOX if name in own]
    if box and len(box) < len(BOX):
        raise EfldError(f"expected all of {', '.join(BOX)}, or none")
    size = next((pair for alike in _SIZES if (pair := _both(names, alike))), [])
    free = [i for i in names if i not in (*own.values(), *box, *size)]
    coordinates = table_points.by_axis(header, free, schema, order)
    notes = []
    if coordinates is None:
        bare = [i for i in free if names[i] not in _BARE_SIZE]
        coordinates = table_points.in_order(header, bare, schema, order)
        notes += [] if order else [ASSUMED]
    left_out = [i for i in free if i not in coordinates]
    if not size and (bare := _both({i: names[i] for i in left_out}, _BARE_SIZE)):
        said = ", ".join(shorten(header[i]) for i in bare)
        others = [names[i] for i in left_out if i not in bare]
        if any(map(_CORNER.search, others)) and not any(map(_OTHER_CORNER.search, others)):
            notes.append(f"the columns {said} may be of a box: call them {', '.join(SIZE)} if they "
                         "are of the image")
        else:
            size = bare
            left_out = [i for i in left_out if i not in size]
            notes.append(f"the columns {said} are taken as the size of the image")
    if left_out:
        shown = ", ".join(shorten(header[i], 30) for i in left_out[:8])
        notes.append(f"left out: the columns {shown}{', ...' if len(left_out) > 8 else ''}")
    return Columns(len(header), image, coordinates, box, own | dict(zip(SIZE, size, strict=False)),
                   notes)


def counted(count: int, image: int, schema: str, order: str) -> Columns:
    """The columns of a table without a header; errors as in `named`."""
    places = [i for i in range(count) if i != image]
    table_points.check_count(len(places), schema)
    return Columns(count, image, table_points.arranged(places, order), [], {},
                   [] if order else [ASSUMED])


def image_column(header: Sequence[str], cells: Sequence[str], suffixes: Sequence[str]) -> int:
    """The place of the image's name: by the header and by the first line, whose cell ends like one.

    Of several columns that are called so, such as an id and a path, it is the one whose cell does.
    """
    simple = [cleaned(name) for name in header]
    called = [simple.index(name) for name in IMAGES if name in simple]
    ending = [place for place, cell in enumerate(cells) if cell.lower().endswith(tuple(suffixes))]
    both = [place for place in called if place in ending]
    return (both or called or ending or [0])[0]


def counts_lines(name: str) -> bool:
    """Whether a column is of numbers of lines, frames or faces."""
    return cleaned(name) in (*INDICES, *OWN)


def other_layout(header: Sequence[str], cells: Sequence[str], schema: str) -> str | None:
    """What a table is that has no column for each coordinate, and what to do; None if unknown.

    Args:
      cells: those of the first line of a face.
    """
    if len(cells) > 2 * schemas.get(schema).num_points:
        return None
    for cell in cells:
        numbers = re.findall(r"[-+]?\d[\d.]*", cell)
        if cell[:1] in ("[", "(", "{") and len(numbers) > 1:
            what = "a point in a cell" if len(numbers) == 2 else "a list of points in a cell"
            return (f"expected a coordinate in a cell, got {what}: {shorten(cell)}. Write columns "
                    "NAME_x and NAME_y of each point, or JSON lines for the reader json")
    names = [cleaned(name) for name in header]
    if names.count("x") == names.count("y") == 1:
        return ("expected a face in a line, got a point in a line, with the columns "
                f"{', '.join(shorten(name, 20) for name in header[:6])}. Write a line for each "
                "face, with NAME_x and NAME_y of each point, as DataFrame.pivot of pandas does")
    return None


def _both(names: dict[int, str], alike: Sequence[str]) -> list[int]:
    """The places of two names; empty if one of them is missing or there twice."""
    places = [[i for i, name in names.items() if name == one] for one in alike]
    return [found[0] for found in places] if all(len(found) == 1 for found in places) else []
