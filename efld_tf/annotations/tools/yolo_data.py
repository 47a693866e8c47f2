"""What the `data.yaml` of an Ultralytics data set says: its images, classes and points.

    path: ../datasets/faces   # the folder that the next lines are relative to, or its own
    train: images/train       # a folder, a .txt list of images, or a list of them
    val: images/val
    kpt_shape: [5, 3]         # points, and numbers for each: x, y and perhaps visibility
    flip_idx: [1, 0, 2, 4, 3]
    names: {0: face}
    kpt_names: {0: [left_eye, right_eye, nose, left_mouth, right_mouth]}   # see yolo_names.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from efld_tf import config
from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.format import Note
from efld_tf.annotations.tools.yolo_names import MAX_POINTS, PointNames, point_names
from efld_tf.errors import DataError

FILE = "data.yaml"
IMAGES = "images"

# The keys of data.yaml that name the images of a split.
SPLITS = {"train": ("train",), "val": ("val", "validation"), "test": ("test",)}
ALL = "all"

# A list of a million paths takes 100 MB.
MAX_LIST_BYTES = 1 << 28


@dataclass(frozen=True)
class DataSet:
    """What a data.yaml says; of a folder without one, nothing is known.

    Attributes:
      file: its path, or that of the folder.
      root: the folder that its paths are relative to.
      declared: that folder as it says, perhaps one of another machine.
      count, numbers: of `kpt_shape`, the points of an object, and the numbers of each, 2 or 3.
      classes: the names of classes, by number.
      points: the names of points.
      flip: `flip_idx`, as it stands there; None if it is not there.
      images: the values of its keys for images, by split.
    """

    file: Path
    root: Path
    declared: str = ""
    count: int | None = None
    numbers: int | None = None
    classes: dict[int, str] = field(default_factory=dict)
    points: PointNames = field(default_factory=PointNames)
    flip: Any = None
    images: dict[str, list[str]] = field(default_factory=dict)


def load(file: Path, root: Path | None = None) -> DataSet:
    """Reads a data.yaml.

    Args:
      root: the folder that its paths are relative to; by default the one that it says if that is in
        its own folder, or its own if there is no such folder.

    Raises:
      DataError: it cannot be read, lacks what the labels need, or leads out of its folder.
    """
    tree = config.read_tree(file, foreign=True)
    if not isinstance(tree, dict):
        raise DataError(file, f"expected an Ultralytics {FILE}, with train, val, kpt_shape, names")
    declared = tree.get("path") or ""
    if not isinstance(declared, str):
        raise DataError(file, "path: expected a folder")
    shape = tree.get("kpt_shape")
    if not (isinstance(shape, list) and len(shape) == 2 and all(type(n) is int for n in shape)
            and 0 < shape[0] <= MAX_POINTS and shape[1] in (2, 3)):
        raise DataError(file, "kpt_shape: expected [number of points, 2 or 3], which data sets for "
                              "pose have")
    classes = _classes(tree, file)
    return DataSet(
        file, root or _root(file, declared), declared, shape[0], shape[1], classes,
        point_names(tree, shape[0], classes), tree.get("flip_idx"), _splits(tree, file),
    )


@dataclass(frozen=True)
class Picture:
    """An image of a data set.

    Attributes:
      file: the image.
      place: where it is in the data set, or would be if the images were there.
    """

    file: Path
    place: Path


def pictures(
    data: DataSet, split: str, images: Path | None = None
) -> Iterator[Picture | DataError | Note]:
    """The images of a split, each once.

    Args:
      split: one of `SPLITS`, or `ALL`.
      images: the folder in place of `images` in the data set; None for that itself.

    Raises:
      DataError: there is no such split, or none of its images.
    """
    here = Path(os.path.abspath(data.file.parent))
    if data.root == here and not os.path.isdir(here / _posix(data.declared)):
        yield Note(f"path {parsing.shorten(data.declared)} of {data.file.name} is not here: its "
                   "images are looked for beside it")
    if split != ALL and split not in data.images:
        present = ", ".join(data.images) or "none"
        raise DataError(data.file, f"there is no split {split}: it has {present}")
    wanted = [(name, value) for name, values in data.images.items() for value in values
              if split in (ALL, name)]
    seen: set[Path] = set()
    missing: list[DataError] = []
    for name, value in wanted:
        try:
            for picture in _listed(data, name, value, images):
                if isinstance(picture, Picture):
                    if picture.file in seen:
                        continue
                    seen.add(picture.file)
                yield picture
        except _NoFolderError as error:
            if split != ALL:
                raise
            missing.append(error)
    if missing and len(missing) == len(wanted):
        raise missing[0]
    for lost in missing:  # as in exports of Roboflow, which always name all splits
        yield Note(f"left out: {lost.reason}")


class _NoFolderError(DataError):
    """What data.yaml names does not exist."""


def pictures_of_folder(folder: Path, images: Path | None = None) -> Iterator[Picture]:
    """The images of a folder without a data.yaml; errors and arguments are as in `pictures`."""
    place = folder if images is None else folder / IMAGES
    if not (folder / "labels").is_dir():
        place = folder
    yield from _pictures_in(folder if images is None else images, place)


def _pictures_in(folder: Path, place: Path) -> Iterator[Picture]:
    for file in listing.files(folder, listing.IMAGE_SUFFIXES):
        yield Picture(file, place / file.relative_to(folder))


def _root(file: Path, declared: str) -> Path:
    """The declared folder if it is in that of the file, the latter if there is no such folder."""
    here = Path(os.path.abspath(file.parent))
    named = Path(os.path.normpath(here / _posix(declared)))
    if not os.path.isdir(named):
        return here
    if not named.is_relative_to(here):
        raise DataError(file, f"path: {parsing.shorten(declared, 200)} leads out of its folder: "
                              "say with root=FOLDER that it is meant, or that the images are "
                              "beside the file")
    return named


def _posix(path: str) -> str:
    return path.replace("\\", "/")


def _classes(tree: dict[Any, Any], file: Path) -> dict[int, str]:
    names = tree.get("names")
    if names is None and type(count := tree.get("nc")) is int:
        return {number: f"class_{number}" for number in range(min(count, MAX_POINTS))}
    items = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(items, dict) or not all(
        _is_number(number) and _is_name(name) for number, name in items.items()
    ):
        raise DataError(file, "names: expected the names of classes, by number or in a list")
    return {int(number): str(name) for number, name in items.items()}


def _is_number(key: Any) -> bool:
    """Whether a key is the number of a class, or such a number as a text."""
    text = isinstance(key, str) and key.isascii() and key.isdecimal() and len(key) < 6
    return text or (type(key) is int and 0 <= key < MAX_POINTS)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, int) and abs(value) < MAX_POINTS)


def _splits(tree: dict[Any, Any], file: Path) -> dict[str, list[str]]:
    found = {}
    for split, keys in SPLITS.items():
        value = next((tree[key] for key in keys if tree.get(key)), None)
        if value is None:
            continue
        values = value if isinstance(value, list) else [value]
        if not all(isinstance(item, str) and item for item in values):
            raise DataError(file, f"{split}: expected a folder, a .txt list, or a list of them")
        found[split] = values
    return found


def _listed(
    data: DataSet, split: str, value: str, images: Path | None
) -> Iterator[Picture | DataError]:
    """The images of a folder or a .txt list that data.yaml names.

    One leading `..` is Roboflow's way to name what is in the data set's folder.

    Raises:
      DataError: it leads out of that folder, or does not exist.
    """
    name = "."
    if PurePosixPath(_posix(value)).parts:
        name = image_paths.relative_name(value, data.file, None, [data.root, *_elsewhere(data)])
    for inside in (name.removeprefix("../"), name):
        place = Path(os.path.normpath(data.root / inside))
        folder = place if images is None else images / _below_images(inside)
        if place.suffix.lower() == ".txt" and os.path.isfile(place):
            yield from _of_list(data, place, images)
            return
        if os.path.isdir(folder):
            yield from _pictures_in(folder, place)
            return
    where = data.root if images is None else images
    raise _NoFolderError(data.file, f"{split}: there is no folder or .txt list "
                                    f"{parsing.shorten(value)} in {where}")


def _of_list(data: DataSet, file: Path, images: Path | None) -> Iterator[Picture | DataError]:
    folders = [file.parent, data.root]
    for line, text in parsing.text_lines(file, MAX_LIST_BYTES):
        try:
            name = image_paths.relative_name(text, file, line, [*folders, *_elsewhere(data)])
            if images is None:
                found = image_paths.find_image(folders, name, file, line)
                yield Picture(*[Path(os.path.normpath(found))] * 2)
            else:
                found = image_paths.find_image([images], _below_images(name), file, line)
                yield Picture(found, Path(os.path.normpath(data.root / name)))
        except DataError as error:
            yield error


def _below_images(name: str) -> str:
    """A path in the data set, relative to its folder `images`."""
    path = PurePosixPath(name)
    return str(path.relative_to(IMAGES) if path.is_relative_to(IMAGES) else path)


def _elsewhere(data: DataSet) -> list[Path]:
    """The root of the machine where the data.yaml was made, of which absolute paths there are."""
    return [Path(data.declared)] if PurePosixPath(data.declared).is_absolute() else []
