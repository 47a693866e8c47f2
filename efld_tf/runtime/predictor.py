"""Predicts landmarks with a `.tflite`, run by LiteRT."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from efld_tf import runs
from efld_tf.arrays import Array, Boxes, Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import model_outputs, schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import interpreter, metadata


class Predictor(Protocol):
    """A model that finds landmarks in square crops: exported, trained, or MediaPipe's mesh.

    Attributes:
      model: the file of the model.
      schema: name of the schema of the points.
      crop_rule: how a crop is made from a face box.
      input_size: side S of the input in pixels.
      has_confidence: whether the model says how sure it is.
      has_depth: whether it tells how far each point is in front.
      has_errors: whether it tells how far off each point may be.
      mean_shape: [N, 2] in the unit square of the crop, if crops follow from it
        (`model_crops.needs_mean_shape`); it may be None otherwise.
    """

    model: Path
    schema: str
    crop_rule: CropRule
    input_size: int
    has_confidence: bool
    has_depth: bool
    has_errors: bool
    mean_shape: Floats | None

    def predict_crops(self, crops: Image) -> Floats:
        """Points [F, N, 2] in the unit squares of crops [F, S, S, 3] uint8 RGB."""

    def predict_outputs(self, crops: Image) -> ModelOutputs:
        """All that the model tells of crops [F, S, S, 3] uint8 RGB."""

    def predict_in(self, image: Image, crops: Sequence[Crop]) -> ModelOutputs:
        """All that the model tells of the faces in squares of an image, in its pixels."""


class LandmarkPredictor:
    """Runs an exported model.

    The input of the model is `uint8` RGB [1, S, S, 3]. Its output is `float32` [1, N, 2], points in
    the unit square of the crop. Some models have a further one `float32` [1, 1], how sure the
    model is that there is a face, or [1, 1 + N], with how far off each point may be, in sides of
    the crop; or one `float32` [1, N], how far each point is in front; or two in this order. The
    same pixels always give the same points.

    It is not safe to share between threads, since the interpreter holds its tensors: give every
    thread one of its own, or lock. Different predictors run in parallel: the interpreter does not
    hold Python's lock while it computes.

    The attributes are those of `Predictor`.
    """

    def __init__(self, model: str | os.PathLike[str], threads: int = 1):
        """Loads a model.

        Args:
          model: a `.tflite` of `efld-export`, its folder, or the name of a shipped model.
          threads: number of threads of the interpreter.

        Raises:
          DataError: the file is not a model that `efld-export` wrote.
        """
        model = runs.exported_model(model)
        model_metadata = metadata.read(model)
        if model_metadata.schema_fields is not None:
            schemas.declare(model_metadata.schema_fields)
        self.model = model
        self.schema: str = model_metadata.schema
        self.crop_rule: CropRule = model_metadata.crop_rule
        self.mean_shape: Floats | None = None
        if model_metadata.mean_shape is not None:
            self.mean_shape = np.array(model_metadata.mean_shape)
        self._interpreter = interpreter.load(model, threads)
        self._input = self._interpreter.get_input_details()[0]
        outputs = self._interpreter.get_output_details()
        shape, points = self._input["shape"].tolist(), len(model_metadata.names)
        if len(shape) != 4 or shape[0] != 1 or shape[1] != shape[2] or shape[3] != 3 \
                or self._input["dtype"] != np.uint8:
            raise DataError(model, "expected a uint8 input of shape [1, S, S, 3]")
        if any(output["dtype"] != np.float32 for output in outputs):
            raise DataError(model, "expected outputs of float32")
        try:
            places = model_outputs.places([output["shape"] for output in outputs], points)
        except EfldError as error:
            raise DataError(model, str(error)) from error
        self._points = outputs[places.points]
        self._quality = None if places.confidence is None else outputs[places.confidence]
        self._depth = None if places.depth is None else outputs[places.depth]
        self.has_confidence = self._quality is not None
        self.has_depth = self._depth is not None
        self.has_errors = places.errors
        self.input_size: int = shape[1]

    def predict_crops(self, crops: Image) -> Floats:
        """Points [F, N, 2] float32 in the unit squares of crops [F, S, S, 3] uint8 RGB."""
        return self.predict_outputs(crops).points

    def predict_outputs(self, crops: Image) -> ModelOutputs:
        """All that the model tells of crops [F, S, S, 3] uint8 RGB, in the crops' unit squares."""
        outputs = self._space(len(crops))
        for index, crop in enumerate(crops):
            self._tensor(self._input)[:] = crop
            self._invoke(outputs, index)
        return outputs

    def predict_in(self, image: Image, crops: Sequence[Crop]) -> ModelOutputs:
        """What the model tells of squares of an image, which are cut straight into the input.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: squares such as the model was trained on.

        Returns:
          The outputs in pixels of the image, pixel centres at whole numbers.

        Raises:
          EfldError: a crop is absurdly larger than the image.
        """
        outputs = self._space(len(crops))
        for index, crop in enumerate(crops):
            extract_crop(image, crop, self.input_size, out=self._tensor(self._input))
            self._invoke(outputs, index)
        return outputs.in_pixels(crops)

    def predict(self, image: Image, boxes: Boxes) -> Floats:
        """Points of the faces in an image.

        Args:
          image: [H, W, 3] uint8 RGB.
          boxes: (x0, y0, x1, y1) of each face in pixels, of the kind that the crop rule names.

        Returns:
          [F, N, 2] float32 in pixels of the image, pixel centres at whole numbers.

        Raises:
          EfldError: the image or the boxes have another form.
        """
        check_image(image)
        check_boxes(boxes)
        return self.predict_in(image, [self.crop_rule.crop(box) for box in boxes]).points

    def _space(self, count: int) -> ModelOutputs:
        shape = count, *self._points["shape"][1:]
        return ModelOutputs(
            np.empty(shape, np.float32),
            np.empty(count, np.float32) if self.has_confidence else None,
            np.empty(shape[:2], np.float32) if self.has_depth else None,
            np.empty(shape[:2], np.float32) if self.has_errors else None)

    def _tensor(self, detail: dict[str, Any]) -> Array:
        """The first item of a tensor in its own memory, which the next run overwrites."""
        item: Array = self._interpreter.tensor(detail["index"])()[0]
        return item

    def _invoke(self, outputs: ModelOutputs, index: int) -> None:
        interpreter.invoke(self._interpreter, self.model)
        outputs.points[index] = self._tensor(self._points)
        if outputs.confidence is not None and self._quality is not None:
            quality = self._tensor(self._quality)
            outputs.confidence[index] = quality[0]
            if outputs.errors is not None:
                outputs.errors[index] = quality[1:]
        if outputs.depth is not None and self._depth is not None:
            outputs.depth[index] = self._tensor(self._depth)


def check_image(image: Image) -> None:
    """Raises EfldError if an image is not [H, W, 3] uint8."""
    if not isinstance(image, np.ndarray):
        raise EfldError(f"image: expected an array [H, W, 3] uint8, got {image!r:.60}")
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise EfldError(f"image: expected [H, W, 3] uint8, got {image.shape} {image.dtype}")


def check_boxes(boxes: Boxes) -> None:
    """Raises EfldError if a box is not (x0, y0, x1, y1) with some area."""
    if not isinstance(boxes, Sequence | np.ndarray) or isinstance(boxes, str | bytes):
        raise EfldError(f"boxes: expected a list of boxes, got {boxes!r:.60}")
    for box in boxes:
        try:
            x0, y0, x1, y1 = np.asarray(box, np.float64)
            valid = bool(x1 > x0 and y1 > y0)
        except (TypeError, ValueError):
            valid = False
        if not valid:
            raise EfldError(
                f"boxes: expected x0, y0, x1, y1 with x0 < x1, y0 < y1, got {box!s:.60}")
