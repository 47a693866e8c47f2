"""What the grids of an integer model cover."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from tf_keras import layers

from efld_tf.exporting import convert, flatbuffer, modes, quantise, ranges
from efld_tf.models import registry
from efld_tf.runtime import graph
from tests import tiny_models


def test_sixteen_bits_leave_room_for_other_faces() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    tf_keras.utils.set_random_seed(5)
    image = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 3, 2, bias_initializer="normal")(image)
    content = tiny_models.convert(tf_keras.Model(image, layers.Flatten()(x)), [[1, 16, 16, 3]])
    observed = ranges.observe(content, crops)
    eight, sixteen = (ranges.choose(observed, bits) for bits in (8, 16))
    pixels = observed.model_graph.inputs[0].name
    assert eight[pixels] == sixteen[pixels] == (0.0, 1.0)
    others = set(eight) - {pixels}
    assert others
    for name in others:
        assert sixteen[name] == tuple(2 * value for value in eight[name]) != (0.0, 0.0)


@pytest.mark.parametrize(
    "mode, own, expected",
    [(modes.INT8, 100.0, 95.0), (modes.INT8, 90.0, 90.0), (modes.INT16X8, 100.0, 100.0),
     (modes.INT16X8, 90.0, 90.0)],
)
def test_sixteen_bits_need_no_clipping_of_the_family(
    mode: modes.Mode, own: float, expected: float
) -> None:
    mode = replace(mode, steps=replace(mode.steps, clip_percentile=own))
    family = replace(registry.get("efld"), clip_percentile=95.0)
    assert convert.clip_percentile(mode, family) == expected


@pytest.mark.parametrize("dying", [0.0, 1e-7])
def test_units_that_hardly_live_are_computed(dying: float) -> None:
    """Their range alone would give a grid that XNNPACK refuses, and LiteRT crashes then."""
    crops = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    image = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(1, 1, activation="relu", name="dead")(image)
    x = layers.Conv2D(4, 1, activation="sigmoid", name="gate")(x)
    model = tf_keras.Model(image, x)
    model.get_layer("dead").set_weights([-np.ones((1, 1, 3, 1)), np.array([dying])])
    content = tiny_models.convert(model, [[1, 16, 16, 3]])
    chosen = ranges.choose(ranges.observe(content, crops), 8)
    integer = quantise.to_int8(content, chosen, modes.INT8.steps)
    interpreter = Interpreter(model_content=integer, num_threads=1)
    interpreter.allocate_tensors()
    interpreter.set_tensor(0, np.zeros((1, 16, 16, 3), np.float32))
    interpreter.invoke()
    bias = model.get_layer("gate").get_weights()[1]
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(result[0, 0, 0], 1 / (1 + np.exp(-bias)), atol=0.01)


def test_what_moves_the_results_of_a_sigmoid_keeps_their_grid() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
    image = layers.Input((8, 8, 3), name="image")
    x = layers.Conv2D(4, 3, activation="sigmoid")(image)
    x = layers.Concatenate()([x, layers.Reshape((6, 6, 4))(x)])
    x = layers.Conv2D(2, 1)(x)
    content = tiny_models.convert(tf_keras.Model(image, x), [[1, 8, 8, 3]])
    chosen = ranges.choose(ranges.observe(content, crops), 8)
    operators = graph.parse(quantise.to_int8(content, chosen, modes.INT8.steps)).operators
    names = [operator.name for operator in operators]
    assert names.count("QUANTIZE") == 1  # the image
    (sigmoid,) = (op for op in operators if op.name == "LOGISTIC")
    (moved,) = (op for op in operators if op.name == "CONCATENATION")
    assert sigmoid.outputs[0].scales == moved.outputs[0].scales == (1 / 256,)


KINDS = {
    "convolution": lambda: layers.Conv2D(4, 1, name="layer"),
    "depthwise": lambda: layers.DepthwiseConv2D(3, name="layer"),
    "transposed": lambda: layers.Conv2DTranspose(4, 2, 2, name="layer"),
    "dense": lambda: layers.Dense(4, name="layer"),
}


@pytest.mark.parametrize("dying", [0.0, 1e-9])
@pytest.mark.parametrize("kind", KINDS)
def test_filters_of_no_weights_keep_their_bias(kind: str, dying: float) -> None:
    """Its grid would be that of their weights, on which it does not fit into 32 bits."""
    crops = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)
    tf_keras.utils.set_random_seed(1)
    image = layers.Input((16, 16, 3), name="image")
    x = layers.Conv2D(4, 1, activation="relu", name="before")(image)
    x = layers.Flatten()(x) if kind == "dense" else x
    model = tf_keras.Model(image, layers.ReLU(6.0)(KINDS[kind]()(x)))
    layer = model.get_layer("layer")
    kernel = layer.get_weights()[0]
    axis = {"depthwise": 2, "transposed": 2}.get(kind, kernel.ndim - 1)
    np.moveaxis(kernel, axis, 0)[1] *= dying / 0.1
    layer.set_weights([kernel, np.array([0.5, 5.5, 1.0, 2.0])])
    content = tiny_models.convert(model, [[1, 16, 16, 3]])
    chosen = ranges.choose(ranges.observe(content, crops), 8)
    integer = quantise.to_int8(content, chosen, replace(modes.INT8.steps, last="as others"))
    interpreter = Interpreter(model_content=integer, num_threads=1)
    interpreter.allocate_tensors()
    pixels = crops[:1] / np.float32(255)
    interpreter.set_tensor(0, pixels)
    interpreter.invoke()
    result = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    np.testing.assert_allclose(result, model(pixels), atol=0.1)


@pytest.mark.parametrize("shared", [False, True])
def test_a_changed_constant_leaves_others_and_no_dead_bytes(shared: bool) -> None:
    image = layers.Input((16, 16, 3), name="image")
    x = layers.ReLU()(layers.Conv2D(3, 1, name="one")(image))
    model = tf_keras.Model(image, layers.Conv2D(3, 1, name="two")(x))
    tree = flatbuffer.read(tiny_models.convert(model, [[1, 16, 16, 3]]))
    first, second = (int(op.inputs[1]) for op in tree.subgraphs[0].operators)
    if shared:  # as the converter stores equal constants
        tensors = tree.subgraphs[0].tensors
        tensors[second].buffer = tensors[first].buffer
    count, kept = len(tree.buffers), flatbuffer.constant(tree, second).copy()
    values = flatbuffer.constant(tree, first) + 1
    flatbuffer.set_constant(tree, first, values)
    np.testing.assert_array_equal(flatbuffer.constant(tree, first), values)
    np.testing.assert_array_equal(flatbuffer.constant(tree, second), kept)
    assert len(tree.buffers) == count + shared


@pytest.mark.parametrize("bits", [8, 16])
def test_parts_next_to_nothing_get_a_range_that_xnnpack_takes(bits: int) -> None:
    def parts(image):
        share = tf.nn.relu(image - 0.5)
        return tf.nn.relu(image) + 1e-9 * share * tf.nn.relu(image - 0.25)

    crops = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)
    observed = ranges.observe(tiny_models.convert(parts, [(1, 8, 8, 3)]), crops)
    chosen = ranges.choose(observed, bits)
    (total,) = (op for op in observed.model_graph.operators if op.name == "ADD" and all(
        part and not part.constant for part in op.inputs))
    low, high = chosen[total.outputs[0].name]
    widths = [chosen[part.name][1] - chosen[part.name][0] for part in total.inputs]
    assert (min(widths) >= (high - low) / 512 * 0.999) == (bits == 8)
