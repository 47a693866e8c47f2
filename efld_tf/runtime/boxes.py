"""Face boxes from a file, instead of a detector.

    {"a.jpg": [[x0, y0, x1, y1], ...], "folder/b.jpg": []}

by image, in pixels of the upright photo (as its EXIF orientation says), pixel centres at whole
numbers; with `xywh`, x, y, width and height.
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
      form: `xyxy` or `xywh`, what the four numbers of a box are.

    Returns:
      By the image's name as it stands in the file, [F, 4] float64 (x0, y0, x1, y1).

    Raises:
      EfldError: an unknown form.
      DataError: the file cannot be read, or is not such a file; the message names the image.
    """
    if form not in FORMATS:
        raise EfldError(f"boxes: expected {' or '.join(FORMATS)}, got {form!r}")
    tree = json_values.load(Path(path), unique=True)
    if not isinstance(tree, dict):
        raise DataError(path, 'expected an object {"IMAGE": [[x0, y0, x1, y1], ...], ...}')
    result: dict[str, Floats] = {}
    for name, boxes in tree.items():
        where = parsing.shorten(name)
        if not isinstance(boxes, list):
            raise DataError(path, f"{where}: expected a list of boxes")
        rows = []
        for index, box in enumerate(boxes):
            row = json_values.numbers(box, Path(path), f"{where}, box {index}")
            if row.size != 4:
                raise DataError(path, f"{where}, box {index}: expected 4 numbers, got {row.size}")
            if form == "xywh":
                row = np.concatenate([row[:2], row[:2] + row[2:]])
            if not (row[2] > row[0] and row[3] > row[1]):
                raise DataError(path, f"{where}, box {index}: it has no area; read as {form}")
            rows.append(row)
        result[name] = np.array(rows, np.float64).reshape(-1, 4)
    return result
