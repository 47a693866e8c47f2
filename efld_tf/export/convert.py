"""One head of a trained model -> a TensorFlow Lite flatbuffer."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.export import flatbuffer
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

    Raises:
      EfldError: the calibration crops do not cover black and white, so that the input's grid would
        not be that of the pixels.
    """
    if calibration.min() != 0 or calibration.max() != 255:
        raise EfldError(
            "the calibration crops do not reach from black to white: add images, so that pixel "
            "values map exactly to the input's int8 grid"
        )
    converter = _converter(spec, model, head)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [crop[None].astype(np.float32) / 255.0] for crop in calibration
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32
    return _convert(converter)


def to_float32(spec: ModelSpec, model: tf_keras.Model, head: str) -> bytes:
    """Converts in float: images [1, S, S, 3] in [0, 1] in, points out. For comparisons."""
    return _convert(_converter(spec, model, head))


def _converter(spec: ModelSpec, model: tf_keras.Model, head: str) -> tf.lite.TFLiteConverter:
    """A converter of the function from one image to one head's points; other heads drop out."""
    codec = spec.codec(head)
    # A fixed batch of 1: a free one would add shape arithmetic and split the delegate's partition.
    shape = [1, spec.input_size, spec.input_size, 3]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def landmarks(image):
        return {"points": codec.decode(model(image, training=False)[head])}

    return tf.lite.TFLiteConverter.from_concrete_functions(
        [landmarks.get_concrete_function()], model
    )


def _convert(converter: tf.lite.TFLiteConverter) -> bytes:
    with silenced_stderr():
        tree = flatbuffer.read(converter.convert())
    flatbuffer.shorten_names(tree)
    return flatbuffer.write(tree)
