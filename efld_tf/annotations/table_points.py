"""Which column of a table is x or y of which point, by the names of the columns.

Columns may stand in any order. Two columns are x and y of a point if their names differ in that
alone: `NAME_x` and `NAME_y`, `x0` and `y0`, `('0', 'x')` and `('0', 'y')`, `NAME.X [px]`, `row` for
`y` and `col` for `x`. Points have the schema's names or numbers. A header of bare numbers counts
the coordinates.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from typing import TypeVar

from efld_tf.annotations import point_names
from efld_tf.annotations.parsing import shorten
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

ORDERS = ("xy", "xxyy")

# A longer name of a column, in characters, is no point's.
MAX_NAME = 300

# What programs call a column that counts the lines.
INDICES = ("", "index", "id", "unnamed_0", "row", "level_0")

# What x and y are called; letters of other words are at their start or end.
_AXES: tuple[Words, ...] = tuple(
    (re.compile(pattern), axes) for pattern, axes in (
        (r"x|y", {"x": "x", "y": "y"}),
        (r"column|row", {"column": "x", "row": "y"}),
        (r"col|row", {"col": "x", "row": "y"}),
        (r"(?<![a-z])[cr]|[cr](?![a-z])", {"c": "x", "r": "y"}),
        (r"(?<![a-z])[uv]|[uv](?![a-z])", {"u": "x", "v": "y"}),
    )
)  # fmt: skip
Words = tuple[re.Pattern[str], dict[str, str]]
# The point and the axis of a column.
Key = tuple[str, str]
T = TypeVar("T")


def cleaned(name: str) -> str:
    """A column's name as `point_names.simplified`, without the unit pixel and Python's quotes."""
    name = name[:MAX_NAME].strip()
    if (name[:1], name[-1:]) in (("(", ")"), ("'", "'"), ('"', '"')):
        name = re.sub(r"['\",]", "_", name)
    return re.sub(r"_(?:px|pixels?)$", "", point_names.simplified(name))


def by_axis(
    header: Sequence[str], free: Sequence[int], schema: str, order: str
) -> list[int] | None:
    """The places of x0, y0, x1, y1, ... by the names of columns; None if names tell no x and y.

    Args:
      header: the names of all columns.
      free: the places of those that may be coordinates.
      order: `xy` or `xxyy` if the user said so, or "".

    Raises:
      EfldError: the names are not those of the schema's points, or contradict the order.
    """
    names = {i: cleaned(header[i]) for i in free}
    pairs, halves, words = max((_pairs(header, names, words, schemas.get(schema).num_points)
                                for words in _AXES), key=lambda found: len(found[0]))
    if not pairs:
        return None
    fitting = _fitting(pairs, names, schema)
    plain = {key[0] for i, key in pairs.items() if _half(names[i], words)}
    try:
        wanted = _of_schema([*dict.fromkeys(key[0] for key in (pairs | halves).values())], plain,
                            schema, fitting)
    except EfldError:
        if order and order in fitting:
            return arranged(sorted(pairs), order)  # named in other words, as the user says
        raise
    places: dict[Key, int] = {}
    for place, key in (pairs | halves).items():
        if key[0] in wanted and places.setdefault(key, place) != place:
            raise EfldError(f"two columns are {key[1]} of the point {shorten(key[0])}")
    for name in wanted:
        for axis in "xy":
            if (name, axis) not in places:
                raise EfldError(f"the point {shorten(name)} has no column of {axis}")
    by_index = {index: name for name, index in wanted.items()}
    missing = [name for i, name in enumerate(schemas.get(schema).names) if i not in by_index]
    if missing:
        raise EfldError(f"expected columns of the {len(by_index) + len(missing)} points of "
                        f"{schema}, got {len(by_index)}; the first that is missing is {missing[0]}")
    coordinates = [places[by_index[i], axis] for i in range(len(by_index)) for axis in "xy"]
    if order and arranged(sorted(coordinates), order) != coordinates:
        raise EfldError(f"order={order} contradicts the header, which names the columns in another "
                        "order: leave it out")
    return coordinates


def in_order(header: Sequence[str], free: Sequence[int], schema: str, order: str) -> list[int]:
    """The places of x0, y0, ... of columns whose names do not tell x from y.

    Args and errors are as in `by_axis`.
    """
    places = [i for i in free if cleaned(header[i]) not in INDICES]
    check_count(len(places), schema)
    names = {i: cleaned(header[i]) for i in places}
    families = _families([*names.values()])
    numbers = [n[0] for _, n in families[0] if len(n) == 1] if len(families) == 1 else []
    counts = sorted(numbers) == [*range(min(numbers), min(numbers) + len(places))] \
        if numbers else False
    bare = all(re.fullmatch(r"\d{1,5}", header[i], re.ASCII) for i in places)
    if bare and not ((counts and min(numbers) < 2) or {*Counter(numbers).values()} == {2}):
        raise EfldError("expected a header, got numbers of a face: add one, or say header=no, and "
                        "order=xy or order=xxyy")
    if counts:
        places = [place for _, place in sorted(zip(numbers, places, strict=True))]
    fitting = [order for order in ORDERS if _agrees([names[i] for i in places], order)]
    if order in fitting or (bare and not order and "xy" in fitting):
        return arranged(places, order)
    say = f"say order={' or order='.join(fitting)}" if fitting else ""
    if order:
        raise EfldError(f"order={order} contradicts the names of the columns, or the numbers in "
                        f"them: {say or 'sort them, or name them x0, y0, x1, ...'}")
    examples = ", ".join(shorten(header[i], 20) for i in places[:4])
    raise EfldError(
        f"columns {examples}, ... do not say which is x or y of which point: name them NAME_x and "
        f"NAME_y, or x0, y0, x1, ...{f', or {say}' if say else '; no order= agrees with them'}")


def arranged(places: Sequence[T], order: str) -> list[T]:
    """Places of columns that are in an order, as x0, y0, x1, y1, ..."""
    if order != "xxyy":
        return [*places]
    half = len(places) // 2
    return [place for pair in zip(places[:half], places[half:], strict=True) for place in pair]


def check_count(got: int, schema: str) -> None:
    """Raises EfldError if a table has not as many columns as a schema has coordinates."""
    if got != (expected := 2 * schemas.get(schema).num_points):
        raise EfldError(f"expected {expected} columns of coordinates of {schema}, got {got}; is "
                        "the delimiter right?")


def _pairs(
    header: Sequence[str], names: Mapping[int, str], words: Words, count: int
) -> tuple[dict[int, Key], dict[int, Key], Words]:
    """The points and axes of columns that are x and y of a point, those that lack one, and `words`.

    Args:
      names: the cleaned names of columns by their places.
      words: what x and y are called.
      count: how many points there may be.
    """
    pattern, axes = words
    found = {i: [((name[: m.start()], name[m.end() :]), axes[m[0]])
                 for m in pattern.finditer(name)][::-1] for i, name in names.items()}
    seen = {key for keys in found.values() for key in keys}
    pairs: dict[int, Key] = {}
    alone: dict[int, str] = {}
    for i, keys in found.items():
        for stem, axis in keys:
            if (stem, "y" if axis == "x" else "x") in seen:
                if stem == ("", ""):
                    alone[i] = axis
                else:
                    pairs[i] = point_names.simplified("_".join(filter(None, stem))), axis
                break
    pairs |= _without_number(header, pairs, alone, count)
    # `X_0` beside `x_0` is the point in space (OpenFace), if all such points are there twice.
    small = {key for i, key in pairs.items() if key[1] in header[i]}
    single = {_skeleton(key[0]) for i, key in pairs.items() if key not in small}
    small = {key for key in small if _skeleton(key[0]) not in single}
    pairs = {i: key for i, key in pairs.items() if key[1] in header[i] or key not in small}
    halves = {i: key for i, name in names.items()
              if i not in pairs and (key := _half(name, words)) and key not in small}
    return pairs, halves, words


def _without_number(
    header: Sequence[str], pairs: Mapping[int, Key], alone: Mapping[int, str], count: int
) -> dict[int, Key]:
    """The points of columns that are called x or y and nothing else."""
    places = {axis: [i for i in alone if alone[i] == axis] for axis in "xy"}
    if len(places["x"]) != len(places["y"]):
        return {}
    if len(places["x"]) > 1:
        return {i: (str(k), axis) for axis in "xy" for k, i in enumerate(places[axis])}
    numbers = {name for name, _ in pairs.values() if name.isdecimal()}
    # pandas calls equal names `x`, `x.1`, `x.2`, and Excel `x`, `x2`, `x3`.
    dotted = any(re.fullmatch(r"\s*[^\W\d]+\.\d+\s*", header[i]) for i in pairs)
    if (dotted and "0" not in numbers) or numbers == {*map(str, range(1, count))}:
        return {i: ("0", axis) for i, axis in alone.items()}
    if numbers == {*map(str, range(2, count + 1))}:
        return {i: ("1", axis) for i, axis in alone.items()}
    return {}  # of a box


def _half(name: str, words: Words) -> Key | None:
    """The point and axis of a column, by a name that starts or ends with the axis."""
    pattern, axes = words
    for m in pattern.finditer(name):
        before, after = name[: m.start()], name[m.end() :]
        if (not after and re.search(r"[_\d]$", before)) or \
                (not before and re.match(r"[_\d]", after)):
            return point_names.simplified(before + after), axes[m[0]]
    return None


def _of_schema(
    names: Sequence[str], plain: Collection[str], schema: str, fitting: Sequence[str]
) -> dict[str, int]:
    """The index of each point of a schema among names; other columns may be named, too.

    Args:
      plain: the names that stand beside the axis; `p0_x` goes before `p0_x_norm`.
      fitting: the orders that the user may say if names are of other words.
    """
    own = {point_names.simplified(name) for name in schemas.get(schema).names}
    numbers = {name: name for name in names}
    if not own & {*names}:
        count = len(own)
        families = [{name: str(n[0]) for name, n in family if len(n) == 1}
                    for family in _families(names)]
        families = [family for family in families
                    if len({*family.values()}) == len(family) > 1]
        complete = [family for family in families
                    if {*family.values()} in ({*map(str, range(count))},
                                              {*map(str, range(1, count + 1))})]
        complete = [family for family in complete if {*family} <= {*plain}] or complete
        if len(complete) > 1:
            first, second = (next(iter(family)) for family in complete[:2])
            raise EfldError(f"points are numbered as those of {schema} twice, like "
                            f"{shorten(first)} and like {shorten(second)}: rename one of them")
        most = [family for family in families if 2 * len(family) > len(names)]
        numbers = (complete or most or [numbers])[0]
    indices = point_names.match(
        [*numbers.values()], schema, more=True,
        ignore=f"order={fitting[0]}" if fitting else "p0, p1, ... in their place",
        start="Number them from 0 or 1 to the last point")
    return {name: indices[number] for name, number in numbers.items() if number in indices}


def _fitting(pairs: Mapping[int, Key], names: Mapping[int, str], schema: str) -> list[str]:
    """The orders in which columns of named points may be those of a schema."""
    if len(pairs) != 2 * schemas.get(schema).num_points:
        return []
    fitting = []
    for order in ORDERS:
        keys = arranged([pairs[i] for i in sorted(pairs)], order)
        if keys == [(name, axis) for name, _ in keys[::2] for axis in "xy"] \
                and _ascend([names[i] for i in sorted(pairs)], order):
            fitting.append(order)
    return fitting


def _agrees(names: Sequence[str], order: str) -> bool:
    """Whether columns may be in an order, by the axes and the numbers in their names."""
    for words in _AXES:
        halves = [_half(name, words) for name in arranged(names, order)]
        axes = {key[1] for key in halves if key}
        if len(axes) == 2 and any(key and key[1] != "xy"[k % 2] for k, key in enumerate(halves)):
            return False
    return _ascend(names, order)


def _ascend(names: Sequence[str], order: str) -> bool:
    """Whether the numbers in names ascend if the columns are in an order.

    Text sorts `c10` before `c2`. Where each number is there twice, it is that of a point.
    """
    families = _families(names)
    numbers_of = dict(chain.from_iterable(families))
    numbers = [numbers_of[name] for name in names]
    alike = len(numbers[0]) if len({*map(len, numbers)}) == 1 else 0
    doubles = [k for k in range(alike) if {*Counter(n[k] for n in numbers).values()} == {2}]
    if doubles:
        pairs = arranged(numbers, order)
        return any(
            all(x[k] == y[k] and x <= y for x, y in zip(pairs[::2], pairs[1::2], strict=True))
            and (of_points := [n[k] for n in pairs[::2]]) == sorted(of_points)
            for k in doubles)
    return all((own := [n for _, n in family]) == sorted(own) for family in families)


def _families(names: Sequence[str]) -> list[list[tuple[str, tuple[int, ...]]]]:
    """Names that are alike but for numbers, each with those of its numbers that differ."""
    families: dict[str, list[tuple[str, list[int]]]] = {}
    for name in names:
        numbers = [int(digits[:9]) for digits in re.findall(r"[0-9]+", name)]
        families.setdefault(_skeleton(name), []).append((name, numbers))
    found = []
    for family in families.values():
        differ = [k for k in range(len(family[0][1])) if len({n[k] for _, n in family}) > 1]
        found.append([(name, tuple(n[k] for k in differ)) for name, n in family])
    return found


def _skeleton(name: str) -> str:
    return re.sub(r"[0-9]+", "#", name)
