"""Matches the names that a file gives its points with the points of a schema.

Names decide over the order in which they stand: a table sorted by name has `10` behind `1`. They
are matched by what the schema calls its points, or by their number, as in `7`, `p7` or `point-07`;
numbers beside names of the schema are none of points, unless the user says where they start.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import TypeVar

from efld_tf.annotations.parsing import shorten
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

Key = TypeVar("Key", bound=Hashable)

# What keys have in them under which people write the names of points.
NAMED_SO = re.compile("kpt|point|landmark", re.IGNORECASE)

# A message lists at most so many names.
MOST_LISTED = 8


def simplified(name: str) -> str:
    """A name without upper case, with composed letters, and with `_` for any other separator."""
    if re.match(r"\s*[-+]\d", name):  # a number with a sign is no number of a point
        return name.strip()
    name = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
    return re.sub(r"[\s_.\-:/\[\]()]+", "_", name).strip("_")


# How to go on where names cannot be matched, if the reader has that option.
IGNORE = "names=ignore"


def match(
    names: Sequence[str], schema: str, first: int | None = None, *, more: bool = False,
    ignore: str = IGNORE, start: str = "Say first=0 or first=1",
) -> dict[str, int]:  # fmt: skip
    """The index of each name in the schema.

    Args:
      names: all names that a file uses, each once; not all points of the schema need one.
      more: whether other names are left out if all of the schema's are there.
      ignore, start: what the messages say to do.
      first: the number of the first point, 0 or 1; None if the names tell, which they do as soon
        as one of them is 0 or the number of points.

    Raises:
      EfldError: a name is not one of the schema's, two are the same point, or numbers do not tell
        where they start; the message has the names of both sides.
    """
    own = {simplified(name): index for index, name in enumerate(schemas.get(schema).names)}
    simple = {name: simplified(name) for name in names}
    unknown = [name for name in names if simple[name] not in own]
    indices = {name: own[simple[name]] for name in names if simple[name] in own}
    digits = {name: int(simple[name]) for name in unknown
              if re.fullmatch(r"\d{1,4}", simple[name], re.ASCII)}
    if indices and digits:
        if more and len({*indices.values()}) == len(own):
            digits = {}
        elif first is None:
            raise EfldError(f"{_listed([*digits])} beside names of {schema}: name all points "
                            f"alike, or delete what is none. {start} if these number points, too")
    # `eye_5` is no point 5 beside the names `eye_0` to `eye_4`.
    numbers = digits or (None if indices else numbered(unknown))
    if more and not indices:
        whole = [family for family in _families(unknown) if len(family) == len(own)]
        if len(whole) > 1:
            raise EfldError(f"both {_listed([*whole[0]][:2])} and {_listed([*whole[1]][:2])} and "
                            f"so on may be the points of {schema}: keep one of them")
        numbers = whole[0] if whole else numbers
    if numbers:
        indices |= _from_numbers(numbers, schema, first, start)
        unknown = [name for name in unknown if name not in numbers]
    if unknown and not (more and len({*indices.values()}) == len(own)):
        unknown = beside_numbers(unknown)
        unused = [name for name in schemas.get(schema).names
                  if simplified(name) not in simple.values()]
        raise EfldError(
            f"{_counted(unknown)} not of {schema}: {_listed(unknown)}; of its names these are "
            f"left: {_listed(unused)}. Name them alike, or say {ignore} if they stand in the "
            "schema's order"
        )
    twice = [index for index, count in Counter(indices.values()).items() if count > 1]
    if twice:
        same = [name for name in names if indices.get(name) == twice[0]]
        raise EfldError(f"{_listed(same)} are the same point of {schema}")
    return indices


def families_of(
    families: Mapping[Key, Collection[str]], schema: str, option: str
) -> list[Key]:
    """Which of several sets of names are of a schema: those with one of its names, or of numbers.

    If there is none, all are, so that matching them says what is wrong.

    Args:
      families: sets of names by what their points have in common, such as the label of a skeleton;
        None for single points.
      option: the option that chooses, for the message.

    Raises:
      EfldError: there are several sets of numbers, and they differ.
    """
    own = {simplified(name) for name in schemas.get(schema).names}
    simple = {family: frozenset(map(simplified, names)) for family, names in families.items()}
    known = [family for family, names in simple.items() if names & own]
    if known:
        return known
    numbers = [family for family, names in families.items() if numbered([*names])]
    if len({simple[family] for family in numbers}) > 1:
        labels = sorted("single points" if family is None else str(family) for family in numbers)
        raise EfldError(f"the numbered points of {_listed(labels)} differ: say with {option}= "
                        f"which are those of {schema}")
    return numbers or list(families)


def first_number(names: Sequence[str], schema: str) -> int | None:
    """Where the numbers among names start, 0 or 1; None if they do not tell.

    It is for files whose faces may lack points, so that all of them together tell.
    """
    numbers = {int(match[1]) for name in names
               if (match := re.fullmatch(r"[^\d+-]*(\d{1,4})", simplified(name), re.ASCII))}
    if 0 in numbers:
        return 0
    return 1 if schemas.get(schema).num_points in numbers else None


def numbered(names: Sequence[str]) -> dict[str, int] | None:
    """The numbers at the end of names that are otherwise alike; None if not all are such names."""
    found = {name: re.fullmatch(r"([^\d+-]*)(\d{1,4})", simplified(name), re.ASCII)
             for name in names}
    if not found or len({match and match[1] for match in found.values()}) != 1:
        return None
    return {name: int(match[2]) for name, match in found.items() if match is not None} or None


def beside_numbers(names: Sequence[str]) -> list[str]:
    """The names that are not numbered like most of them; all, if there are no such numbers."""
    family = max(_families(names), key=len, default={})
    others = [name for name in names if name not in family]
    return others if 0 < len(others) < len(family) else [*names]


def _families(names: Sequence[str]) -> list[dict[str, int]]:
    """The numbers at the end of names, of each set of names that are otherwise alike."""
    families: dict[str, dict[str, int]] = {}
    for name in names:
        if found := re.fullmatch(r"([^\d+-]*)(\d{1,4})", simplified(name), re.ASCII):
            families.setdefault(found[1], {})[name] = int(found[2])
    return [*families.values()]


def _from_numbers(
    numbers: dict[str, int], schema: str, first: int | None, advice: str
) -> dict[str, int]:
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
            f"{advice}"
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
