"""CelebA: five points a line of `list_landmarks_align_celeba.txt` or `list_landmarks_celeba.txt`.

    202599
    lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y leftmouth_x ... rightmouth_y
    000001.jpg   69  109  106  113   77  142   73  152  108  154

The list may also be a `.csv` with `image_id` before the names. Left is the image's left, so that
the order is MTFL's. Coordinates are whole pixels, assumed to count from 0. More is in files beside
the list, or in `Anno/` and `Eval/` there: `identity_CelebA.txt` has the person, `list_bbox_celeba`
the face box in photos that are not aligned, and `list_eval_partition` the split.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.declared import choice, image_folders
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, box_around, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas

SCHEMA = "mtfl5"
HEADER = [
    f"{point}_{axis}"
    for point in ("lefteye", "righteye", "nose", "leftmouth", "rightmouth")
    for axis in "xy"
]
SPLITS = {"train": "0", "val": "1", "test": "2"}
ALIGNED = "align"

# The tables beside the list have 200,000 lines, at most 9 MB.
MAX_TABLE_BYTES = 1 << 26


def read(
    path: Path, *, images: str | None = None, split: str = "all"
) -> Iterator[FaceRecord | DataError]:
    """The faces of a list, in its order; the identity is the person if `identity_CelebA` is there.

    The box is that of `list_bbox_celeba` for photos that are not aligned, and follows from the
    points (`record.box_around`) for aligned ones.

    Args:
      images: the folder that holds the images; by default `img_align_celeba` or `img_celeba`, by
        the list's name, beside the list, in `Img/` above, or the list's folder.
      split: `all`, or `train`, `val` or `test` of `list_eval_partition`.

    Raises:
      DataError: `path` or a file beside it cannot be read, or is not the expected one.
      EfldError: an option has an unknown value.
    """
    choice("split", split, ("all", *SPLITS))
    folders = image_folders(images, _image_places(path))
    partition = None if split == "all" else _beside(path, "list_eval_partition", 2)
    if split != "all" and partition is None:
        raise DataError(path, "split: expected list_eval_partition beside it")
    people = _beside(path, "identity_CelebA", 2) or {}
    boxes = None if ALIGNED in path.name else _beside(path, "list_bbox_celeba", 5)
    lines = parsing.text_lines(path)
    promised = _read_header(lines, path)
    count = 0
    for number, text in lines:
        count += 1
        name, *words = _words(text, path)
        try:
            if partition is not None:
                if name not in partition:
                    raise DataError(
                        path, f"{parsing.shorten(name)} is not in list_eval_partition", number
                    )
                if partition[name][0] != SPLITS[split]:
                    continue
            yield _record(name, words, folders, people, boxes, path, number)
        except DataError as error:
            yield error
    if promised is not None and count != promised:
        yield DataError(path, f"expected {promised} lines of points, got {count}")


def _record(
    name: str,
    words: list[str],
    folders: list[Path],
    people: dict[str, list[str]],
    boxes: dict[str, list[str]] | None,
    path: Path,
    line: int,
) -> FaceRecord:
    if len(words) != len(HEADER):
        raise DataError(path, f"expected a name and {len(HEADER)} numbers, got {len(words)}", line)
    points = checked_points(parsing.coordinates(words, path, line), SCHEMA, path, line)
    if boxes is None:
        box = box_around(schemas.get(SCHEMA).anchor_points(points))
        if not box[0] < box[2]:
            raise DataError(path, "all points coincide", line)
    elif name not in boxes:
        raise DataError(path, f"{parsing.shorten(name)} is not in list_bbox_celeba", line)
    else:
        x, y, width, height = parsing.coordinates(boxes[name], path, line)
        box = parsing.box_of([x, y, x + width, y + height], path, line)
    relative = image_paths.relative_name(name, path, line)
    return FaceRecord(
        image=image_paths.find_image(folders, relative, path, line),
        points=points,
        schema=SCHEMA,
        box=np.asarray(box),
        identity=people[name][0] if name in people else relative,
    )


def _words(text: str, path: Path) -> list[str]:
    return text.split(",") if path.suffix.lower() == ".csv" else text.split()


def _read_header(lines: Iterator[tuple[int, str]], path: Path) -> int | None:
    """Consumes the header and returns the number of faces that it promises; None in a `.csv`."""
    promised = None
    number, text = next(lines, (1, ""))
    if path.suffix.lower() != ".csv":
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise DataError(path, "expected the number of faces in the first line", number)
        promised = int(text)
        number, text = next(lines, (2, ""))
    if [word for word in _words(text, path) if word != "image_id"] != HEADER:
        raise DataError(path, "expected a header from lefteye_x to rightmouth_y", number)
    return promised


def _image_places(path: Path) -> list[Path]:
    name = "img_align_celeba" if ALIGNED in path.name else "img_celeba"
    above = path.absolute().parent.parent
    places = [path.parent / name, above / "Img" / name, above / name]
    # Unpacked archives repeat the folder's name.
    return [*(place / name for place in places), *places, path.parent]


def _beside(path: Path, stem: str, cells: int) -> dict[str, list[str]] | None:
    """The table of that name that belongs to the list, by image; None if there is none."""
    above = path.absolute().parent.parent
    for folder in (path.parent, above / "Anno", above / "Eval"):
        for suffix in (path.suffix, ".txt", ".csv"):
            table = folder / (stem + suffix)
            if table.is_file():
                return _read_table(table, cells)
    return None


def _read_table(path: Path, cells: int) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for number, text in parsing.text_lines(path, MAX_TABLE_BYTES):
        name, *values = _words(text, path)
        if len(values) == cells - 1 and name != "image_id":
            rows[name] = values
        elif number > 2:  # the first two lines are a count and a header
            raise DataError(path, f"expected {cells} cells, got {len(values) + 1}", number)
    return rows


FORMAT = Format(
    "celeba", "CelebA", read, (SCHEMA,), "LIST",
    "list_landmarks_align_celeba.txt (or .csv) or list_landmarks_celeba.txt; images in "
    "img_align_celeba/ or img_celeba/",
    "non-commercial research only",
)
