"""Face Synthetics: rendered faces with 70 points, `NNNNNN.png` and `NNNNNN_ldmks.txt`.

A file has a point `x y` a line. The publishers do not say where coordinates start; they are assumed
to count from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "face_synthetics70"
NUM_POINTS = 70
SUFFIX = "_ldmks.txt"

# 70 lines of two numbers with twenty digits each are under 4 kB.
MAX_FILE_BYTES = 1 << 15


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder, sorted by name; each is a person of their own.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, f"expected a folder with NAME{SUFFIX} and NAME.png or .jpg")
    for file in listing.files(path, [SUFFIX], deep=False):
        name = file.name.removesuffix(SUFFIX)
        try:
            points = read_points(file)
            image = path / f"{name}.jpg"
            if not image.is_file():
                image = image_paths.find_image([path], f"{name}.png", file)
        except DataError as error:
            yield error
        else:
            yield FaceRecord(image, points, SCHEMA, identity=name)


def read_points(path: Path) -> np.ndarray:
    """The points [70, 2] float32 of a file.

    Raises:
      DataError: the file does not follow the format.
    """
    lines = parsing.text_lines(path, MAX_FILE_BYTES)
    values = parsing.points(lines, NUM_POINTS, path)
    for number, _ in lines:
        raise DataError(path, f"expected the end of the file after {NUM_POINTS} points", number)
    return checked_points(values, SCHEMA, path)


FORMAT = Format(
    "face_synthetics", "Face Synthetics (rendered)", read, ("face_synthetics70",), "FOLDER",
    "NNNNNN.png or .jpg and NNNNNN_ldmks.txt", "check the publisher's terms",
)
