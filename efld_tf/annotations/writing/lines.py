"""Writes faces as JSON lines and as CSV.

The file of a run appears when the run ends, also by Ctrl-C, and always holds whole lines.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from efld_tf.annotations.writing.annotated import (
    CONFIDENCE,
    SCORE,
    AnnotatedFace,
    AnnotatedImage,
)
from efld_tf.files import atomic_path
from efld_tf.landmarks import schemas

# The columns of `csv_line` before the points.
COLUMNS = ("image", "frame", "upright", "seconds", "face", "track", SCORE, CONFIDENCE,
           "box_x0", "box_y0", "box_x1", "box_y1")
IDENTITY = "identity"
# The keys of `json_line` that photos and videos have in common.
KEYS = ("image", "points", "identity", "attributes")


def is_own(path: Path) -> bool:
    """Whether a file is empty or begins like lines of `csv_line` (`.csv`) or `json_line`."""
    with open(path, "rb") as file:
        first_line = file.readline(1 << 20).decode(errors="replace").strip()
    if path.suffix == ".csv" or not first_line:
        return first_line.startswith(_cells([*COLUMNS])) or not first_line
    try:
        tree = json.loads(first_line)
    except (ValueError, RecursionError):
        return False
    return isinstance(tree, dict) and {*KEYS} <= {*tree}


def json_line(image: AnnotatedImage, face: AnnotatedFace) -> str:
    """A face as an object for the reader `json`, with pixels rounded to 1/1000.

    The coordinates of a photo are of it as it is shown if `image.upright`.
    """
    fields: dict[str, object] = {
        "image": image.name,
        "points": [None if np.isnan(point).any() else _rounded(point) for point in face.points],
    }
    if face.box is not None:
        fields["box"] = _rounded(face.box)
    if face.visible is not None:
        fields["visible"] = [bool(seen) for seen in face.visible]
    fields |= {"identity": face.identity or image.name, "attributes": dict(face.attributes)}
    if image.frame is not None:
        fields["frame"] = image.frame
    else:
        fields["upright"] = image.upright
    return json.dumps(fields, ensure_ascii=False)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def csv_header(schema: str, identity: bool = False) -> str:
    """The columns of `csv_line`."""
    points = [f"{name}_{axis}" for name in schemas.get(schema).names for axis in "xy"]
    return _cells([*COLUMNS, *([IDENTITY] if identity else []), *points])


def csv_line(
    image: AnnotatedImage, face: AnnotatedFace, number: int, identity: bool = False
) -> str:
    """A face as a line of a table for the reader `csv`, with pixels rounded to 1/1000.

    Args:
      number: the number of the face in its photo or frame, from 0 on.
      identity: whether there is a column of it.
    """
    seconds = None if image.seconds is None else f"{image.seconds:.6f}"
    box = [None] * 4 if face.box is None else [f"{v:.3f}" for v in face.box]
    return _cells([
        image.name, image.frame, int(image.frame is None and image.upright), seconds, number,
        face.track, _share(face, SCORE), _share(face, CONFIDENCE), *box,
        *([face.identity or image.name] if identity else []),
        *("" if np.isnan(v) else f"{v:.3f}" for v in face.points.ravel()),
    ])  # fmt: skip


def _share(face: AnnotatedFace, name: str) -> str:
    value = face.attributes.get(name, "")
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _cells(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)  # so that both are quoted in cells
    return text.getvalue().removesuffix("\r\n")


def is_kept(kind: type[BaseException] | None, partial: bool) -> bool:
    """Whether what was written is kept after an exception of that kind, or None."""
    return kind is None or (partial and issubclass(kind, KeyboardInterrupt | BrokenPipeError))


class LineFile:
    """Writes a text file line by line under a temporary name.

    The file gets its own name when the `with` block ends, and then holds whole lines only. If it
    is partial, it also does so by Ctrl-C, or when nobody reads the output any more (`efld-predict
    ... | head`). Any other exception drops it, and an older file stays.
    """

    def __init__(self, path: Path, partial: bool = True):
        self.path, self._partial = path, partial
        self._atomic = atomic_path(path)
        self._whole = 0

    def __enter__(self) -> LineFile:
        self._file: BinaryIO = open(self._atomic.__enter__(), "wb")
        return self

    def write(self, line: str) -> None:
        """Appends a line and its end; characters that are not UTF-8 are written as escapes."""
        content = f"{line}\n".encode(errors="backslashreplace")
        self._file.write(content)
        self._whole += len(content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        keep = is_kept(kind, self._partial)
        try:
            if keep:
                self._file.truncate(self._whole)  # a line that Ctrl-C cut in two
                self._file.seek(self._whole)
                self._finish(self._file)
            self._file.close()
        finally:
            if keep:
                kind = error = traceback = None
            self._atomic.__exit__(kind, error, traceback)

    def _finish(self, file: BinaryIO) -> None:
        """Writes what stands behind the last line."""
