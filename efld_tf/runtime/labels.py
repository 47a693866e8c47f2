"""Labels of photos that nobody annotated: what a model finds in them, as a source to train on.

The file is JSON lines, one face a line, as the reader `json` takes them. Where several views of a
face are asked for (`views.py`), the points are their mean, which is better than one view's, and
their spread says how far it can be trusted. The licence of the model's weights stands at every
face, and goes from there into what is trained on it.
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
from efld_tf.annotations import images, parsing, record
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

# In place of a model's file: MediaPipe's face mesh.
MESH = "mesh"

# Starting processes takes longer than so many photos.
FEWEST_SPREAD = 32


@dataclass(frozen=True)
class Labeller:
    """How photos are labelled; small, so that processes get it with their work.

    Attributes:
      model: what `LandmarkPredictor` loads, or `MESH`.
      convert: the schema to convert the points to; None for the model's own.
      detector: what `open_detector` opens.
      min_confidence: faces below it are left out.
      views: of each face; 1 is the photo as it is.
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
          EfldError: the model cannot be loaded, or its points not be converted.
        """
        schema = _models(self.model, self.detector)[0].schema
        found = schemas.get(schema)
        target = self.convert or schema
        found.convert(np.zeros((found.num_points, 2)), None, target)  # raises
        return target

    @property
    def has_confidence(self) -> bool:
        """Whether the model says how sure it is; errors as in `schema`."""
        return _models(self.model, self.detector)[0].has_confidence

    @property
    def license(self) -> str:
        """The licence of the model's weights, "" where it does not say; DataError if damaged."""
        return _license(self.model)

    def notes(self) -> list[str]:
        """What the user should know of the points."""
        own = schemas.get(_models(self.model, self.detector)[0].schema)
        how = own.conversions.get(self.convert or own.name)
        notes = [] if how is None else [f"{own.name} is converted to {self.convert}: {how.note}"]
        if self.license:
            notes.append(f"the model's licence, {self.license}, goes into what is trained on them")
        return notes


@dataclass(frozen=True)
class PhotoLabels:
    """The faces of one photo.

    Attributes:
      faces: their lines.
      below: number of faces below the confidence.
      error: why the photo could not be used.
    """

    faces: list[str] = field(default_factory=list)
    below: int = 0
    error: DataError | None = None


@dataclass(frozen=True)
class Summary:
    """What was written.

    Attributes:
      photos: number of photos looked at, without the unreadable ones.
      faces: written.
      empty: number of photos without a face, before the confidence counts.
      below: number of faces below the confidence.
      unreadable: one error each.
      source: what reads the labels.
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
      photos, root: of `inputs.expand`.
      workers: processes; None for one a core.

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
    done = bounded_map(functools.partial(label, labeller), work, workers, 3 * workers)
    bar = tqdm(done, total=len(work), desc="labelling", unit="photo", disable=not progress)
    faces = empty = below = 0
    unreadable = []
    with (
        atomic_path(output) as temporary,
        # A name that is not UTF-8 is written as JSON's escapes.
        open(temporary, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        for found in bar:
            if found.error is not None:
                unreadable.append(found.error)
                continue
            file.writelines(f"{face}\n" for face in found.faces)
            faces, below = faces + len(found.faces), below + found.below
            empty += not found.faces and not found.below
        if not faces:
            first = f"; the first: {unreadable[0]}" if unreadable else ""
            raise EfldError(
                f"no face to write: of {len(work)} photos {empty} show none, {below} faces are "
                f"below the confidence, {len(unreadable)} photos cannot be read{first}"
            )
    return Summary(
        len(work) - len(unreadable), faces, empty, below, unreadable, source, labeller.notes()
    )


def label(labeller: Labeller, photo: tuple[Path, str]) -> PhotoLabels:
    """The labels of one photo, given by its path and its name in the file."""
    path, name = photo
    predictor, landmarker = _models(labeller.model, labeller.detector)
    try:
        if parsing.relative_name(name, path) != name:
            raise DataError(path, "no source can have an image of that name: rename it")
        image = images.read_photo(path, upright=True)
    except DataError as error:
        return PhotoLabels(error=error)
    found = landmarker.find(image)
    spreads: Sequence[float | None] = [None] * len(found)
    if labeller.views > 1:
        found, spreads = views.mean(predictor, landmarker, image, found, labeller.views)
    lines = [
        _line(face, spread, labeller, name)
        for face, spread in zip(found, spreads, strict=True)
        if face.confidence >= labeller.min_confidence
    ]
    return PhotoLabels(lines, below=len(found) - len(lines))


def _line(face: Face, spread: float | None, labeller: Labeller, image: str) -> str:
    if labeller.convert is not None:
        points, _ = schemas.get(face.schema).convert(face.points, None, labeller.convert)
        face = replace(face, points=points, schema=labeller.convert)
    more: dict[str, str | float] = {}
    if spread is not None:
        more["spread_percent"] = round(spread, 3)
    if labeller.license:
        more[record.LICENSE] = labeller.license
    return tables.json_line(face, image, None, more)


@functools.cache
def _license(model: str) -> str:
    return mesh.LICENSE if model == MESH else model_license.read(runs.exported_model(model))


@functools.cache
def _models(model: str, detector: str) -> tuple[LandmarkPredictor, FaceLandmarker]:
    """What a process needs; loaded once."""
    predictor = mesh.MeshPredictor() if model == MESH else LandmarkPredictor(model)
    return predictor, FaceLandmarker(predictor, open_detector(detector), min_confidence=0)
