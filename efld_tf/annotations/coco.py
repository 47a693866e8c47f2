"""COCO keypoint JSON, as MMPose publishes face data sets.

`images` have `id` and `file_name`; `annotations` have `image_id`, `keypoints` (x, y, v for each
point) and `bbox` (x, y, width, height). Coordinates are taken as they are (MMPose subtracts
nothing). Data sets that count from 1, such as 300-W, may still do so here; then give `origin=1`.

COCO's v is 0 for a point that is not labelled, whose x and y are 0 then, 1 for an occluded one and
2 for a visible one. Except for COFW, MMPose's files have the same number for all points. So v tells
of occlusion only if a file has both 1 and 2, and of missing points only if it is not 0 throughout.
Other programs write v as 0 or 1, for hidden or visible (`v=visible`), or a score (`v=ignore`).
"""

from __future__ import annotations

import contextlib
import functools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import (
    coco_categories,
    coco_files,
    json_values,
    parsing,
    point_names,
)
from efld_tf.annotations.coco_categories import Categories, Category, category_of
from efld_tf.annotations.coco_files import Id
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

SCHEMAS = {
    19: "aflw19", 29: "cofw29", 51: "ibug51", 68: "ibug68", 98: "wflw98", 106: "lapa106",
}  # fmt: skip
UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2

# What v may say, for the option `v`.
BY_COCO, BY_SIGHT, BY_NOTHING = "labelled", "visible", "ignore"

# What stands for a number that is not there.
NOTHING = (0, None, "0", "")


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, prefix: str = "",
    category: str = "", names: str = "match", origin: str = "0", v: str = BY_COCO,
) -> Iterator[FaceRecord | DataError | Note]:  # fmt: skip
    """The annotations of a file, in its order; the identity is the image.

    Crowds, annotations without keypoints, such as boxes and masks, and those of other categories
    than the faces' are left out and counted. Points that are 0, 0, 0, null or NaN are not
    annotated.

    Args:
      schema: `NAME` or `FILE.yaml`; by default by the number of keypoints.
      images: the folder that file names are relative to; by default the file's, `images` in it, or
        those beside a folder `annotations`.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      category: the names or ids of the faces' categories, with commas between them; by default the
        one with as many keypoints as the schema has points.
      names: `match` for the names that the category gives its keypoints, `ignore` for their order.
      origin: what the file calls the first pixel's centre, `0`, `0.5` or `1`.
      v: what v of a keypoint says: `labelled` as in COCO, 0 for a point that is not labelled, 1 for
        an occluded and 2 for a visible one; `visible` if it only says whether a point can be seen,
        so that those with less than the file's largest v are occluded; `ignore` if it says neither,
        such as a score.

    Raises:
      DataError: `path` is not a readable file of that layout, or its categories do not tell which
        are faces, or which keypoint is which.
      EfldError: an option has an unknown value.
    """
    name = None if schema is None else schema_named(schema)
    places = coco_files.image_places(path, path.stem.rpartition("_")[2])
    folders = image_folders(images, places, prefix)
    by_name = choice("names", names, ("match", "ignore")) == "match"
    first_pixel = float(choice("origin", origin, ("0", "0.5", "1")))
    meaning = choice("v", v, (BY_COCO, BY_SIGHT, BY_NOTHING))
    content = coco_files.load(path)
    annotations = content["annotations"]
    categories = coco_categories.categories_of(content, path, by_name)
    has_points = functools.partial(_has_points, meaning=meaning)
    faces = coco_categories.of_faces(
        [a for a in annotations if isinstance(a, dict) and has_points(a)], categories,
        {schemas.get(name).num_points} if name else {*SCHEMAS}, name, category, path)
    kept = [a for a in annotations if not isinstance(a, dict)
            or (has_points(a) and category_of(a, categories) in faces)]
    reader = _Reader(
        path, coco_files.Images(content["images"], folders, path), name, first_pixel, meaning,
        _flags(kept), categories if by_name else {})
    for number, annotation in enumerate(kept):
        try:
            record = reader.record(annotation)
        except DataError as error:
            yield coco_files.annotation_error(error, annotation, number)
        else:
            yield record
    yield from coco_categories.left_out(annotations, categories, faces, has_points)
    yield from reader.other_keypoints(faces)
    yield from reader.unlabelled_points()


