"""Compares the trained model in float with its export, on the same faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import Evaluation, evaluate, in_batches, percent
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.progress import Progress
from efld_tf.runtime.landmarker import MIN_CONFIDENCE
from efld_tf.runtime.predictor import LandmarkPredictor

# Tiles a side into which a crop is cut and shuffled, so that it shows no face.
TILES = 4


def comparison(
    trained: TrainedModel, exported: Path, evaluation_faces: faces.EvaluationFaces, *,
    progress: bool = False,
) -> dict[str, Any]:  # fmt: skip
    """The changes by an export, in all that a model tells, and the NME of annotated faces."""
    trained_predictor, exported_predictor = FloatPredictor(trained), LandmarkPredictor(exported)
    confidence = compare_confidence(
        trained_predictor, exported_predictor, evaluation_faces.crops, progress=progress)
    others = {**confidence, **compare_distances(
        trained_predictor, exported_predictor, evaluation_faces.crops, progress=progress)}
    measurable = evaluation_faces.measurable(trained.head)
    # They may be calibrated on faces of another format.
    if not len(measurable) or faces.comparable(trained.head, evaluation_faces.schema) is None:
        crops = evaluation_faces.crops
        with Progress("comparing points", 2 * len(crops), "face", shown=progress) as bar:
            differences = point_differences(
                in_batches(trained_predictor.predict_crops, crops, bar),
                in_batches(exported_predictor.predict_crops, crops, bar), crops.shape[1])
        return {"on": evaluation_faces.source, **differences, **others}
    trained_result = evaluate(trained_predictor, measurable, progress=progress)
    exported_result = evaluate(exported_predictor, measurable, progress=progress)
    return {**compare(trained_result, exported_result), **others}


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
    trained: FloatPredictor, exported: LandmarkPredictor, crops: np.ndarray, *,
    progress: bool = False,
) -> dict[str, float]:  # fmt: skip
    """How far the confidences lie apart; empty for a model without a confidence.

    They are compared on faces [F, S, S, 3] uint8 and, because int8 was calibrated on faces alone,
    also on the same crops cut into shuffled tiles.
    """
    if not (trained.has_confidence and exported.has_confidence):
        return {}
    inputs = np.concatenate([crops, shuffled(crops)])
    with Progress("comparing confidences", 2 * len(inputs), "face", shown=progress) as bar:
        trained_confidence = in_batches(partial(_told, trained, "confidence"), inputs, bar)
        exported_confidence = in_batches(partial(_told, exported, "confidence"), inputs, bar)
    difference = np.abs(trained_confidence - exported_confidence)
    return {
        "confidence_difference_median": round(float(np.median(difference)), 4),
        "confidence_difference_p99": round(float(np.percentile(difference, 99)), 4),
        "confident_percent": percent((exported_confidence[: len(crops)] >= MIN_CONFIDENCE).mean()),
    }


def compare_distances(
    trained: FloatPredictor, exported: LandmarkPredictor, crops: np.ndarray, *,
    progress: bool = False,
) -> dict[str, float]:  # fmt: skip
    """How far the depths and the expected errors of faces [F, S, S, 3] uint8 lie apart, in pixels.

    Of what one of the models does not tell, there is nothing.
    """
    result = {}
    for name, title in (("depth", "depths"), ("errors", "expected errors")):
        if not (getattr(trained, f"has_{name}") and getattr(exported, f"has_{name}")):
            continue
        with Progress(f"comparing {title}", 2 * len(crops), "face", shown=progress) as bar:
            told = [in_batches(partial(_told, some, name), crops, bar)
                    for some in (trained, exported)]
        difference = np.abs(told[0] - told[1]) * crops.shape[1]
        result[f"{name}_difference_px_median"] = round(float(np.median(difference)), 4)
        result[f"{name}_difference_px_p99"] = round(float(np.percentile(difference, 99)), 4)
    return result


def _told(
    predictor: FloatPredictor | LandmarkPredictor, name: str, crops: np.ndarray
) -> np.ndarray:
    """One of the outputs of `ModelOutputs`, which the model has."""
    values: np.ndarray = getattr(predictor.predict_outputs(crops), name)
    return values


def shuffled(crops: np.ndarray) -> np.ndarray:
    """Crops [F, S, S, 3], S divisible by `TILES`, cut into `TILES` tiles a side and shuffled."""
    count, size, _, channels = crops.shape
    side = size // TILES
    tiles = crops.reshape(count, TILES, side, TILES, side, channels).swapaxes(2, 3)
    order = np.random.default_rng(0).permutation(TILES**2)
    tiles = tiles.reshape(count, TILES**2, side, side, channels)[:, order]
    tiles = tiles.reshape(count, TILES, TILES, side, side, channels).swapaxes(2, 3)
    return tiles.reshape(crops.shape)


def point_differences(first: np.ndarray, second: np.ndarray, size: int) -> dict[str, float]:
    """The median and the 99th percentile of the distance between points [F, N, 2], in pixels.

    Args:
      size: the side of the model's input in pixels.
    """
    distance = np.linalg.norm(first - second, axis=-1) * size
    return {
        "point_difference_px_median": round(float(np.median(distance)), 4),
        "point_difference_px_p99": round(float(np.percentile(distance, 99)), 4),
    }
