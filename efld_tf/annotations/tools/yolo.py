"""Data sets of Ultralytics (version 8) for pose: a label file an image, a face a line.

    CLASS cx cy w h x0 y0 [v0] x1 y1 [v1] ...

`images/` in an image's path becomes `labels/` in its label's, the last one if there are several,
and the suffix `.txt`; without a folder `labels` they lie side by side. Coordinates are shares of
the width and height of the image as it is shown, since Ultralytics turns photos by EXIF when it
reads them. `data.yaml` says which images, classes and points there are (`yolo_data.py`).

v is 0 for a point that is not labelled, 1 for an occluded one and 2 for a visible one. Ultralytics
only tells 0 from the others, and some programs write 1 for all points, so that v tells of occlusion
only if there are both 1 and 2. Without v, a point with a negative coordinate is not labelled, as
Ultralytics has it, and neither is 0 0, which is written for missing points; Ultralytics itself
trains on that corner of the image.
"""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing, point_names
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.annotations.tools import yolo_data, yolo_labels
from efld_tf.annotations.tools.yolo_data import DataSet, Picture
from efld_tf.annotations.tools.yolo_labels import OCCLUDED, VISIBLE, Labels, Line
from efld_tf.annotations.tools.yolo_names import KPT_NAMES
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.text import counted


def read(
    path: Path, *, schema: str | None = None, images: str | None = None,
    root: str | None = None, split: str = "", category: str = "", names: str = "match",
    first: str = "",
) -> Iterator[FaceRecord | DataError | Note]:  # fmt: skip
    """The faces of a data.yaml or of a folder, image by image; the identity is the image.

    A folder with a data.yaml is read as that says; the splits that are not read are told. Copies
    that Roboflow made of a photo share its identity. Images without a label file, or with an empty
    one, have no face. Boxes without points and other classes than the faces' are left out and
    counted. Labels are read twice, since all of them together tell which classes and flags there
    are.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder that is used in place of `images` in the data set.
      root: the folder that is used in place of the `path` that data.yaml names; by default that, if
        it is in the folder of data.yaml, or else the folder of data.yaml.
      split: `train` (the default), `val`, `test` or `all` of data.yaml.
      category: the names or numbers of the faces' classes, with commas between them; by default the
        one whose points are those of the schema.
      names: `match` for the names of points in data.yaml (`kpt_names`, or a key like it), `ignore`
        for their order.
      first: the number of the first point, `0` or `1`, where points are named by numbers that do
        not tell.

    Raises:
      DataError: `path` is no such file or folder, or does not tell which class is a face, or which
        point is which.
      EfldError: an option has an unknown value.
    """
    name = schema_named(schema)
    by_name = choice("names", names, ("match", "ignore")) == "match"
    start = int(choice("first", first, ("0", "1"))) if first else None
    wanted = choice("split", split or "train", (*yolo_data.SPLITS, yolo_data.ALL))
    photos = None if images is None else image_folders(images, [])[0]
    data, pictures = _data_set(path, root, photos, split, wanted)
    labels = Labels()
    for picture in pictures:
        told = labels.add(picture) if isinstance(picture, Picture) else picture
        if told is not None:
            yield told
    reader = _Reader(data, name, by_name, start, labels)
    yield from reader.faces(category)
    yield from reader.notes()


def _data_set(
    path: Path, root: str | None, images: Path | None, split: str, wanted: str
) -> tuple[DataSet, Iterator[Picture | DataError | Note] | Iterator[Picture]]:
    """What is known of the data set, and its images."""
    file = path / yolo_data.FILE if path.is_dir() else path
    if not path.is_dir() or file.exists():
        if root is not None and not Path(root).expanduser().is_dir():
            raise EfldError(f"root: {root} is not a folder")
        data = yolo_data.load(file, None if root is None else Path(root).expanduser())
        pictures = yolo_data.pictures(data, wanted, images)
        others = [name for name, places in data.images.items()
                  if wanted != yolo_data.ALL and places != data.images.get(wanted)]
        if not split and others:
            told = Note(f"not read: the split{'s' if len(others) > 1 else ''} {', '.join(others)}; "
                        "split=all reads all")
            return data, itertools.chain(pictures, [told])
        return data, pictures
    if split or root is not None:
        option = "split" if split else "root"
        raise EfldError(f"{option}: there is no {yolo_data.FILE} in {path} that it would be of")
    return DataSet(path, path), yolo_data.pictures_of_folder(path, images)


