"""WFLW list files (`list_98pt_rect_attr_{train,test}.txt`): 98 points, box and attributes a line.

    x0 y0 ... x97 y97 x_min y_min x_max y_max POSE EXPRESSION ILLUMINATION MAKE-UP OCCLUSION BLUR

The image's path follows as the last field. Coordinates count from 0. As distributed, the lists are
in `WFLW_annotations/FOLDER/` and the images in `WFLW_images/` beside `WFLW_annotations`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

SCHEMA = "wflw98"
ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
COORDINATES = 196
FIELDS = COORDINATES + 4 + len(ATTRIBUTES) + 1


def read(
    path: Path, *, images: str | None = None, subset: str | None = None, box_top: str = "0"
) -> Iterator[FaceRecord | DataError]:
    """The faces of a list file, in its order; the identity is the image (a photo of an event).

    Args:
      images: the folder that image paths are relative to; by default the list's folder, or
        `WFLW_images` in it or up to two folders above it.
      subset: only faces with that attribute: `pose`, `expression`, `illumination`, `make-up`,
        `occlusion` or `blur`; of the test list these are WFLW's test subsets, of 326, 314, 698,
        206, 736 and 773 faces.
      box_top: lower the top of the file's box by that share of its height, at least 0 and below 1.
        PIPNet (Jin et al., IJCV 2021) leaves out 0.2 of what it would crop otherwise.

    Raises:
      DataError: `path` is not a readable file.
      EfldError: `images` is not a folder, or another option's value is not as above.
    """
    if subset is not None and subset not in ATTRIBUTES:
        raise EfldError(f"subset: expected one of {', '.join(ATTRIBUTES)}, got {subset!r}")
    lowered = _share(box_top)
    if images is None:
        above = [path.parent, *path.absolute().parent.parents[:2]]
        folders = [path.parent, *(folder / "WFLW_images" for folder in above)]
        folders = [folder for folder in folders if folder.is_dir()] or [path.parent]
    else:
        folders = [Path(images).expanduser()]
        if not folders[0].is_dir():
            raise EfldError(f"images: {images} is not a folder")
    for number, text in parsing.text_lines(path):
        try:
            record = _record(text, folders, path, number, lowered)
        except DataError as error:
            yield error
        else:
            if subset is None or record.attributes[subset] == "1":
                yield record


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise EfldError(f"box_top: expected a number from 0 to below 1, got {text!r}")
    return value


def _record(text: str, folders: list[Path], path: Path, line: int, lowered: float) -> FaceRecord:
    words = text.split(maxsplit=FIELDS - 1)  # from the left: a path may contain spaces
    if len(words) != FIELDS:
        expected = f"{FIELDS - 1} numbers and a path"
        raise DataError(path, f"expected {expected}, got {len(words)} fields", line)
    values = parsing.coordinates(words[: COORDINATES + 4], path, line)
    flags = words[COORDINATES + 4 : -1]
    for name, flag in zip(ATTRIBUTES, flags, strict=True):
        if flag not in ("0", "1"):
            got = parsing.shorten(flag)
            raise DataError(path, f"expected 0 or 1 as attribute {name}, got {got}", line)
    name = image_paths.relative_name(words[-1], path, line)
    x0, y0, x1, y1 = values[COORDINATES:]
    return FaceRecord(
        image=image_paths.find_image(folders, name, path, line),
        points=checked_points(values[:COORDINATES], SCHEMA, path, line),
        schema=SCHEMA,
        box=parsing.box_of([x0, y0 + lowered * (y1 - y0), x1, y1], path, line),
        attributes=dict(zip(ATTRIBUTES, flags, strict=True)),
        identity=name,
    )


FORMAT = Format(
    "wflw", "WFLW", read, ("wflw98",), "LIST.txt",
    "list_98pt_rect_attr_{train,test}.txt; images in WFLW_images/", "research only",
)
