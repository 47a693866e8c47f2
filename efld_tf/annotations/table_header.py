"""What the header of a table of landmarks says: which column is x or y of which point.

Columns may stand in any order. A point is named `NAME_x` and `NAME_y`, `x_NAME` and `y_NAME`, `x0`
and `y0`, or `0x` and `0y`, with the schema's names or numbers. A header of bare numbers counts the
coordinates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from efld_tf.annotations import point_names
from efld_tf.annotations.parsing import shorten
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")
# Columns that occur at most once; those of efld-predict that describe a face are attributes.
IDENTITY, FRAME, UPRIGHT = "identity", "frame", "upright"
ATTRIBUTES = ("seconds", "face", "track", "score", "confidence")
SIZE = ("image_width", "image_height")
OWN = (*BOX, *SIZE, IDENTITY, FRAME, UPRIGHT, *ATTRIBUTES)

# What tables call the column of the image.
IMAGES = ("image", "image_name", "image_path", "file_name", "filename", "file", "path", "img",
          "photo", "name", "image_id")  # fmt: skip
# What programs call a column that counts the lines.
INDICES = ("", "index", "id", "unnamed_0", "row")

_AXIS_LAST = re.compile(r"(?:(.+)_|(.*\d))([xy])")
_AXIS_FIRST = re.compile(r"([xy])(?:_(.+)|(\d.*))")


@dataclass(frozen=True)
class Columns:
    """The places of cells in a line of `count`.

    Attributes:
      image: the place of the image's name.
      coordinates: the places of x0, y0, x1, y1, ... in the schema's order.
      box: the places of `BOX`; empty if there is no box.
      others: the places of the other columns of `OWN` by their names.
      left_out: the names of columns that are not read.
      assumed: whether nothing but custom says which column is x or y.
    """

    count: int
    image: int
    coordinates: list[int]
    box: list[int]
    others: dict[str, int]
    left_out: list[str]
    assumed: bool = False


def named(header: Sequence[str], image: int, schema: str, order: str) -> Columns:
    """The columns of a table with a header.

    Args:
      header: the names of the columns.
      image: the image's column.
      order: `xy` or `xxyy` if the user said so, or "".

    Raises:
      EfldError: the names do not say which column is which, or contradict the order.
    """
    twice = next((name for name in OWN if header.count(name) > 1), None)
    if twice:
        raise EfldError(f"two columns are named {twice}")
    box = [name for name in BOX if name in header]
    if box and len(box) < len(BOX):
        raise EfldError(f"expected all of {', '.join(BOX)}, or none")
    free = [i for i, name in enumerate(header) if i != image and name not in OWN]
    coordinates = _by_axis(header, free, schema, order)
    assumed = False
    if coordinates is None:
        coordinates = _in_order(header, free, schema, order)
        assumed = not order
    else:
        _check_order(coordinates, order)
    return Columns(
        count=len(header),
        image=image,
        coordinates=coordinates,
        box=[header.index(name) for name in box],
        others={name: header.index(name) for name in OWN
                if name in header and name not in BOX and header.index(name) != image},
        left_out=[header[i] for i in free if i not in coordinates],
        assumed=assumed,
    )


def counted(count: int, image: int, schema: str, order: str) -> Columns:
    """The columns of a table without a header; errors as in `named`."""
    places = [i for i in range(count) if i != image]
    check_count(len(places), schema)
    return Columns(count, image, _arranged(places, order), [], {}, [], assumed=not order)


def check_count(got: int, schema: str) -> None:
    """Raises EfldError if a table has not as many columns as a schema has coordinates."""
    if got != (expected := 2 * schemas.get(schema).num_points):
        raise EfldError(f"expected {expected} columns of coordinates of {schema}, got {got}; is "
                        "the delimiter right?")


def image_column(header: Sequence[str], cells: Sequence[str], suffixes: Sequence[str]) -> int:
    """The place of the image's name: by the header, or by the first line that ends like one."""
    simple = [point_names.simplified(name) for name in header]
    for name in IMAGES:
        if name in simple:
            return simple.index(name)
    for place, cell in enumerate(cells):
        if cell.lower().endswith(tuple(suffixes)):
            return place
    return 0


