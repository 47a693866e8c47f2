"""The faces that an int8 export is calibrated on: a manifest of keys and hashes that can be kept.

Only evaluation preprocessing is used: the crop that the model will see, never an augmented one.
"""

from __future__ import annotations

import functools
import hashlib
import os
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from efld_tf import files
from efld_tf.annotations import json_values, sources
from efld_tf.annotations.listing import IMAGE_SUFFIXES
from efld_tf.annotations.record import FaceRecord
from efld_tf.data import splits
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation import faces
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models.checkpoint import HeadSpec
from efld_tf.runtime import inputs
from efld_tf.trees import from_tree

DEFAULT_FACES = 1000
# Fewer faces cost accuracy (benchmarks/export).
ENOUGH_FACES = 500
_ALL, _INTEGER = "all", r"[+-]?[0-9]+"


@dataclass(frozen=True)
class CalibrationImage:
    """One face: its key in the source, in most sources the photo's path, and the file's SHA-256.

    Of plain photos, it is a photo, with all faces that are found in it.
    """

    image: str
    sha256: str


@dataclass(frozen=True)
class CalibrationManifest:
    """The faces of a calibration.

    Attributes:
      source: their `reader:path`, where the annotation says where the face is; or, of plain photos,
        `photos:FOLDER`, see `photos`.
      images: the faces in the order in which they are used.
    """

    source: str
    images: list[CalibrationImage]


@dataclass(frozen=True)
class PhotoCounts:
    """What came of the photos of a calibration.

    Attributes:
      looked_at: number of photos in which faces were looked for.
      without_face: number of those that show none.
      not_needed: number of photos that were left, because `DEFAULT_FACES` had been found.
      skipped: a line for each photo that cannot be read, and for each input that is no photo.
    """

    looked_at: int
    without_face: int
    not_needed: int
    skipped: list[str]


@dataclass(frozen=True, eq=False)
class Calibration:
    """The faces of a calibration, loaded.

    Attributes:
      manifest: the manifest of exactly these faces.
      faces: the faces; those of plain photos have no annotation.
      photos: for plain photos, how many were looked at and what was not found, see
        `PhotoCounts`; None for annotated faces.
    """

    manifest: CalibrationManifest
    faces: faces.EvaluationFaces
    photos: PhotoCounts | None = None


# The ways to name calibration faces: those that `resolved` takes, and those of `photo_names`.
PhotoNames = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
CalibrationChoice = Calibration | CalibrationManifest | PhotoNames | int | None


def choose(
    source: str,
    count: int | None = DEFAULT_FACES,
    *,
    validation_fraction: float = 0.0,
    excluded: Collection[str] = (),
) -> CalibrationManifest:
    """Chooses faces of a source: `count` of them spread evenly by the hash of their key, or all.

    The same faces are chosen wherever the data set lies, whatever the order of files.

    Args:
      validation_fraction: the share of faces that was held out of training; they are left out.
      excluded: the keys of faces that training did not use at all; they are left out.

    Raises:
      EfldError: the source cannot be read, or no face is left.
    """
    excluded = frozenset(excluded)
    records = [
        record for record in sorted(_records(source), key=lambda record: order(record.key))
        if record.key not in excluded and not splits.in_validation(record, validation_fraction)
    ][:count]
    if not records:
        raise EfldError(f"source {source}: no face of it was trained on")
    sha256 = functools.cache(files.sha256)  # a video or a .mat file holds many faces
    return CalibrationManifest(
        source, [CalibrationImage(record.key, sha256(record.image)) for record in records]
    )


def of_training(head: HeadSpec, count: int | None = DEFAULT_FACES) -> CalibrationManifest:
    """Chooses `count` of the faces that a head was trained on, or all; errors as in `choose`."""
    try:
        return choose(head.source, count, excluded=head.excluded,
                      validation_fraction=head.validation_fraction)
    except EfldError as error:
        raise EfldError(
            f"the faces of the training, by paths that start where it ran: {error}; photos of "
            "faces of your own do as well: --calibration FOLDER") from error


def photo_names(choice: CalibrationChoice) -> list[str] | None:
    """The photos, folders and patterns that a choice names; None if it is of another kind.

    Raises:
      EfldError: of several names, one is of another kind.
    """
    if isinstance(choice, list | tuple):
        names = [os.fspath(name) if isinstance(name, os.PathLike) else str(name) for name in choice]
        for name in names:
            if not _names_photos(name):
                raise EfldError(f"calibration {name}: expected a photo, a folder or a pattern; "
                                "nothing else can be one of several")
        return names
    if not isinstance(choice, str | os.PathLike):
        return None
    name = os.fspath(choice)
    return [name] if _names_photos(name) else None


