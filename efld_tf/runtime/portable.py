"""A landmarker as plain numbers, for ports of it to other languages: `landmarker.json`.

A port reads this file and has no table of its own: it holds where the model's crops are, which
points are which, how a detector's faces become crops, and all limits of `FaceLandmarker`,
`FaceTracker` and `OneEuroFilter`. Lengths are in pixels or in sides of the crop that is named.
"""

from __future__ import annotations

import dataclasses
import inspect
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.errors import EfldError
from efld_tf.landmarks import geometry, normalisers, schemas
from efld_tf.landmarks.geometry import Crop
from efld_tf.landmarks.schema import ANCHORS, EYES, MOUTH, LandmarkSchema
from efld_tf.runtime import (
    agreement,
    any_angle,
    blazeface,
    crop_maps,
    detector,
    landmarker,
    model_crops,
    model_license,
    tracker,
)
from efld_tf.runtime.predictor import LandmarkPredictor, Predictor
from efld_tf.runtime.smoothing import OneEuroFilter

FILE = "landmarker.json"
FORMAT = 1
# Ports look for faces with this one, which is the fastest.
DETECTOR = "short"
# The constants of `any_angle` that they need.
SEARCH = (
    "UPRIGHT", "SURE", "SURE_LARGE", "LARGE", "SHARE", "NEAR", "SURE_NEAR", "LEAST_NEAR",
    "SURE_TURNED", "CLEARLY", "HARDLY", "MOST_INSIDE", "SURE_BORDER", "DOUBTFUL", "BOTH_LOOKS",
    "SECOND_LOOK",
)


class NotPortable(EfldError):
    """A model whose crops no port can make."""


def described(model: Path) -> dict[str, Any]:
    """The content of `landmarker.json` beside a `.tflite`: `fields`, its name and its licence.

    Raises:
      DataError: it cannot be read.
      NotPortable: as in `fields`.
    """
    about = {"file": model.name, "license": model_license.read(model)}
    return {**fields(LandmarkPredictor(model)), "model": about}


def fields(predictor: Predictor) -> dict[str, Any]:
    """What ports need to know of a model, but for the model itself.

    Raises:
      NotPortable: a detector's faces give no crops for the model, or its points those of a head in
        any pose.
    """
    schema = schemas.get(predictor.schema)
    try:
        crops = model_crops.ModelCrops(schema, predictor.crop_rule, predictor.mean_shape)
        crops.check_detector()
    except EfldError as error:
        raise NotPortable(str(error)) from error
    if crops.by_head:
        raise NotPortable(f"schema {schema.name}: crops of heads in any pose follow from the mean "
                          "head, which ports do not have; export a head of another schema")
    assert crops.shown is not None
    return {
        "format": FORMAT,
        "input_size": predictor.input_size,
        "has_confidence": predictor.has_confidence,
        "schema": _schema(schema),
        "crop": {
            "shown": _square(crops.shown),
            "anchors": geometry.REFERENCE_ANCHORS.tolist(),
            **_around(schema, predictor),
            "moved": _moved(schema, predictor),
        },
        "grid": {"pixel_parts": geometry.PIXEL_PARTS, "radian_parts": geometry.RADIAN_PARTS,
                 "off_ties": geometry.OFF_TIES},
        "detector": _detector(),
        "agreement": _agreement(schema),
        "finding": {
            "passes": landmarker.PASSES,
            "min_confidence": landmarker.MIN_CONFIDENCE,
            "same_points_iou": landmarker.SAME_POINTS_IOU,
            "farthest": landmarker.FARTHEST,
            "largest_change": landmarker.LARGEST_CHANGE,
            "still": landmarker.STILL,
            "elsewhere": landmarker.ELSEWHERE,
            "largest": geometry.LARGEST,
        },
        "tracking": {
            **dataclasses.asdict(tracker.TrackerOptions()),
            "same_place_iou": tracker.SAME_PLACE_IOU,
            "nobody": tracker.NOBODY,
            "early": tracker.EARLY,
        },
        "smoothing": {
            name: parameter.default for name, parameter
            in inspect.signature(OneEuroFilter).parameters.items()
        },
    }


