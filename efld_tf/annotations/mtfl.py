"""Five-point lists of the CUHK face alignment database (LFW and net images), a source of MTFL.

`trainImageList.txt` and `testImageList.txt` have a face a line:

    PATH x1 x2 y1 y2 x y x y x y x y x y

the face detector's box (both x, then both y), then the eye and the mouth corner on the image's left
and right around the nose tip: left eye, right eye, nose, left and right mouth corner as seen in the
image. Coordinates count from 0; paths are relative to the list, with `/` or `\\`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from efld_tf.annotations import parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "mtfl5"
NUMBERS = 4 + 10


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of a list file, in its order; the identity is the photo (or LFW's person).

    Raises:
      DataError: `path` is not a readable file.
    """
    for number, text in parsing.text_lines(path):
        try:
            yield _record(text, path, number)
        except DataError as error:
            yield error


def photo(name: str) -> str:
    """The photo that a face's image file is cut from.

    Two ways of naming are in use: `PHOTO_FACE_0`, and `_ANGLE_PHOTO_FACE`, where the angle is what
    the photo was searched by. In LFW's `First_Last_0001` it is the person.
    """
    stem = PurePosixPath(name).stem
    for pattern in (r"(\d+)_\d+_\d+", r"(_-?\d+_\d+)_\d+", r"(.+)_\d+"):
        if match := re.fullmatch(pattern, stem):
            return match[1]
    return stem


def _record(text: str, path: Path, line: int) -> FaceRecord:
    name, *words = text.rsplit(maxsplit=NUMBERS)  # from the right: a path may contain spaces
    if len(words) != NUMBERS:
        raise DataError(path, f"expected a path and {NUMBERS} numbers, got {len(words)}", line)
    name = parsing.relative_name(name, path, line)
    values = parsing.coordinates(words, path, line)
    x0, x1, y0, y1 = values[:4]
    box = parsing.box_of([x0, y0, x1, y1], path, line)
    points = checked_points(values[4:], SCHEMA, path, line)
    image = parsing.find_image([path.parent], name, path, line)
    return FaceRecord(image, points, SCHEMA, box=box, identity=photo(name))


FORMAT = Format(
    "mtfl", "five-point lists of the CUHK face alignment database (LFW, net images)", read,
    ("mtfl5",), "LIST.txt", "PATH, box x1 x2 y1 y2, five points a line; images beside the list",
    "research only; the photos belong to their owners",
)
