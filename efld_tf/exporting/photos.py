"""Plain photos to calibrate on: their faces are found and cropped as `efld-predict` does.

The model in float looks at each face as the exported one will (`runtime.landmarker`), and the crop
of its last look, in which the points are found, calibrates. A manifest names the photos; the same
weights find the same faces in them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf import files
from efld_tf.annotations import image_paths, images, parsing
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation.faces import EvaluationFaces
from efld_tf.exporting.calibration import (
    DEFAULT_FACES,
    Calibration,
    CalibrationImage,
    CalibrationManifest,
    PhotoCounts,
    order,
)
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.progress import Progress
from efld_tf.runtime import inputs
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.landmarker import FaceLandmarker

# Stands for the reader in the source of a manifest; the rest is the folder of the photos.
SOURCE = "photos:"
# Nothing tells what an export loses on photos without annotation. On 32 faces it loses up to three
# quarters of a point of NME, on 8 more than two (benchmarks/export).
FEWEST_FACES = 32


@dataclass(frozen=True)
class _Photo:
    """A photo: its path, and its path below the folder of all."""

    path: Path
    name: str


@dataclass(frozen=True, eq=False)
class _Face:
    """A face that was found: its photo, the square of the model's last look, and its pixels."""

    photo: _Photo
    crop: Crop
    pixels: np.ndarray


def load(
    trained: TrainedModel, names: Sequence[str], *, progress: bool = False
) -> Calibration:
    """Finds up to `DEFAULT_FACES` faces in photos, in an order that their names alone decide.

    Args:
      names: photos, folders and patterns, as `inputs.expand` takes them.
      progress: whether to show how far it is.

    Raises:
      EfldError: a name stands for nothing, or there are fewer than `FEWEST_FACES` faces.
    """
    found = inputs.expand(names)
    photos = [_Photo(item.path, item.image) for item in found.items
              if isinstance(item, inputs.Photo)]
    others = [f"{item.image}: no photo" for item in found.items
              if not isinstance(item, inputs.Photo)]
    photos.sort(key=lambda photo: order(photo.name))
    skipped = [*map(str, found.errors), *others]
    source = SOURCE + _as_named(names, found.root)
    return _calibration(trained, source, photos, skipped, strict=False, progress=progress)


def _as_named(names: Sequence[str], root: Path) -> str:
    """The folder of all photos, relative where the names are."""
    if len(names) == 1 and os.path.isdir(names[0]):
        return names[0]
    return str(root) if any(map(os.path.isabs, names)) else os.path.relpath(root)


def load_again(
    trained: TrainedModel, manifest: CalibrationManifest, *, progress: bool = False
) -> Calibration:
    """Finds the faces in the photos of a manifest.

    Raises:
      DataError: a photo is missing, unreadable, or not the one that the manifest names.
      EfldError: there are fewer than `FEWEST_FACES` faces.
    """
    root = Path(manifest.source.removeprefix(SOURCE))
    photos = []
    for image in manifest.images:
        photo = _Photo(root / image_paths.relative_name(image.image, root), image.image)
        try:
            parsing.check_file(photo.path)
            same = files.sha256(photo.path) == image.sha256
        except OSError as error:
            raise DataError(
                photo.path, f"named for calibration, but cannot be read: {error.strerror}"
            ) from error
        if not same:
            raise DataError(photo.path, "is not the file that the calibration manifest names")
        photos.append(photo)
    return _calibration(trained, manifest.source, photos, [], strict=True, progress=progress)


def _calibration(
    trained: TrainedModel, source: str, photos: Sequence[_Photo], skipped: list[str], *,
    strict: bool, progress: bool,
) -> Calibration:  # fmt: skip
    """The faces of photos; those that cannot be read are an error (`strict`) or skipped."""
    trained.crop_rule.need_scale(f"calibration {source}, on photos without annotation")
    landmarker = FaceLandmarker(FloatPredictor(trained), open_detector())
    found: list[_Face] = []
    looked_at = without_face = not_needed = 0
    with Progress("finding faces", len(photos), "photo", shown=progress) as bar:
        for photo in bar.over(photos):
            if len(found) >= DEFAULT_FACES:
                not_needed += 1
                continue
            try:
                faces = _found(landmarker, photo)
            except DataError as error:
                if strict:
                    raise
                skipped.append(str(error))
                continue
            looked_at += 1
            without_face += not faces
            found += faces[: DEFAULT_FACES - len(found)]
    counts = PhotoCounts(looked_at, without_face, not_needed, skipped)
    if len(found) < FEWEST_FACES:
        example = f"; the first: {skipped[0]}" if skipped else ""
        raise EfldError(
            f"calibration {source}: expected {FEWEST_FACES} faces or more, found {len(found)} "
            f"(photos: {looked_at}, without a face: {without_face}, skipped: "
            f"{len(skipped)}{example})")
    used = dict.fromkeys(face.photo for face in found)
    manifest = CalibrationManifest(
        source, [CalibrationImage(photo.name, files.sha256(photo.path)) for photo in used])
    return Calibration(manifest, _as_faces(trained, source, found, skipped), counts)


def _found(landmarker: FaceLandmarker, photo: _Photo) -> list[_Face]:
    """The faces of a photo.

    Raises:
      DataError: the photo cannot be read, or no manifest can have its name.
    """
    if image_paths.relative_name(photo.name, photo.path) != photo.name:
        raise DataError(photo.path, "no manifest can have a photo of that name: rename it")
    image = images.read_photo(photo.path, upright=True)
    size = landmarker.predictor.input_size
    return [_Face(photo, found.crop, extract_crop(image, found.crop, size))
            for found in landmarker.find_in_crops(image)]


def _as_faces(
    trained: TrainedModel, source: str, found: Sequence[_Face], skipped: list[str]
) -> EvaluationFaces:
    """The faces as those of a source without annotations."""
    places = [face.photo.name for face in found]
    names = [f"{place}#{places[:index].count(place)}" for index, place in enumerate(places)]

    def view(index: int, square: Crop, side: int) -> np.ndarray:
        face = found[index]
        image = images.read_photo(face.photo.path, upright=True)
        return extract_crop(image, face.crop.within(square), side)

    return EvaluationFaces(
        source=source,
        schema=trained.head,
        crop_rule=trained.crop_rule,
        crop_rule_from="model",
        crops=np.stack([face.pixels for face in found]),
        points=np.full((len(found), schemas.get(trained.head).num_points, 2), np.nan, np.float32),
        sides=np.array([face.crop.sides for face in found]),
        names=names,
        people=names,
        attributes=[{} for _ in found],
        skipped=skipped,
        view=view,
        reach=np.inf,
    )
