"""COCO's JSON, as far as all of its kinds are alike: images, ids, boxes, and where images lie."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import json_values, parsing
from efld_tf.errors import DataError

Id = int | str


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


def id_of(value: Any) -> Id | None:
    """An id; pandas writes whole numbers as 1.0 where one is missing. None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else None


def known(number: Id | None, ids: Mapping[Any, Any]) -> Id | None:
    """An id as the file has it elsewhere: some programs write 1 here and "1" there."""
    if number in ids or number is None:
        return number
    other: Id | None = str(number)
    if isinstance(number, str):
        other = int(number) if re.fullmatch(r"\d{1,15}", number, re.ASCII) else None
    return other if other in ids else number


@dataclass(frozen=True)
class Image:
    """An image of a file: its name there, and its width and height as they are stated."""

    name: str
    width: Any
    height: Any

    def size(self, path: Path) -> tuple[int, int] | None:
        """Its size in pixels, see `parsing.stated_size`."""
        return parsing.stated_size(self.width, self.height, path)


def images_by_id(images: list[Any], path: Path) -> dict[Id, Image]:
    """The images by id; those without either later give errors of unknown ids.

    Raises:
      DataError: two images have the same id.
    """
    result: dict[Id, Image] = {}
    for image in images:
        if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) \
                or (number := id_of(image.get("id"))) is None:
            continue
        found = Image(image["file_name"], image.get("width"), image.get("height"))
        if result.setdefault(number, found) != found:
            raise DataError(path, f"two images have the id {parsing.shorten(str(number))}")
    return result


def image_of(annotation: dict[str, Any], images: dict[Id, Image], path: Path) -> Image:
    """The image that an annotation is of.

    Raises:
      DataError: there is none.
    """
    stated = annotation.get("image_id")
    number = known(id_of(stated), images)
    if number is None or number not in images:
        raise DataError(path, f"there is no image with the id {parsing.shorten(str(stated))}")
    return images[number]


def box_of(
    annotation: dict[str, Any], field: str, path: Path, origin: float = 0
) -> np.ndarray | None:
    """The box (x0, y0, x1, y1) of a field with x, y, width and height, or None without one.

    A box without width and height, wherever it is, or without numbers is none.

    Args:
      origin: what the file calls the first pixel's centre.

    Raises:
      DataError: the field has something else.
    """
    value = annotation.get(field)
    if value is None or value == []:
        return None
    box = json_values.numbers(value, path, field, loose=True)
    if len(box) != 4:
        raise DataError(path, f"{field}: expected x, y, width, height")
    x, y, width, height = box
    if np.isnan(box).all() or width == height == 0:
        return None
    if np.isnan(box).any():
        raise DataError(path, f"{field}: a number is missing")
    return parsing.box_of(np.array([x, y, x + width, y + height]) - origin, path)
