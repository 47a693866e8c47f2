"""MUCT's `muct76-opencv.csv`: 76 points a line.

    name,tag,x00,y00,...,x75,y75
    i000qa-fn,0000,201,348,...

Coordinates count from 0 at the top left, as OpenCV's do; `0,0` is a hidden point. Lines whose names
begin with `ir` are mirrored copies of others, without images, and are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.declared import image_folders
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "muct76"
NUM_POINTS = 76
HEADER = ["name", "tag", *(f"{axis}{i:02d}" for i in range(NUM_POINTS) for axis in "xy")]
MIRRORED = "ir"
IMAGES = ("jpg", *(f"muct-{camera}-jpg-v1/jpg" for camera in "abcde"))


def read(path: Path, *, images: str | None = None) -> Iterator[FaceRecord | DataError]:
    """The faces of the table, in its order; the identity is the person.

    Args:
      images: the folder that holds the images; by default the table's, or `jpg` and
        `muct-{a,b,c,d,e}-jpg-v1/jpg` there or up to two folders above.

    Raises:
      DataError: `path` is not a readable file, or its header is not the expected one.
      EfldError: `images` is not a folder.
    """
    above = [path.parent, *path.absolute().parent.parents[:2]]
    places = [path.parent, *(folder / name for folder in above for name in IMAGES)]
    folders = image_folders(images, places)
    lines = parsing.text_lines(path)
    _, header = next(lines, (1, ""))
    if header.split(",") != HEADER:
        raise DataError(path, "expected the header name,tag,x00,y00,...,x75,y75", 1)
    for number, text in lines:
        name, *words = text.split(",")
        if name.startswith(MIRRORED):
            continue
        try:
            yield _record(name, words, folders, path, number)
        except DataError as error:
            yield error


def _record(name: str, words: list[str], folders: list[Path], path: Path, line: int) -> FaceRecord:
    if len(words) != len(HEADER) - 1:
        raise DataError(path, f"expected {len(HEADER)} cells, got {len(words) + 1}", line)
    values = parsing.coordinates(words[1:], path, line).reshape(-1, 2)
    values[(values == 0).all(axis=-1)] = np.nan
    points = checked_points(values, SCHEMA, path, line, missing=True)
    image = image_paths.relative_name(f"{name}.jpg", path, line)
    # i000qa-fn: person 000, lighting q, camera a.
    parts = re.fullmatch(r"i(\d{3})([a-z])([a-z])-\w+", name)
    return FaceRecord(
        image=image_paths.find_image(folders, image, path, line),
        points=points,
        schema=SCHEMA,
        attributes={"lighting": parts[2], "camera": parts[3]} if parts else {},
        identity=parts[1] if parts else name,
    )


FORMAT = Format(
    "muct76", "MUCT", read, (SCHEMA,), "muct76-opencv.csv",
    "the table of the landmarks; images in jpg/ or muct-{a..e}-jpg-v1/jpg/",
    "check the publisher's terms",
)
