"""COCO keypoint JSON, as MMPose publishes face data sets.

`images` have `id` and `file_name`; `annotations` have `image_id`, `keypoints` (x, y, v for each
point) and `bbox` (x, y, width, height). Coordinates are taken as they are (MMPose subtracts
nothing). Data sets that count from 1, such as 300-W, may still do so here; then give `origin=1`.

COCO's v is 0 for a point that is not labelled, 1 for an occluded one and 2 for a visible one.
Except for COFW, MMPose's files have the same number for all points. So v tells of occlusion only if
a file has both 1 and 2, and of missing points only if it is not 0 throughout.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import image_paths, json_values, parsing, point_names
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.annotations.tools.drawn import stated_size
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

SCHEMAS = {
    19: "aflw19", 29: "cofw29", 51: "ibug51", 68: "ibug68", 98: "wflw98", 106: "lapa106",
}  # fmt: skip
UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, category: str = "",
    names: str = "match", origin: str = "0",
) -> Iterator[FaceRecord | DataError | Note]:  # fmt: skip
    """The annotations of a file, in its order; the identity is the image.

    Crowds, annotations without keypoints, such as boxes and masks, and those of other categories
    than the faces' are left out and counted.

    Args:
      schema: `NAME` or `FILE.yaml`; by default by the number of keypoints.
      images: the folder that file names are relative to; by default the file's, `images` in it, or
        those beside a folder `annotations`.
      category: the names or ids of the faces' categories, with commas between them; by default the
        one with as many keypoints as the schema has points.
      names: `match` for the names that the category gives its keypoints, `ignore` for their order.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.

    Raises:
      DataError: `path` is not a readable file of that layout, or its categories do not tell which
        are faces, or which keypoint is which.
      EfldError: an option has an unknown value.
    """
    name = None if schema is None else schema_named(schema)
    folders = image_folders(images, image_places(path, path.stem.rpartition("_")[2]))
    by_name = choice("names", names, ("match", "ignore")) == "match"
    first_pixel = float(choice("origin", origin, ("0", "0.5", "1")))
    content = load(path)
    annotations = content["annotations"]
    categories = _categories(content.get("categories"), path)
    faces = _of_faces(annotations, categories, name, category, path)
    kept = [a for a in annotations
            if not isinstance(a, dict) or (_has_points(a) and _category(a, categories) in faces)]
    reader = _Reader(path, folders, images_by_id(content["images"], path), name, first_pixel,
                     _flags(kept), categories if by_name else {})
    for number, annotation in enumerate(kept):
        try:
            record = reader.record(annotation)
        except DataError as error:
            yield annotation_error(error, annotation, number)
        else:
            yield record
    yield from _left_out(annotations, categories, faces)
    yield from reader.other_keypoints(faces)


def load(
    path: Path, hook: Callable[[dict[str, Any]], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The content of a file, with the lists `images` and `annotations`.

    Args:
      hook: makes what is kept of each object in it, see `json_values.load`.

    Raises:
      DataError: `path` is not a readable file of that layout.
    """
    content = json_values.load(path, hook=hook)
    if not isinstance(content, dict):
        raise DataError(path, "expected an object with the lists 'images' and 'annotations'")
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise DataError(path, f"expected a list as {key!r}")
    return content


def annotation_error(error: DataError, annotation: Any, number: int) -> DataError:
    """An error with the annotation that it is of: its id, or its place in the list."""
    has_id = isinstance(annotation, dict) and "id" in annotation
    label = parsing.shorten(str(annotation["id"]), 40) if has_id else f"number {number}"
    return DataError(error.path, f"annotation {label}: {error.reason}")


def image_places(path: Path, subset: str) -> list[Path]:
    """The folders in which the images of a file may lie, as COCO, MMPose and CVAT have them."""
    places = [path.parent, path.parent / "images"]
    if path.absolute().parent.name == "annotations":
        above = path.absolute().parent.parent
        places += [above / "images" / subset, above / "images", above / subset, above]
    return places


