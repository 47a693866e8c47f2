"""The names of points in an Ultralytics data.yaml, in the ways in which people write them.

    kpt_names: {0: [left_eye, right_eye, nose]}     # by the number of the class, or by its name
    kpt_names: [left_eye, right_eye, nose]          # of all classes
    keypoints: {left_eye: 0, right_eye: 1, nose: 2}
    keypoints: left_eye, right_eye, nose
    keypoints: [{id: 0, name: left_eye}, {id: 1, name: right_eye}, {id: 2, name: nose}]

Ultralytics itself does not read `kpt_names`, so that people write the names under other keys, such
as `keypoints`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from efld_tf.annotations.point_names import NAMED_SO

# The key of the names of points.
KPT_NAMES = "kpt_names"

MAX_POINTS = 1 << 12

# The keys of an object that has a point's name, and its number.
NAME_KEYS, NUMBER_KEYS = ("name", "label"), ("id", "index", "idx")


@dataclass(frozen=True)
class PointNames:
    """The names of points.

    Attributes:
      names: the names by the number of their class, as `of_class` reads them.
      key: the key under which they are.
      unclear: why there are none, if there is something that seems to name points; "" if not.
    """

    names: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    key: str = KPT_NAMES
    unclear: str = ""


def point_names(tree: Mapping[Any, Any], count: int, classes: Mapping[int, str]) -> PointNames:
    """The names of points in a data.yaml.

    They are those under `kpt_names`, or as many different names as there are points, under any key
    like it.

    Args:
      count: the number of points.
      classes: the names of classes by their numbers.
    """
    if given := tree.get(KPT_NAMES):
        names = _by_class(given, count, classes)
        unclear = "" if names else _unclear(KPT_NAMES, count)
        return PointNames(names or {}, unclear=unclear)
    unclear = ""
    for key, given in tree.items():
        if not isinstance(key, str) or not NAMED_SO.search(key):
            continue
        texts = {text for text in _texts(given) if not text.startswith("#")}  # which are colours
        if len(texts) < max(2, count / 2):
            continue
        names = _by_class(given, count, classes)
        if names and all(len({*some}) == len(some) == count for some in names.values()):
            return PointNames(names, key)
        unclear = unclear or _unclear(key, count)
    return PointNames(unclear=unclear)


def _unclear(key: str, count: int) -> str:
    return (f"{key}: expected the {count} names of points in their order, as a list or by the "
            "class; correct it, or say names=ignore if points are in the schema's order")


def _by_class(
    given: Any, count: int, classes: Mapping[int, str]
) -> dict[int, tuple[str, ...]] | None:
    """The names of points by class; None if they are written in no way that is known."""
    numbers = [*classes] or [0]
    if (names := _names(given, count)) is not None:
        return dict.fromkeys(numbers, names)
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, dict):
        return None
    by_name = {name: number for number, name in classes.items()}
    found = {}
    for kind, value in given.items():
        number = _number(kind) if _number(kind) is not None else by_name.get(kind)
        names = _names(value, count)
        if number is None or names is None or (classes and number not in classes):
            return None
        if names:
            found[number] = names
    return found


def _names(given: Any, count: int) -> tuple[str, ...] | None:
    """The names of the points of a class in their order; None if these are none."""
    if isinstance(given, str) and "," in given:
        return tuple(name.strip() for name in given.split(",") if name.strip())
    if isinstance(given, list) and all(isinstance(value, dict) for value in given):
        return _of_objects(given)
    if isinstance(given, list):
        return tuple(map(str, given)) if all(map(_is_name, given)) else None
    if not isinstance(given, dict) or len(given) != count:
        return None
    if all(map(_is_name, given.values())) and (order := _order([*map(_number, given)])):
        names = [*given.values()]
    elif all(isinstance(key, str) for key in given):
        order, names = _order([*map(_number, given.values())]), [*given]
    else:
        return None
    return None if order is None else tuple(str(names[place]) for place in order)


def _of_objects(given: list[dict[Any, Any]]) -> tuple[str, ...] | None:
    """The names of objects; None if their numbers are in another order than they."""
    names = [next((one[key] for key in NAME_KEYS if key in one), None) for one in given]
    numbers = [next((_number(one[key]) for key in NUMBER_KEYS if key in one), None)
               for one in given]
    if not all(map(_is_name, names)):
        return None
    if any(number is not None for number in numbers) \
            and _order(numbers) != [*range(len(numbers))]:
        return None
    return tuple(map(str, names))


def _order(numbers: list[int | None]) -> list[int] | None:
    """The places of the numbers 0, 1, ... or 1, 2, ...; None if they are not these."""
    known = [number for number in numbers if number is not None]
    start = min(known, default=0)
    if len(known) < len(numbers) or start > 1 \
            or {*known} != {*range(start, start + len(known))}:
        return None
    return sorted(range(len(known)), key=known.__getitem__)


def _number(key: Any) -> int | None:
    """A number of a class or a point, which may be a text; None if it is none."""
    if isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 6:
        return int(key)
    return key if type(key) is int and 0 <= key < MAX_POINTS else None


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < MAX_POINTS)


def _texts(given: Any) -> Iterator[str]:
    """The texts in a value that are no numbers; keys of objects, too."""
    waiting = [given]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += [*value, *value.values()]
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, str):
            yield from (part.strip() for part in value.split(",")
                        if part.strip() and _number(part.strip()) is None)
