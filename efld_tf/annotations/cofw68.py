"""COFW-68: the test images of COFW with the 68 points of iBUG and their occlusion.

A folder holds `test_annotations/N_points.mat`, or those files themselves, for image N of
`COFW_test_color.mat`, counted from 1. They have `Points` [68 x 2] and `Occ` [1 x 68] (1: occluded).
Row N of `bboxes` in `cofw68_test_bboxes.mat` is the face box x, y, width, height. Coordinates count
from 1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import cofw, listing, matlab, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

SCHEMA = "ibug68"
IMAGES = "COFW_test_color.mat"
BOXES = "cofw68_test_bboxes.mat"
MAX_FILE_BYTES = 1 << 17


def read(path: Path, *, images: str | None = None) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder, sorted by N; each is of another photo.

    Args:
      images: COFW's test file; by default `COFW_test_color.mat` in the folder or up to two folders
        above it.

    Raises:
      DataError: `path` is not such a folder, or the file of boxes is damaged.
      EfldError: `images` is not a file.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with N_points.mat files")
    folders = [path, *path.absolute().parents[:2]]
    image = _find(folders, IMAGES) if images is None else Path(images).expanduser()
    if image is None:
        raise DataError(path, f"expected {IMAGES} in it or above; say where: images=FILE.mat")
    if not image.is_file():
        raise EfldError(f"images: {images} is not a file")
    boxes = _boxes(_find(folders, BOXES))
    unreadable: list[DataError] = []
    files = listing.files(path, ["_points.mat"], unreadable=unreadable)
    yield from unreadable
    for file in sorted(files, key=lambda file: (len(file.name), file)):
        try:
            yield _record(file, image, boxes)
        except DataError as error:
            yield error


def _find(folders: list[Path], name: str) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _boxes(path: Path | None) -> np.ndarray | None:
    """The boxes [F, 4] as x, y, width, height counted from 1."""
    if path is None:
        return None
    return matlab.array(
        matlab.read_mat(path, ["bboxes"], MAX_FILE_BYTES), "bboxes", path, None, 4
    )


def _record(path: Path, image: Path, boxes: np.ndarray | None) -> FaceRecord:
    match = re.fullmatch(r"([1-9]\d{0,5})_points", path.stem, re.ASCII)
    if match is None:
        raise DataError(path, "expected the image's number before _points")
    frame = int(match[1]) - 1
    variables = matlab.read_mat(path, ["Points", "Occ"], MAX_FILE_BYTES)
    points = matlab.pixels(matlab.array(variables, "Points", path, 68, 2), path, "Points")
    occluded = matlab.array(variables, "Occ", path, 1, 68)[0]
    box = None
    if boxes is not None:
        if frame >= len(boxes):
            raise DataError(path, f"{BOXES} has no box {frame + 1}, it ends at {len(boxes)}")
        x, y, width, height = boxes[frame]
        corners = np.array([x, y, x + width, y + height])
        box = parsing.box_of(matlab.pixels(corners, path, "its box"), path)
    return FaceRecord(
        image,
        checked_points(points, SCHEMA, path),
        SCHEMA,
        box=box,
        visible=occluded == 0,
        identity=cofw.photo("T", frame),
        frame=frame,
    )


FORMAT = Format(
    "cofw68", "COFW-68 (68 points on COFW's test images)", read, ("ibug68",), "FOLDER",
    "N_points.mat for image N of COFW_test_color.mat; cofw68_test_bboxes.mat",
    "check the publishers' terms, of COFW too",
)