@dataclass(frozen=True)
class Image:
    """An image of a file: its name there, and its size, if it is stated."""

    name: str
    size: tuple[int, int] | None


@dataclass(frozen=True)
class _Category:
    """A category: its name, and those of its keypoints, if it names them."""

    name: str
    keypoints: tuple[str, ...]


def images_by_id(images: list[Any], path: Path) -> dict[int | str, Image]:
    """The images by id; those without either later give errors of unknown ids.

    Raises:
      DataError: two images have the same id.
    """
    result: dict[int | str, Image] = {}
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) \
                or not isinstance(number := image.get("id"), int | str):
            continue
        size = stated_size(image.get("width"), image.get("height"))
        found = Image(image["file_name"], size)
        if result.setdefault(number, found) != found:
            raise DataError(path, f"two images have the id {parsing.shorten(str(number))}")
    return result


def _categories(categories: Any, path: Path) -> dict[int | str | None, _Category]:
    """The categories by id; those that are none of the format are as if they were not there."""
    result: dict[int | str | None, _Category] = {}
    for category in categories if isinstance(categories, list) else ():
        if not isinstance(category, dict) or not isinstance(
            number := category.get("id"), int | str
        ):
            continue
        keypoints = category.get("keypoints") or []
        if not isinstance(keypoints, list) or not all(isinstance(k, str | int) for k in keypoints):
            raise DataError(path, f"category {parsing.shorten(str(number))}: expected the names of "
                                  "points as 'keypoints'")
        result[number] = _Category(str(category.get("name", number)), tuple(map(str, keypoints)))
    return result


def _category(annotation: dict[str, Any], categories: Mapping[Any, Any]) -> int | str | None:
    """The id of an annotation's category as the categories have it; None if it has none."""
    number = annotation.get("category_id")
    return _known(number, categories) if isinstance(number, int | str) else None


def _known(number: int | str | None, known: Mapping[Any, Any]) -> Any:
    """An id as the file has it elsewhere: some programs write 1 here and "1" there."""
    if number in known or number is None:
        return number
    other = str(number) if isinstance(number, int) else (
        int(number) if re.fullmatch(r"\d{1,15}", number, re.ASCII) else None)
    return other if other in known else number


def _has_points(annotation: dict[str, Any]) -> bool:
    return bool(annotation.get("keypoints")) and annotation.get("iscrowd") != 1 \
        and annotation.get("num_keypoints") != 0


def _of_faces(
    annotations: list[Any], categories: dict[int | str | None, _Category], schema: str | None,
    wanted: str, path: Path,
) -> set[int | str | None]:  # fmt: skip
    """The ids of the categories whose annotations are faces.

    Raises:
      DataError: there are no such categories, or several that may be meant.
    """
    counts: dict[int | str | None, set[int]] = {}
    for annotation in annotations:
        if isinstance(annotation, dict) and _has_points(annotation) \
                and isinstance(annotation["keypoints"], list):
            number = len(annotation["keypoints"]) // 3
            counts.setdefault(_category(annotation, categories), set()).add(number)
    names = {number: categories[number].name if number in categories else str(number)
             for number in [*categories, *counts]}
    if wanted:
        chosen = {number for number, name in names.items()
                  if {name, str(number)} & {*wanted.split(",")}}
        if not chosen:
            known = ", ".join(names.values()) or "none"
            raise DataError(path, f"no category {parsing.shorten(wanted)}; it has {known}")
        return chosen
    expected = {schemas.get(schema).num_points} if schema else {*SCHEMAS}
    fitting = [number for number in counts
               if counts[number] & expected or (schema and number in categories
                                                and _covered(categories[number], schema))]
    if len(fitting) > 1:
        several = ", ".join(names[number] for number in fitting)
        raise DataError(path, f"several categories may be faces: {several}; say category=NAME, or "
                              "several with commas between them")
    return {*fitting} or {*counts}


