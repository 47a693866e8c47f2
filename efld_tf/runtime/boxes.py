"""Face boxes from a file, instead of a detector.

    {"a.jpg": [[x0, y0, x1, y1], ...], "folder/b.jpg": []}

The file lists the boxes of each image, in pixels of the photo turned upright by its EXIF
orientation, with pixel centres at whole numbers. With `xywh`, a box is x, y, width and height.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from efld_tf.annotations import json_values, parsing
from efld_tf.arrays import Floats
from efld_tf.errors import DataError, EfldError

FORMATS = ("xyxy", "xywh")


def read_boxes(path: Path, form: str = "xyxy") -> dict[str, Floats]:
    """The boxes of a file.

    Args:
      form: what the four numbers of a box are, `xyxy` or `xywh`.

    Returns:
      The boxes [F, 4] float64 (x0, y0, x1, y1) of each image, by its name as the file has it.

    Raises:
      EfldError: the form is unknown.
      DataError: the file cannot be read, or has another structure; the message names the image.
    """
    if form not in FORMATS:
        raise EfldError(f"boxes: expected {' or '.join(FORMATS)}, got {form!r}")
    tree = json_values.load(Path(path))
    if not isinstance(tree, dict):
        raise DataError(path, 'expected an object {"IMAGE": [[x0, y0, x1, y1], ...], ...}')
    result: dict[str, Floats] = {}
    for name, boxes in tree.items():
        place = parsing.shorten(name)
        if not isinstance(boxes, list):
            raise DataError(path, f"{place}: expected a list of boxes")
        rows = []
        for index, box in enumerate(boxes):
            row = json_values.numbers(box, Path(path), f"{place}, box {index}")
            if row.size != 4:
                raise DataError(path, f"{place}, box {index}: expected 4 numbers, got {row.size}")
            if form == "xywh":
                row = np.concatenate([row[:2], row[:2] + row[2:]])
            if not (row[2] > row[0] and row[3] > row[1]):
                raise DataError(path, f"{place}, box {index}: it has no area; read as {form}")
            rows.append(row)
        result[name] = np.array(rows, np.float64).reshape(-1, 4)
    return result
