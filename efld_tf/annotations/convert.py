"""Converts the annotations of a source to a format of another program."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from efld_tf.annotations import listing, sources
from efld_tf.annotations.header import read_header
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.writing import annotated
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.annotations.writing.folders import outside_notes, points_outside
from efld_tf.annotations.writing.formats import OUTPUTS, OutputFormat
from efld_tf.errors import DataError, EfldError
from efld_tf.progress import Progress
from efld_tf.text import counted

# The formats that hold pixels without the size of the image.
OWN_PIXELS = ("json", "csv", "pts")
# The readers that search a folder and its sub-folders for files of a format.
SEARCHERS = {"pts": ("300w", "ibug", "ivsfd", "menpo"), "labelme": ("labelme",)}


@dataclass(frozen=True)
class Summary:
    """What was converted.

    Attributes:
      faces, images: how many were written.
      skipped: the errors that were passed over.
      notes: what the user should know, such as what the format cannot keep.
      source: the source that reads the output; None if it cannot be named as one.
    """

    faces: int
    images: int
    skipped: list[DataError]
    notes: list[str]
    source: str | None


def convert(
    source: str, output: str | Path, to: str, *, on_error: str = "stop", force: bool = False,
    progress: bool = True,
) -> Summary:  # fmt: skip
    """Writes the faces of a source in another format, whole or not at all.

    Args:
      source: `READER:PATH?option=value`.
      output: the file or, for formats of many files, the new folder.
      to: one of `OUTPUTS`.
      on_error: `stop` or `skip`, as in `sources.read`.
      force: whether to replace a file that is there.
      progress: whether to show how far it is.

    Raises:
      EfldError: the source cannot be read, the output is there already, or the format cannot hold
        the faces.
      DataError: an annotation is bad, with `on_error="stop"`.
    """
    if to not in OUTPUTS:
        raise EfldError(f"--to: expected one of {', '.join(OUTPUTS)}, got {to!r}")
    output, form = Path(output), OUTPUTS[to]
    check_free(output, form, force)
    _check_apart(output, form, sources.parse(source))
    found = sources.read(source, on_error, progress=progress)
    frame = next((record for record in found.records if record.frame is not None), None)
    if frame is not None and not form.frames:
        able = ", ".join(name for name, other in OUTPUTS.items() if other.frames)
        raise EfldError(f"{frame.image}: images in another file cannot be named in {to}, but in "
                        f"{able}")
    root = Path(os.path.commonpath({os.path.abspath(r.image.parent) for r in found.records}))
    images = list(_images(found.records, root))
    options: dict[str, Any] = {}
    if to == "csv":
        options["identity"] = any(face.identity is not None
                                  for image in images for face in image.faces)
    written: list[AnnotatedImage] = []
    refused: list[DataError] = []
    with (
        ExitStack() as stack,
        Progress(f"writing {to}", len(images), "image", shown=progress) as bar,
    ):
        writer = form.open_whole(stack, output, found.schema, root, **options)
        for image in bar.over(images):
            if form.name == "pts" and on_error == "skip":
                image, partial = _of_all_points(image, root)
                refused += partial
                if not image.faces:
                    continue
            try:
                _check(image, root, form)
                writer.write(image)
                written.append(image)
            except DataError as error:
                refused.append(error)
                if on_error == "stop":
                    raise
        if not written:
            raise refused[0]
        check_free(output, form, force)  # it may have appeared meanwhile
    schema = found.source.options.get("convert") or found.source.options.get("schema")
    turned = any(image.header is not None and image.header.orientation != 1 for image in written)
    return Summary(
        sum(len(image.faces) for image in written), len(written), [*found.skipped, *refused],
        [*found.notes, *lost(written, form)],
        form.read_back(output, schema or found.schema, root, turned))


def _check_apart(output: Path, form: OutputFormat, source: sources.Source) -> None:
    """Checks that the source's reader will not find the output among its own files."""
    folder = os.path.realpath(source.path)
    if source.reader in SEARCHERS.get(form.name, ()) and os.path.isdir(folder) \
            and Path(os.path.realpath(output)).is_relative_to(folder):
        raise EfldError(f"{output} is in {source.path}, so that {source.reader} would read its "
                        "files, too: choose a folder outside of it")


def _check(image: AnnotatedImage, root: Path, form: OutputFormat) -> None:
    """Checks that a format can hold an image.

    Raises:
      DataError: it cannot hold its name, or needs its size, which cannot be read.
    """
    if reason := form.refusal(image.name):
        raise DataError(root / image.name, f"{form.name}: {reason}")
    turns = form.name == "pts" and image.upright
    if image.size is None and image.frame is None and (form.name not in OWN_PIXELS or turns):
        raise DataError(root / image.name, f"its size cannot be read, which {form.name} needs")


