"""COFW: faces behind hands, hair and glasses, with 29 points and their occlusion.

`COFW_train_color.mat` (1,345 faces; the first 845 are LFPW's) and `COFW_test_color.mat` (507) are
MATLAB 7.3 files. They hold cells of images, `IsTr` or `IsT`, and for each face a row in `phisTr` or
`phisT`, which is 29 x, 29 y and 29 flags (1: occluded), and a row in `bboxesTr` or `bboxesT`, which
is x, y, width and height. Coordinates count from 1. A record's frame is the image's place in its
cells, counted from 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf import hdf5
from efld_tf.annotations import matlab, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "cofw29"
NUM_POINTS = 29
MAX_VALUES = 1 << 24


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of one of the two files, in its order; each is of another photo.

    Raises:
      DataError: `path` is not such a file.
    """
    suffix, faces, boxes = _tables(path)
    for frame, (values, (x, y, width, height)) in enumerate(zip(faces, boxes, strict=True)):
        try:
            face = f"face {frame}"
            points = matlab.pixels(values[: 2 * NUM_POINTS], path, face)
            corners = np.array([x, y, x + width, y + height])
            yield FaceRecord(
                path,
                checked_points(points.reshape(2, NUM_POINTS).T, SCHEMA, path),
                SCHEMA,
                box=parsing.box_of(matlab.pixels(corners, path, face), path),
                visible=values[2 * NUM_POINTS :] == 0,
                identity=photo(suffix, frame),
                frame=frame,
            )
        except DataError as error:
            yield error


def photo(suffix: str, frame: int) -> str:
    """The identity of image `frame` of the training file (`Tr`) or the test file (`T`)."""
    return f"COFW_{suffix}_{frame}"


def _tables(path: Path) -> tuple[str, np.ndarray, np.ndarray]:
    """Reads which of the files it is (`Tr` or `T`), points and flags [F, 87], and boxes [F, 4]."""
    with matlab.open_hdf5(path) as file:
        try:
            suffix = next(suffix for suffix in ("Tr", "T") if f"phis{suffix}" in file)
            faces = matlab.read_hdf5(file, f"phis{suffix}", "fiu", MAX_VALUES)
            boxes = matlab.read_hdf5(file, f"bboxes{suffix}", "fiu", MAX_VALUES)
        except (*hdf5.ERRORS, StopIteration) as error:
            reason = "expected COFW's arrays phisTr and bboxesTr, or phisT and bboxesT"
            raise DataError(path, reason) from error
    if faces.shape != (len(boxes), 3 * NUM_POINTS) or boxes.shape[1:] != (4,):
        expected = f"a row of {3 * NUM_POINTS} and a row of 4 numbers a face"
        raise DataError(path, f"expected {expected}, got {faces.shape} and {boxes.shape}")
    return suffix, faces.astype(np.float64), boxes.astype(np.float64)


FORMAT = Format(
    "cofw", "COFW (colour)", read, ("cofw29",), "FILE.mat",
    "COFW_train_color.mat or COFW_test_color.mat, with the images in it",
    "check the publisher's terms (Caltech); the photos belong to their owners",
)
