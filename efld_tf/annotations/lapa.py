"""LaPa: 106 points in `SPLIT/landmarks/NAME.txt`, photos in `SPLIT/images/NAME.jpg`.

The first line of a file is 106; then there is a point `x y` a line. The publishers do not say where
coordinates start; they are assumed to count from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import ibug, image_paths, listing, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

SCHEMA = "lapa106"
NUM_POINTS = 106

# The number of faces in each split as distributed.
OFFICIAL_FACES = {"train": 18168, "val": 2000, "test": 2000}

# 107 lines of two numbers with twenty digits each are under 5 kB.
MAX_FILE_BYTES = 1 << 15


def read(path: Path, *, split: str = "train") -> Iterator[FaceRecord | DataError]:
    """The faces of a split, sorted by name; `PHOTO_0` and `PHOTO_1` are faces of one photo.

    Args:
      split: `train`, `val` or `test`.

    Raises:
      DataError: `path` does not have the split's folder `landmarks`.
      EfldError: there is no such split.
    """
    if split not in OFFICIAL_FACES:
        raise EfldError(f"split: expected one of {', '.join(OFFICIAL_FACES)}, got {split!r}")
    folder = path / split / "landmarks"
    if not folder.is_dir():
        raise DataError(path, f"expected the folders {split}/landmarks and {split}/images in it")
    for file in listing.files(folder, [".txt"], deep=False):
        try:
            points = read_points(file)
            image = image_paths.find_image([path / split / "images"], f"{file.stem}.jpg", file)
        except DataError as error:
            yield error
        else:
            yield FaceRecord(image, points, SCHEMA, identity=ibug.photo(file.stem))


def read_points(path: Path) -> np.ndarray:
    """The points [106, 2] float32 of a file.

    Raises:
      DataError: the file does not follow the format.
    """
    lines = parsing.text_lines(path, MAX_FILE_BYTES)
    number, text = next(lines, (None, ""))
    if text != str(NUM_POINTS):
        got = parsing.shorten(text)
        raise DataError(path, f"expected the number of points {NUM_POINTS}, got {got}", number)
    values = parsing.points(lines, NUM_POINTS, path)
    for number, _ in lines:
        raise DataError(path, f"expected the end of the file after {NUM_POINTS} points", number)
    return checked_points(values, SCHEMA, path)


FORMAT = Format(
    "lapa", "LaPa", read, ("lapa106",), "FOLDER",
    "{train,val,test}/landmarks/NAME.txt and {train,val,test}/images/NAME.jpg",
    "check the publisher's terms", faces=OFFICIAL_FACES,
)