def _of_all_points(
    image: AnnotatedImage, root: Path
) -> tuple[AnnotatedImage, list[DataError]]:
    """An image without the faces that lack a point, and an error for each of these."""
    errors = [DataError(root / image.name, f"face {number}: a point is not annotated, which .pts "
                                           "cannot say")
              for number, face in enumerate(image.faces) if not face.present.all()]
    return replace(image, faces=[face for face in image.faces if face.present.all()]), errors


def check_free(output: Path, form: OutputFormat, force: bool = False) -> None:
    """Checks that nothing will be replaced, before the work and again before the output appears.

    Raises:
      EfldError: the file is there, without `force`, or the folder, even with it; or a link, or what
        is neither a file nor a folder, which would be replaced themselves.
    """
    if output.is_symlink():
        raise EfldError(f"{output} is a link and would be replaced: name what it leads to")
    if form.is_folder and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise EfldError(f"{output} is there already: choose another folder, or delete it")
    if not form.is_folder and output.is_dir():
        raise EfldError(f"{output}: expected the name of a file, got a folder")
    if not form.is_folder and output.exists() and not output.is_file():
        raise EfldError(f"{output}: expected the name of a file, got a pipe or a device")
    if not form.is_folder and output.exists() and not force:
        raise EfldError(f"{output} is there already: choose another name, or give --force to "
                        "replace it")


def lost(images: Sequence[AnnotatedImage], form: OutputFormat) -> list[str]:
    """Notes on what a format does not keep of faces that have it."""
    faces = [face for image in images for face in image.faces]
    licenses = sorted({licence for image in images for licence in annotated.licence_of(image)})
    count = {
        "visible": ("which points are occluded",
                    sum(face.visible is not None for face in faces)),
        "depth": ("the points' depth", sum(face.depth is not None for face in faces)),
        "identity": ("the person, so that a split may have one on both sides",
                     sum(face.identity is not None for face in faces)),
    }
    notes = [f"{form.name} does not keep {meaning}: {counted(number, 'face')}"
             for name, (meaning, number) in count.items() if number and name not in form.keeps]
    if form.name == "yolo":
        notes += outside_notes(sum(map(points_outside, images)))
    if licenses and "attributes" not in form.keeps:
        notes.append(f"{form.name} does not keep the licence of the model that made the points, "
                     f"{', '.join(licenses)}: it goes into what is trained on them")
    return notes


def _images(records: Sequence[FaceRecord], root: Path) -> Iterator[AnnotatedImage]:
    """The images of records with all of their faces, in the order of the first ones."""
    by_image: dict[tuple[Path, int | None], list[FaceRecord]] = {}
    for record in records:
        by_image.setdefault((record.image, record.frame), []).append(record)
    names = [Path(os.path.relpath(image, root)).as_posix() for image, _ in by_image]
    own = _own_identities(records)
    files = [*dict.fromkeys(names)]  # the frames of a video share one
    stems = dict(zip(files, listing.distinct_names(files), strict=True))
    for name, ((image, _), faces) in zip(names, by_image.items(), strict=True):
        yield _image(image, name, stems[name], faces, own)


def _own_identities(records: Sequence[FaceRecord]) -> set[str]:
    """The identities that are the name of an image or a video, and of no other one.

    A reader gives one to faces of which nothing else is known: a path relative to the source, with
    or without a suffix. The image's name in the output says the same.
    """
    owners: dict[str, set[Path]] = {}
    for record in records:
        if record.identity is not None:
            owners.setdefault(record.identity, set()).add(record.image)
    return {identity for identity, images in owners.items() if len(images) == 1
            and any(_ends_with(path, identity) for image in images
                    for path in (image, image.with_suffix("")))}


def _ends_with(path: Path, name: str) -> bool:
    parts = PurePosixPath(name).parts
    return bool(parts) and path.absolute().parts[-len(parts):] == parts


def _image(
    path: Path, name: str, stem: str, records: Sequence[FaceRecord], own: Collection[str]
) -> AnnotatedImage:
    """An image with its faces, all as it is shown, or all as it is stored, as the first one is.

    Args:
      own: the identities that say no more than the image's name.

    Raises:
      DataError: the faces differ in that, and the image cannot be read.
    """
    frame, upright = records[0].frame, bool(records[0].upright)
    header = read_header(path) if frame is None else None
    if header is None and frame is None and any(bool(r.upright) != upright for r in records):
        raise DataError(path, "its orientation cannot be read, by which some of its faces are "
                              "turned and some not")
    faces: list[AnnotatedFace] = []
    for record in records:
        face = annotated.face_of(record)
        face = replace(face, identity=None) if face.identity in own else face
        alone = AnnotatedImage(name, stem, [face], header,
                               upright=bool(record.upright), frame=frame)
        faces += alone.turned(upright).faces
    return AnnotatedImage(name, stem if frame is None else f"{name}/{frame:06d}", faces, header,
                          upright=upright, frame=frame)
