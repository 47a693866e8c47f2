"""Averages the points that a model finds in several views of a face.

This is slower than one view, and better. A view is moved and scaled a little, and every other one
is mirrored. `benchmarks/labels.py` measures the gain: two views give most of it, and the views'
spread correlates with the error.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from efld_tf.arrays import Image
from efld_tf.landmarks import normalisers, schemas
from efld_tf.landmarks.geometry import Crop, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

# A view is moved and scaled by these shares of the crop's side.
SHIFT, SCALE = 0.02, 0.03

_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))


def mean(
    predictor: LandmarkPredictor,
    landmarker: FaceLandmarker,
    image: Image,
    faces: Sequence[Face],
    count: int,
) -> tuple[list[Face], list[float]]:
    """Faces of an image with the mean points of several views of each.

    Args:
      predictor: the predictor of the landmarker, which found the faces.
      image: [H, W, 3] uint8 RGB.
      count: number of views.

    Returns:
      The faces, with the views' mean confidence where the model has one and it is lower, the means
      of what else it tells, and the spread of the views of each: the mean distance of their points
      from the mean points, in percent of what the schema's errors are divided by.
    """
    schema = schemas.get(predictor.schema)
    averaged, spreads = [], []
    for face in faces:
        # One view comes first: the points of a face on its side are rough until it is turned.
        centre = face.points
        for number in (1, count):
            points, confidence, *distances = look(
                predictor, image, landmarker.crop_around(centre), number)
            seen = np.ones(number, bool) if confidence is None else confidence > 0
            if seen.any():  # a view may show nothing, and then its points tell nothing
                points = points[seen]
                distances = [None if told is None else told[seen] for told in distances]
                centre = points.mean(axis=0)
        distance = np.linalg.norm(points - centre, axis=-1).mean()
        # No face has eyes that are less than a pixel apart.
        spreads.append(100 * float(distance / max(normalisers.size_of(centre, schema), 1)))
        face_confidence = face.confidence
        if confidence is not None:  # that of the views may only lower what the detector agrees to
            face_confidence = min(face_confidence, float(confidence.mean()))
        depth, errors = (None if told is None else told.mean(axis=0) for told in distances)
        averaged.append(replace(face, points=centre.astype(np.float32), confidence=face_confidence,
                                depth=depth, errors=errors))
    return averaged, spreads


def look(
    predictor: LandmarkPredictor, image: Image, crop: Crop, count: int
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
