"""Landmarks from a trained model in float, by the interface of the runtime's predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint

BATCH = 64


class FloatPredictor:
    """Runs one head of a trained model; attributes as in `runtime.LandmarkPredictor`."""

    def __init__(self, model: str | Path, head: str | None = None):
        """Loads a model file.

        Args:
          head: the head to run; None for the model's first.

        Raises:
          DataError: not a model file, or it has no such head.
        """
        spec, network = checkpoint.load(model)
        self.schema: str = checkpoint.chosen_head(model, spec, head)
        self.crop_rule: CropRule = spec.heads[self.schema].crop_rule
        self.input_size: int = spec.input_size
        codec = spec.codec(self.schema)
        self._predict = tf.function(
            lambda crops: codec.decode(network(crops / 255.0, training=False)[self.schema]),
            input_signature=[tf.TensorSpec([None, spec.input_size, spec.input_size, 3])],
        )

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        """Crops [F, S, S, 3] uint8 RGB -> points [F, N, 2] float32 in their unit squares."""
        parts = [
            self._predict(crops[i : i + BATCH].astype(np.float32)).numpy()
            for i in range(0, len(crops), BATCH)
        ]
        return np.concatenate(parts)
