"""The label files of Ultralytics for pose: which one is an image's, and what its lines say."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations import listing, parsing
from efld_tf.annotations.tools.yolo_data import IMAGES, Picture
from efld_tf.arrays import Floats
from efld_tf.errors import DataError

UNLABELLED, OCCLUDED, VISIBLE = 0, 1, 2

# A class, and x, y, width and height of a box.
BOX_WORDS = 5

# A thousand faces of a thousand points.
MAX_LABEL_BYTES = 1 << 24
MAX_CLASSES = 1 << 12

# What other programs put beside labels.
NO_LABELS = ("classes.txt", "labels.txt", "obj.names.txt")


@dataclass(frozen=True, eq=False)
class Line:
    """An object of a label file.

    Attributes:
      line: its line.
      kind: the number of its class.
      box: [4], x and y of the centre, width and height.
      points: [N, 2], NaN for points that are not labelled; None for a box alone.
      flags: [N], `UNLABELLED`, `OCCLUDED` or `VISIBLE`; None without visibility.
      negative: how many points are not labelled since a coordinate is negative.
    """

    line: int
    kind: int
    box: Floats
    points: Floats | None = None
    flags: Floats | None = None
    negative: int = 0

    @property
    def used(self) -> int:
        """The number of points up to the last one that is labelled."""
        if self.points is None:
            return 0
        labelled = np.flatnonzero(np.isfinite(self.points).all(axis=-1))
        return int(labelled[-1]) + 1 if len(labelled) else 0


def label_of(place: Path) -> Path:
    """Where the label of an image lies that is at that place, if it has one."""
    parts = place.parts
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == IMAGES:
            folder = Path(*parts[:index], "labels")
            if folder.is_dir():
                return folder.joinpath(*parts[index + 1 :]).with_suffix(".txt")
            break
    return place.with_suffix(".txt")


class Labels:
    """The label files of images.

    Attributes:
      pairs: each picture that has a label file, and that file.
      without: the number of images that have none.
    """

    def __init__(self) -> None:
        self.pairs: list[tuple[Picture, Path]] = []
        self.without = 0
        self._owners: dict[Path, Path] = {}
        self._folders: dict[Path, Path] = {}

    def add(self, picture: Picture) -> DataError | None:
        """Finds the label of a picture; an error if it is another one's, too, or a broken link."""
        label, image = label_of(picture.place), picture.file
        self._folders[label.parent] = image.parent
        if not label.exists():
            same = [name for name in listing.same_name(label.parent, label.name)
                    if _composed(name) == _composed(label.name)]
            if len(same) != 1:
                self.without += 1
                return None
            label = label.with_name(same[0])
        owner = self._owners.setdefault(label, image)
        if owner != image:
            return DataError(label, f"several images of that name: {owner.name} and {image.name}")
        if image.is_symlink() and not image.exists():
            return DataError(image, f"a link to {os.readlink(image)}, which does not exist: say "
                                    "with images= where the photos are now")
        self.pairs.append((picture, label))
        return None

    def without_image(self) -> list[Path]:
        """The files among the labels for which there is no image.

        Raises:
          DataError: a folder cannot be read.
        """
        found = []
        for folder, images in self._folders.items():
            if folder == images or not folder.is_dir():  # beside images, texts may be anything
                continue
            stems = {*map(_composed, listing.images_by_stem(images))}
            found += [file for file in listing.files(folder, [".txt"], deep=False)
                      if _composed(file.stem) not in stems and file.name not in NO_LABELS]
        return found


def _composed(name: str) -> str:
    """A name with composed letters, as most file systems keep it."""
    return unicodedata.normalize("NFC", name)


def lines(path: Path, widths: dict[int, int], kinds: set[int]) -> Iterator[Line | DataError]:
    """The objects of a label file.

    Args:
      widths: the numbers of words that a line may have beside `BOX_WORDS`, and how many each point
        then has, 2 or 3.
      kinds: the numbers of the classes that there are; empty if that is not known.
    """
    try:
        for line, text in parsing.text_lines(path, MAX_LABEL_BYTES):
            try:
                yield _line(text.split(), widths, kinds, path, line)
            except DataError as error:
                yield error
    except DataError as error:
        yield error


def _line(
    words: list[str], widths: dict[int, int], kinds: set[int], path: Path, line: int
) -> Line:
    if len(words) != BOX_WORDS and len(words) not in widths:
        expected = " or ".join(map(str, [BOX_WORDS, *widths]))
        raise DataError(path, f"expected {expected} numbers, got {len(words)}", line)
    values = parsing.coordinates(words, path, line)
    kind = int(values[0])
    if kind != values[0] or not 0 <= kind < MAX_CLASSES or (kinds and kind not in kinds):
        known = f"0 to {max(kinds)}" if kinds else "a whole number"
        got = parsing.shorten(words[0])
        raise DataError(path, f"expected the number of a class, {known}, got {got}", line)
    box = values[1:BOX_WORDS]
    if len(words) == BOX_WORDS:
        return Line(line, kind, box)
    rows = values[BOX_WORDS:].reshape(-1, widths[len(words)])
    points = rows[:, :2].copy()
    if rows.shape[1] == 3:
        flags = rows[:, 2]
        if not np.isin(flags, (UNLABELLED, OCCLUDED, VISIBLE)).all():
            raise DataError(path, "expected 0, 1 or 2 as visibility of a point", line)
        points[flags == UNLABELLED] = np.nan
        return Line(line, kind, box, points, flags)
    negative = (points < 0).any(axis=-1)
    points[negative | (points == 0).all(axis=-1)] = np.nan
    return Line(line, kind, box, points, negative=int(negative.sum()))