def _covered(category: _Category, schema: str) -> bool:
    """Whether all keypoints of a category are points of a schema, though perhaps not all of it."""
    try:
        return bool(point_names.match(category.keypoints, schema)) if category.keypoints else False
    except EfldError:
        return False


def _left_out(
    annotations: list[Any], categories: dict[int | str | None, _Category],
    faces: set[int | str | None],
) -> Iterator[Note]:  # fmt: skip
    others: Counter[str] = Counter()
    without = 0
    for annotation in annotations:
        if isinstance(annotation, dict):
            number = _category(annotation, categories)
            if number in faces or number is None or not _has_points(annotation):
                without += not _has_points(annotation)
            else:
                name = categories[number].name if number in categories else str(number)
                others[name] += 1
    if without:
        yield Note(f"left out: {counted(without, 'annotation')} without keypoints")
    for name, count in others.items():
        yield Note(f"left out: {counted(count, 'annotation')} of the category "
                   f"{parsing.shorten(name)}")


def _flags(annotations: list[Any]) -> frozenset[int]:
    """Which of the values 0, 1 and 2 occur as a point's v."""
    flags: set[int] = set()
    for annotation in annotations:
        keypoints = annotation.get("keypoints") if isinstance(annotation, dict) else None
        if isinstance(keypoints, list):
            flags.update(v for v in (0, 1, 2) if v in keypoints[2::3])
        if len(flags) == 3:
            break
    return frozenset(flags)


@dataclass(frozen=True)
class _Reader:
    """Reads the annotations of a file, with what they share."""

    path: Path
    folders: list[Path]
    images: dict[int | str, Image]
    schema: str | None
    origin: float
    flags: frozenset[int]
    categories: dict[int | str | None, _Category]

    def record(self, annotation: Any) -> FaceRecord:
        """The face of the annotation.

        Raises:
          DataError: the annotation is not of the format.
        """
        if not isinstance(annotation, dict):
            raise DataError(self.path, "expected an object")
        values = json_values.numbers(annotation.get("keypoints"), self.path, "keypoints")
        category = self.categories.get(_category(annotation, self.categories))
        if len(values) % 3 or (category and 2 * len(category.keypoints) == len(values) > 0):
            raise DataError(self.path, "expected x, y, v for each keypoint")
        rows = values.reshape(-1, 3)
        number = _category(annotation, self.categories)
        if number not in self.categories and any(c.keypoints for c in self.categories.values()):
            known = ", ".join(f"{key} ({c.name})" for key, c in self.categories.items())
            raise DataError(self.path, f"its category is {parsing.shorten(str(number))}, and the "
                            f"categories, which name the keypoints, are {parsing.shorten(known)}")
        schema, places = self._schema(len(rows), self.categories.get(number))
        points, visible = self._points(rows, schema, places)
        image = image_of(annotation, self.images, self.path)
        name = image_paths.relative_name(image.name, self.path, None, self.folders)
        return FaceRecord(
            image=image_paths.find_image(self.folders, name, self.path),
            points=points,
            schema=schema,
            box=box_of(annotation, "bbox", self.path, self.origin),
            visible=visible,
            attributes=json_values.attributes(annotation.get("attributes"), self.path),
            identity=name,
            image_size=image.size,
        )

    def other_keypoints(self, faces: set[int | str | None]) -> Iterator[Note]:
        """Tells which keypoints of the faces' categories are none of the schema's."""
        for category in (self.categories[n] for n in faces if n in self.categories):
            name = self.schema or SCHEMAS.get(len(category.keypoints))
            if name is None or not category.keypoints:
                continue
            with contextlib.suppress(EfldError):  # the annotations' errors say it
                places = _matched(category.keypoints, name)
                others = [k for k, place in zip(category.keypoints, places, strict=True)
                          if place < 0]
                if others:
                    listed = ", ".join(parsing.shorten(k, 30) for k in others[:8])
                    yield Note(f"left out: the keypoints {listed}")

    def _schema(self, count: int, category: _Category | None) -> tuple[str, list[int]]:
        """The schema of a face with so many keypoints, and the place in it of each of them."""
        name = self.schema or SCHEMAS.get(count)
        if name is None:
            counts = ", ".join(str(count) for count in SCHEMAS)
            raise DataError(self.path, f"{count} keypoints are none of {counts}; name the points "
                            "with schema=")
        if category is not None and category.keypoints:
            if len(category.keypoints) != count:
                raise DataError(self.path, f"its category {parsing.shorten(category.name)} names "
                                f"{len(category.keypoints)} keypoints, but it has {count}")
            try:
                return name, [*_matched(category.keypoints, name)]
            except EfldError as error:
                raise DataError(self.path, str(error)) from error
        if (expected := schemas.get(name).num_points) != count:
            raise DataError(self.path, f"expected {expected} keypoints of {name}, got {count}")
        return name, [*range(count)]

    def _points(
        self, rows: np.ndarray, schema: str, places: list[int]
    ) -> tuple[np.ndarray, np.ndarray | None]:
        if not np.isin(rows[:, 2], (UNLABELLED, OCCLUDED, VISIBLE)).all():
            raise DataError(self.path, "expected 0, 1 or 2 as v of a keypoint")
        points = np.full((schemas.get(schema).num_points, 2), np.nan)
        flags = np.full(len(points), UNLABELLED)
        own = [row for row, place in enumerate(places) if place >= 0]
        chosen = [places[row] for row in own]
        points[chosen], flags[chosen] = rows[own, :2] - self.origin, rows[own, 2]
        if self.flags != {UNLABELLED}:
            points[flags == UNLABELLED] = np.nan
        tells_occlusion = {OCCLUDED, VISIBLE} <= self.flags
        checked = checked_points(points, schema, self.path, missing=True)
        return checked, flags == VISIBLE if tells_occlusion else None


