"""Matches the names that a file gives its points with the points of a schema.

Names decide over the order in which they stand: a table sorted by name has `10` behind `1`. They
are matched by what the schema calls its points, or by their number, as in `7`, `p7` or `point-07`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from efld_tf.annotations.parsing import shorten
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

# A message lists at most so many names.
MOST_LISTED = 8


def simplified(name: str) -> str:
    """A name without upper case, and with `_` for any other separator."""
    return re.sub(r"[\s_.\-:/\[\]()]+", "_", name.casefold()).strip("_")


def match(names: Sequence[str], schema: str, first: int | None = None) -> dict[str, int]:
    """The index of each name in the schema.

    Args:
      names: all names that a file uses, each once; not all points of the schema need one.
      first: the number of the first point, 0 or 1; None if the names tell, which they do as soon
        as one of them is 0 or the number of points.

    Raises:
      EfldError: a name is not one of the schema's, two are the same point, or numbers do not tell
        where they start; the message has the names of both sides.
    """
    own = {simplified(name): index for index, name in enumerate(schemas.get(schema).names)}
    simple = {name: simplified(name) for name in names}
    numbers = numbered(names)
    if numbers is not None and not all(name in own for name in simple.values()):
        indices = _from_numbers(numbers, schema, first)
    else:
        unknown = [name for name in names if simple[name] not in own]
        if unknown:
            unused = [name for name in schemas.get(schema).names
                      if simplified(name) not in simple.values()]
            raise EfldError(
                f"{_counted(unknown)} not of {schema}: {_listed(unknown)}; of its names these are "
                f"left: {_listed(unused)}. Name them alike, or say names=ignore if they stand in "
                "the schema's order"
            )
        indices = {name: own[simple[name]] for name in names}
    twice = [index for index, count in Counter(indices.values()).items() if count > 1]
    if twice:
        same = [name for name in names if indices[name] == twice[0]]
        raise EfldError(f"{_listed(same)} are the same point of {schema}")
    return indices


def numbered(names: Sequence[str]) -> dict[str, int] | None:
    """The numbers at the end of names that are otherwise alike; None if not all are such names."""
    found = {name: re.fullmatch(r"(\D*)(\d{1,4})", simplified(name), re.ASCII) for name in names}
    if not found or len({match and match[1] for match in found.values()}) != 1:
        return None
    return {name: int(match[2]) for name, match in found.items() if match is not None} or None


def _from_numbers(numbers: dict[str, int], schema: str, first: int | None) -> dict[str, int]:
    count = schemas.get(schema).num_points
    low, high = min(numbers.values()), max(numbers.values())
    start = first
    if start is None and low == 0:
        start = 0
    if start is None and high == count:
        start = 1
    if start is None and high > count:
        start = 1  # for the message below
    if start is None:
        raise EfldError(
            f"points are numbered {low} to {high}: does {schema} count from 0 or from 1 there? "
            "Say first=0 or first=1"
        )
    if low < start or high >= count + start:
        raise EfldError(
            f"points are numbered {low} to {high}, but those of {schema} "
            f"{start} to {count + start - 1}"
        )
    return {name: number - start for name, number in numbers.items()}


def _counted(names: Sequence[str]) -> str:
    return "1 name is" if len(names) == 1 else f"{len(names)} names are"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(shorten(name, 30) for name in names[:MOST_LISTED])
    more = len(names) - MOST_LISTED
    return f"{shown or 'none'}{f' and {more} more' if more > 0 else ''}"
