"""Writes the faces that were found into a folder.

    pictures/NAME.jpg      the photo with its faces drawn (.png where it is small, .mp4 of a video)
    aligned/NAME_K.png     face K alone, as models of face recognition take it
    pts/NAME_K.pts         its points as an iBUG file
    faces.jsonl, faces.csv all faces

NAME follows the layout of the inputs. For frame 7 of a video `a.mp4`, NAME_K is `a.mp4/000007_K`.
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from efld_tf import files
from efld_tf.annotations import ibug, images
from efld_tf.annotations.decoding import unturned_points
from efld_tf.arrays import Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import align, schemas
from efld_tf.runtime import pictures, tables
from efld_tf.runtime.faces import Face
from efld_tf.runtime.inputs import CameraInput, Input, Inputs

KINDS = ("pictures", "json", "csv", "pts", "aligned")
TABLES = {"json": "jsonl", "csv": "csv"}  # with the suffixes of their files


@dataclass(frozen=True, eq=False)
class Result:
    """The faces of a photo or a frame.

    Attributes:
      input: the photo, video or camera.
      image: [H, W, 3] uint8 RGB, upright.
      faces: the faces in the image.
      frame: the number of the frame in a video or of a camera, from 0 on; None for a photo.
      seconds: the time of the frame.
    """

    input: Input
    image: Image
    faces: Sequence[Face]
    frame: int | None = None
    seconds: float | None = None


class Outputs:
    """Writes results as they come; use it in a `with` block.

    Nothing is written before the first result. When the block ends, also by Ctrl-C, all files are
    whole; any other exception drops the tables.
    """

    def __init__(self, folder: Path, kinds: Collection[str], schema: str):
        """Prepares a folder, which is made when something is written.

        Args:
          kinds: some of `KINDS`.
          schema: the name of the schema of the points.

        Raises:
          EfldError: faces cannot be aligned by points of that schema.
        """
        if "aligned" in kinds:
            align.check(schemas.get(schema))
        self.folder = folder
        self._kinds = kinds
        self._schema = schema
        self._stack = ExitStack()
        self._tables: dict[str, tables.LineFile] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stack.__exit__(kind, error, traceback)

    def write(self, result: Result) -> None:
        """Writes the wanted files of a result, except the pictures of a video.

        Raises:
          DataError: the photo can no longer be read.
        """
        if not self._tables:
            self._open_tables()
        for number, face in enumerate(result.faces):
            if "json" in self._tables:
                line = tables.json_line(face, result.input.image, result.frame)
                self._tables["json"].write(line)
            if "csv" in self._tables:
                self._tables["csv"].write(tables.csv_line(
                    face, number, result.input.image, result.frame, result.seconds))
            if "pts" in self._kinds:
                text = ibug.pts_text(self._points_in_file(result, face))
                files.write_text(self.folder / "pts" / f"{_name(result)}_{number}.pts", text)
            if "aligned" in self._kinds:
                picture = align.align(result.image, face.points, schemas.get(face.schema))
                path = self.folder / "aligned" / f"{_name(result)}_{number}.png"
                pictures.write_as(path, picture)
        if "pictures" in self._kinds and result.frame is None:
            drawn = pictures.annotate_photo(result.image, result.faces)
            pictures.write(self.folder / "pictures" / result.input.name, drawn)

    def video_path(self, item: Input) -> Path | None:
        """Where to write the annotated video of an input; None if it is not to be written."""
        if "pictures" not in self._kinds:
            return None
        return self.folder / "pictures" / f"{item.name}.mp4"

    def check(self, inputs: Inputs) -> None:
        """Checks before the work that no foreign file will be replaced.

        Raises:
          EfldError: the folder is a file, or a file of somebody else would be replaced.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise EfldError(f"{self.folder}: expected a folder to write to, but it is a file")
        for kind, suffix in TABLES.items():
            path = self.folder / f"faces.{suffix}"
            if kind in self._kinds and path.is_file() and not tables.is_own(path):
                raise EfldError(f"{path} is not of efld-predict and would be replaced; choose "
                                "another --output")
        if "pictures" not in self._kinds:
            return
        input_paths = {
            item.path.resolve() for item in inputs.items if not isinstance(item, CameraInput)
        }
        for item in inputs.items:
            for suffix in (".png", ".jpg", ".mp4"):
                target = self.folder / "pictures" / f"{item.name}{suffix}"
                if target.resolve() in input_paths:
                    raise EfldError(f"{target} is an input and would be replaced; choose another "
                                    "--output")

    def older(self, since: float) -> int:
        """The number of files of earlier runs in the folder; 0 if no run has left a table.

        Args:
          since: when this run began, in seconds since 1970.
        """
        table_paths = [self.folder / f"faces.{suffix}" for suffix in TABLES.values()]
        paths = [path for path in table_paths if path.is_file() and tables.is_own(path)]
        if not paths:
            return 0
        for kind in {*KINDS} - {*TABLES}:
            paths += (self.folder / kind).rglob("*")
        return sum(path.is_file() and path.stat().st_mtime < since for path in paths)

    def _open_tables(self) -> None:
        for kind, suffix in TABLES.items():
            if kind in self._kinds:
                path = self.folder / f"faces.{suffix}"
                self._tables[kind] = self._stack.enter_context(tables.LineFile(path))
        if "csv" in self._tables:
            self._tables["csv"].write(tables.csv_header(self._schema))

    def _points_in_file(self, result: Result, face: Face) -> Floats:
        """The points in the file's own rows and columns, since `.pts` cannot state a rotation."""
        if result.frame is not None or isinstance(result.input, CameraInput):
            return face.points
        height, width = result.image.shape[:2]
        turn = _orientation(result.input.path)
        return unturned_points(face.points, turn, width, height)


@functools.lru_cache(maxsize=1)
def _orientation(path: Path) -> int:
    """The orientation of a photo, cached because its faces are written one after the other."""
    return images.orientation(path)


def _name(result: Result) -> str:
    if result.frame is None:
        return result.input.name
    return f"{result.input.image}/{result.frame:06d}"
