"""Labels photos that nobody annotated with the points of a model, as a source to train on.

The file holds JSON lines, one face a line, as the reader `json` takes them. If several views of a
face are asked for (`views.py`), the points are their mean, which is better than one view's, and
their spread says how far it can be trusted. The licence of the model's weights stands at every
face, from where it gets into models that are trained on it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from efld_tf import assets, runs
from efld_tf.annotations import image_paths, images, record
from efld_tf.errors import DataError, EfldError
from efld_tf.files import atomic_path
from efld_tf.landmarks import schemas
from efld_tf.parallel import bounded_map
from efld_tf.runtime import mesh, model_license, tables, views
from efld_tf.runtime.detector import open_detector
from efld_tf.runtime.faces import Face
from efld_tf.runtime.inputs import Photo
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

# Stands for MediaPipe's face mesh in place of a model's file.
MESH = "mesh"

# For fewer photos, starting processes takes longer than labelling them.
FEWEST_SPREAD = 32


@dataclass(frozen=True)
class Labeller:
    """How photos are labelled; it is small, so that processes can get it with their work.

    Attributes:
      model: what `LandmarkPredictor` loads, or `MESH`.
      convert: the schema to convert the points to; None for the model's own.
      detector: what `open_detector` opens.
      min_confidence: faces below it are left out.
      views: number of views of each face; 1 is the photo as it is.
    """

    model: str = str(assets.INT8_MODEL)
    convert: str | None = None
    detector: str = "both"
    min_confidence: float = 0.5
    views: int = 1

    @property
    def schema(self) -> str:
        """The schema of the labels.

        Raises:
          EfldError: the model cannot be loaded, or its points cannot be converted.
        """
        name = _models(self.model, self.detector)[0].schema
        schema = schemas.get(name)
        target = self.convert or name
        schema.convert(np.zeros((schema.num_points, 2)), None, target)  # raises
        return target

    @property
    def has_confidence(self) -> bool:
        """Whether the model says how sure it is; errors as in `schema`."""
        return _models(self.model, self.detector)[0].has_confidence

    @property
    def license(self) -> str:
        """The licence of the model's weights; "" if it does not tell.

        Raises:
          DataError: the model is damaged.
        """
        return _license(self.model)

    def notes(self) -> list[str]:
        """What the user should know of the points."""
        schema = schemas.get(_models(self.model, self.detector)[0].schema)
        conversion = schema.conversions.get(self.convert or schema.name)
        notes = []
        if conversion is not None:
            notes.append(f"{schema.name} is converted to {self.convert}: {conversion.note}")
        if self.license:
            notes.append(f"the model's licence, {self.license}, goes into what is trained on them")
        return notes


@dataclass(frozen=True)
class PhotoLabels:
    """The faces of one photo.

    Attributes:
      faces: a line for each face.
      below: number of faces below the confidence.
      error: why the photo could not be used; None if it could.
    """

    faces: list[str] = field(default_factory=list)
    below: int = 0
    error: DataError | None = None


@dataclass(frozen=True)
class Summary:
    """A summary of what was written.

    Attributes:
      photos: number of photos looked at, without the unreadable ones.
      faces: number of faces written.
      empty: number of photos without a face of any confidence.
      below: number of faces below the confidence.
      unreadable: an error for each photo that could not be read.
      source: the source that reads the labels.
      notes: what the user should know of the points.
    """

    photos: int
    faces: int
    empty: int
    below: int
    unreadable: list[DataError]
    source: str
    notes: list[str]


def write(
    labeller: Labeller,
    photos: Sequence[Photo],
    root: Path,
    output: Path,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Summary:
    """Labels photos and writes the file when all of them are done.

    Images are named relative to the folder of the file if they are below it; if not, relative to
    the photos' own root, which the source then names.

    Args:
      photos, root: the photos and the root that `inputs.expand` returned.
      workers: number of processes; None for one a core.

    Raises:
      EfldError: there is no photo, no face in any, or the model cannot be used; nothing is written.
      OSError: the file cannot be written.
    """
    if not photos:
        raise EfldError("no photo to label")
    if output.is_dir():
        raise EfldError(f"{output}: expected the name of a file, got a folder")
    source = f"json:{output}?schema={labeller.schema}"
    folder, below_folder = Path(os.path.realpath(output.parent)), Path()
    if root.is_relative_to(folder):
        below_folder = root.relative_to(folder)
    else:
        source += f"&images={root}"
    work = [(photo.path, (below_folder / photo.image).as_posix()) for photo in photos]
    workers = (workers or os.cpu_count() or 1) if len(work) >= FEWEST_SPREAD else 1
    results = bounded_map(functools.partial(label, labeller), work, workers, 3 * workers)
    bar = tqdm(results, total=len(work), desc="labelling", unit="photo", disable=not progress)
    faces = empty = below = 0
    unreadable = []
    with (
        atomic_path(output) as temporary,
        # A name that is not UTF-8 is written as JSON's escapes.
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for labels in bar:
            if labels.error is not None:
                unreadable.append(labels.error)
                continue
            file.writelines(f"{face}\n" for face in labels.faces)
            faces, below = faces + len(labels.faces), below + labels.below
            empty += not labels.faces and not labels.below
        if not faces:
            example = f"; the first: {unreadable[0]}" if unreadable else ""
            raise EfldError(
                f"no face to write: of {len(work)} photos {empty} show none, {below} faces are "
                f"below the confidence, {len(unreadable)} photos cannot be read{example}"
            )
    return Summary(
        len(work) - len(unreadable), faces, empty, below, unreadable, source, labeller.notes()
    )


def label(labeller: Labeller, photo: tuple[Path, str]) -> PhotoLabels:
    """The labels of one photo, given by its path and its name in the file."""
    path, name = photo
    predictor, landmarker = _models(labeller.model, labeller.detector)
    try:
        if image_paths.relative_name(name, path) != name:
            raise DataError(path, "no source can have an image of that name: rename it")
        image = images.read_photo(path, upright=True)
    except DataError as error:
        return PhotoLabels(error=error)
    faces = landmarker.find(image)
    spreads: Sequence[float | None] = [None] * len(faces)
    if labeller.views > 1:
        faces, spreads = views.mean(predictor, landmarker, image, faces, labeller.views)
    lines = [
        _line(face, spread, labeller, name)
        for face, spread in zip(faces, spreads, strict=True)
        if face.confidence >= labeller.min_confidence
    ]
    return PhotoLabels(lines, below=len(faces) - len(lines))


def _line(face: Face, spread: float | None, labeller: Labeller, image: str) -> str:
    if labeller.convert is not None:
        points, _ = schemas.get(face.schema).convert(face.points, None, labeller.convert)
        face = replace(face, points=points, schema=labeller.convert)
    extra_attributes: dict[str, str | float] = {}
    if spread is not None:
        extra_attributes["spread_percent"] = round(spread, 3)
    if labeller.license:
        extra_attributes[record.LICENSE] = labeller.license
    return tables.json_line(face, image, None, extra_attributes)


@functools.cache
def _license(model: str) -> str:
    return mesh.LICENSE if model == MESH else model_license.read(runs.exported_model(model))


@functools.cache
def _models(model: str, detector: str) -> tuple[LandmarkPredictor, FaceLandmarker]:
    """The models that a process needs, loaded once."""
    predictor = mesh.MeshPredictor() if model == MESH else LandmarkPredictor(model)
    return predictor, FaceLandmarker(predictor, open_detector(detector), min_confidence=0)
