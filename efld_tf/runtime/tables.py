"""Writes faces as JSON lines and as CSV, both of which the readers of annotations can read.

The file of a run appears when the run ends, also by Ctrl-C, and always holds whole lines.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from efld_tf.files import atomic_path
from efld_tf.landmarks import schemas
from efld_tf.runtime.faces import Face

# The columns of `csv_line` before the points.
COLUMNS = ("image", "frame", "upright", "seconds", "face", "track", "score", "confidence",
           "box_x0", "box_y0", "box_x1", "box_y1")
# The keys of `json_line` that photos and videos have in common.
KEYS = ("image", "points", "box", "identity", "attributes")


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


def json_line(
    face: Face, image: str, frame: int | None,
    extra_attributes: Mapping[str, str | float] | None = None,
) -> str:  # fmt: skip
    """A face as an object for the reader `json`, with pixels rounded to 1/1000.

    Args:
      image: path of the photo or video, relative to the folder that the reader is given.
      frame: the number of a video's frame, from 0 on; None for a photo, whose coordinates are those
        of the photo turned by its EXIF orientation.
      extra_attributes: further attributes, added to the score and the confidence.
    """
    fields: dict[str, object] = {
        "image": image,
        "points": [[round(float(x), 3), round(float(y), 3)] for x, y in face.points],
        "box": [round(float(v), 3) for v in face.box],
        "identity": image if face.track is None else f"{image} {face.track}",
        "attributes": {
            "score": round(face.score, 4), "confidence": round(face.confidence, 4),
            **(extra_attributes or {}),
        },
    }
    fields |= {"upright": True} if frame is None else {"frame": frame}
    return json.dumps(fields, ensure_ascii=False)


def csv_header(schema: str) -> str:
    """The columns of `csv_line`."""
    points = [f"{name}_{axis}" for name in schemas.get(schema).names for axis in "xy"]
    return _cells([*COLUMNS, *points])


def csv_line(
    face: Face, number: int, image: str, frame: int | None, seconds: float | None
) -> str:
    """A face as a line of a table for the reader `csv`, with pixels rounded to 1/1000.

    Args:
      number: the number of the face in its photo or frame, from 0 on.
      image, frame: as in `json_line`, whose `upright` is a column here.
      seconds: the frame's time.
    """
    return _cells([
        image, frame, int(frame is None), None if seconds is None else f"{seconds:.6f}", number,
        face.track, f"{face.score:.4f}", f"{face.confidence:.4f}",
        *(f"{v:.3f}" for v in face.box), *(f"{v:.3f}" for v in face.points.ravel()),
    ])  # fmt: skip


def _cells(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue()


class LineFile:
    """Writes a text file line by line under a temporary name.

    The file gets its own name when the `with` block ends, also by Ctrl-C or when nobody reads the
    output any more (`efld-predict ... | head`), and then holds whole lines only. Any other
    exception drops it, and an older file stays.
    """

    def __init__(self, path: Path):
        self.path = path
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
        keep = kind is None or issubclass(kind, KeyboardInterrupt | BrokenPipeError)
        try:
            if keep:
                self._file.truncate(self._whole)  # a line that Ctrl-C cut in two
            self._file.close()
        finally:
            if keep:
                kind = error = traceback = None
            self._atomic.__exit__(kind, error, traceback)
