"""The categories of COCO's JSON: which of them are faces, and what their keypoints are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efld_tf.annotations import coco_files, parsing, point_names
from efld_tf.annotations.coco_files import Id
from efld_tf.annotations.format import Note
from efld_tf.errors import DataError, EfldError
from efld_tf.text import counted

# A list of so many texts or more may be the names of points.
FEWEST_NAMES = 5


@dataclass(frozen=True)
class Category:
    """A category: its name, and those of its keypoints, if it names them."""

    name: str
    keypoints: tuple[str, ...]


Categories = Mapping[Id | None, Category]


def categories_of(content: dict[str, Any], path: Path, by_name: bool) -> Categories:
    """The categories by id; those that are none of the format are as if they were not there.

    Args:
      content: that of the file.
      by_name: whether keypoints are told by their names.

    Raises:
      DataError: the names of a category's keypoints are no texts or numbers, or seem to be in
        another field than `keypoints`, or two categories have the same id.
    """
    result: dict[Id | None, Category] = {}
    listed = content.get("categories")
    listed = listed if isinstance(listed, list) else []
    for category in listed:
        if not isinstance(category, dict) \
                or (number := coco_files.id_of(category.get("id"))) is None:
            continue
        keypoints = category.get("keypoints") or []
        if not isinstance(keypoints, list) or not all(isinstance(k, str | int) for k in keypoints):
            raise DataError(path, f"category {parsing.shorten(str(number))}: expected the names of "
                                  "points as 'keypoints'")
        found = Category(str(category.get("name", number)), tuple(map(str, keypoints)))
        if result.setdefault(number, found) != found:
            raise DataError(path, f"two categories have the id {parsing.shorten(str(number))}")
    if by_name and not any(category.keypoints for category in result.values()):
        for item in (content, *listed):
            _check_fields(item, path)
    return result


def _check_fields(item: Any, path: Path) -> None:
    """Refuses an object that seems to name points, though not as a category's `keypoints`."""
    for field, value in item.items() if isinstance(item, dict) else ():
        names = {name for name in value if isinstance(name, str) and not name.startswith("#")} \
            if isinstance(value, list | dict) else ()  # '#ff0000' is a colour
        if len(names) >= FEWEST_NAMES and point_names.NAMED_SO.search(field):
            raise DataError(path, f"{parsing.shorten(field)} seems to name the points, which COCO "
                            "does in 'keypoints' of their category: call it so there, or say "
                            "names=ignore if points are in the schema's order")


def category_of(annotation: dict[str, Any], categories: Categories) -> Id | None:
    """The id of an annotation's category as the categories have it; None if it has none."""
    return coco_files.known(coco_files.id_of(annotation.get("category_id")), categories)


def of_faces(
    annotations: list[dict[str, Any]], categories: Categories, counts_of_points: set[int],
    schema: str | None, wanted: str, path: Path,
) -> set[Id | None]:  # fmt: skip
    """The ids of the categories whose annotations are faces.

    Args:
      annotations: those with keypoints.
      counts_of_points: how many points a face may have.
      schema: the schema of the faces, if it is given.
      wanted: names or ids of categories with commas between them, if they are given.

    Raises:
      DataError: there are no such categories, or several that may be meant.
    """
    counts: dict[Id | None, set[int]] = {}
    for annotation in annotations:
        if isinstance(annotation["keypoints"], list):
            number = len(annotation["keypoints"]) // 3
            counts.setdefault(category_of(annotation, categories), set()).add(number)
    names = {number: categories[number].name if number in categories else str(number)
             for number in [*categories, *counts]}
    if wanted:
        chosen = {number for number, name in names.items()
                  if {name, str(number)} & {*wanted.split(",")}}
        if not chosen:
            known = ", ".join(names.values()) or "none"
            raise DataError(path, f"no category {parsing.shorten(wanted)}; it has {known}")
        return chosen
    fitting = [number for number in counts
               if counts[number] & counts_of_points or (schema and number in categories
                                                        and _covered(categories[number], schema))]
    if len(fitting) > 1:
        several = ", ".join(names[number] for number in fitting)
        raise DataError(path, f"several categories may be faces: {several}; say category=NAME, or "
                              "several with commas between them")
    return {*fitting} or {*counts}


def _covered(category: Category, schema: str) -> bool:
    """Whether all keypoints of a category are points of a schema, though perhaps not all of it."""
    try:
        return bool(point_names.match(category.keypoints, schema)) if category.keypoints else False
    except EfldError:
        return False


def left_out(
    annotations: list[Any], categories: Categories, faces: set[Id | None],
    has_points: Callable[[dict[str, Any]], bool],
) -> Iterator[Note]:  # fmt: skip
    """Tells how many annotations are none of faces, and why."""
    others: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for annotation in annotations:
        if isinstance(annotation, dict):
            number = category_of(annotation, categories)
            if annotation.get("iscrowd") == 1:
                reasons["of crowds"] += 1
            elif not has_points(annotation):
                reasons["without keypoints"] += 1
            elif number is not None and number not in faces:
                name = categories[number].name if number in categories else str(number)
                others[name] += 1
    for reason, count in sorted(reasons.items()):
        yield Note(f"left out: {counted(count, 'annotation')} {reason}")
    for name, count in others.items():
        yield Note(f"left out: {counted(count, 'annotation')} of the category "
                   f"{parsing.shorten(name)}")


def check_known(number: Id | None, categories: Categories, path: Path) -> None:
    """Checks the category of an annotation, if others name the keypoints.

    Raises:
      DataError: the file has no such category.
    """
    if number not in categories and any(c.keypoints for c in categories.values()):
        listed = ", ".join(f"{key} ({c.name})" for key, c in categories.items())
        raise DataError(path, f"its category is {parsing.shorten(str(number))}, and the "
                        f"categories, which name the keypoints, are {parsing.shorten(listed)}")
