"""Predicts landmarks with a trained model in float, like the predictors of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.models.registry import PRESENCE
from efld_tf.models.trained import DEPTH, POINTS, TrainedModel

BATCH = 64


class FloatPredictor:
    """Runs one head of a trained model; it is a `runtime.predictor.Predictor`."""

    def __init__(self, model: TrainedModel):
        """Makes a predictor of a model that `TrainedModel.load` has read."""
        self.model: Path = model.path
        self.schema: str = model.head
        self.crop_rule: CropRule = model.crop_rule
        self.mean_shape: Floats | None = np.array(model.head_spec.mean_shape)
        self.input_size: int = model.input_size
        self.has_confidence: bool = model.spec.presence is not None
        self.has_depth: bool = model.head_spec.mean_depth is not None
        self.has_errors: bool = model.head_spec.errors is not None
        self._decode = model.compiled

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        """Points [F, N, 2] float32 in the unit squares of crops [F, S, S, 3] uint8 RGB."""
        return self.predict_outputs(crops).points

    def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
        """All that the model tells of crops [F, S, S, 3] uint8 RGB, in the crops' unit squares."""
        if not len(crops):  # a photo without a face; TensorFlow's convolutions take no empty batch
            points = np.empty((0, schemas.get(self.schema).num_points, 2), np.float32)
            return ModelOutputs(points, points[:, 0, 0] if self.has_confidence else None,
                                points[..., 0] if self.has_depth else None,
                                points[..., 0] if self.has_errors else None)
        parts = [
            self._decode(crops[i : i + BATCH].astype(np.float32))
            for i in range(0, len(crops), BATCH)
        ]
        found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        quality = found.get(PRESENCE)
        return ModelOutputs(
            found[POINTS], None if quality is None else quality[:, 0], found.get(DEPTH),
            quality[:, 1:] if self.has_errors and quality is not None else None)

    def predict_in(self, image: np.ndarray, crops: Sequence[Crop]) -> ModelOutputs:
        """What the model tells of the faces in squares of an image, in its pixels.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: squares such as the model was trained on.

        Raises:
          EfldError: a crop is absurdly larger than the image.
        """
        pixels = np.empty((len(crops), self.input_size, self.input_size, 3), np.uint8)
        for crop, place in zip(crops, pixels, strict=True):
            extract_crop(image, crop, self.input_size, out=place)
        return self.predict_outputs(pixels).in_pixels(crops)