def _names_photos(name: str) -> bool:
    if name == _ALL or re.fullmatch(_INTEGER, name):
        return False
    if os.path.exists(name):
        return os.path.isdir(name) or name.lower().endswith(IMAGE_SUFFIXES)
    return ":" not in name and inputs.is_pattern(name)


def resolved(choice: CalibrationChoice, head: HeadSpec) -> tuple[CalibrationManifest, bool]:
    """The chosen faces, and whether all of them have to be readable.

    Args:
      choice: a manifest or the path of one, a number of the head's training faces, or, as text,
        that number, `all` of them, or the `reader:path` of another source, of which
        `DEFAULT_FACES` are taken; None for so many of the head's.
      head: the head to calibrate.

    Raises:
      EfldError: the choice is none of these, or the source cannot be read.
    """
    if isinstance(choice, CalibrationManifest):
        return choice, True
    text = str(DEFAULT_FACES if choice is None else choice)
    if text == _ALL:
        return of_training(head, None), False
    if re.fullmatch(r"0*[1-9][0-9]{0,9}", text):
        return of_training(head, int(text)), False
    if re.fullmatch(_INTEGER, text):
        raise EfldError(f"calibration {text}: expected a number of faces from 1 on")
    if ":" in text and not Path(text).exists():
        return choose(text), True
    if not Path(text).exists() and not text.endswith(".json"):
        raise EfldError(
            f"calibration {text}: there is no such file or folder; expected photos, a manifest "
            f"(.json), READER:PATH, a number of faces or '{_ALL}'")
    return read_manifest(text), True


def read_manifest(path: str | Path) -> CalibrationManifest:
    """Reads a calibration manifest.

    Raises:
      DataError: the file is unreadable, or has another form.
    """
    tree = json_values.load(Path(path))
    try:
        return from_tree(tree, CalibrationManifest)
    except EfldError as error:
        raise DataError(path, f"not a calibration manifest: {error}") from error


def used(manifest: CalibrationManifest, loaded_faces: faces.EvaluationFaces) -> CalibrationManifest:
    """The manifest reduced to the faces that were loaded."""
    names = {*loaded_faces.names}
    return replace(manifest, images=[i for i in manifest.images if i.image in names])


def write_manifest(path: str | Path, manifest: CalibrationManifest) -> None:
    """Writes a calibration manifest atomically."""
    files.write_json(path, asdict(manifest))


def load_faces(
    manifest: CalibrationManifest, rule: CropRule, size: int, *, strict: bool = True,
    progress: bool = False,
) -> faces.EvaluationFaces:  # fmt: skip
    """Loads the manifest's faces as the model sees them, in its order.

    Args:
      strict: whether all of them must be readable; if not, unreadable ones are left out.
      progress: whether to show how far it is.

    Raises:
      DataError: a photo is missing, unreadable, or not the one that the manifest names.
      EfldError: the source cannot be read.
    """
    records = {record.key: record for record in _records(manifest.source)}
    if not manifest.images:
        raise EfldError("the calibration manifest names no image")
    places = {image.image: index for index, image in enumerate(manifest.images)}
    sha256 = functools.cache(files.sha256)
    for image in manifest.images:
        if image.image not in records:
            raise DataError(image.image, "named for calibration, but not in the source")
        path = records[image.image].image
        if sha256(path) != image.sha256:
            raise DataError(path, "is not the file that the calibration manifest names")
    # Bad samples elsewhere in the source do not matter here: only named photos are read.
    loaded_faces = faces.load(
        manifest.source, rule, size, on_error="skip", progress=progress, measured=False,
        keep=lambda record: record.key in places,
    )
    for name in sorted(places.keys() - set(loaded_faces.names)) if strict else ():
        raise DataError(records[name].image, "named for calibration, but it cannot be read")
    return loaded_faces.ordered(
        sorted(range(len(loaded_faces)), key=lambda index: places[loaded_faces.names[index]]))


def _records(source: str) -> list[FaceRecord]:
    if not source:
        raise EfldError("the model does not say what it was trained on: give a --calibration")
    return sources.read(source, on_error="skip").records


def order(name: str) -> bytes:
    """The key by which faces and photos are put in an order that their names alone decide."""
    return hashlib.sha256(name.encode(errors="surrogateescape")).digest()
