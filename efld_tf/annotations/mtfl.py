"""Five-point lists of MTFL and of the CUHK face alignment database, where MTFL's faces come from.

CUHK's `trainImageList.txt` and `testImageList.txt` (LFW and net images) have a face a line:

    PATH x1 x2 y1 y2 x y x y x y x y x y

These are the face detector's box (both x, then both y) and five points, which count from 0. MTFL's
`training.txt` and `testing.txt` have no box, all x before all y, and attributes:

    PATH x x x x x y y y y y GENDER SMILE GLASSES POSE

Their coordinates count from 1: those of the training list are CUHK's plus 1, and for the testing
list of AFLW's faces it is a guess. Gender is 1 male, 2 female; smile and glasses are 1 yes, 2 no;
pose is 1 left profile, 2 left, 3 frontal, 4 right, 5 right profile. A line is MTFL's if it ends in
four such numbers, since no two mouth corners lie there.

In both, the points are left eye, right eye, nose tip, left and right mouth corner as seen in the
image, and paths are relative to the list, with `/` or `\\`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, box_around, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas

SCHEMA = "mtfl5"
NUMBERS = 4 + 10

# The attributes of MTFL's lists and their values.
ATTRIBUTES = {
    "gender": ("1", "2"),
    "smile": ("1", "2"),
    "glasses": ("1", "2"),
    "pose": ("1", "2", "3", "4", "5"),
}


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
    """The photo from which a face's image file was cut.

    Two ways of naming are in use: `PHOTO_FACE_0`, and `_ANGLE_PHOTO_FACE`, where the angle is the
    one at which the photo was searched. For LFW's `First_Last_0001` the result is the person. MTFL
    numbers the faces of AFLW's photos: `0001-image20056`.
    """
    stem = PurePosixPath(name).stem
    for pattern in (r"(\d+)_\d+_\d+", r"(_-?\d+_\d+)_\d+", r"(.+)_\d+", r"\d+-(image\d+)"):
        if match := re.fullmatch(pattern, stem):
            return match[1]
    return stem


def _record(text: str, path: Path, line: int) -> FaceRecord:
    name, *words = text.rsplit(maxsplit=NUMBERS)  # from the right: a path may contain spaces
    if len(words) != NUMBERS:
        raise DataError(path, f"expected a path and {NUMBERS} numbers, got {len(words)}", line)
    name = image_paths.relative_name(name, path, line)
    values = parsing.coordinates(words, path, line)
    flags = words[10:]
    if all(flag in allowed for flag, allowed in zip(flags, ATTRIBUTES.values(), strict=True)):
        points = checked_points(values[:10].reshape(2, 5).T - 1, SCHEMA, path, line)
        box = box_around(schemas.get(SCHEMA).anchor_points(points))
        return FaceRecord(
            image=image_paths.find_image([path.parent], name, path, line),
            points=points,
            schema=SCHEMA,
            box=parsing.box_of(box, path, line),
            attributes=dict(zip(ATTRIBUTES, flags, strict=True)),
            identity=photo(name),
        )
    x0, x1, y0, y1 = values[:4]
    box = parsing.box_of([x0, y0, x1, y1], path, line)
    points = checked_points(values[4:], SCHEMA, path, line)
    image = image_paths.find_image([path.parent], name, path, line)
    return FaceRecord(image, points, SCHEMA, box=box, identity=photo(name))


FORMAT = Format(
    "mtfl", "MTFL and the CUHK face alignment database (LFW, net images)", read,
    ("mtfl5",), "LIST.txt",
    "{training,testing}.txt of MTFL or {train,test}ImageList.txt; images beside the list",
    "research only; the photos belong to their owners",
)