@dataclass
class _Kind:
    """What the lines of a class have: points up to `used`, and `flags`."""

    used: int = 0
    flags: set[int] = field(default_factory=set)


class _Reader:
    """Reads the labels of a data set."""

    def __init__(
        self, data: DataSet, schema: str, by_name: bool, first: int | None, labels: Labels
    ) -> None:
        self._data, self._schema, self._labels = data, schema, labels
        self._by_name, self._first = by_name, first
        self._total = schemas.get(schema).num_points
        self._count = data.count or self._total
        self._widths = {yolo_labels.BOX_WORDS + n * self._count: n
                        for n in ((2, 3) if data.numbers is None else (data.numbers,))}
        self._places: dict[int, list[int]] = {}
        self._left_out: Counter[str] = Counter()
        self._negative = 0

    def faces(self, category: str) -> Iterator[FaceRecord | DataError]:
        """The faces of the wanted classes, or of the one that fits.

        Raises:
          DataError: it cannot be told which class is a face, or which point is which.
        """
        if self._by_name and self._data.points.unclear:
            raise DataError(self._data.file, self._data.points.unclear)
        seen: dict[int, _Kind] = {}
        for _, label in self._labels.pairs:
            for line in self._lines(label):
                if isinstance(line, Line):
                    kind = seen.setdefault(line.kind, _Kind())
                    kind.used = max(kind.used, line.used)
                    if line.flags is not None:
                        kind.flags.update(map(int, np.unique(line.flags)))
        self._places = self._chosen(seen, category)
        flags = {flag for kind in self._places if kind in seen for flag in seen[kind].flags}
        tells_occlusion = {OCCLUDED, VISIBLE} <= flags
        for picture, label in self._labels.pairs:
            for line in self._lines(label):
                try:
                    if isinstance(line, DataError):
                        raise line
                    if record := self._record(line, picture, label, tells_occlusion):
                        yield record
                except DataError as error:
                    yield error

    def notes(self) -> Iterator[Note]:
        """What was left out, what names points, and what contradicts the schema."""
        key = self._data.points.key
        if self._by_name and self._data.points.names and key != KPT_NAMES:
            yield Note(f"{parsing.shorten(key)} in {yolo_data.FILE} names the points; names=ignore "
                       "takes them in the schema's order")
        for what, count in self._left_out.items():
            yield Note(f"left out: {counted(count, 'object')} {what}")
        if self._negative:
            yield Note(f"{counted(self._negative, 'point')} with a negative coordinate count as "
                       "not labelled, as for Ultralytics")
        if self._labels.without:
            yield Note(f"{counted(self._labels.without, 'image')} without a label file")
        if lost := self._labels.without_image():
            example = parsing.shorten(lost[0].name)
            yield Note(f"left out: {counted(len(lost), 'label file')} without an image, such as "
                       f"{example}")
        for places in self._places.values():
            yield from _flip_note(self._data.flip, places, self._schema)

    def _lines(self, label: Path) -> Iterator[Line | DataError]:
        return yolo_labels.lines(label, self._widths, set(self._data.classes))

    def _chosen(self, seen: dict[int, _Kind], category: str) -> dict[int, list[int]]:
        """The faces' classes, and for each of their points its index in the schema."""
        path = self._data.file
        if category:
            wanted = set(category.split(","))
            known = {kind: self._class(kind) for kind in sorted({*self._data.classes, *seen})}
            chosen = [kind for kind, name in known.items() if {name, str(kind)} & wanted]
            if not chosen:
                there = ", ".join(map(parsing.shorten, known.values())) or "none"
                raise DataError(path, f"no class {parsing.shorten(category)}; it has {there}")
            return {kind: self._indices(kind, seen.get(kind, _Kind()).used) for kind in chosen}
        fitting, errors = {}, []
        for kind in sorted(kind for kind in seen if seen[kind].used):
            try:
                fitting[kind] = self._indices(kind, seen[kind].used)
            except DataError as error:
                errors.append(error)
        if len(fitting) > 1:
            several = ", ".join(parsing.shorten(self._class(kind)) for kind in fitting)
            raise DataError(path, f"several classes may be faces: {several}; say category=NAME, or "
                                  "several with commas between them")
        if errors and not fitting:
            raise errors[0]
        return fitting

    def _indices(self, kind: int, used: int) -> list[int]:
        """The index in the schema of each point of a class.

        Programs that have several classes with points give all of them as many as the largest has,
        the last ones without labels.
        """
        path, names = self._data.file, self._data.points.names.get(kind, ())
        key = self._data.points.key
        if not names or not self._by_name:
            got = self._count if self._count < self._total else used
            if self._count < self._total or used > self._total:
                raise DataError(path, f"expected {self._total} points of {self._schema}, got {got} "
                                      f"of the class {parsing.shorten(self._class(kind))}")
            return list(range(self._total))
        if used > len(names) or len(names) > self._count:
            raise DataError(path, f"{key}: {len(names)} names of points, but kpt_shape has "
                                  f"{self._count}")
        if len(set(names)) < len(names):
            raise DataError(path, f"{key}: two points have the same name")
        try:
            indices = point_names.match(names, self._schema, self._first)
        except EfldError as error:
            raise DataError(path, f"{key}: {error}") from error
        return [indices[name] for name in names]

    def _class(self, kind: int) -> str:
        return self._data.classes.get(kind, str(kind))

    def _record(
        self, line: Line, picture: Picture, label: Path, tells_occlusion: bool
    ) -> FaceRecord | None:
        """The face of a line; None if it is left out."""
        places = self._places.get(line.kind)
        if places is None or not line.used or line.points is None:
            name = f"of the class {parsing.shorten(self._class(line.kind))}"
            what = "" if places is None and line.used else " without labelled points"
            self._left_out[name + what] += 1
            return None
        self._negative += line.negative
        points = np.full((self._total, 2), np.nan)
        points[places] = line.points[: len(places)]
        visible = None
        if tells_occlusion and line.flags is not None:
            visible = np.zeros(self._total, bool)
            visible[places] = line.flags[: len(places)] == VISIBLE
        centre, size = line.box[:2], line.box[2:]
        corners = np.concatenate([centre - size / 2, centre + size / 2])
        return FaceRecord(
            image=picture.file,
            points=checked_points(points, self._schema, label, line.line, missing=True),
            schema=self._schema,
            box=parsing.box_of(corners, label, line.line) if line.box.any() else None,
            visible=visible,
            identity=_photo(picture.place, self._data.root),
            upright=True,
            normalised=True,
        )


