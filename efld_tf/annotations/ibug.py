"""iBUG `.pts` files: 68 points (300-W, HELEN, LFPW, AFW, iBUG) or 51 (IVSFD, the PAIR data set).

Other formats of `.pts` files (300-W by its splits, Menpo, IVSFD) are read by the functions here.

A folder holds `NAME.pts` beside an image of the same stem. Coordinates count from 1, since they
were made with MATLAB: the first pixel's centre is (1, 1).

    version: 1
    n_points:  68
    {
    100.500000 160.173611
    ...
    }
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from types import MappingProxyType

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")
SCHEMAS = {68: "ibug68", 51: "ibug51"}

# 68 lines of two numbers with twenty digits each are under 3 kB.
MAX_FILE_BYTES = 1 << 15


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder and its sub-folders, sorted by path.

    The identity is the photo: HELEN names the faces of one photo `PHOTO_1`, `PHOTO_2`.

    Raises:
      DataError: `path` is not a folder.
    """
    return read_folder(path, SCHEMAS)


def read_folder(path: Path, schemas: Mapping[int, str]) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder and its sub-folders, sorted by path.

    `NAME.pts` belongs to `NAME.jpg`. So does `NAME_K.pts` if it has no image of its own: it is face
    K of several, as `efld-predict` writes them.

    Args:
      schemas: the numbers of points that a file may have, and the schema of each.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with .pts files and their images")
    for folder, files in groupby(sorted(path.rglob("*.pts")), key=lambda file: file.parent):
        images = images_by_stem(folder)
        for file in files:
            try:
                image = images.get(file.stem) or images.get(re.sub(r"_\d+$", "", file.stem))
                if image is None:
                    kinds = ", ".join(IMAGE_SUFFIXES)
                    raise DataError(file, f"there is no image of that name ({kinds}) beside it")
                points, schema = read_points(file, schemas)
            except DataError as error:
                yield error
            else:
                yield FaceRecord(image, points, schema, identity=photo(image.stem))


def read_points(
    path: Path, schemas: Mapping[int, str] = MappingProxyType(SCHEMAS)
) -> tuple[np.ndarray, str]:
    """The points [N, 2] float32 of a `.pts` file, counted from 0, and the name of their schema.

    Args:
      schemas: the numbers of points that the file may have, and the schema of each.

    Raises:
      DataError: the file does not follow the format, or has none of the numbers of points.
    """
    lines = parsing.text_lines(path, MAX_FILE_BYTES)
    count = _read_header(lines, path, schemas)
    rows: list[np.ndarray] = []
    for number, text in lines:
        if text == "}":
            break
        if len(rows) == count:
            raise DataError(path, f"expected '}}' after {count} points", number)
        rows.append(parsing.point(text, path, number))
    else:
        raise DataError(path, f"the file ends after {len(rows)} of {count} points")
    if len(rows) != count:
        raise DataError(path, f"expected {count} points, got {len(rows)}", number)
    return checked_points(np.array(rows) - 1, schemas[count], path), schemas[count]


def pts_text(points: np.ndarray) -> str:
    """Points [N, 2], counted from 0, as the text of a `.pts` file, which counts from 1."""
    rows = "".join(f"{x + 1:.6f} {y + 1:.6f}\n" for x, y in points.astype(np.float64))
    return f"version: 1\nn_points:  {len(points)}\n{{\n{rows}}}\n"


def photo(stem: str) -> str:
    """The photo that a face's file name belongs to.

    A last `_K` counts the faces of a photo only after another digit (`2345_1`, `image_003_1`); in
    LFPW's `image_0018` and 300-W's `indoor_020` it is the photo's own number. `_mirror` marks a
    flipped copy in some distributions of 300-W.
    """
    stem = stem.removesuffix("_mirror")
    match = re.fullmatch(r"(.*\d)_\d+", stem, re.DOTALL)
    return match[1] if match else stem


def images_by_stem(folder: Path) -> dict[str, Path]:
    """The images of a folder by stem; among equal stems, the first in alphabetical order."""
    images: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in IMAGE_SUFFIXES:
            images.setdefault(file.stem, file)
    return images


def _read_header(
    lines: Iterator[tuple[int, str]], path: Path, schemas: Mapping[int, str]
) -> int:
    """Consumes the lines up to `{` and returns the number of points that they promise."""
    fields: dict[str, str] = {}
    for number, text in lines:
        if text == "{":
            break
        name, colon, value = (word.strip() for word in text.partition(":"))
        if not colon or name not in ("version", "n_points"):
            expected = "'version: 1', 'n_points: N' or '{'"
            raise DataError(path, f"expected {expected}, got {parsing.shorten(text)}", number)
        fields[name] = value
    else:
        raise DataError(path, "expected '{' before the points")
    if fields.get("version") != "1":
        raise DataError(path, f"expected 'version: 1', got {fields.get('version')!r}")
    for count in schemas:
        if fields.get("n_points") == str(count):
            return count
    counts = " or ".join(str(count) for count in schemas)
    raise DataError(path, f"expected 'n_points: {counts}', got {fields.get('n_points')!r}")


FORMAT = Format(
    "ibug", "iBUG .pts files: HELEN, LFPW, AFW, iBUG, XM2VTS, FRGC, IVSFD", read,
    ("ibug68", "ibug51"), "FOLDER", "NAME.pts beside NAME.jpg or .png, in any sub-folders",
    "research only, not for commercial use",
)