def _by_axis(
    header: Sequence[str], free: Sequence[int], schema: str, order: str
) -> list[int] | None:
    """The places of x0, y0, ... by the names of columns; None if names tell no x and y."""
    last = {i: (m[1] or m[2], m[3]) for i in free
            if (m := _AXIS_LAST.fullmatch(point_names.simplified(header[i])))}
    first = {i: (m[2] or m[3], m[1]) for i in free
             if (m := _AXIS_FIRST.fullmatch(point_names.simplified(header[i])))}
    found = max(last, first, key=len)
    if not found:
        return None
    # pandas calls equal names `x`, `x.1`, `x.2`.
    if found is first and "0" not in {name for name, _ in found.values()}:
        found |= {i: ("0", axis) for i in free
                  if (axis := point_names.simplified(header[i])) in ("x", "y")}
    # `X_0` beside `x_0` is the point in space (OpenFace).
    small = {key for i, key in found.items() if key[1] in header[i]}
    found = {i: key for i, key in found.items() if key[1] in header[i] or key not in small}
    places: dict[tuple[str, str], int] = {}
    for place, key in found.items():
        if places.setdefault(key, place) != place:
            raise EfldError(f"two columns are {key[1]} of the point {shorten(key[0])}")
    names = list(dict.fromkeys(name for name, _ in found.values()))
    for name in names:
        for axis in "xy":
            if (name, axis) not in places:
                raise EfldError(f"the point {shorten(name)} has no column of {axis}")
    try:
        indices = _indices(names, schema)
    except EfldError:
        own_order = _arranged(sorted(found), order)
        axes = [found[place][1] for place in own_order]
        if order and len(found) == 2 * schemas.get(schema).num_points \
                and axes == ["x", "y"] * (len(axes) // 2):
            return own_order  # named in other words, and in the schema's order, as the user says
        raise
    by_index = {index: name for name, index in indices.items()}
    missing = [name for i, name in enumerate(schemas.get(schema).names) if i not in by_index]
    if missing:
        raise EfldError(f"expected columns of the {len(by_index) + len(missing)} points of "
                        f"{schema}, got {len(by_index)}; the first that is missing is {missing[0]}")
    return [places[by_index[i], axis] for i in range(len(by_index)) for axis in "xy"]


def _indices(names: Sequence[str], schema: str) -> dict[str, int]:
    """The index of each name; other columns may be named, too, if all of the schema's are there."""
    return point_names.match(
        names, schema, more=True, ignore="order=xy or order=xxyy",
        start="Number them from 0 or 1 to the last point")


def _in_order(
    header: Sequence[str], free: Sequence[int], schema: str, order: str
) -> list[int]:
    """The places of x0, y0, ... of columns whose names do not tell x from y."""
    places = [i for i in free if point_names.simplified(header[i]) not in INDICES]
    numbers = [header[i] for i in places]
    check_count(len(places), schema)
    if all(re.fullmatch(r"\d{1,5}", name, re.ASCII) for name in numbers):
        values = list(map(int, numbers))
        if sorted(values) in ([*range(len(places))], [*range(1, len(places) + 1)]):
            places.sort(key=lambda i: int(header[i]))
        elif values != [i // 2 for i in range(len(places))]:
            raise EfldError("expected a header, got numbers of a face: add one, or say header=no, "
                            "and order=xy or order=xxyy")
    elif not order:
        examples = ", ".join(shorten(name, 20) for name in numbers[:4])
        raise EfldError(
            f"columns {examples}, ... do not say which is x or y of which point: name them "
            "NAME_x and NAME_y, or x0, y0, x1, ..., or say order=xy or order=xxyy")
    return _arranged(places, order)


def _arranged(places: Sequence[int], order: str) -> list[int]:
    if order != "xxyy":
        return [*places]
    half = len(places) // 2
    return [place for pair in zip(places[:half], places[half:], strict=True) for place in pair]


def _check_order(coordinates: Sequence[int], order: str) -> None:
    if order and _arranged(sorted(coordinates), order) != [*coordinates]:
        raise EfldError(f"order={order} contradicts the header, which names the columns in another "
                        "order: leave it out")
