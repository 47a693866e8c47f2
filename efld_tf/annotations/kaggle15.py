"""Kaggle's Facial Keypoints Detection: `training.csv`, 15 points and 96 x 96 grey values a line.

    left_eye_center_x,left_eye_center_y,...,mouth_center_bottom_lip_y,Image
    66.0335639098,39.0022736842,...,238 236 237 ...

Empty cells are points that are not annotated. Coordinates are assumed to count from 0; Kaggle does
not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.annotations.table_numbers import optional_coordinates
from efld_tf.errors import DataError

SCHEMA = "kaggle15"
POINTS = (
    "left_eye_center", "right_eye_center", "left_eye_inner_corner", "left_eye_outer_corner",
    "right_eye_inner_corner", "right_eye_outer_corner", "left_eyebrow_inner_end",
    "left_eyebrow_outer_end", "right_eyebrow_inner_end", "right_eyebrow_outer_end", "nose_tip",
    "mouth_left_corner", "mouth_right_corner", "mouth_center_top_lip", "mouth_center_bottom_lip",
)  # fmt: skip
HEADER = [*(f"{point}_{axis}" for point in POINTS for axis in "xy"), "Image"]
SIDE = 96

# The images are cut around the faces, so that the face box is the whole image.
BOX = (-0.5, -0.5, SIDE - 0.5, SIDE - 0.5)


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of the table, in its order; a frame is the byte offset of a line in it.

    Who they are is not known, so that each is an identity of its own.

    Raises:
      DataError: `path` is not a readable file, or its header is not the expected one.
    """
    lines = parsing.lines_with_offsets(path)
    _, _, header = next(lines, (1, 0, ""))
    if header.strip().split(",") != HEADER:
        raise DataError(path, "expected a header from left_eye_center_x to Image", 1)
    for number, offset, text in lines:
        if not text.strip():
            continue
        *cells, pixels = text.strip().split(",")
        try:
            if len(cells) != len(HEADER) - 1:
                raise DataError(
                    path, f"expected {len(HEADER)} cells, got {len(cells) + 1}", number
                )
            if (count := len(pixels.split())) != SIDE * SIDE:
                raise DataError(path, f"expected {SIDE * SIDE} grey values, got {count}", number)
            values = optional_coordinates(cells, path, number)
            points = checked_points(values, SCHEMA, path, number, missing=True)
        except DataError as error:
            yield error
        else:
            box = np.array(BOX, dtype=np.float32)
            yield FaceRecord(path, points, SCHEMA, box, identity=f"line {number}", frame=offset)


FORMAT = Format(
    "kaggle15", "Kaggle Facial Keypoints Detection", read, (SCHEMA,), "training.csv",
    "30 coordinates and the grey values of a 96 x 96 image a line",
    "the competition's rules; check them",
)
