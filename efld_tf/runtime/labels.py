"""Labels photos that nobody annotated with the points of models, as a source to train on.

The file holds JSON lines, one face a line, as the reader `json` takes them. If several views of a
face or several models are asked for (`views.py`), the points are their mean, which is better than
one view's, and their spread says how far it can be trusted. The licences of the models' weights
stand at every face, from where they get into models that are trained on it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from efld_tf import assets, licenses, runs
from efld_tf.annotations import image_paths, images, listing, record
from efld_tf.annotations.convert import check_free
from efld_tf.annotations.header import Header, read_header
from efld_tf.annotations.writing.annotated import AnnotatedFace, AnnotatedImage
from efld_tf.annotations.writing.folders import outside_notes, points_outside
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.parallel import bounded_map
from efld_tf.progress import Progress
from efld_tf.runtime import attention_mesh, mesh, model_license, views
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.faces import Face
from efld_tf.runtime.inputs import Photo
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

# MediaPipe's meshes by the names that stand for them in place of a model's file, and the licence of
# their points.
MESHES: dict[str, tuple[Callable[[], LandmarkPredictor], str]] = {
    "mesh": (mesh.MeshPredictor, mesh.LICENSE),
    "attention_mesh": (attention_mesh.AttentionMeshPredictor, attention_mesh.LICENSE),
}

# For fewer photos, starting processes takes longer than labelling them.
FEWEST_SPREAD = 32


@dataclass(frozen=True)
class Labeller:
    """How photos are labelled; it is small, so that processes can get it with their work.

    Attributes:
      models: what `LandmarkPredictor` loads, or of `MESHES`; the first one finds the faces.
      convert: the schema to convert the points to; None for the first model's own.
      detector: what `open_detector` opens.
      min_confidence: faces below it are left out.
      views: number of views of each face; 1 is the photo as it is.
      max_spread: faces are left out on whose points views or models disagree by more, in percent of
        what errors are divided by.
    """

    models: tuple[str, ...] = (str(assets.INT8_MODEL),)
    convert: str | None = None
    detector: str = "both"
    min_confidence: float = 0.5
    views: int = 1
    max_spread: float = np.inf

    @property
    def landmarkers(self) -> list[FaceLandmarker]:
        """The models, of which the first one has the detector; each is loaded once a process.

        Raises:
          EfldError: one cannot be loaded.
        """
        first, *others = self.models
        return [_landmarker(first, self.detector), *(_landmarker(one) for one in others)]

    @property
    def schema(self) -> str:
        """The schema of the labels.

        Raises:
          EfldError: a model cannot be loaded, or its points cannot be converted.
        """
        target = self.convert or self.landmarkers[0].schema
        for landmarker in self.landmarkers:
            schema = schemas.get(landmarker.schema)
            schema.convert(np.zeros((schema.num_points, 2)), None, target)  # raises
        return target

    @property
    def license(self) -> str:
        """The licences of the models' weights; "" if none is stated.

        Raises:
          DataError: a model is damaged.
        """
        first, *others = self.models
        return functools.reduce(
            lambda known, model: licenses.combined(known, _license(model), "also labelled by"),
            others, _license(first))

    def notes(self) -> list[str]:
        """What the user should know of the points."""
        target, notes = self.schema, []
        for schema in dict.fromkeys(landmarker.schema for landmarker in self.landmarkers):
            conversion = schemas.get(schema).conversions.get(target)
            if conversion is not None:
                notes.append(f"{schema} is converted to {target}: {conversion.note}")
        if self.license:
            notes.append(f"the licence, {self.license}, goes into what is trained on them")
        return notes


@dataclass(frozen=True)
class PhotoLabels:
    """The faces of one photo.

    Attributes:
      image: the photo with its faces; None if it could not be used.
      below: number of faces below the confidence.
      apart: number of others on which views or models disagree.
      error: why the photo could not be used; None if it could.
    """

    image: AnnotatedImage | None = None
    below: int = 0
    apart: int = 0
    error: DataError | None = None


@dataclass(frozen=True)
class Summary:
    """A summary of what was written.

    Attributes:
      photos: number of photos looked at, without the unreadable ones.
      faces: number of faces written.
      empty: number of photos without a face of any confidence.
      below: number of faces below the confidence.
      apart: number of others on which views or models disagree.
      unreadable: an error for each photo that could not be read.
      sources: the sources that read what was written; those that can be named.
      notes: what the user should know of the points.
    """

    photos: int
    faces: int
    empty: int
    below: int
    apart: int
    unreadable: list[DataError]
    sources: list[str]
    notes: list[str]


def write(
    labeller: Labeller,
    photos: Sequence[Photo],
    root: Path,
    output: Path,
    *,
    save: Sequence[str] = ("json",),
    workers: int | None = None,
    force: bool = False,
    progress: bool = True,
) -> Summary:
    """Labels photos and writes the file when all of them are done.

    Images are named relative to the folder of the file if they are below it; if not, relative to
    the photos' own root, which the source then names.

    Args:
      photos, root: the photos and the root that `inputs.expand` returned.
      output: the file of JSON lines; other formats are written beside it.
      save: the formats, of `OUTPUTS`.
      workers: number of processes; None for one a core.
      force: whether to replace files that are there.
      progress: whether to show how far it is.

    Raises:
      EfldError: there is no photo, no face in any, the model cannot be used, an output is there
        already, or two are the same; nothing is written.
      OSError: the file cannot be written.
    """
    if not photos:
        raise EfldError("no photo to label")
    check_outputs(output, save, force)
    folder = Path(os.path.realpath(output.parent))
    below_folder = root.relative_to(folder) if root.is_relative_to(folder) else None
    work, unreadable = _named(photos, below_folder or Path(), save)
    image_root = root if below_folder is None else folder
    workers = (workers or os.cpu_count() or 1) if len(work) >= FEWEST_SPREAD else 1
    results = bounded_map(functools.partial(label, labeller), work, workers, 3 * workers)
    faces = empty = below = apart = outside = 0
    turned = False
    with ExitStack() as stack, Progress("labelling", len(work), "photo", shown=progress) as bar:
        # The formats that may refuse an image come first, so that the others do not have it.
        writers = [OUTPUTS[name].open_whole(stack, OUTPUTS[name].beside(output), labeller.schema,
                                            image_root)
                   for name in sorted(save, key=lambda name: (name != "yolo", name != "pts"))]
        for labels in bar.over(results):
            if labels.image is None:
                unreadable += [] if labels.error is None else [labels.error]
                continue
            try:
                for writer in writers:
                    writer.write(labels.image)
            except EfldError as error:  # of a name that is too much like another one
                unreadable.append(error if isinstance(error, DataError) else
                                  DataError(image_root / labels.image.name, str(error)))
                continue
            found = len(labels.image.faces)
            faces, below, apart = faces + found, below + labels.below, apart + labels.apart
            empty += not found and not labels.below and not labels.apart
            outside += points_outside(labels.image) if "yolo" in save else 0
            header = labels.image.header
            turned |= header is not None and header.orientation != 1
        if not faces:
            raise _no_face(len(photos), empty, below, apart, unreadable)
        check_outputs(output, save, force)  # they may have appeared meanwhile
    sources = [OUTPUTS[name].read_back(OUTPUTS[name].beside(output), labeller.schema,
                                       None if below_folder is not None and name == "json"
                                       else image_root, turned) for name in save]
    return Summary(len(photos) - len(unreadable), faces, empty, below, apart, unreadable,
                   [source for source in sources if source is not None],
                   [*labeller.notes(), *outside_notes(outside)])


def _no_face(
    photos: int, empty: int, below: int, apart: int, unreadable: Sequence[DataError]
) -> EfldError:
    example = f"; the first: {unreadable[0]}" if unreadable else ""
    return EfldError(
        f"no face to write: of {photos} photos {empty} show none, {below} faces are below the "
        f"confidence, of {apart} the points disagree, {len(unreadable)} photos cannot be read"
        f"{example}"
    )


def check_outputs(output: Path, save: Sequence[str], force: bool) -> None:
    """Checks that no output replaces another one, or what is there.

    Args:
      output, save, force: as for `write`.

    Raises:
      EfldError: one does.
    """
    names: dict[str, str] = {}
    for name in save:
        path = OUTPUTS[name].beside(output)
        if (other := names.setdefault(str(path).casefold(), name)) != name:
            raise EfldError(f"{path} would be written as {other} and as {name}: call the output "
                            f"{output.stem}.jsonl")
        check_free(path, OUTPUTS[name], force)


def _named(
    photos: Sequence[Photo], below: Path, save: Sequence[str]
) -> tuple[list[tuple[Path, str, str]], list[DataError]]:
    """What `label` takes of each photo, and an error for each that an output cannot name."""
    names = [(below / photo.image).as_posix() for photo in photos]
    work, refused = [], []
    for photo, name, stem in zip(photos, names, listing.distinct_names(names), strict=True):
        errors = [DataError(photo.path, f"{form}: {reason}") for form in save
                  if (reason := OUTPUTS[form].refusal(name))]
        refused += errors[:1]
        work += [] if errors else [(photo.path, name, stem)]
    return work, refused


def label(labeller: Labeller, photo: tuple[Path, str, str]) -> PhotoLabels:
    """The labels of one photo, given by its path, and its name and stem in the output."""
    path, name, stem = photo
    landmarkers = labeller.landmarkers
    try:
        if image_paths.relative_name(name, path) != name:
            raise DataError(path, "no source can have an image of that name: rename it")
        image = images.read_photo(path, upright=True)
    except DataError as error:
        return PhotoLabels(error=error)
    faces = landmarkers[0].find(image)
    spreads: Sequence[float | None] = [None] * len(faces)
    if len(landmarkers) > 1:
        faces, spreads = views.together(landmarkers, image, faces, labeller.views, labeller.schema)
    elif labeller.views > 1:
        faces, spreads = views.mean(landmarkers[0], image, faces, labeller.views)
    sure = [(face, spread) for face, spread in zip(faces, spreads, strict=True)
            if face.confidence >= labeller.min_confidence]
    annotated = [_annotated(face, spread, labeller, name) for face, spread in sure
                 if (spread or 0) <= labeller.max_spread]
    height, width = image.shape[:2]
    header = read_header(path) or Header(width, height, 1)
    return PhotoLabels(AnnotatedImage(name, stem, annotated, header),
                       below=len(faces) - len(sure), apart=len(sure) - len(annotated))


def _annotated(
    face: Face, spread: float | None, labeller: Labeller, image: str
) -> AnnotatedFace:
    if labeller.convert is not None and face.schema != labeller.convert:
        schema = schemas.get(face.schema)
        points, _ = schema.convert(face.points, None, labeller.convert)
        depth, errors = (
            None if told is None else schema.convert_values(told, labeller.convert)
            for told in (face.depth, face.errors))
        face = replace(face, points=points, depth=depth, errors=errors, schema=labeller.convert)
    extra_attributes: dict[str, str | float] = {}
    if spread is not None:
        extra_attributes["spread_percent"] = round(spread, 3)
    if labeller.license:
        extra_attributes[record.LICENSE] = labeller.license
    return face.annotated(image, extra_attributes)


@functools.cache
def _license(model: str) -> str:
    if model in MESHES:
        return MESHES[model][1]
    return model_license.read(runs.exported_model(model))


@functools.cache
def _landmarker(model: str, detector: str | None = None) -> FaceLandmarker:
    """A model that a process needs, loaded once."""
    predictor = MESHES[model][0]() if model in MESHES else LandmarkPredictor(model)
    # There are as many processes as cores.
    finder = None if detector is None else open_detector(detector, threads=1)
    return FaceLandmarker(predictor, finder, min_confidence=0)
