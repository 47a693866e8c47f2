"""WebMorph `NAME.tem` files: 189 points (the Face Research Lab's template) beside an image.

The first line is the number of points; then there is a point `x<TAB>y` a line. WebMorph itself
writes the template's lines behind them, all in whole numbers; they are passed over. Coordinates
count from 0, since WebMorph takes them from a web page's canvas.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import numpy as np

from efld_tf.annotations import listing, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "webmorph189"
NUM_POINTS = 189

# 189 lines of two numbers with twenty digits each and the lines behind them are under 10 kB.
MAX_FILE_BYTES = 1 << 16


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder and its sub-folders, sorted by path; each is a person of their own.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with .tem files and their images")
    unreadable: list[DataError] = []
    found = listing.files(path, [".tem"], unreadable=unreadable)
    yield from unreadable
    for folder, files in groupby(found, key=lambda file: file.parent):
        images = listing.images_by_stem(folder)
        for file in files:
            try:
                image = listing.only_image(images, file)
                points = read_points(file)
            except DataError as error:
                yield error
            else:
                yield FaceRecord(image, points, SCHEMA, identity=file.stem)


def read_points(path: Path) -> np.ndarray:
    """The points [189, 2] float32 of a `.tem` file.

    Raises:
      DataError: the file does not follow the format, or is of another template.
    """
    lines = parsing.text_lines(path, MAX_FILE_BYTES)
    number, text = next(lines, (None, ""))
    if text != str(NUM_POINTS):
        expected = f"a template of {NUM_POINTS} points"
        raise DataError(path, f"expected {expected}, got {parsing.shorten(text)}", number)
    values = parsing.points(lines, NUM_POINTS, path)
    for number, text in lines:
        if not all(word.isdigit() for word in text.split()):
            got = parsing.shorten(text)
            raise DataError(path, f"expected the template's lines, got {got}", number)
    return checked_points(values, SCHEMA, path)


FORMAT = Format(
    "webmorph", "WebMorph templates", read, ("webmorph189",), "FOLDER",
    "NAME.tem beside NAME.jpg or another image, in any sub-folders",
    "that of the photos; check the publisher's terms",
)
