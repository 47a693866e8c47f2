"""AFLW-19: AFLW with 19 points on every face, in `AFLWinfo_release.mat` (Zhu et al., 2016).

Each face has a row: `nameList` (the image's path in AFLW's folder `flickr`), `bbox` (both x, then
both y), `data` (19 x, then 19 y) and `mask_new` (1: visible; hidden points have coordinates too).
`ra` is the order of the faces: the first 20,000 are for training, the other 4,386 for testing.
Coordinates are assumed to count from 1, as MATLAB's do; the publishers do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from efld_tf.annotations import image_paths, matlab, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

SCHEMA = "aflw19"
NUM_POINTS = 19
TRAINING_FACES = 20000
SPLITS = ("all", "train", "test", "frontal")
VARIABLES = ("nameList", "bbox", "data", "mask_new", "ra")

# 24,386 faces with 61 numbers of 8 bytes and a name take 16 MB.
MAX_FILE_BYTES = 1 << 26


def read(
    path: Path, *, split: str = "all", images: str | None = None
) -> Iterator[FaceRecord | DataError]:
    """The faces of a file in the order `ra`; the identity is the photo.

    Args:
      split: `train`, `test`, `frontal` (those of `test` whose points are all visible) or `all`.
      images: the folder that image paths are relative to; by default `flickr`, `data/flickr` or
        `images` beside the file or up to two folders above it, or the file's own folder.

    Raises:
      DataError: `path` is not such a file.
      EfldError: `images` is not a folder, or there is no such split.
    """
    if split not in SPLITS:
        raise EfldError(f"split: expected one of {', '.join(SPLITS)}, got {split!r}")
    folders = _image_folders(path, images)
    variables = matlab.read_mat(path, VARIABLES, MAX_FILE_BYTES)
    names = variables.get("nameList")
    if not isinstance(names, list):
        raise DataError(path, "expected cells nameList with the images' names")
    count = len(names)
    points = matlab.array(variables, "data", path, count, 2 * NUM_POINTS)
    boxes = matlab.array(variables, "bbox", path, count, 4)
    visible = matlab.array(variables, "mask_new", path, count, NUM_POINTS) == 1
    order = _order(variables, path, count)
    if split == "train":
        order = order[:TRAINING_FACES]
    elif split != "all":
        order = order[TRAINING_FACES:]
    for face in order:
        if split == "frontal" and not visible[face].all():
            continue
        try:
            name = _name(names[face], path, face)
            yield FaceRecord(
                image_paths.find_image(folders, name, path),
                _points(points[face], path, face),
                SCHEMA,
                box=_box(boxes[face], path, face),
                visible=visible[face],
                identity=PurePosixPath(name).stem,
            )
        except DataError as error:
            yield error


def _image_folders(path: Path, images: str | None) -> list[Path]:
    if images is not None:
        folder = Path(images).expanduser()
        if not folder.is_dir():
            raise EfldError(f"images: {images} is not a folder")
        return [folder]
    above = [path.parent, *path.absolute().parent.parents[:2]]
    places = ("flickr", "data/flickr", "images")
    folders = [*(folder / place for folder in above for place in places), path.parent]
    return [folder for folder in folders if folder.is_dir()]


def _order(variables: dict[str, matlab.Value], path: Path, count: int) -> np.ndarray:
    """`ra` counted from 0: a permutation of the faces [F], int64."""
    values = variables.get("ra")
    values = values.ravel() if isinstance(values, np.ndarray) else np.zeros(0)
    if not np.array_equal(np.sort(values), np.arange(1, count + 1)):
        raise DataError(path, f"expected a permutation ra of the {count} faces")
    return values.astype(np.int64) - 1


def _name(value: matlab.Value, path: Path, face: int) -> str:
    if not isinstance(value, str) or not value:
        raise DataError(path, f"expected the image's name in nameList, cell {face + 1}")
    return image_paths.relative_name(value, path)


def _points(values: np.ndarray, path: Path, face: int) -> np.ndarray:
    pixels = matlab.pixels(values, path, f"row {face + 1} of data")
    return checked_points(pixels.reshape(2, NUM_POINTS).T, SCHEMA, path)


def _box(values: np.ndarray, path: Path, face: int) -> np.ndarray:
    x0, x1, y0, y1 = matlab.pixels(values, path, f"row {face + 1} of bbox")
    return parsing.box_of([x0, y0, x1, y1], path)


FORMAT = Format(
    "aflw", "AFLW-19", read, ("aflw19",), "FILE.mat",
    "AFLWinfo_release.mat; AFLW's images in flickr/",
    "research only; AFLW's images on request from its publishers (TU Graz)",
)
