"""HELEN's own annotations: 194 points in a text file a face (`annotation/1.txt`).

    100032540_1
    565.86 , 758.98
    564.27 , 781.14
    ...

The first line names the image. Coordinates are assumed to count from 0, since the annotators worked
in a browser; the publishers do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from efld_tf.annotations import image_paths, listing, parsing
from efld_tf.annotations.declared import image_folders
from efld_tf.annotations.format import Format
from efld_tf.annotations.ibug import photo
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "helen194"
NUM_POINTS = 194

# 194 lines of two numbers with twenty digits each are under 10 kB.
MAX_FILE_BYTES = 1 << 15


def read(path: Path, *, images: str | None = None) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder and its sub-folders, sorted by path; the identity is the photo.

    Args:
      path: the folder with `annotation/` in it, or `annotation/` itself.
      images: the folder that holds the images, in any sub-folders; by default `path`, or the
        folder above an `annotation/`.

    Raises:
      DataError: `path` is not a folder.
      EfldError: `images` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with HELEN's annotation files")
    above = path.absolute().parent if path.absolute().name == "annotation" else path
    place, unreadable = image_folders(images, [above])[0], list[DataError]()
    by_stem = listing.images_by_stem(place, deep=True, unreadable=unreadable)
    found = listing.files(path, [".txt"], unreadable=unreadable)
    yield from {error.path: error for error in unreadable}.values()
    for file in found:
        try:
            name, points = read_points(file)
            stem = PurePosixPath(name).stem
            if stem not in by_stem:
                raise DataError(file, f"there is no image {parsing.shorten(name)}", 1)
            if len(by_stem[stem]) > 1:
                several = " and ".join(str(image) for image in by_stem[stem][:2])
                raise DataError(file, f"several images of that name: {several}", 1)
        except DataError as error:
            yield error
        else:
            yield FaceRecord(by_stem[stem][0], points, SCHEMA, identity=photo(stem))


def read_points(path: Path) -> tuple[str, np.ndarray]:
    """The image's name in an annotation file, and its points [194, 2] float32.

    Raises:
      DataError: the file does not follow the format.
    """
    lines = parsing.text_lines(path, MAX_FILE_BYTES)
    number, name = next(lines, (1, ""))
    name = image_paths.relative_name(name, path, number)
    rows = []
    for number, text in lines:
        words = text.split(",")
        if len(words) != 2:
            raise DataError(path, f"expected 'x , y', got {parsing.shorten(text)}", number)
        rows.append(parsing.coordinates(words, path, number))
    return name, checked_points(np.array(rows), SCHEMA, path)


FORMAT = Format(
    "helen194", "HELEN with its own 194 points", read, (SCHEMA,), "FOLDER",
    "annotation/N.txt (image name, then 'x , y' lines) and the images in any sub-folders",
    "the photos belong to their owners; check the publisher's terms",
)
