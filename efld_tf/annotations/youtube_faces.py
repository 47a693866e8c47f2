"""YouTube Faces with facial keypoints: video stills with 68 points in CSV files.

A line of `training_frames_keypoints.csv` and `test_frames_keypoints.csv` is an image's name in
`training/` or `test/`, then x0, y0, x1, y1 ...; the header's first cell is empty. Both files show
the same people; `identity_split.json` (`{"test_identities": [...], ...}`) separates them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

CSV_SUFFIX = "_frames_keypoints.csv"
CSV_FILES = ("training" + CSV_SUFFIX, "test" + CSV_SUFFIX)
SPLIT_FILE = "identity_split.json"
SCHEMA = "ibug68"


def read(
    path: Path, *, identities: str = "all", origin: str = "0"
) -> Iterator[FaceRecord | DataError]:
    """The faces of both CSV files (or of the one that `path` is), in file order.

    Args:
      path: the data set's folder, or one CSV file in it.
      identities: `train` or `test` keeps the people of that side of `identity_split.json`.
      origin: what the files call the first pixel's centre: `0` as documented, or `1`. The labels
        lie 1.0 px right of and 1.1 px below HELEN's (mean image around 12 points, registered; the
        outer eye corners are 44 px apart), as if they counted from 1.

    Raises:
      DataError: a CSV file or the split is missing, or a header is not the expected one.
      EfldError: an option has an unknown value.
    """
    if identities not in ("all", "train", "test"):
        raise EfldError(f"identities: expected all, train or test, got {identities!r}")
    if origin not in ("0", "1"):
        raise EfldError(f"origin: expected 0 or 1, got {origin!r}")
    folder = path if path.is_dir() else path.parent
    files = [path / name for name in CSV_FILES] if path.is_dir() else [path]
    test_people = frozenset() if identities == "all" else _test_people(folder / SPLIT_FILE)
    for file in files:
        for item, name in _read_csv(file, int(origin)):
            if identities == "all" or (person(name) in test_people) == (identities == "test"):
                yield item


def person(name: str) -> str:
    """The person that an image `First_Last_NN.jpg` shows."""
    return re.sub(r"_\d+$", "", Path(name).stem)


def _test_people(path: Path) -> frozenset[str]:
    try:
        split = json.loads(parsing.read_bytes(path, limit=1 << 20))
    except (ValueError, RecursionError) as error:
        raise DataError(path, f"not a JSON file: {error}") from error
    people = split.get("test_identities") if isinstance(split, dict) else None
    if not isinstance(people, list) or not all(isinstance(name, str) for name in people):
        raise DataError(path, "expected a list of names as 'test_identities'")
    return frozenset(people)


def _read_csv(path: Path, origin: int) -> Iterator[tuple[FaceRecord | DataError, str]]:
    """Each line's record or error, with its image name."""
    lines = parsing.text_lines(path)
    _, header = next(lines, (1, ""))
    if header.split(",") != ["", *(str(i) for i in range(136))]:
        raise DataError(path, "expected a header of an empty cell and the numbers 0 to 135", 1)
    images = path.parent / path.name.removesuffix(CSV_SUFFIX)
    for number, text in lines:
        name, *words = text.split(",")
        try:
            values = parsing.coordinates(words, path, number)
            points = checked_points(values - origin, SCHEMA, path, number)
            relative = image_paths.relative_name(name, path, number)
            image = image_paths.find_image([images], relative, path, number)
        except DataError as error:
            yield error, name
        else:
            yield FaceRecord(image, points, SCHEMA, identity=person(name)), name


FORMAT = Format(
    "youtube_faces", "YouTube Faces with facial keypoints", read, ("ibug68",), "FOLDER",
    "{training,test}_frames_keypoints.csv, images in training/ and test/",
    "research only; the frames belong to their owners",
)
