"""RetinaFace's `label.txt`: five points for faces of WIDER FACE (retinaface_gt_v1.1).

    # 0--Parade/0_Parade_marchingband_1_849.jpg
    449 330 122 149 488.906 373.643 0.0 542.089 376.442 0.0 ... 530.513 442.875 0.0 0.89

An image's line is followed by those of its faces: box (x, y, width, height), five times x, y and a
flag, and a score. As insightface's reader has it (`rcnn/dataset/retinaface.py`), the flag is 0 for
a visible point, 1 for one that is not, and -1 with coordinates of -1 for a missing one; its authors
call some visible points 1, too. That reader calls the score `blur`; what it measures is not
published. A face without points has -1 throughout, or only its box, as in the validation list; the
test list has names alone. biubug6's Pytorch_Retinaface and others read the same file.

The points are left eye, right eye, nose tip, left and right mouth corner as seen in the image, in
MTFL's order. Coordinates are taken as they are, as those readers do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, parsing
from efld_tf.annotations.declared import MIN_FACE, image_folders, pixels
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.text import counted

SCHEMA = "mtfl5"
BOX, POINTS = 4, 15
MISSING, SEEN = -1, 0


def read(
    path: Path, *, images: str | None = None, prefix: str = "", min_face: str = MIN_FACE
) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a list, in its order; the identity is the photo.

    Faces without points, and those of fewer than `min_face` pixels, are left out and counted.

    Args:
      images: the folder that the photos' paths are relative to; by default `images` beside the
        list, or its folder.
      prefix: the start of image names that stands for the folder of images, such as a path on
        another computer: `/home/ann/photos`, or `C:/photos` for `C:\\photos`.
      min_face: the longer side of a face's box in pixels from which on faces are read.

    Raises:
      DataError: `path` is not a readable file.
      EfldError: an option has an unknown value.
    """
    folders = image_folders(images, [path.parent / "images", path.parent], prefix)
    least = pixels("min_face", min_face)
    left_out: Counter[str] = Counter()
    name: str | None = None
    known = False
    for line, text in parsing.text_lines(path):
        try:
            if text.startswith("#"):
                name, known = None, True
                name = image_paths.relative_name(text[1:].strip(), path, line, folders)
                continue
            if not known:
                got = parsing.shorten(text)
                raise DataError(path, f"expected '# IMAGE' before the first face, got {got}", line)
            if name is None:  # which has been told
                continue
            box, rows, score = _face(text, path, line)
            reason = _reason(box, rows, least)
            if reason is not None:
                left_out[reason] += 1
                continue
            yield _record(name, box, rows, score, folders, path, line)
        except DataError as error:
            yield error
    for reason, count in left_out.items():
        yield Note(f"left out: {counted(count, 'face')} {reason}")


def _face(text: str, path: Path, line: int) -> tuple[np.ndarray, np.ndarray, str]:
    """The box [4] of a face, x, y and flag of its points [5, 3], and its score."""
    words = text.split()
    if len(words) not in (BOX, BOX + POINTS, BOX + POINTS + 1):
        raise DataError(path, f"expected {BOX} or {BOX + POINTS + 1} numbers, got {len(words)}",
                        line)
    values = parsing.coordinates(words, path, line)
    rows = np.full((POINTS // 3, 3), float(MISSING))
    if len(words) > BOX:
        rows = values[BOX : BOX + POINTS].reshape(-1, 3)
    return values[:BOX], rows, "".join(words[BOX + POINTS :])


def _reason(box: np.ndarray, rows: np.ndarray, least: float) -> str | None:
    """Why a face is left out, or None."""
    if (rows == MISSING).all():
        return "without points"
    if box[2:].max() < least:
        return f"smaller than min_face, {least:g} pixels"
    return None


def _record(
    name: str,
    box: np.ndarray,
    rows: np.ndarray,
    score: str,
    folders: list[Path],
    path: Path,
    line: int,
) -> FaceRecord:
    points, flags = rows[:, :2].copy(), rows[:, 2]
    missing = flags == MISSING
    if not (missing | ((flags >= 0) & (flags <= 1))).all():
        raise DataError(path, "expected 0, 1 or -1 behind x and y of a point", line)
    if ((points == MISSING).all(axis=-1) != missing).any():
        raise DataError(path, "expected -1 three times for a missing point, and for no other", line)
    points[missing] = np.nan
    x, y, width, height = box
    return FaceRecord(
        image=image_paths.find_image(folders, name, path, line),
        points=checked_points(points, SCHEMA, path, line, missing=True),
        schema=SCHEMA,
        box=parsing.box_of([x, y, x + width, y + height], path, line),
        visible=flags == SEEN,
        attributes={"score": score} if score else {},
        identity=name,
    )


FORMAT = Format(
    "retinaface", "RetinaFace's five points of WIDER FACE", read, (SCHEMA,), "label.txt",
    "'# IMAGE', and below it a line a face: x y w h, 5 times x y flag, score; photos in images/",
    "non-commercial research only",
)
