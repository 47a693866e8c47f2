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

from efld_tf.annotations import listing, parsing
from efld_tf.annotations.declared import choice, image_folders, schema_named
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.images import VIDEO_SUFFIXES
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas as known_schemas
from efld_tf.text import counted

SCHEMAS = {68: "ibug68", 51: "ibug51"}

# 1,000 lines of three numbers with twenty digits each.
MAX_FILE_BYTES = 1 << 16

COMMENTS = ("#", "//", "%")


def read(
    path: Path, *, schema: str | None = None, images: str | None = None, origin: str = "1"
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by path.

    The identity is the photo: HELEN names the faces of one photo `PHOTO_1`, `PHOTO_2`.

    Args:
      schema: `NAME` or `FILE.yaml`; by default by the number of points, 68 or 51.
      images: the folder of the images, with the same sub-folders; by default they lie beside the
        files.
      origin: what the files call the first pixel's centre, `0` or `1`.

    Raises:
      DataError: `path` is not a folder.
      EfldError: an option has an unknown value.
    """
    named = SCHEMAS
    if schema is not None:
        name = schema_named(schema)
        named = {known_schemas.get(name).num_points: name}
    place = None if images is None else image_folders(images, [])[0]
    return read_folder(path, named, place, int(choice("origin", origin, ("0", "1"))))


def read_folder(
    path: Path, schemas: Mapping[int, str], images: Path | None = None, origin: int = 1
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by path.

    `NAME.pts` belongs to the image of that stem, and so does `NAME_K.pts` if it has no image of its
    own: it is face K of several, as `efld-predict` writes them. Of two images `NAME.jpg` and
    `NAME.png`, the files are called `NAME_jpg` and `NAME_png` there, or `NAME.jpg.pts` and
    `NAME.jpg_K.pts`. `000007_K` in a folder `clip.mp4` is of frame 7 of the video of that name.

    Args:
      schemas: the numbers of points that a file may have, and the schema of each.
      images: the folder of the images, with the same sub-folders; None if they lie beside.
      origin: what the files call the first pixel's centre.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with .pts files and their images")
    third = 0
    unreadable: list[DataError] = []
    found = listing.files(path, [".pts"], unreadable=unreadable)
    yield from unreadable
    for folder, files in groupby(found, key=lambda file: file.parent):
        place = folder if images is None else images / folder.relative_to(path)
        try:
            owners = Owners(place)
        except DataError as error:
            yield error
            continue
        for file in files:
            try:
                image, frame = owners.find(file)
                values = _without_index(_values(file, schemas))
                third += values.shape[1] == 3
                schema = schemas[len(values)]
                points = checked_points(values[:, :2] - origin, schema, file)
            except DataError as error:
                yield error
            else:
                identity = image.name if frame is not None else photo(image.stem)
                yield FaceRecord(image, points, schema, identity=identity, frame=frame)
    if third:
        yield Note(f"left out: the third column of {counted(third, 'file')}")


class Owners:
    """Finds the image that a file belongs to, in one folder of images or in a video."""

    def __init__(self, place: Path):
        """Lists the folder; errors are as in `listing.files`."""
        self._place = place
        self._is_video = place.suffix.lower() in VIDEO_SUFFIXES and place.is_file()
        self._images: dict[str, list[Path]] = {}
        if not self._is_video:
            self._images = listing.images_by_stem(place)

    def find(self, file: Path) -> tuple[Path, int | None]:
        """The image of a file and, in a video, its frame.

        Raises:
          DataError: there is none, or there are several.
        """
        stems = [file.stem, re.sub(r"_\d+$", "", file.stem)]
        if self._is_video:
            if not re.fullmatch(r"\d{1,9}", stems[1], re.ASCII):
                raise DataError(file, f"expected the number of a frame of {self._place.name}")
            return self._place, int(stems[1])
        for stem in stems:
            name, _, suffix = stem.rpartition("_")
            found = self._images.get(stem, []) \
                or self._named(stem) or self._named(f"{name}.{suffix}")
            if len(found) > 1:
                names = " and ".join(image.name for image in found)
                raise DataError(file, f"several images of that name, {names}: call the file "
                                f"{found[0].name}.pts")
            if found:
                return found[0], None
        kinds = ", ".join(listing.IMAGE_SUFFIXES)
        where = "beside it" if file.parent == self._place else f"in {self._place}"
        raise DataError(file, f"there is no image of that name ({kinds}) {where}")

    def _named(self, name: str) -> list[Path]:
        """The image of that name, or those whose suffix differs in its case."""
        path = Path(name)
        if any(image.name == name for image in self._images.get(path.stem, [])):
            return [self._place / name]
        return [image for image in self._images.get(path.stem, [])
                if image.suffix.lower() == path.suffix.lower()]


def read_points(
    path: Path, schemas: Mapping[int, str] = MappingProxyType(SCHEMAS)
) -> tuple[np.ndarray, str]:
    """The points [N, 2] float32 of a `.pts` file, counted from 0, and the name of their schema.

    Args:
      schemas: the numbers of points that the file may have, and the schema of each.

    Raises:
      DataError: the file does not follow the format, or has none of the numbers of points.
    """
    values = _without_index(_values(path, schemas))
    return checked_points(values[:, :2] - 1, schemas[len(values)], path), schemas[len(values)]


def _without_index(values: np.ndarray) -> np.ndarray:
    """Rows of index, x and y as rows of x and y."""
    numbered = values.shape[1] == 3 and np.ptp(values[:, 0] - np.arange(len(values))) == 0 \
        and values[0, 0] in (0, 1)
    return values[:, 1:] if numbered else values


def _values(path: Path, schemas: Mapping[int, str]) -> np.ndarray:
    """The numbers [N, 2] or, with a depth or a flag in the third column, [N, 3] of a file."""
    lines = ((number, text) for number, text in parsing.text_lines(path, MAX_FILE_BYTES)
             if not text.startswith(COMMENTS))
    count = _read_header(lines, path, schemas)
    rows: list[np.ndarray] = []
    for number, text in lines:
        if text == "}":
            break
        if len(rows) == count:
            raise DataError(path, f"expected '}}' after {count} points", number)
        words = text.split()
        if len(words) not in (2, 3) or (rows and len(words) != len(rows[0])):
            expected = len(rows[0]) if rows else 2
            got = parsing.shorten(text)
            raise DataError(path, f"expected {expected} numbers, got {got}", number)
        rows.append(parsing.coordinates(words, path, number))
    else:
        raise DataError(path, f"the file ends after {len(rows)} of {count} points")
    if len(rows) != count:
        raise DataError(path, f"expected {count} points, got {len(rows)}", number)
    return np.array(rows)


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


def _read_header(
    lines: Iterator[tuple[int, str]], path: Path, schemas: Mapping[int, str]
) -> int:
    """Consumes the lines up to `{` and returns the number of points that they promise."""
    fields: dict[str, str] = {}
    for number, text in lines:
        if text == "{":
            break
        name, colon, value = (word.strip() for word in text.lower().partition(":"))
        if not colon or name not in ("version", "n_points"):
            expected = "'version: 1', 'n_points: N' or '{'"
            raise DataError(path, f"expected {expected}, got {parsing.shorten(text)}", number)
        fields[name] = value
    else:
        raise DataError(path, "expected '{' before the points")
    if fields.get("version", "1") != "1":
        raise DataError(path, f"expected 'version: 1', got {fields.get('version')!r}")
    for count in schemas:
        if fields.get("n_points") == str(count):
            return count
    counts = " or ".join(str(count) for count in schemas)
    raise DataError(path, f"expected 'n_points: {counts}', got {fields.get('n_points')!r}; "
                    "ibug:FOLDER?schema= reads others")


FORMAT = Format(
    "ibug", "iBUG .pts files: HELEN, LFPW, AFW, iBUG, XM2VTS, FRGC, IVSFD", read,
    ("ibug68", "ibug51"), "FOLDER", "NAME.pts beside NAME.jpg or another image, in any sub-folders",
    "research only, not for commercial use",
)