def _photo(place: Path, root: Path) -> str:
    """The photo of an image. Roboflow names its copies `a_jpg.rf.HASH.jpg`, in any split."""
    if copy := re.fullmatch(r"(.+)\.rf\.\w{20,}", place.stem, re.ASCII):
        return copy[1]
    return Path(os.path.relpath(place, root)).as_posix()


def _flip_note(flip: object, places: list[int], schema: str) -> Iterator[Note]:
    """A note if `flip_idx` is not the flip of the schema."""
    expected = schemas.get(schema).flip
    if flip is None or expected is None:
        return
    if not isinstance(flip, list) or len(flip) < len(places) \
            or not all(type(other) is int and 0 <= other < len(flip) for other in flip):
        yield Note("flip_idx in data.yaml is not a partner for each point; it is not used")
        return
    names = schemas.get(schema).names
    wrong = [place for place, other in zip(places, flip, strict=False)
             if other >= len(places) or places[other] != expected[place]]
    if wrong:
        yield Note(f"flip_idx in data.yaml contradicts the flip of {schema} at "
                   f"{counted(len(wrong), 'point')}, such as {names[wrong[0]]}: are its points in "
                   "the schema's order?")


FORMAT = Format(
    "yolo", "Ultralytics YOLO pose data sets", read, (), "data.yaml or FOLDER",
    "images/ and labels/ of the same structure, as data.yaml names them; needs schema=",
    "yours",
)
