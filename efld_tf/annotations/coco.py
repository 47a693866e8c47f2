"""COCO keypoint JSON, as MMPose publishes face data sets.

`images` have `id` and `file_name`; `annotations` have `image_id`, `keypoints` (x, y, v for each
point) and `bbox` (x, y, width, height). Coordinates are taken as they are (MMPose subtracts
nothing). Data sets that count from 1, such as 300-W, may still do so here; then give `origin=1`.

COCO's v is 0 for a point that is not labelled, 1 for an occluded one and 2 for a visible one.
Except for COFW, MMPose's files have the same number for all points. So v tells of occlusion only if
a file has both 1 and 2, and of missing points only if it is not 0 throughout.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import image_paths, json_values, parsing
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas

SCHEMAS = {
    19: "aflw19", 29: "cofw29", 51: "ibug51", 68: "ibug68", 98: "wflw98", 106: "lapa106",
}  # fmt: skip
UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, origin: str = "0"
) -> Iterator[FaceRecord | DataError]:
    """The annotations of a file, in its order; the identity is the image.

    Crowds, and annotations that say that they have no keypoints, are passed over.

    Args:
      schema: `NAME` or `FILE.yaml`; by default by the number of keypoints.
      images: the folder that file names are relative to; by default the file's, or `images` in it.
      origin: what the file calls the first pixel's centre, `0` or `1`.

    Raises:
      DataError: `path` is not a readable file of that layout.
      EfldError: an option has an unknown value.
    """
    name = None if schema is None else schema_named(schema)
    folders = image_folders(images, [path.parent, path.parent / "images"])
    first_pixel = int(choice("origin", origin, ("0", "1")))
    content = json_values.load(path)
    if not isinstance(content, dict):
        raise DataError(path, "expected an object with the lists 'images' and 'annotations'")
    for key in ("images", "annotations"):
        if not isinstance(content.get(key), list):
            raise DataError(path, f"expected a list as {key!r}")
    reader = _Reader(path, folders, _names(content["images"]), name, first_pixel,
                     _flags(content["annotations"]))
    for number, annotation in enumerate(content["annotations"]):
        try:
            record = reader.record(annotation)
        except DataError as error:
            has_id = isinstance(annotation, dict) and "id" in annotation
            label = parsing.shorten(str(annotation["id"]), 40) if has_id else f"number {number}"
            yield DataError(path, f"annotation {label}: {error.reason}")
        else:
            if record is not None:
                yield record


def _names(images: list[Any]) -> dict[int | str, str]:
    """File names by image id; images without either later give errors of unknown ids."""
    return {
        image["id"]: image["file_name"]
        for image in images
        if isinstance(image, dict)
        and isinstance(image.get("id"), int | str)
        and isinstance(image.get("file_name"), str)
    }


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
    names: dict[int | str, str]
    schema: str | None
    origin: int
    flags: frozenset[int]

    def record(self, annotation: Any) -> FaceRecord | None:
        """The face of the annotation; None if it is no face.

        Raises:
          DataError: the annotation is not of the format.
        """
        if not isinstance(annotation, dict):
            raise DataError(self.path, "expected an object")
        if annotation.get("iscrowd") == 1 or annotation.get("num_keypoints") == 0:
            return None
        values = json_values.numbers(annotation.get("keypoints"), self.path, "keypoints")
        if len(values) % 3:
            raise DataError(self.path, "expected x, y, v for each keypoint")
        schema = self._schema(len(values) // 3)
        points, visible = self._points(values.reshape(-1, 3), schema)
        image = annotation.get("image_id")
        if not isinstance(image, int | str) or image not in self.names:
            got = parsing.shorten(str(image))
            raise DataError(self.path, f"there is no image with the id {got}")
        name = image_paths.relative_name(self.names[image], self.path)
        return FaceRecord(
            image=image_paths.find_image(self.folders, name, self.path),
            points=points,
            schema=schema,
            box=self._box(annotation.get("bbox")),
            visible=visible,
            identity=name,
        )

    def _schema(self, count: int) -> str:
        name = self.schema or SCHEMAS.get(count)
        if name is None:
            counts = ", ".join(str(count) for count in SCHEMAS)
            raise DataError(self.path, f"{count} keypoints are none of {counts}; name the points "
                            "with schema=")
        if (expected := schemas.get(name).num_points) != count:
            raise DataError(self.path, f"expected {expected} keypoints of {name}, got {count}")
        return name

    def _points(self, values: np.ndarray, schema: str) -> tuple[np.ndarray, np.ndarray | None]:
        flags = values[:, 2]
        if not np.isin(flags, (UNLABELLED, OCCLUDED, VISIBLE)).all():
            raise DataError(self.path, "expected 0, 1 or 2 as v of a keypoint")
        points = values[:, :2] - self.origin
        if self.flags != {UNLABELLED}:
            points[flags == UNLABELLED] = np.nan
        tells_occlusion = {OCCLUDED, VISIBLE} <= self.flags
        checked = checked_points(points, schema, self.path, missing=True)
        return checked, flags == VISIBLE if tells_occlusion else None

    def _box(self, value: Any) -> np.ndarray | None:
        if value is None:
            return None
        box = json_values.numbers(value, self.path, "bbox")
        if not box.any():  # written for "no box"
            return None
        if len(box) != 4:
            raise DataError(self.path, "bbox: expected x, y, width, height")
        x, y, width, height = box
        corners = np.array([x, y, x + width, y + height]) - self.origin
        return parsing.box_of(corners, self.path)


FORMAT = Format(
    "coco", "COCO keypoint JSON (MMPose's face data sets)", read, tuple(SCHEMAS.values()),
    "FILE.json", "images, and annotations with keypoints [x, y, v, ...] and bbox [x, y, w, h]",
    "check the terms of the data set's publisher",
)
