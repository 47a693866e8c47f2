"""Averages the points that models find in several views of a face.

This is slower than one view, and better. A view is moved and scaled a little, and every other one
is mirrored. `benchmarks/labels.py` measures the gain: two views give most of it, and the views'
spread correlates with the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from efld_tf.arrays import Floats, Image
from efld_tf.landmarks import normalisers, schemas
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import Predictor

# A view is moved and scaled by these shares of the crop's side.
SHIFT, SCALE = 0.02, 0.03
# What all views see wrongly their deviation does not tell: it counts as at least so much, as a
# share of what errors are divided by.
LEAST = 0.005

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def mean(
    landmarker: FaceLandmarker, image: Image, faces: Sequence[Face], count: int
) -> tuple[list[Face], list[float]]:
    """Faces of an image with the mean points of several views of each.

    Args:
      landmarker: the one that found the faces.
      image: [H, W, 3] uint8 RGB.
      count: number of views.

    Returns:
      The faces, with the views' mean confidence where the model has one and it is lower, the means
      of what else it tells, and the spread of the views of each: the mean distance of their points
      from the mean points, in percent of what the schema's errors are divided by.
    """
    schema = schemas.get(landmarker.schema)
    averaged, spreads = [], []
    for face in faces:
        told, confidence = _looks(landmarker, image, face.points, count)
        centre = told.points.mean(axis=0)
        distance = np.linalg.norm(told.points - centre, axis=-1).mean()
        spreads.append(100 * float(distance / _size(centre, schema)))
        depth, errors = (None if values is None else values.mean(axis=0)
                         for values in (told.depth, told.errors))
        # The views' confidence may only lower what the detector agrees to.
        averaged.append(replace(face, points=centre.astype(np.float32), depth=depth, errors=errors,
                                confidence=min(face.confidence, confidence)))
    return averaged, spreads


def together(
    landmarkers: Sequence[FaceLandmarker], image: Image, faces: Sequence[Face], count: int,
    target: str,
) -> tuple[list[Face], list[float]]:  # fmt: skip
    """Faces of an image with the mean points of several models, of several views each (`agreed`).

    Args:
      landmarkers: the models; the first one found the faces.
      image: [H, W, 3] uint8 RGB.
      count: number of views.
      target: the schema of the result, to which all models' points are converted.

    Returns:
      The faces, with the lowest confidence of the models, which is 0 where one of them does not see
      the face, and how far the models disagree on each: the mean distance of their points from the
      mean points, in percent of what the schema's errors are divided by; NaN where one sees none.
    """
    first, *others = landmarkers
    schema = schemas.get(target)
    averaged, apart = [], []
    for face in faces:
        told, confidence = _looks(first, image, face.points, count)
        place = first.as_detection(told.points.mean(axis=0))
        seen, sure = [_converted(first, told.points, target)], min(face.confidence, confidence)
        for other in others:
            for found in other.landmarks(image, [place]):
                told, confidence = _looks(other, image, found.points, count)
                seen.append(_converted(other, told.points, target))
                sure = min(sure, confidence)
        all_see = len(seen) == len(landmarkers)
        size = _size(seen[0].mean(axis=0), schema)
        centre = agreed(seen, size)
        distance = np.mean([np.linalg.norm(one.mean(axis=0) - centre, axis=-1) for one in seen])
        apart.append(100 * float(distance / size) if all_see else np.nan)
        averaged.append(replace(face, points=centre.astype(np.float32), schema=target, depth=None,
                                errors=None, confidence=sure if all_see else 0.0))
    return averaged, apart


def agreed(seen: Sequence[Floats], size: float) -> Floats:
    """The mean points [N, 2] of models, each of which counts by how far its own views agree.

    A point of a model weighs 1 / (v + `LEAST`^2), with the variance v of its views' points.

    Args:
      seen: the points [V, N, 2] in a model's views, of each model.
      size: what errors are divided by, in the points' unit.
    """
    weights = np.stack([1 / (((points - points.mean(axis=0)) ** 2).sum(axis=-1).mean(axis=0)
                             / size**2 + LEAST**2) for points in seen])
    means = np.stack([points.mean(axis=0) for points in seen])
    result: Floats = (weights[..., None] * means).sum(axis=0) / weights.sum(axis=0)[:, None]
    return result


def _looks(
    landmarker: FaceLandmarker, image: Image, points: Floats, count: int
) -> tuple[ModelOutputs, float]:
    """What a model tells of the views of a face that show one, and their mean confidence."""
    # One view comes first: the points of a face on its side are rough until it is turned.
    for number in (1, count):
        told = look(landmarker.predictor, image, landmarker.crop_around(points), number)
        seen = np.ones(number, bool) if told.confidence is None else told.confidence > 0
        if seen.any():  # a view may show nothing, and then its points tell nothing
            told = told.of(seen)
            points = told.points.mean(axis=0)
        else:
            told = told._replace(points=np.repeat(points[None], number, axis=0))
    confidence = 1.0 if told.confidence is None else float(told.confidence.sum() / count)
    return told, confidence


def _size(points: Floats, schema: LandmarkSchema) -> float:
    # No face has eyes that are less than a pixel apart.
    return max(normalisers.size_of(points, schema), 1)


def _converted(landmarker: FaceLandmarker, views: Floats, target: str) -> Floats:
    schema = schemas.get(landmarker.schema)
    return np.stack([schema.convert(points, None, target)[0] for points in views])


def look(
    predictor: Predictor, image: Image, crop: Crop, count: int
) -> ModelOutputs:
    """What a model tells of several views of a crop: points in float64 and pixels of the image."""
    squares = [crop.within(view(index)) for index in range(count)]
    crops = np.stack([extract_crop(image, square, predictor.input_size) for square in squares])
    crops[1::2] = crops[1::2, :, ::-1]
    told = predictor.predict_outputs(crops)
    units, schema = told.points.astype(np.float64), schemas.get(predictor.schema)
    # To `mirror`, the unit square is one pixel wide, with its centre at 0.
    units[1::2] = schema.mirror(units[1::2] - 0.5, 1) + 0.5
    for distances in (told.depth, told.errors):
        if distances is not None:
            distances[1::2] = distances[1::2][:, list(schema.known_flip)]
    return told._replace(points=units).in_pixels(squares)


def view(index: int) -> Crop:
    """A view's place in the unit square of the crop.

    The first two views, of which the second is mirrored, are neither moved nor scaled. Further ones
    are moved in different directions, and are larger and smaller in turn.
    """
    if index < 2:
        return Crop(0.5, 0.5, 1.0)
    angle = _GOLDEN_ANGLE * index
    side = 1 + SCALE if index // 2 % 2 else 1 - SCALE
    return Crop(0.5 + SHIFT * math.cos(angle), 0.5 + SHIFT * math.sin(angle), side)
