"""Which photos an int8 export is calibrated on: a manifest of paths and hashes that can be kept.

Only evaluation preprocessing is used: the crop that the model will see, never an augmented one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from efld_tf import files
from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord
from efld_tf.config import from_tree
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation import faces
from efld_tf.landmarks.geometry import CropRule

DEFAULT_FACES = 256


@dataclass(frozen=True)
class CalibrationImage:
    """One photo: its path below the source's folder, and the SHA-256 of the file."""

    image: str
    sha256: str


@dataclass(frozen=True)
class CalibrationManifest:
    """The photos of a calibration.

    Attributes:
      source: their `reader:path`; the annotation says where the face is.
      images: in the order in which they are used.
    """

    source: str
    images: list[CalibrationImage]


def choose(source: str, count: int | None = DEFAULT_FACES) -> CalibrationManifest:
    """Chooses photos of a source: `count` of them spread evenly by the hash of their path, or all.

    The same photos are chosen wherever the data set lies, whatever the order of files.

    Raises:
      EfldError: the source cannot be read, or has fewer than one photo.
    """
    base, records = _records(source)
    names = sorted({os.path.relpath(record.image, base) for record in records}, key=_order)
    chosen = names if count is None else names[:count]
    return CalibrationManifest(
        source, [CalibrationImage(name, files.sha256(base / name)) for name in chosen]
    )


def read_manifest(path: str | Path) -> CalibrationManifest:
    """Reads a calibration manifest.

    Raises:
      DataError: unreadable, or not of that form.
    """
    try:
        return from_tree(json.loads(Path(path).read_text(encoding="utf-8")), CalibrationManifest)
    except OSError as error:
        raise DataError(path, f"cannot read the manifest: {error.strerror}") from error
    except (ValueError, EfldError) as error:
        raise DataError(path, f"not a calibration manifest: {error}") from error


def write_manifest(path: str | Path, manifest: CalibrationManifest) -> None:
    """Writes a calibration manifest atomically."""
    files.write_json(path, asdict(manifest))


def load_faces(
    manifest: CalibrationManifest, rule: CropRule, size: int
) -> faces.EvaluationFaces:
    """The manifest's faces as the model sees them, in its order.

    Raises:
      DataError: a photo is missing, unreadable, or not the one that the manifest names.
      EfldError: the source cannot be read.
    """
    base, records = _records(manifest.source)
    if not manifest.images:
        raise EfldError("the calibration manifest names no image")
    known = {os.path.relpath(record.image, base) for record in records}
    order = {image.image: index for index, image in enumerate(manifest.images)}
    for image in manifest.images:
        path = base / image.image
        if image.image not in known:
            raise DataError(path, "named for calibration, but not in the source")
        if files.sha256(path) != image.sha256:
            raise DataError(path, "is not the file that the calibration manifest names")
    # Bad samples elsewhere in the source do not matter here: only named photos are read.
    found = faces.load(
        manifest.source, rule, size, on_error="skip", progress=False,
        keep=lambda record: os.path.relpath(record.image, base) in order,
    )
    for name in order.keys() - set(found.names):
        raise DataError(base / name, "named for calibration, but its face cannot be read")
    return found.ordered(sorted(range(len(found)), key=lambda index: order[found.names[index]]))


def _records(source: str) -> tuple[Path, Sequence[FaceRecord]]:
    if not source:
        raise EfldError("the model does not say what it was trained on: give a --calibration")
    annotations = sources.read(source, on_error="skip")
    path = annotations.source.path
    return (path if path.is_dir() else path.parent), annotations.records


def _order(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()
