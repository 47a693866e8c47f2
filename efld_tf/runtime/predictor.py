"""Landmarks from a `.tflite` by LiteRT."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import metadata


class LandmarkPredictor:
    """Runs an exported model.

    Input of the model: `uint8` RGB [1, S, S, 3]; output: `float32` [1, N, 2], points in the unit
    square of the crop. Not safe to share between threads: the interpreter holds its tensors.

    Attributes:
      schema: name of the schema of the points.
      crop_rule: how a crop is made from a face box.
      input_size: side S of the input in pixels.
    """

    def __init__(self, model: str | Path, threads: int = 1):
        """Loads a model.

        Raises:
          DataError: not a model that `efld-export` wrote.
        """
        about = metadata.read(model)
        self.schema: str = about.schema
        self.crop_rule: CropRule = about.crop_rule
        try:
            with silenced_stderr():  # it announces its delegate
                self._interpreter = Interpreter(model_path=str(model), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise DataError(model, f"LiteRT cannot load it: {error}") from error
        self._input = self._interpreter.get_input_details()[0]
        self._output = self._interpreter.get_output_details()[0]
        shape, points = self._input["shape"].tolist(), len(about.names)
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3 \
                or self._input["dtype"] != np.uint8:
            raise DataError(model, "expected a uint8 input of shape [1, S, S, 3]")
        if self._output["shape"].tolist() != [1, points, 2] or self._output["dtype"] != np.float32:
            raise DataError(model, f"expected a float32 output of shape [1, {points}, 2]")
        self.input_size: int = shape[1]

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        """Crops [F, S, S, 3] uint8 RGB -> points [F, N, 2] float32 in their unit squares."""
        points = [self._invoke(crop) for crop in crops]
        return np.stack(points) if points else np.empty((0, *self._output["shape"][1:]), np.float32)

    def predict(self, image: np.ndarray, boxes: Sequence[np.ndarray]) -> np.ndarray:
        """Points of the faces in an image.

        Args:
          image: [H, W, 3] uint8 RGB.
          boxes: (x0, y0, x1, y1) of each face in pixels, of the kind that the crop rule names.

        Returns:
          [F, N, 2] float32 in pixels of the image, pixel centres at whole numbers.

        Raises:
          EfldError: the image or the boxes are not of that form.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise EfldError(f"image: expected [H, W, 3] uint8, got {image.shape} {image.dtype}")
        for box in boxes:
            if np.shape(box) != (4,) or box[2] <= box[0] or box[3] <= box[1]:
                raise EfldError(f"boxes: expected x0, y0, x1, y1 with x0 < x1, y0 < y1, got {box}")
        crops = [self.crop_rule.crop(box) for box in boxes]
        pixels = [extract_crop(image, crop, self.input_size) for crop in crops]
        points = self.predict_crops(np.array(pixels, np.uint8))
        return np.array([c.from_unit(p) for c, p in zip(crops, points, strict=True)], np.float32)

    def _invoke(self, crop: np.ndarray) -> np.ndarray:
        self._interpreter.set_tensor(self._input["index"], crop[None])
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._output["index"])[0]
