"""Writes faces as JSON lines and as CSV."""

from __future__ import annotations

import csv
import io
import itertools
import json
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO

import numpy as np

from efld_tf import files
from efld_tf.annotations.writing.annotated import (
    ANGLE,
    CONFIDENCE,
    EXPECTED_NME,
    SCORE,
    AnnotatedFace,
    AnnotatedImage,
)
from efld_tf.landmarks import pose, schemas

# The columns of `csv_line` before the points.
COLUMNS = ("image", "frame", "upright", "seconds", "face", "track", SCORE, CONFIDENCE,
           "box_x0", "box_y0", "box_x1", "box_y1")
# Behind them: the size of the photo, by which a reader knows whether it was resized since, and how
# the face leans.
SIZE = ("image_width", "image_height")
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
    if face.depth is not None:
        fields["depth"] = [None if np.isnan(value) else value for value in _rounded(face.depth)]
    if face.errors is not None:
        fields["expected_errors"] = _rounded(face.errors)
    fields |= {"identity": face.identity or image.name, "attributes": dict(face.attributes)}
    if image.frame is not None:
        fields["frame"] = image.frame
        if image.seconds is not None:
            fields["seconds"] = round(image.seconds, 6)
    else:
        fields["upright"] = image.upright
        if image.size is not None:
            fields["image_size"] = [*image.size]
    return json.dumps(fields, ensure_ascii=False)


def _rounded(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in values]


def csv_header(
    schema: str, identity: bool = False, depth: bool = False, errors: bool = False
) -> str:
    """The columns of `csv_line`."""
    names = schemas.get(schema).names
    points = [f"{name}_{axis}" for name in names for axis in "xy"]
    in_space = [*pose.ANGLES, *(f"{name}_depth" for name in names)] if depth else []
    expected = [EXPECTED_NME, *(f"{name}_error" for name in names)] if errors else []
    return _cells([*COLUMNS, *SIZE, ANGLE, *([IDENTITY] if identity else []), *points, *in_space,
                   *expected])


def csv_line(
    image: AnnotatedImage, face: AnnotatedFace, number: int, identity: bool = False,
    depth: bool = False, errors: bool = False,
) -> str:
    """A face as a line of a table for the reader `csv`, with pixels rounded to 1/1000.

    Args:
      number: the number of the face in its photo or frame, from 0 on.
      identity: whether there is a column of it.
      depth: whether there are columns of the pose and the points' depths.
      errors: whether there are columns of the expected errors.
    """
    seconds = None if image.seconds is None else f"{image.seconds:.6f}"
    box = [None] * 4 if face.box is None else [f"{v:.3f}" for v in face.box]
    return _cells([
        image.name, image.frame, int(image.frame is None and image.upright), seconds, number,
        face.track, _share(face, SCORE), _share(face, CONFIDENCE), *box,
        *(image.size or ("", "")), face.attributes.get(ANGLE, ""),
        *([face.identity or image.name] if identity else []),
        *_numbers(face.points), *(_in_space(face) if depth else []),
        *(_expected(face) if errors else []),
    ])  # fmt: skip


def _numbers(values: np.ndarray) -> list[str]:
    return ["" if np.isnan(value) else f"{value:.3f}" for value in values.ravel()]


def _in_space(face: AnnotatedFace) -> list[object]:
    depth = np.full(len(face.points), np.nan) if face.depth is None else face.depth
    return [*(face.attributes.get(name, "") for name in pose.ANGLES), *_numbers(depth)]


def _expected(face: AnnotatedFace) -> list[object]:
    errors = np.full(len(face.points), np.nan) if face.errors is None else face.errors
    return [_share(face, EXPECTED_NME), *_numbers(errors)]


def _share(face: AnnotatedFace, name: str) -> str:
    value = face.attributes.get(name, "")
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _cells(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerow(values)  # so that both are quoted in cells
    return text.getvalue().removesuffix("\r\n")


PART = ".part"  # behind the name of a file that is being written


def is_kept(kind: type[BaseException] | None, partial: bool) -> bool:
    """Whether what was written is kept after an exception of that kind, or None."""
    return kind is None or (partial and issubclass(kind, KeyboardInterrupt | BrokenPipeError))


def killed_name(path: Path) -> Path:
    """A free name beside a path for what a killed command has left of it."""
    names = (path.with_name(f"{path.stem}_killed{number}{path.suffix}")
             for number in itertools.chain([""], itertools.count(2)))
    return next(name for name in names if not os.path.lexists(name))


class LineFile:
    """Writes a text file line by line; every line is on its way to the disk when it is written.

    The file gets its own name when the `with` block ends. If it is partial, it also does so when
    the command is stopped, or when nobody reads the output any more (`efld-predict ... | head`);
    until then its name has `.part` behind it, which it keeps after a kill and any other exception,
    so that nothing is lost and an older file stays. If it is not partial, it is dropped instead.
    """

    END = b"\n"  # behind each face or image
    BEFORE = 0  # how often that is in the file before the first one

    def __init__(self, path: Path, partial: bool = True):
        self.path, self._partial = path, partial
        self._part = path.with_name(f"{path.name}{PART}") if partial \
            else files.temporary_beside(path)
        self._whole = 0

    def __enter__(self) -> LineFile:
        self._part.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        self._file = open(os.open(self._part, flags, 0o666), "wb", buffering=0)
        return self

    def write(self, line: str) -> None:
        """Appends a line and its end; characters that are not UTF-8 are written as escapes.

        Raises:
          OSError: the disk is full, for example; the line is not in the file.
        """
        content = f"{line}\n".encode(errors="backslashreplace")
        with files.errors_name(self.path):
            written = 0
            while written < len(content):
                written += self._file.write(content[written:])
        self._whole += len(content)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        try:
            with files.errors_name(self.path):
                with self._file:
                    self._file.truncate(self._whole)  # without a line that was cut in two
                    self._file.seek(self._whole)
                    if is_kept(kind, self._partial):
                        self._finish(self._file)
                if is_kept(kind, self._partial):
                    files.sync(self._part)
                    self._part.replace(self.path)
                    files.sync(self.path.parent)
        finally:
            if not self._partial:
                self._part.unlink(missing_ok=True)

    @classmethod
    def recover(cls, path: Path) -> Path | None:
        """Completes what a killed command has left of a file, under a name of its own.

        Returns:
          The path of the recovered file; None if there is nothing of worth.
        """
        part = path.with_name(f"{path.name}{PART}")
        if part.is_symlink() or not part.is_file():
            return None
        with files.errors_name(part), open(part, "r+b") as file:
            content = file.read()
            whole = content.rfind(cls.END) + len(cls.END) \
                if content.count(cls.END) > cls.BEFORE else 0
            file.truncate(whole)
            file.seek(whole)
            if whole:
                cls._finish(file)
        if not whole:
            part.unlink()
            return None
        return part.rename(killed_name(path))

    @staticmethod
    def _finish(file: IO[bytes]) -> None:
        """Writes what stands behind the last line."""