def image_of(annotation: dict[str, Any], images: dict[int | str, Image], path: Path) -> Image:
    """The image that an annotation is of.

    Raises:
      DataError: there is none.
    """
    number = annotation.get("image_id")
    number = _known(number, images) if isinstance(number, int | str) else None
    if number not in images:
        number = annotation.get("image_id")
        raise DataError(path, f"there is no image with the id {parsing.shorten(str(number))}")
    return images[number]


def box_of(
    annotation: dict[str, Any], field: str, path: Path, origin: float = 0
) -> np.ndarray | None:
    """The box (x0, y0, x1, y1) of a field with x, y, width and height, or None without one.

    Args:
      origin: what the file calls the first pixel's centre.

    Raises:
      DataError: the field has something else.
    """
    value = annotation.get(field)
    if value is None:
        return None
    box = json_values.numbers(value, path, field)
    if not box.any():  # written for "no box"
        return None
    if len(box) != 4:
        raise DataError(path, f"{field}: expected x, y, width, height")
    x, y, width, height = box
    return parsing.box_of(np.array([x, y, x + width, y + height]) - origin, path)


@functools.lru_cache(maxsize=16)
def _matched(keypoints: tuple[str, ...], schema: str) -> tuple[int, ...]:
    """The indices in a schema of named keypoints, see `point_names.match`; -1 for other points."""
    if len(set(keypoints)) < len(keypoints):
        twice = parsing.shorten(Counter(keypoints).most_common(1)[0][0])
        raise EfldError(f"two keypoints are named {twice}; names=ignore takes them in their order")
    indices = point_names.match(
        keypoints, schema, more=True, start="Number them from 0 or 1 to the last point")
    return tuple(indices.get(name, -1) for name in keypoints)


FORMAT = Format(
    "coco", "COCO keypoint JSON (MMPose's face data sets)", read, tuple(SCHEMAS.values()),
    "FILE.json", "images, and annotations with keypoints [x, y, v, ...] and bbox [x, y, w, h]",
    "check the terms of the data set's publisher",
)