def _schema(schema: LandmarkSchema) -> dict[str, Any]:
    """The points; `is_part` says that they are those of a part of the face (`faces.extent`)."""
    return {
        "name": schema.name,
        "title": schema.title,
        "names": list(schema.names),
        "parts": [dataclasses.asdict(part) for part in schema.parts],
        "anchors": {name: list(points) for name, points in schema.anchors.items()},
        "nose_tip": list(schema.nose_tip),
        "normaliser": _normaliser(schema),
        "is_part": bool(schema.missing_anchors),
    }


def _normaliser(schema: LandmarkSchema) -> dict[str, Any]:
    """What expected errors are divided by: a distance between points, or a size of their box."""
    normaliser = normalisers.find(schema)
    if isinstance(normaliser, normalisers.BoxNormaliser):
        return {"box": normaliser.name}
    return {"right": list(normaliser.right), "left": list(normaliser.left)}


def _around(schema: LandmarkSchema, predictor: Predictor) -> dict[str, Any]:
    """How the crop follows from points: one of two forms, the other of which is null.

    `weights` are those of `crop_maps.CropAround`, for the anchors and then the tip of the nose;
    `mean_shape` is for points of a part of the face, with `rule` where the crop follows from the
    turned points' box.
    """
    if not schema.missing_anchors:
        kind = "with_nose" if schema.nose_tip else "without_nose"
        return {"weights": crop_maps.maps().points[kind], "mean_shape": None, "rule": None}
    rule = predictor.crop_rule
    own = rule.name == f"{schema.name}-points"
    return {
        "weights": None,
        "mean_shape": np.asarray(predictor.mean_shape).tolist(),
        "rule": {"scale": rule.scale, "x": rule.offset_x, "y": rule.offset_y} if own else None,
    }


def _moved(schema: LandmarkSchema, predictor: Predictor) -> dict[str, Any] | None:
    """The place in the crop that is moved to the mean of key points of the detector, or None.

    See `model_crops.ModelCrops.of_detection`.
    """
    if not schema.missing_anchors:
        return None
    mean_shape = np.asarray(predictor.mean_shape)
    for pair, names in model_crops.KEYPOINTS_OF.items():
        if pair[0] in schema.anchors:
            ends = schema.anchor_points(mean_shape)[[ANCHORS.index(end) for end in pair]]
            x, y = ends.mean(axis=0).tolist()
            return {"x": x, "y": y,
                    "keypoints": [blazeface.KEYPOINTS.index(name) for name in names]}
    return None


def _detector() -> dict[str, Any]:
    """The detector, and the limits by which `AnyAngleDetector` searches with it alone."""
    architecture, box_map = blazeface.MODELS[DETECTOR], crop_maps.maps().detectors[DETECTOR]
    return {
        **{name.lower(): getattr(any_angle, name) for name in SEARCH},
        "input_size": architecture.input_size,
        "grids": [list(grid) for grid in architecture.grids],
        "keypoints": list(blazeface.KEYPOINTS),
        "min_score": architecture.min_score,
        "same_face_iou": detector.SAME_FACE_IOU,
        "largest": geometry.LARGEST,
        "crop": _square(box_map.in_box),
    }


def _agreement(schema: LandmarkSchema) -> dict[str, Any]:
    """The fitted weights, and the groups of points whose means' mean is a detector's key point."""
    fitted, anchors = agreement.weights(), schema.anchors
    places = {name: [list(anchors[name])] for name in EYES if name in anchors}
    if MOUTH[0] in anchors:
        places["mouth"] = [list(anchors[name]) for name in MOUTH]
    if schema.nose_tip:
        places["nose_tip"] = [list(schema.nose_tip)]
    return {"distance": fitted.distance, "eyes": fitted.eyes, "bias": fitted.bias,
            "places": {blazeface.KEYPOINTS.index(name): groups
                       for name, groups in places.items()}}


def _square(crop: Crop) -> dict[str, float]:
    return {"x": crop.center_x, "y": crop.center_y, "side": crop.side}
