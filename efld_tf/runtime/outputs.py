"""Writes the faces that were found into a folder.

    pictures/NAME.jpg      the photo with its faces drawn (.png where it is small, .mp4 of a video)
    aligned/NAME_K.png     face K alone, as models of face recognition take it
    faces.jsonl, ...       all faces in each of the formats of `annotations.writing`

NAME is the path of an input in the folder that the argument names, or the name of the file; those
that would be called alike are called by their longer path. K counts the faces of a photo from 0,
and is drawn beside them. For frame 7 of a video `a.mp4`, NAME_K is `a.mp4/000007_K`, and K is the
number of the person.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from efld_tf import files, locks
from efld_tf.annotations import images
from efld_tf.annotations.header import Header
from efld_tf.annotations.writing import lines
from efld_tf.annotations.writing.annotated import AnnotatedImage, face_number
from efld_tf.annotations.writing.formats import OUTPUTS, Writer
from efld_tf.arrays import Image
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import align, schemas
from efld_tf.landmarks.align import Alignment
from efld_tf.runtime import pictures
from efld_tf.runtime.faces import Face
from efld_tf.runtime.inputs import Input, Inputs, Photo, VideoFile

KINDS = ("pictures", "aligned", *OUTPUTS)
TABLES = ("json", "csv")
# What is corrected in a tool: photos alone, and never replaced.
FOR_TOOLS = tuple(name for name, form in OUTPUTS.items() if not form.frames)
# Names those of a run that has not ended.
UNFINISHED = ".efld_unfinished"


@dataclass(frozen=True, eq=False)
class Result:
    """The faces of a photo or a frame.

    Attributes:
      input: the photo, video, camera or address.
      image: [H, W, 3] uint8 RGB, upright.
      faces: the faces in the image.
      frame: the number of the frame in a video or of a camera, from 0 on; None for a photo.
      seconds: the time of the frame.
      orientation: the EXIF orientation by which a photo of an address was turned; None for files,
        which tell it.
    """

    input: Input
    image: Image
    faces: Sequence[Face]
    frame: int | None = None
    seconds: float | None = None
    orientation: int | None = None


class Outputs:
    """Writes results as they come; use it in a `with` block.

    When the block ends, also by Ctrl-C, all files are whole. After any other exception, and after
    a kill, the tables have what was found until then, with `.part` behind their names; the next
    run gives them names of their own. Other commands cannot write to the folder meanwhile.

    Attributes:
      recovered: the tables of killed runs that were found.
      turned: whether a photo was stored turned.
      faces: the number of faces that were written.
    """

    def __init__(
        self, folder: Path, kinds: Collection[str], schema: str, root: Path | None = None,
        depth: bool = False, errors: bool = False, alignment: Alignment = align.ARCFACE,
    ):
        """Prepares a folder, which is there in the `with` block.

        Args:
          kinds: some of `KINDS`.
          schema: the name of the schema of the points.
          root: the folder to which the names of photos are relative; None for the current one.
          depth, errors: whether the model tells depths and expected errors, which get columns in a
            table.
          alignment: how faces are aligned.

        Raises:
          EfldError: faces cannot be aligned by points of that schema.
        """
        if "aligned" in kinds:
            align.check(schemas.get(schema), alignment)
        self.folder = folder
        self._kinds, self._alignment = kinds, alignment
        self._columns = {"depth": depth, "errors": errors}
        self._schema, self._root = schema, Path.cwd() if root is None else root
        self._stack = ExitStack()
        self._writers: dict[str, Writer] | None = None
        self._is_new = False
        self.recovered: list[Path] = []
        self.turned = False
        self.faces = 0

    def __enter__(self) -> Outputs:
        """Makes and holds the folder.

        Raises:
          EfldError: the folder is a file, or another command is writing there.
        """
        self._check_folder()
        self._is_new = not self.folder.exists()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(locks.hold(self.folder, self.folder / locks.IN_FOLDER))
        for place in ("pictures", "aligned", *(f.place for f in OUTPUTS.values() if f.is_folder)):
            files.sweep(self.folder / place)
        self.recovered = [path for form in OUTPUTS.values()
                          if (path := form.recover(self.folder)) is not None]
        moved = self._set_aside()
        self.recovered = [path for path in self.recovered if path.exists()] + moved
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        with suppress(OSError):  # a full disk
            (self.folder / UNFINISHED).unlink(missing_ok=True)
        self._stack.__exit__(kind, error, traceback)
        if self._is_new:
            with suppress(OSError):  # there are results
                self.folder.rmdir()

    def write(self, result: Result) -> None:
        """Writes the wanted files of a result, except the pictures of a video.

        Raises:
          DataError: the photo can no longer be read, or one of the formats cannot hold its name.
        """
        self._check_name(result.input)
        if self._writers is None:
            if unfinished := {*self._kinds} & {*FOR_TOOLS}:
                files.write_text(self.folder / UNFINISHED, "\n".join(sorted(unfinished)))
            self._writers = {
                kind: self._stack.enter_context(
                    form.writer(form.path(self.folder), self._schema, self._root,
                                **(self._columns if kind == "csv" else {})))
                for kind, form in OUTPUTS.items() if kind in self._kinds}
        image = self._annotated(result)
        for kind, writer in self._writers.items():
            if kind not in FOR_TOOLS or isinstance(result.input, Photo):
                writer.write(image)
        self.faces += len(result.faces)
        if "aligned" in self._kinds:
            for index, face in enumerate(result.faces):
                picture = align.align(result.image, face.points, schemas.get(face.schema),
                                      self._alignment, face.depth)
                number = face_number(image.faces[index], index)
                path = self.folder / "aligned" / f"{image.stem}_{number}.png"
                pictures.write_as(path, picture)
        if "pictures" in self._kinds and result.frame is None:
            drawn = pictures.annotate_photo(result.image, result.faces)
            pictures.write(self.folder / "pictures" / result.input.name, drawn)

    def _check_name(self, item: Input) -> None:
        for kind in self._kinds:
            used = isinstance(item, Photo) or (isinstance(item, VideoFile)
                                               and kind not in FOR_TOOLS)
            if kind in OUTPUTS and used and (reason := OUTPUTS[kind].refusal(item.image)):
                raise DataError(item.label, f"{kind}: {reason}")

    def video_path(self, item: Input) -> Path | None:
        """Where to write the annotated video of an input; None if it is not to be written."""
        if "pictures" not in self._kinds:
            return None
        return self.folder / "pictures" / f"{item.name}.mp4"

    def _set_aside(self) -> list[Path]:
        """Gives other names to what a killed run has left for tools, which nobody has corrected."""
        marker = self.folder / UNFINISHED
        if marker.is_symlink() or not marker.is_file():
            return []
        kinds = files.read_bytes(marker, 1 << 10).decode(errors="replace").split()
        paths = [OUTPUTS[kind].path(self.folder) for kind in FOR_TOOLS if kind in kinds]
        moved = [path.rename(lines.killed_name(path)) for path in paths
                 if path.exists() and not path.is_symlink()]
        marker.unlink()
        return moved

    def check(self, inputs: Inputs) -> None:
        """Checks before the work that no foreign file will be replaced.

        Raises:
          EfldError: the folder is a file, or a file of somebody else would be replaced.
        """
        self._check_folder()
        for kind in sorted({*self._kinds} & {*OUTPUTS}):
            path = OUTPUTS[kind].path(self.folder)
            if path.is_symlink() or (kind in TABLES and path.exists() and not path.is_file()):
                raise EfldError(f"{path} is a link or no file, and would be replaced; choose "
                                "another --output")
            if kind in TABLES and path.is_file() and not lines.is_own(path):
                raise EfldError(f"{path} is not of efld-predict and would be replaced; choose "
                                "another --output")
            if kind in FOR_TOOLS and path.exists():
                raise EfldError(f"{path} is there already, and may have been corrected since; "
                                "choose another --output, or delete it")
        if "pictures" not in self._kinds:
            return
        input_paths = {
            os.path.realpath(item.path) for item in inputs.items
            if isinstance(item, Photo | VideoFile)
        }
        for item in inputs.items:
            for suffix in (".png", ".jpg", ".mp4"):
                target = self.folder / "pictures" / f"{item.name}{suffix}"
                if os.path.realpath(target) in input_paths:
                    raise EfldError(f"{target} is an input and would be replaced; choose another "
                                    "--output")

    def _check_folder(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise EfldError(f"{self.folder}: expected a folder to write to, but it is a file")

    def older(self, since: float) -> int:
        """The number of files of earlier runs in the folder; 0 if no run has left a table.

        Args:
          since: when this run began, in seconds since 1970.
        """
        table_paths = [OUTPUTS[kind].path(self.folder) for kind in TABLES]
        paths = [path for path in table_paths if path.is_file() and lines.is_own(path)]
        if not paths:
            return 0
        for kind in ("pictures", "aligned", "pts"):
            paths += (self.folder / kind).rglob("*")
        return sum(path.is_file() and path.stat().st_mtime < since for path in paths)

    def _annotated(self, result: Result) -> AnnotatedImage:
        """The result as writers take it."""
        name = result.input.image
        stem = result.input.name if result.frame is None else f"{name}/{result.frame:06d}"
        faces = [face.annotated(name) for face in result.faces]
        header = None
        if {*self._kinds} & {*OUTPUTS} and result.frame is None:
            turn = result.orientation
            if turn is None and isinstance(result.input, Photo):
                turn = images.orientation(result.input.path)
            height, width = result.image.shape[:2]
            header = Header(*Header(width, height, turn or 1).size(True), turn or 1)
            self.turned |= header.orientation != 1
        return AnnotatedImage(name, stem, faces, header, frame=result.frame,
                              seconds=result.seconds)
