"""COCO's JSON, as far as all of its kinds are alike: images, ids, boxes, and where images lie."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from efld_tf.annotations import image_paths, json_values, listing, parsing
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
    content = json_values.load(path, hook)
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


@dataclass(frozen=True)
class Photo:
    """Where an image lies.

    Attributes:
      file: the file with it.
      name: its name, relative to the folder of images.
      size: the width and height in pixels that the annotations state, see `parsing.stated_size`.
    """

    file: Path
    name: str
    size: tuple[int, int] | None


class Images:
    """The images of a file; those without a name or an id later give errors of unknown ids.

    Args:
      listed: the file's list.
      folders: the folders in which they may lie.
      path: the file.

    Raises:
      DataError: two images have the same id.
    """

    def __init__(self, listed: list[Any], folders: Sequence[Path], path: Path):
        self._folders, self._path = folders, path
        self._by_id: dict[Id, Image] = {}
        for image in listed:
            if not isinstance(image, dict) or not isinstance(image.get("file_name"), str) \
                    or (number := id_of(image.get("id"))) is None:
                continue
            found = Image(image["file_name"], image.get("width"), image.get("height"))
            if self._by_id.setdefault(number, found) != found:
                raise DataError(path, f"two images have the id {parsing.shorten(str(number))}")
        self._others = self._of_one_file()

    def of(self, annotation: dict[str, Any]) -> Photo:
        """The image that an annotation is of.

        Raises:
          DataError: there is none, it does not exist, or another image has its file: data sets were
            merged, and whose photo was kept is not known.
        """
        stated = annotation.get("image_id")
        number = known(id_of(stated), self._by_id)
        if number is None or number not in self._by_id:
            raise DataError(
                self._path, f"there is no image with the id {parsing.shorten(str(stated))}")
        image = self._by_id[number]
        name, file = self._place(image)
        if number in self._others:
            other = parsing.shorten(str(self._others[number]))
            raise DataError(
                self._path, f"the images {parsing.shorten(str(number))} and {other} are both "
                f"{parsing.shorten(name)}: if they are one photo, give them one id, else each "
                "photo a name of its own")
        return Photo(file, name, parsing.stated_size(image.width, image.height, self._path))

    def _place(self, image: Image) -> tuple[str, Path]:
        name = image_paths.relative_name(image.name, self._path, None, self._folders)
        return name, image_paths.find_image(self._folders, name, self._path)

    def _of_one_file(self) -> dict[Id, Id]:
        """Another image of the same file, for those that have one."""
        alike: defaultdict[str, list[Id]] = defaultdict(list)
        for number, image in self._by_id.items():
            with contextlib.suppress(DataError):
                name = image_paths.relative_name(image.name, self._path, None, self._folders)
                alike[listing.folded(unquote(name))].append(number)
        others: dict[Id, Id] = {}
        for numbers in alike.values():
            by_file: defaultdict[Path, list[Id]] = defaultdict(list)
            for number in numbers if len(numbers) > 1 else ():
                with contextlib.suppress(DataError):
                    by_file[self._place(self._by_id[number])[1]].append(number)
            for same in by_file.values():
                if len(same) > 1:
                    others |= {number: same[number == same[0]] for number in same}
        return others


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
