"""Small real models, converted once a session, and operators one by one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# By hand: conv 3x3 stride 2, 3 -> 4, on 16x16; depthwise 3x3 stride 2; pointwise 4 -> 8 at 4x4;
# dense 8 * 16 -> 10.
TINY_MACS = 8 * 8 * 4 * 27 + 4 * 4 * 4 * 9 + 4 * 4 * 8 * 4 + 128 * 10
INPUT_SIZE = 16


@functools.cache
def _tiny_keras():
    import tf_keras
    from tf_keras import layers

    tf_keras.utils.set_random_seed(0)
    image = layers.Input((INPUT_SIZE, INPUT_SIZE, 3), batch_size=1)
    x = layers.Conv2D(4, 3, 2, "same", activation="relu")(image)
    x = layers.DepthwiseConv2D(3, 2, "same")(x)
    x = layers.Conv2D(8, 1)(x)
    x = layers.Dense(10)(layers.Flatten()(x))
    return tf_keras.Model(image, layers.Reshape((5, 2))(x))


@functools.cache
def tiny_int8() -> bytes:
    """uint8 image in, int8 inside, float32 points out."""
    import tensorflow as tf

    random = np.random.default_rng(0)
    shape = (1, INPUT_SIZE, INPUT_SIZE, 3)
    converter = tf.lite.TFLiteConverter.from_keras_model(_tiny_keras())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: (
        [random.random(shape).astype(np.float32)] for _ in range(8)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = tf.float32
    return converter.convert()


@functools.cache
def tiny_float() -> bytes:
    """The same network in float32."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(_tiny_keras()).convert()


def convert(function, shapes: Sequence[Sequence[int | None]]) -> bytes:
    """A TensorFlow function of float32 tensors as a `.tflite`."""
    import tensorflow as tf

    module = tf.Module()
    module.call = tf.function(
        function, input_signature=[tf.TensorSpec(shape, tf.float32) for shape in shapes]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.call.get_concrete_function()], module
    )
    return converter.convert()


def edited(model: bytes, edit: Callable[[Any], None]) -> bytes:
    """A model with its flatbuffer taken apart, changed by `edit(ModelT)` and put together."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    tree = schema.ModelT.InitFromPackedBuf(model, 0)
    edit(tree)
    builder = flatbuffers.Builder(len(model))
    builder.Finish(tree.Pack(builder), b"TFL3")
    return bytes(builder.Output())
