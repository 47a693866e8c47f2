"""How often a trained model's grid scores a point highest in the cell that it lies in."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from efld_tf.errors import EfldError
from efld_tf.evaluation.evaluate import BATCH
from efld_tf.evaluation.faces import EvaluationFaces, common_points
from efld_tf.models.codecs import best_cells
from efld_tf.models.trained import POINTS, TrainedModel


def accuracy(model: TrainedModel, faces: EvaluationFaces) -> float:
    """The share, 0 to 1, of annotated points whose cell has their highest score.

    It is the accuracy of the classification on the grid (PIPNet, Section 3.3 and Figure 7). A point
    outside the crop belongs to the nearest cell, as in training.

    Args:
      faces: those that the model is to be measured on, cropped for it.

    Raises:
      EfldError: the model's heads have no grid, or the schemas cannot be compared.
    """
    grid = model.spec.architecture.family.grid
    if grid is None:
        raise EfldError(f"{model.path}: the heads of {model.spec.family} have no grid")
    _, predicted_indices, truth_indices = common_points(model.head, faces.schema)
    right = counted = 0
    for start in range(0, len(faces), BATCH):
        images = faces.crops[start : start + BATCH].astype(np.float32) / 255
        raw = model.network(images, training=False)[POINTS]
        scores = raw["scores"] if isinstance(raw, dict) else raw
        predicted = best_cells(scores).numpy()[:, list(predicted_indices)]
        # Points that are not compared may lie anywhere.
        points = np.zeros((len(images), scores.shape[-1], 2), np.float32)
        points[:, list(predicted_indices)] = \
            faces.points[start : start + BATCH][:, list(truth_indices)]
        known = np.isfinite(points).all(axis=-1)[:, list(predicted_indices)]
        target = grid.encode(model.codec, tf.constant(np.nan_to_num(points)), 0)
        true = best_cells(target).numpy()[:, list(predicted_indices)]
        right += int((known & (predicted == true)).sum())
        counted += int(known.sum())
    return right / counted
