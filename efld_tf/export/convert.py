"""One head of a trained model -> a TensorFlow Lite flatbuffer."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.export import flatbuffer
from efld_tf.export.equalize import equalise
from efld_tf.models.checkpoint import ModelSpec
from efld_tf.quiet import silenced_stderr


def to_int8(
    spec: ModelSpec, model: tf_keras.Model, head: str, calibration: np.ndarray
) -> bytes:
    """Converts to full int8 with a uint8 image in and float32 points out.

    The points leave the integer part as residuals; the mean shape is added in a float tail (see
    `models.codecs`), so that the output grid is that of the residuals.

    Args:
      calibration: [F, S, S, 3] uint8 crops, evaluation preprocessing only.
    """
    model = equalise(model, calibration)
    # A fixed batch of 1: a free one would add shape arithmetic and split the delegate's partition.
    shape = [1, spec.input_size, spec.input_size, 3]
    codec = spec.codec(head)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def landmarks(image):
        return {"points": codec.decode(model(image, training=False)[head])}

    return _convert(landmarks, model, _with_black_and_white(calibration))


def _with_black_and_white(crops: np.ndarray) -> np.ndarray:
    """The crops with one black and one white pixel: the input's grid must be that of the pixels."""
    result = crops.copy()
    result[0, 0, 0], result[0, 0, 1] = 0, 255
    return result


def to_float32(spec: ModelSpec, model: tf_keras.Model, head: str) -> bytes:
    """Converts in float, with the same ends as int8: a uint8 image in, float32 points out."""
    shape = [1, spec.input_size, spec.input_size, 3]
    codec = spec.codec(head)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.uint8, name="image")])
    def landmarks(image):
        pixels = tf.cast(image, tf.float32) / 255.0
        return {"points": codec.decode(model(pixels, training=False)[head])}

    return _convert(landmarks, model)


def _convert(function, model: tf_keras.Model, calibration: np.ndarray | None = None) -> bytes:
    """Converts a function of one image; to full int8 where there are calibration crops."""
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], model
    )
    if calibration is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: (
            [crop[None].astype(np.float32) / 255.0] for crop in calibration
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.uint8
        converter.inference_output_type = tf.float32
    with silenced_stderr():
        tree = flatbuffer.read(converter.convert())
    flatbuffer.shorten_names(tree)
    return flatbuffer.write(tree)
