"""AAM shape files, `.asf` (version 0.90), of AAM-API: the IMM face database, or your own.

    # number of model points
    58

    # format: <path#> <type> <x rel.> <y rel.> <point#> <connects from> <connects to>
    0	0	0.29062500	0.50416667	0	12	1
    ...
    # host image
    01-1m.jpg

`#` begins a comment, and three numbers of the user's may end a line. Coordinates are shares of
the image: AAM-API multiplies x by its width and y by its height, not by one pixel less, counts the
first pixel as 0, and takes points in the order of their lines (`CAAMShape::Rel2Abs`, `ReadASF`).
Its script for MATLAB divides positions that count from 1 and nothing takes that back, here neither:
such points are a pixel to the right and below. Which points are joined is not read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path, PurePosixPath

import numpy as np

from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.declared import image_folders, schema_named
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas

# 1,000 lines of ten numbers.
MAX_FILE_BYTES = 1 << 18

NUMBERS = 7
X, Y, NUMBER = 2, 3, 4


def read(
    path: Path, *, schema: str | None = None, images: str | None = None
) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder and its sub-folders, sorted by path.

    The image is the one that the file names, whatever folder it once was in, or else the one of
    that name or of the file's own with another suffix. A file is refused that names one image and
    is called like another. The identity is the image; in the IMM face
    database, whose images are called `PERSON-IMAGE` and `m` or `f`, the person.

    Args:
      schema: `NAME` or `FILE.yaml`; required.
      images: the folder of the images, with the same sub-folders; by default they lie beside the
        files.

    Raises:
      DataError: `path` is not a folder.
      EfldError: `images` is not a folder, or there is no such schema.
    """
    name = schema_named(schema)
    place = None if images is None else image_folders(images, [])[0]
    if not path.is_dir():
        raise DataError(path, "expected a folder with .asf files and their images")
    unreadable: list[DataError] = []
    found = listing.files(path, [".asf"], unreadable=unreadable)
    yield from unreadable
    for folder, files in groupby(found, key=lambda file: file.parent):
        beside = folder if place is None else place / folder.relative_to(path)
        try:
            by_stem = listing.images_by_stem(beside)
        except DataError as error:
            yield error
            continue
        for file in files:
            try:
                points, host, line = _content(file, name)
                image = _image(host, beside, by_stem, file, line)
            except DataError as error:
                yield error
            else:
                yield FaceRecord(image, points, name, identity=_identity(image), normalised=True)


def _content(path: Path, schema: str) -> tuple[np.ndarray, str, int]:
    """The points [N, 2] of a file, as shares, and the image that it names and where."""
    lines = ((number, text) for number, text in parsing.text_lines(path, MAX_FILE_BYTES)
             if not text.startswith("#"))
    line, text = next(lines, (1, ""))
    expected = schemas.get(schema).num_points
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise DataError(path, f"expected the number of points, got {parsing.shorten(text)}", line)
    if int(text) != expected:
        raise DataError(path, f"expected {expected} points of {schema}, got {int(text)}", line)
    rows: list[np.ndarray] = []
    for line, text in lines:
        if len(rows) == expected:
            points = checked_points(np.array(rows)[:, [X, Y]], schema, path)
            _check_order([row[NUMBER] for row in rows], path)
            return points, text, line
        words = text.split()
        if len(words) < NUMBERS:
            got = parsing.shorten(text)
            raise DataError(path, f"expected a point's {NUMBERS} numbers, got {got}", line)
        rows.append(parsing.coordinates(words[:NUMBERS], path, line))
    raise DataError(path, f"the file ends after {len(rows)} of {expected} points: expected the "
                          "image's name behind them")


def _check_order(numbers: Sequence[float], path: Path) -> None:
    """AAM-API does not read the points' numbers, and not all programs write them."""
    if len(set(numbers)) == len(numbers) and sorted(numbers) != list(numbers):
        raise DataError(path, "its points are numbered in another order than they stand in, which "
                              "is the one that AAM-API takes: which is right?")


def _image(
    host: str, folder: Path, by_stem: dict[str, list[Path]], file: Path, line: int
) -> Path:
    """The image that a file names.

    Raises:
      DataError: there is none, or there are several that may be meant: a file that was copied as a
        template may still name the image of the other one.
    """
    own = listing.of_stem(by_stem, folder, file.stem)
    try:
        found = [image_paths.find_image(
            [folder], image_paths.relative_name(host, file, line, [folder]), file, line)]
    except DataError:
        name = PurePosixPath(host.replace("\\", "/"))
        named = listing.of_stem(by_stem, folder, name.stem)
        found = [image for image in named if image.name == name.name] or named or own
    if not found:
        raise DataError(file, f"there is no image {parsing.shorten(host)} in {folder}, and none "
                              f"called {file.stem}", line)
    if len(found) > 1:
        names = " and ".join(image.name for image in found)
        raise DataError(file, f"several images may be {parsing.shorten(host)}: {names}", line)
    if own and listing.folded(found[0].stem) != listing.folded(file.stem):
        raise DataError(file, f"its image may be {parsing.shorten(host)}, which it names, or "
                              f"{own[0].name}, which is called like it: correct the 'host "
                              "image' or rename one of them", line)
    return found[0]


def _identity(image: Path) -> str:
    person = re.fullmatch(r"(\d\d)-\d[mf]", image.stem)
    return person[1] if person else image.name


FORMAT = Format(
    "asf", "AAM shape files (.asf) of AAM-API: the IMM face database", read, (), "FOLDER",
    "NAME.asf beside the images that they name, in any sub-folders; needs schema=",
    "yours; IMM: check its terms",
)
