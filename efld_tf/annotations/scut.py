"""SCUT-FBP5500: portraits with 86 points in binary files.

`Images/NAME.jpg` goes with `facial landmark/NAME.pts`, which is a little-endian int32, the number
of points 86, then 86 pairs of float32 x, y, counted from 0. One file of the original distribution
(`CM152.pts`) is cut off after its first 4 bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "scut86"
NUM_POINTS = 86
FILE_BYTES = 4 + NUM_POINTS * 8


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of the data set's folder, sorted by name; each is a person of their own.

    Raises:
      DataError: `path` has no folder `facial landmark`.
    """
    folder = path / "facial landmark"
    if not folder.is_dir():
        raise DataError(path, "expected the folders 'facial landmark' and 'Images' in it")
    for file in listing.files(folder, [".pts"], deep=False):
        try:
            points = read_points(file)
            image = image_paths.find_image([path / "Images"], f"{file.stem}.jpg", file)
        except DataError as error:
            yield error
        else:
            yield FaceRecord(image, points, SCHEMA, identity=file.stem)


def read_points(path: Path) -> np.ndarray:
    """The points [86, 2] float32 of a binary `.pts` file.

    Raises:
      DataError: the size, the number of points or a coordinate is wrong.
    """
    content = parsing.read_bytes(path, limit=1 << 16)
    if len(content) != FILE_BYTES:
        raise DataError(
            path, f"expected {FILE_BYTES} bytes for {NUM_POINTS} points, got {len(content)}"
        )
    count = int(np.frombuffer(content, "<i4", count=1)[0])
    if count != NUM_POINTS:
        raise DataError(path, f"expected {NUM_POINTS} points, the file says {count}")
    values = np.frombuffer(content, "<f4", offset=4)
    if (np.abs(values) > parsing.MAX_COORDINATE).any():
        raise DataError(path, f"a coordinate is beyond {parsing.MAX_COORDINATE:g} pixels")
    return checked_points(values, SCHEMA, path)


FORMAT = Format(
    "scut", "SCUT-FBP5500", read, ("scut86",), "FOLDER",
    "Images/NAME.jpg and binary 'facial landmark/NAME.pts'", "research only",
)
