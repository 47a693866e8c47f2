"""Measures a model's prior of place and shape: what it predicts where no face is.

As Jin et al., "Pixel-in-Pixel Net", IJCV 2021, Section 3.4 and Figure 9, show, detectors of
landmarks give faces even for inputs that show none; the stronger their prior, the more alike these
are. The paper shows them for images of CIFAR-10, and after training on black images alone. Here
trained models look at more kinds of inputs, and their predictions are measured:

- `black`: one black image;
- `noise`: every channel of every pixel is drawn evenly from 0 to 255;
- `clouds`: smooth noise in all colours, of few or many patches;
- `patch`: squares of scenes that touch no face;
- `face`: faces, to compare with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation import presence
from efld_tf.evaluation.evaluate import Evaluation, percent
from efld_tf.evaluation.faces import common_points
from efld_tf.evaluation.measured import Measured
from efld_tf.evaluation.presence import FACE, PATCH
from efld_tf.landmarks import schemas, shapes
from efld_tf.landmarks.geometry import CropRule, extract_crop, tight_box
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.progress import Progress
from efld_tf.runtime import crop_maps
from efld_tf.runtime.model_crops import ModelCrops
from efld_tf.runtime.predictor import Predictor

BLACK, NOISE, CLOUDS = "black", "noise", "clouds"

# Inputs of a kind, if there are enough.
COUNT = 100
# The most faces that are rendered if no source is given, and the side of their images.
RENDERED, RENDERED_SIZE = 48, 256
# Patches along a side of a cloud.
CLOUD_CELLS = (2, 4, 8, 16)
SEED = 0
BATCH = 16  # inputs between two updates of what is shown of the progress


@dataclass(frozen=True, eq=False)
class Reference:
    """The mean face that predictions are compared with.

    Attributes:
      schema: the schema of its points.
      origin: a text that says which faces it is the mean of.
      place: [N, 2] in the crop's unit square, the mean of the points; NaN for those no face has.
      shape: [N] complex, the median shape up to similarity (`landmarks.shapes`).
      size: the distance of the schema's normaliser in `shape`.
    """

    schema: LandmarkSchema
    origin: str
    place: np.ndarray
    shape: np.ndarray
    size: float

    @classmethod
    def of_faces(cls, points: np.ndarray, schema: LandmarkSchema, origin: str) -> Reference:
        """The mean of faces [F, N, 2] in their crops' unit squares, NaN where not annotated.

        Raises:
          EfldError: no face has eyes and a mouth (the normaliser's points, in a schema that lacks
            eyes or mouth), or they coincide.
        """
        annotated = np.isfinite(points).all(axis=-1)
        count = annotated.sum(axis=0)
        total = np.where(annotated[..., None], points, 0).sum(axis=0, dtype=np.float64)
        place = np.where(count[:, None] > 0, total / np.maximum(count, 1)[:, None], np.nan)
        anchors, needed = schema.anchor_points(points), "eyes and a mouth"
        height = np.linalg.norm(anchors[:, 2:].mean(axis=1) - anchors[:, :2].mean(axis=1), axis=-1)
        if schema.missing_anchors:
            height, needed = schema.normaliser.distance(points), schema.normaliser.name
        usable = height > 0  # also False for NaN
        if not usable.any():
            raise EfldError(f"{origin}: none has {needed}, so that there is no mean face")
        shape = shapes.mean_shape(shapes.as_complex(points[usable]), schema)
        flat = np.stack([shape.real, shape.imag], axis=-1)
        size = float(schema.normaliser.distance(flat))
        if not size > 0:
            raise EfldError(f"{origin}: the mean face has no {schema.normaliser.name} distance")
        return cls(schema, origin, place, shape, size)

    def residual(self, predicted: np.ndarray) -> np.ndarray:
        """How unlike a face each prediction is: [I], a fraction of the normaliser's distance.

        The residual is the mean distance of a prediction's points to those of the mean shape, after
        the similarity (shift, turn and scale, no reflection) that brings it closest to that shape
        by least squares. Points that coincide have the residual `without_shape`, which is about the
        largest possible one.

        Args:
          predicted: [I, N, 2].
        """
        points = shapes.as_complex(predicted)
        points[:, ~np.isfinite(self.place).all(axis=-1)] = np.nan
        distance = abs(shapes.align(points, self.shape) - self.shape)
        return np.nanmean(distance, axis=1) / self.size

    @property
    def without_shape(self) -> float:
        """The residual of points that all lie at one place."""
        return float(self.residual(np.zeros((1, self.schema.num_points, 2)))[0])


@dataclass(frozen=True, eq=False)
class Look:
    """A kind of inputs and the model's predictions for them.

    Attributes:
      kind: the kind of the inputs.
      crops: [I, S, S, 3] uint8 RGB.
      predicted: [I, N, 2] in the crops' unit squares.
      confidence: [I], 0 to 1; None if the model does not say how sure it is.
    """

    kind: str
    crops: np.ndarray
    predicted: np.ndarray
    confidence: np.ndarray | None

    @property
    def mean(self) -> np.ndarray:
        """The mean prediction [N, 2]."""
        return self.predicted.mean(axis=0, dtype=np.float64)

    def summary(self, reference: Reference) -> dict[str, Any]:
        """An entry of `kinds` in the section `implicit_prior`.

        Distances in the crop are in percent of its side, which is never zero; the eyes' distance in
        a prediction without a face may be. A single input has no variation.
        """
        distance = np.linalg.norm(self.mean - reference.place, axis=-1)
        result: dict[str, Any] = {"inputs": len(self.crops)}
        if len(self.crops) > 1:
            spread = np.linalg.norm(self.predicted - self.mean, axis=-1)
            result["variation_crop_percent"] = percent(spread.mean())
        result["from_reference_crop_percent"] = percent(np.nanmean(distance))
        residual = reference.residual(self.predicted).mean()
        result[f"residual_{reference.schema.normaliser.name}_percent"] = percent(residual)
        if self.confidence is not None:
            result["confidence_percent"] = percent(self.confidence.mean())
        return result


@dataclass(frozen=True, eq=False)
class Prior(Measured):
    """The predictions of a model where no face is, and for comparison where one is.

    Attributes:
      predictor: the model that was measured.
      reference: the mean face.
      crop_rule: how the crops of the faces are made.
      looks: the predictions for each kind, faces first.
      without_patch: an error for each scene that gave no patch.
      scenes: the file that says where in the scenes faces are; empty without scenes.
    """

    section = "implicit_prior"

    predictor: Predictor
    reference: Reference
    crop_rule: CropRule
    looks: tuple[Look, ...]
    without_patch: tuple[DataError, ...]
    scenes: str = ""

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.predictor

    @property
    def skipped(self) -> Sequence[object]:
        """Why scenes gave no patch."""
        return self.without_patch

    def summary(self) -> dict[str, Any]:
        """The `implicit_prior` section of `results.json`; see `scoring.results`."""
        schema = self.reference.schema
        return {
            "schema": schema.name,
            "normaliser": schema.normaliser.name,
            "crop_rule": self.crop_rule.name,
            "crop_scale": self.crop_rule.need_scale("implicit prior"),
            "reference": self.reference.origin,
            "residual_without_shape_percent": percent(self.reference.without_shape),
            "kinds": {look.kind: look.summary(self.reference) for look in self.looks},
            **({"scenes": self.scenes} if self.scenes else {}),
        }

    def report(self) -> str:
        """The table, with a line for each kind of inputs, and the meaning of its columns."""
        summary = self.summary()
        normaliser = summary["normaliser"]
        columns = {
            "variation": "variation_crop_percent",
            "place": "from_reference_crop_percent",
            "shape": f"residual_{normaliser}_percent",
            "confidence": "confidence_percent",
        }
        kinds = summary["kinds"]
        columns = {name: key for name, key in columns.items()
                   if any(key in row for row in kinds.values())}
        lines = [
            f"implicit prior; reference: mean of {summary['reference']}",
            "  variation: points to their mean over the inputs, % of the crop's side",
            "  place:     mean prediction to the reference, % of the crop's side",
            "  shape:     residual to the mean shape after a similarity, % of its "
            f"{normaliser} distance",
            f"             (points at one place: {summary['residual_without_shape_percent']:.0f})",
            f"{'kind':8} {'inputs':>6}" + "".join(f" {name:>10}" for name in columns),
        ]
        for kind, row in kinds.items():
            values = (f"{row[key]:.2f}" if key in row else "-" for key in columns.values())
            lines.append(f"{kind:8} {row['inputs']:6}"
                         + "".join(f" {value:>10}" for value in values))
        return "\n".join(lines)

    def draw(self, folder: Path) -> list[Path]:
        """Draws inputs of every kind with their predictions."""
        from efld_tf.evaluation import prior_plots

        path = folder / "prior.png"
        prior_plots.prior_sheet(path, self)
        return [path]


def measure(
    predictor: Predictor,
    evaluation: Evaluation | None = None,
    scenes: Sequence[tuple[Path, np.ndarray]] = (),
    *,
    count: int = COUNT,
    scenes_from: str = "",
    on_error: str = "stop",
    progress: bool = True,
) -> Prior:
    """Runs a predictor on inputs without a face, and on faces to compare with.

    Args:
      evaluation: an evaluation of the predictor; the reference is the mean of its truth, and the
        faces are chosen evenly from its faces. None for rendered faces, whose predictions then give
        the reference.
      scenes: what `presence.read_scenes` returned; their patches are another kind.
      count: number of inputs of a kind, except for the black image; of patches, about so many.
      scenes_from: the file of the scenes.
      on_error: `stop` or `skip`, for photos of scenes that cannot be read.
      progress: whether to show how far it is.

    Raises:
      EfldError: there is no mean face, no scene has a place without a face, a prediction is not
        finite, rendered faces cannot be cropped for the model, or its crops are stretched.
      DataError: a photo cannot be read, with `stop`.
    """
    predictor.crop_rule.need_scale("implicit prior")
    size = predictor.input_size
    random = np.random.default_rng(SEED)
    if evaluation is None:
        faces, rule = _rendered(predictor, min(count, RENDERED)), predictor.crop_rule
    else:
        rule = evaluation.faces.crop_rule
        faces = evaluation.faces.crops[_evenly(len(evaluation.faces), count)]
    inputs = {
        FACE: faces,
        BLACK: np.zeros((1, size, size, 3), np.uint8),
        NOISE: random.integers(0, 256, (count, size, size, 3), np.uint8),
        CLOUDS: np.stack([_cloud(size, random) for _ in range(count)]),
    }
    skipped: list[DataError] = []
    if scenes:
        inputs[PATCH], skipped = faceless(scenes, size, count, random, on_error)
    schema = predictor.schema if evaluation is None else evaluation.schema.name
    _, predicted_indices, _ = common_points(predictor.schema, schema)
    total = sum(map(len, inputs.values()))
    with Progress("implicit prior", total, "input", shown=progress) as bar:
        looks = [_look(predictor, kind, crops, predicted_indices, bar)
                 for kind, crops in inputs.items()]
    if evaluation is None:
        origin, points = f"predictions on {len(looks[0].crops)} rendered faces", looks[0].predicted
    else:
        origin, points = f"truth of {evaluation.faces.source}", evaluation.truth
    reference = Reference.of_faces(points, schemas.get(schema), origin)
    return Prior(predictor, reference, rule, tuple(looks), tuple(skipped), scenes_from)


def faceless(
    scenes: Sequence[tuple[Path, np.ndarray]],
    size: int,
    count: int,
    random: np.random.Generator,
    on_error: str = "stop",
) -> tuple[np.ndarray, list[DataError]]:
    """Squares of scenes that touch no face, as inputs [I, size, size, 3] uint8.

    Args:
      scenes: photos and the boxes [B, 4] of all their faces.
      count: about how many inputs to make, evenly from as many scenes.
      on_error: `stop` or `skip`, for photos that cannot be read.

    Returns:
      The inputs, and why other scenes gave none: they cannot be read, or are full of faces.

    Raises:
      DataError: a photo cannot be read, with `stop`.
      EfldError: no scene gave any input.
    """
    chosen = [scenes[i] for i in _evenly(len(scenes), count)]
    per_scene = -(-count // len(chosen))
    inputs: list[np.ndarray] = []
    skipped: list[DataError] = []
    for path, boxes in chosen:
        try:
            image = read_photo(path, upright=True)
        except DataError as error:
            if on_error == "stop":
                raise
            skipped.append(error)
            continue
        crops = list(islice(presence.patches(image.shape, boxes, random), per_scene))
        inputs += [extract_crop(image, crop, size) for crop in crops]
        if not crops:
            side = presence.PATCH_SIDES[0]
            skipped.append(DataError(path, f"no square of {side:g} px or more without a face"))
    if not inputs:
        raise EfldError(f"no patch in {len(chosen)} scene(s); the first: {skipped[0]}")
    return np.stack(inputs), skipped


def _look(
    predictor: Predictor, kind: str, crops: np.ndarray, predicted_indices: Sequence[int],
    bar: Progress,
) -> Look:
    """Predicts the points with these indices for inputs [I, S, S, 3]."""
    points, confidences = [], []
    for start in range(0, len(crops), BATCH):
        batch = crops[start : start + BATCH]
        told = predictor.predict_outputs(batch)
        if told.confidence is not None:
            confidences.append(told.confidence)
        points.append(told.points[:, list(predicted_indices)])
        bar.update(len(batch))
    predicted = np.concatenate(points)
    if not np.isfinite(predicted).all():
        raise EfldError(f"a prediction for an input of the kind {kind} is not a finite number")
    return Look(kind, crops, predicted, np.concatenate(confidences) if confidences else None)


def _rendered(predictor: Predictor, count: int) -> np.ndarray:
    """Rendered faces as the model's inputs [count, S, S, 3]."""
    model_crops = ModelCrops(
        schemas.get(predictor.schema), predictor.crop_rule, predictor.mean_shape)
    if model_crops.shown is None:
        raise EfldError(f"the implicit prior of {predictor.schema} needs a source: its schema has "
                        "no anchors by which rendered faces could be cropped")
    crops = []
    for index in range(count):
        face = render_face(SEED, index, RENDERED_SIZE)
        around = crop_maps.REFERENCE.crop(tight_box(face.points[crop_maps.REFERENCE.schema]))
        crop = model_crops.of_reference(around)
        crops.append(extract_crop(face.image, crop, predictor.input_size))
    return np.stack(crops)


def _cloud(size: int, random: np.random.Generator) -> np.ndarray:
    """Smooth noise [size, size, 3] uint8."""
    cells = int(random.choice(CLOUD_CELLS))
    grid = random.integers(0, 256, (cells, cells, 3), np.uint8)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC)


def _evenly(total: int, count: int) -> list[int]:
    """At most `count` indices below `total`, in even steps."""
    return np.linspace(0, total - 1, min(count, total)).round().astype(int).tolist()
