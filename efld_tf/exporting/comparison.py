"""The trained model in float against its export, on the same faces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import Evaluation, evaluate, percent
from efld_tf.landmarks import schemas
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime.landmarker import MIN_CONFIDENCE
from efld_tf.runtime.predictor import LandmarkPredictor

# Tiles a side of a crop that is cut up and shuffled, so that it shows no face.
TILES = 4


def comparison(
    trained: TrainedModel, exported: Path, shown: faces.EvaluationFaces
) -> dict[str, Any]:
    """What an export changes: points, confidences, and the NME of faces that have a truth."""
    first, second = FloatPredictor(trained), LandmarkPredictor(exported)
    confidence = compare_confidence(first, second, shown.crops)
    distance = schemas.get(shown.schema).normaliser.distance(shown.points)
    measured = np.flatnonzero(np.isfinite(distance)).tolist()
    if faces.comparable(trained.head, shown.schema) is None:
        measured = []  # calibrated on faces of another format
    if not measured:
        differences = point_differences(
            first.predict_crops(shown.crops), second.predict_crops(shown.crops),
            shown.crops.shape[1])
        return {"on": shown.source, **differences, **confidence}
    shown = shown.ordered(measured)
    return {**compare(evaluate(first, shown), evaluate(second, shown)), **confidence}


def compare(trained: Evaluation, exported: Evaluation) -> dict[str, Any]:
    """The NME of both on the same faces, and how far their points lie apart."""
    return {
        "on": trained.faces.source,
        "faces": len(trained.faces),
        "skipped": len(trained.faces.skipped),
        "normaliser": trained.normaliser,
        "trained_nme_percent": percent(trained.nme.mean()),
        "exported_nme_percent": percent(exported.nme.mean()),
        **point_differences(
            trained.predicted, exported.predicted, trained.faces.crops.shape[1]
        ),
    }


def compare_confidence(
    trained: FloatPredictor, exported: LandmarkPredictor, crops: np.ndarray
) -> dict[str, float]:
    """How far the confidences lie apart; empty for a model without.

    It is seen on faces [F, S, S, 3] uint8 and, because int8 was calibrated on faces alone, on the
    same crops cut into shuffled tiles.
    """
    both = np.concatenate([crops, shuffled(crops)])
    first, second = (p.predict_with_confidence(both)[1] for p in (trained, exported))
    if first is None or second is None:
        return {}
    return {
        "confidence_difference_median": round(float(np.median(np.abs(first - second))), 4),
        "confidence_difference_p99": round(float(np.percentile(np.abs(first - second), 99)), 4),
        "confident_percent": percent((second[: len(crops)] >= MIN_CONFIDENCE).mean()),
    }


def shuffled(crops: np.ndarray) -> np.ndarray:
    """Crops [F, S, S, 3] cut into `TILES` a side, which change places; S is divisible by it."""
    count, size, _, channels = crops.shape
    side = size // TILES
    tiles = crops.reshape(count, TILES, side, TILES, side, channels).swapaxes(2, 3)
    order = np.random.default_rng(0).permutation(TILES**2)
    tiles = tiles.reshape(count, TILES**2, side, side, channels)[:, order]
    tiles = tiles.reshape(count, TILES, TILES, side, side, channels).swapaxes(2, 3)
    return tiles.reshape(crops.shape)


def point_differences(first: np.ndarray, second: np.ndarray, size: int) -> dict[str, float]:
    """Median and 99th percentile of the distance between points [F, N, 2], in input pixels."""
    distance = np.linalg.norm(first - second, axis=-1) * size
    return {
        "point_difference_px_median": round(float(np.median(distance)), 4),
        "point_difference_px_p99": round(float(np.percentile(distance, 99)), 4),
    }
