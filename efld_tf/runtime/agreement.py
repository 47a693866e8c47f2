"""How well the points of a model agree with the eyes, the nose and the mouth that a detector sees.

A model that has learnt no profiles puts their points somewhere, and takes them for as sure as
others. The detector, which has, sees eyes, nose and mouth elsewhere, and the eyes near each other.
"""

from __future__ import annotations

import functools
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf import trees
from efld_tf.arrays import Floats
from efld_tf.landmarks.schema import ANCHORS, EYES, MOUTH, LandmarkSchema
from efld_tf.runtime import crop_maps
from efld_tf.runtime.blazeface import KEYPOINTS
from efld_tf.runtime.detector import Detection

FILE = Path(__file__).with_name("agreement.json")


@dataclass(frozen=True)
class Weights:
    """What `agreement.json` holds, fitted by `tools/fit_agreement.py`: a logistic regression.

    Attributes:
      fitted_on: the faces.
      distance, eyes, bias: the log-odds of right points are the sum of these, the first two times
        the `features`.
    """

    fitted_on: str
    distance: float
    eyes: float
    bias: float


@functools.cache
def weights() -> Weights:
    """The fitted weights of the package."""
    return trees.from_tree(json.loads(FILE.read_text(encoding="utf-8")), Weights)


def agreement(points: Floats, schema: LandmarkSchema, detection: Detection) -> float:
    """How sure it is that points [N, 2] are those of the face that a detector saw, 0 to 1.

    It is 1 for a schema that has neither eyes nor mouth nor a tip of the nose.
    """
    found = features(points, schema, detection)
    if found is None:
        return 1.0
    fitted = weights()
    odds = fitted.distance * found[0] + fitted.eyes * found[1] + fitted.bias
    return 1 / (1 + math.exp(-min(max(odds, -50.0), 50.0)))


def features(
    points: Floats, schema: LandmarkSchema, detection: Detection
) -> tuple[float, float] | None:
    """What tells agreement, in sides of the face's reference crop; None if nothing does.

    Returns:
      The mean distance of the model's eyes, mouth and tip of the nose, as far as the schema has
      them, from those of the detector; and the distance of the detector's eyes.
    """
    places = dict(zip(ANCHORS, schema.anchor_points(points), strict=True))
    places["mouth"] = (places[MOUTH[0]] + places[MOUTH[1]]) / 2
    if schema.nose_tip:
        places["nose_tip"] = points[list(schema.nose_tip)].mean(axis=0)
    seen = dict(zip(KEYPOINTS, detection.keypoints, strict=True))
    distances = [float(np.linalg.norm(place - seen[name])) for name, place in places.items()
                 if name in seen and np.isfinite(place).all()]
    if not distances:
        return None
    side = crop_maps.from_detection(detection.box, detection.keypoints, detection.detector).side
    apart = float(np.linalg.norm(seen[EYES[1]] - seen[EYES[0]]))
    return float(np.mean(distances)) / side, apart / side
