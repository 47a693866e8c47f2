"""The formats that faces can be written in."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from efld_tf import folders
from efld_tf.annotations.writing import names
from efld_tf.annotations.writing.annotated import AnnotatedImage
from efld_tf.annotations.writing.documents import CocoWriter, CvatWriter
from efld_tf.annotations.writing.folders import LabelmeWriter, PtsWriter, YoloWriter
from efld_tf.annotations.writing.lines import LineFile, csv_header, csv_line, json_line


class Writer(AbstractContextManager["Writer", None], Protocol):
    """Writes images with their faces, in a `with` block."""

    def write(self, image: AnnotatedImage) -> None:
        """Adds an image."""


class JsonWriter(LineFile):
    """Writes JSON lines."""

    def __init__(self, path: Path, schema: str, root: Path, partial: bool = True):
        """Takes the path of the file; arguments are those of `CocoWriter`."""
        super().__init__(path, partial)

    def write(self, image: AnnotatedImage) -> None:  # type: ignore[override]
        """Adds the faces of an image."""
        for face in image.faces:
            super().write(json_line(image, face))


class CsvWriter(LineFile):
    """Writes a table."""

    BEFORE = 1  # the header's

    def __init__(
        self, path: Path, schema: str, root: Path, partial: bool = True, identity: bool = False,
        depth: bool = False, errors: bool = False,
    ):
        """Takes the path of the file; arguments are those of `CocoWriter` and `csv_line`."""
        super().__init__(path, partial)
        self._schema, self._identity = schema, identity
        self._depth, self._errors = depth, errors

    def __enter__(self) -> CsvWriter:
        super().__enter__()
        super().write(csv_header(self._schema, self._identity, self._depth, self._errors))
        return self

    def write(self, image: AnnotatedImage) -> None:  # type: ignore[override]
        """Adds the faces of an image."""
        for number, face in enumerate(image.faces):
            super().write(csv_line(image, face, number, self._identity, self._depth, self._errors))


@dataclass(frozen=True)
class OutputFormat:
    """A format that faces are written in.

    Attributes:
      name: its name in options.
      title: what it is for.
      place: the file or folder in a folder of outputs, `/` behind a folder.
      writer: makes a writer from a path, a schema and the root of the images.
      source: what reads it again, with `{}` for the path; options follow.
      upright: the option `upright` of the source if photos are stored turned; "" if the format
        tells it.
      refusal: says why it cannot hold the name of an image or a video; "" if it can.
      frames: whether it can hold the frames of a video.
      keeps: what it keeps beside points and box: of `visible`, `depth`, `identity`,
        `attributes`.
      has_images: whether the images are in it, so that the source does not name their folder.
    """

    name: str
    title: str
    place: str
    writer: Callable[..., Any]
    source: str
    upright: str = ""
    refusal: Callable[[str], str] = names.any_name
    frames: bool = False
    keeps: frozenset[str] = frozenset()
    has_images: bool = False

    def path(self, folder: Path) -> Path:
        """Where it is written in a folder of outputs."""
        return folder / self.place

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder of files."""
        return self.place.endswith("/")

    def open_whole(
        self, stack: ExitStack, path: Path, schema: str, root: Path, **options: Any
    ) -> Writer:
        """A writer whose file or folder appears when all is written, or not at all.

        Args:
          stack: closes it.
          schema, root, options: as for the writer.
        """
        if self.is_folder:
            path = stack.enter_context(folders.new_folder(path))
        else:
            options["partial"] = False
        writer: Writer = stack.enter_context(self.writer(path, schema, root, **options))
        return writer

    def recover(self, folder: Path) -> Path | None:
        """Completes what a killed command has left in a folder of outputs; see `LineFile`."""
        writer = self.writer
        if isinstance(writer, type) and issubclass(writer, LineFile):
            return writer.recover(self.path(folder))
        return None

    def beside(self, path: Path) -> Path:
        """Where it is written if JSON lines are written to `path`."""
        if self.name == "json":
            return path
        return path.with_name(f"{path.stem}_{self.place.rstrip('/')}" if self.is_folder
                              else f"{path.stem}.{self.place.removeprefix('faces.')}")

    def read_back(
        self, path: Path, schema: str, images: Path | None, turned: bool
    ) -> str | None:
        """The source that reads what was written; None if it cannot be named as one.

        Args:
          schema: the value of the source's option `schema`.
          images: the folder to which the names of images are relative; None for that of the file.
          turned: whether a photo is stored turned, so that a format that does not tell how its
            faces lie must be told.
        """
        if self.has_images:
            images = None
        if any(c in f"{path}{images}" for c in "?&"):  # they separate the options of a source
            return None
        options = [f"schema={schema}", *([] if images is None else [f"images={images}"]),
                   *([f"upright={self.upright}"] if turned and self.upright else [])]
        return f"{self.source.format(path)}?{'&'.join(options)}"


OUTPUTS = {
    output.name: output
    for output in (
        OutputFormat("json", "JSON lines", "faces.jsonl", JsonWriter, "json:{}", frames=True,
                     keeps=frozenset({"visible", "depth", "identity", "attributes"})),
        OutputFormat("csv", "a table", "faces.csv", CsvWriter, "csv:{}",
                     refusal=names.in_table, frames=True, keeps=frozenset({"identity"})),
        OutputFormat("pts", "iBUG files", "pts/", PtsWriter, "ibug:{}", upright="false",
                     refusal=names.in_folder_or_video, frames=True),
        OutputFormat("coco", "COCO keypoints", "coco.json", CocoWriter, "coco:{}", upright="true",
                     keeps=frozenset({"visible", "attributes"})),
        OutputFormat("cvat", "CVAT for images 1.1", "cvat/", CvatWriter, "cvat:{}/annotations.xml",
                     refusal=names.in_xml, keeps=frozenset({"visible"})),
        OutputFormat("labelme", "labelme's JSON", "labelme/", LabelmeWriter, "labelme:{}",
                     refusal=names.of_file),
        OutputFormat("yolo", "a YOLO-pose data set", "yolo/", YoloWriter, "yolo:{}/data.yaml",
                     refusal=names.in_folder, keeps=frozenset({"visible"}), has_images=True),
    )
}  # fmt: skip
