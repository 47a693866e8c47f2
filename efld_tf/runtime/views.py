"""The mean of what a model sees in several views of a face: slower, and better than one view.

A view is turned upright by the eyes, moved and scaled a little, and every other one is mirrored.
What that gains is measured by `benchmarks/labels.py`: most of it is gained by two views, and the
views' spread and the error correlate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import (
    Crop,
    apply_affine,
    compose_affines,
    extract_crop,
    invert_affine,
)
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

# A view is moved by this share of the crop's side, and scaled by so much.
SHIFT, SCALE = 0.02, 0.03

# Views are cut from a square that is larger than the crop, so that it can be turned, and finer than
# the model's input, so that resampling twice blurs little.
MARGIN, FINER = 1.6, 1.5

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))


def mean(
    predictor: LandmarkPredictor,
    landmarker: FaceLandmarker,
    image: np.ndarray,
    faces: Sequence[Face],
    count: int,
) -> tuple[list[Face], list[float]]:
    """Faces of an image with the mean points of several views of each.

    Args:
      predictor: the one of the landmarker, which found the faces.
      image: [H, W, 3] uint8 RGB.
      count: of views.

    Returns:
      The faces, with the views' mean confidence where the model has one, and the spread of the
      views of each: the mean distance of their points from the mean points, in percent of the
      schema's own normaliser.
    """
    schema = schemas.get(predictor.schema)
    averaged, spreads = [], []
    for face in faces:
        # One view first: the points of a face that lies on its side are rough until it is turned.
        points, centre = None, face.points
        for number in (1, count):
            crop = landmarker.crop_around(centre)
            right, left = schema.anchor_points(centre)[:2]
            roll = float(np.arctan2(*(left - right)[::-1]))
            points, confidence = look(predictor, image, crop, roll, number)
            centre = points.mean(axis=0)
        away = np.linalg.norm(points - centre, axis=-1).mean()
        # Eyes less than a pixel apart are those of no face.
        spreads.append(100 * float(away / max(schema.normaliser.distance(centre), 1)))
        sure = face.confidence if confidence is None else float(confidence.mean())
        averaged.append(replace(face, points=centre.astype(np.float32), confidence=sure))
    return averaged, spreads


def look(
    predictor: LandmarkPredictor, image: np.ndarray, crop: Crop, roll: float, count: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """The points of several views of a crop.

    Args:
      roll: the angle in radians by which the face is turned, clockwise as it is seen.

    Returns:
      [count, N, 2] float64 in pixels of the image, and the confidence of each where the model has
      one.
    """
    size = predictor.input_size
    wide, side = crop.scaled(MARGIN), round(FINER * MARGIN * size)
    pixels = extract_crop(image, wide, side)
    to_views = [view(index, roll, side, size) for index in range(count)]
    crops = np.stack([cv2.warpAffine(pixels, matrix, (size, size)) for matrix in to_views])
    units, confidence = predictor.predict_with_confidence(crops)
    flip = list(schemas.get(predictor.schema).flip)
    points = []
    for index, (matrix, unit) in enumerate(zip(to_views, units, strict=True)):
        to_image = invert_affine(compose_affines(matrix, wide.affine(side)))
        found = apply_affine(to_image, unit.astype(np.float64) * size - 0.5)
        points.append(found[flip] if index % 2 else found)
    return np.stack(points), confidence


def view(index: int, roll: float, side: int, size: int) -> np.ndarray:
    """The affine [2, 3] from pixels of the wide square to those of a view.

    The first two views, of which the second is mirrored, are neither moved nor scaled; further ones
    are moved in ever other directions, and larger and smaller by turns.

    Args:
      index: of the view.
      roll: of the face, radians.
      side, size: of the wide square and of the view, pixels.
    """
    shift, zoom = np.zeros(2), 1.0
    if index > 1:
        angle = _GOLDEN_ANGLE * index
        shift = SHIFT * size * np.array([np.cos(angle), np.sin(angle)])
        zoom = 1 + SCALE if index // 2 % 2 else 1 - SCALE
    cosine, sine = zoom * MARGIN * size / side * np.array([np.cos(roll), np.sin(roll)])
    turn = np.array([[cosine, sine], [-sine, cosine]])
    if index % 2:
        turn[0] *= -1
    middle = np.array([side - 1, side - 1]) / 2
    place = np.array([size - 1, size - 1]) / 2 + shift
    return np.concatenate([turn, (place - turn @ middle)[:, None]], axis=1)
