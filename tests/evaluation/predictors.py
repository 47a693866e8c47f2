"""What tests put in the place of a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.landmarks.geometry import Crop, CropRule
from efld_tf.landmarks.model_outputs import ModelOutputs


class Fixed:
    """A predictor without a confidence, whose points of crops a test decides."""

    model = Path("fixed.tflite")
    has_confidence = has_depth = has_errors = False
    schema = "ibug51"
    crop_rule = CropRule("points", "ibug68", 1.25)
    input_size = 64
    mean_shape = None

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        raise NotImplementedError

    def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
        return ModelOutputs(self.predict_crops(crops))

    def predict_in(self, image: np.ndarray, crops: Sequence[Crop]) -> ModelOutputs:
        raise NotImplementedError