def _has_points(annotation: dict[str, Any], meaning: str) -> bool:
    """Whether an annotation has keypoints, whatever number of them it states."""
    keypoints = annotation.get("keypoints")
    if not isinstance(keypoints, list) or annotation.get("iscrowd") == 1:
        return bool(keypoints) and annotation.get("iscrowd") != 1
    if any(map(_is_something, keypoints[2::3])):
        return True
    return any(map(_is_something, keypoints)) \
        and (annotation.get("num_keypoints") != 0 or meaning != BY_COCO)


def _is_something(value: Any) -> bool:
    return value not in NOTHING and value == value  # NaN is not


def _flags(annotations: list[Any]) -> frozenset[int]:
    """Which of the values 0, 1 and 2 occur as a point's v."""
    flags: set[int] = set()
    for annotation in annotations:
        keypoints = annotation.get("keypoints") if isinstance(annotation, dict) else None
        if isinstance(keypoints, list):
            column = keypoints[2::3]
            flags.update(v for v in (0, 1, 2) if v in column or str(v) in column)
        if len(flags) == 3:
            break
    return frozenset(flags)


@dataclass(frozen=True)
class _Reader:
    """Reads the annotations of a file, with what they share."""

    path: Path
    images: coco_files.Images
    schema: str | None
    origin: float
    meaning: str
    flags: frozenset[int]
    categories: Categories
    unlabelled: list[int] = field(default_factory=list)  # how many a face has, though with x and y

    def record(self, annotation: Any) -> FaceRecord:
        """The face of the annotation.

        Raises:
          DataError: the annotation is not of the format.
        """
        if not isinstance(annotation, dict):
            raise DataError(self.path, "expected an object")
        values = json_values.numbers(
            annotation.get("keypoints"), self.path, "keypoints", loose=True)
        number = category_of(annotation, self.categories)
        category = self.categories.get(number)
        if len(values) % 3 or (category and 2 * len(category.keypoints) == len(values) > 0):
            raise DataError(self.path, "expected x, y, v for each keypoint")
        rows = values.reshape(-1, 3)
        coco_categories.check_known(number, self.categories, self.path)
        schema, places = self._schema(len(rows), category)
        points, visible = self._points(rows, schema, places)
        photo = self.images.of(annotation)
        return FaceRecord(
            image=photo.file,
            points=points,
            schema=schema,
            box=coco_files.box_of(annotation, "bbox", self.path, self.origin),
            visible=visible,
            attributes=json_values.attributes(annotation.get("attributes"), self.path),
            identity=photo.name,
            image_size=photo.size,
        )

    def other_keypoints(self, faces: set[Id | None]) -> Iterator[Note]:
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

    def _schema(self, count: int, category: Category | None) -> tuple[str, list[int]]:
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
        told = np.nan_to_num(rows[:, 2])
        if self.meaning != BY_NOTHING and (wrong := told[~np.isin(told, (0, 1, 2))]).size:
            raise DataError(self.path, f"expected 0, 1 or 2 as v of a keypoint, got {wrong[0]:g}; "
                            "v=ignore takes all points, whatever v is")
        points = np.full((schemas.get(schema).num_points, 2), np.nan)
        flags = np.full(len(points), float(UNLABELLED))
        own = [row for row, place in enumerate(places) if place >= 0]
        chosen = [places[row] for row in own]
        points[chosen], flags[chosen] = rows[own, :2], told[own]
        left_out = flags == UNLABELLED
        if self.meaning != BY_COCO:
            left_out &= (points == 0).all(axis=1)
        elif self.flags == {UNLABELLED}:
            left_out[:] = False
        located = left_out & np.isfinite(points).all(axis=1) & (points != 0).any(axis=1)
        self.unlabelled.append(int(located.sum()))
        points[left_out] = np.nan
        if located.any() and np.isnan(points).all():
            raise DataError(self.path, "v of its keypoints is 0, for points that are not labelled; "
                            "say v=visible if it is 0 for hidden points")
        checked = checked_points(points - self.origin, schema, self.path, missing=True)
        return checked, self._visible(flags)

    def _visible(self, flags: np.ndarray) -> np.ndarray | None:
        if self.meaning == BY_COCO and {OCCLUDED, VISIBLE} <= self.flags:
            return flags == VISIBLE
        if self.meaning == BY_SIGHT and len(self.flags) > 1:
            return flags == max(self.flags)
        return None

    def unlabelled_points(self) -> Iterator[Note]:
        """Tells of points that v calls not labelled, though they have coordinates."""
        if count := sum(self.unlabelled):
            yield Note(f"left out: {counted(count, 'keypoint')} with v 0, for points that are not "
                       "labelled, though with coordinates other than 0, 0; say v=visible if v is 0 "
                       "for hidden points")


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
