"""Transposed convolutions, whose kernels are [H, W, out, in], and branches that join."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from ai_edge_litert.interpreter import Interpreter
from tf_keras import layers

from efld_tf.exporting import equalise, modes, optimise, quantise, ranges, rounding
from efld_tf.models import probe, rebuild
from efld_tf.models.blocks import Blocks
from efld_tf.runtime import graph
from tests import tiny_models
from tests.exporting.test_optimise import STEPS, shaken

SIZE = 16


@pytest.fixture(scope="module")
def crops() -> np.ndarray:
    """Smooth noise: neighbouring pixels say much about each other, as in photos."""
    coarse = np.random.default_rng(0).integers(0, 256, (24, 4, 4, 3), np.uint8)
    smooth = layers.UpSampling2D(SIZE // 4, interpolation="bilinear")(coarse.astype(np.float32))
    return np.uint8(smooth)


def network(kernel: int = 4, stride: int = 2, depthwise: bool = False) -> tf_keras.Model:
    """Two deconvolutions of the same tensor, one of them maybe before a depthwise convolution."""
    tf_keras.utils.set_random_seed(kernel)
    blocks = Blocks("relu")
    image = layers.Input((SIZE, SIZE, 3))
    x = blocks.conv(image, 6, 3, stride=2, name="first")
    y = blocks.deconv(x, 8, kernel, stride=stride, name="up")
    if depthwise:
        y = blocks.depthwise(y, 3, name="depthwise")
    z = blocks.deconv(x, 8, kernel, stride=stride, name="other")
    outputs = layers.Conv2D(5, 1, name="last")(layers.Add(name="sum")([y, z]))
    return shaken(tf_keras.Model(image, outputs), kernel)


def outputs(model: tf_keras.Model, crops: np.ndarray) -> np.ndarray:
    return model(crops.astype(np.float32) / 255.0).numpy()


def test_a_deconvolution_block() -> None:
    image = layers.Input((5, 7, 3))
    x = Blocks("relu6").deconv(image, 8, 4, name="up")
    model = tf_keras.Model(image, x)
    assert x.shape[1:] == (10, 14, 8)
    assert [layer.name for layer in model.layers[1:]] == ["up_deconv", "up_bn", "up_act"]
    assert not model.get_layer("up_deconv").use_bias


@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 2), (2, 2), (3, 1)])
def test_every_step_keeps_the_function(kernel: int, stride: int, crops: np.ndarray) -> None:
    model = network(kernel, stride, depthwise=True)
    expected = outputs(model, crops)
    for step in STEPS:
        model = step(model)
        np.testing.assert_allclose(outputs(model, crops), expected, rtol=1e-4, atol=1e-4)
    kinds = [type(layer) for layer in model.layers]
    assert layers.BatchNormalization not in kinds and kinds.count(layers.Conv2DTranspose) == 2


def test_channels_before_a_depthwise_convolution_are_stretched(crops: np.ndarray) -> None:
    folded = optimise.fold_batch_norms(network(depthwise=True))
    producer = folded.get_layer("up_deconv")
    kernel, bias = producer.get_weights()
    spread = np.geomspace(0.05, 1, 8)
    producer.set_weights([kernel * spread[:, None], bias * spread])
    equalised = equalise.equalise(folded, crops)
    np.testing.assert_allclose(
        outputs(equalised, crops), outputs(folded, crops), rtol=1e-4, atol=1e-4
    )
    highest = []
    for model in (folded, equalised):
        ((_, high),) = probe.extremes_of(model, [model.get_layer("up_act")], crops)
        highest.append(high.max(axis=(0, 1)))
    assert highest[0].min() < 0.2 * highest[0].max()
    np.testing.assert_allclose(highest[1], highest[1].max(), rtol=1e-3)


@pytest.mark.parametrize(
    ("kernel", "stride", "ratio"), [(4, 2, 0.5), (3, 2, 0.5), (2, 2, 1.0), (3, 1, 0.1)]
)
def test_rounded_kernels_have_a_grid_and_lose_less(
    kernel: int, stride: int, ratio: float, crops: np.ndarray
) -> None:
    """Much less where several taps share an output pixel; one tap of 3 channels can say little."""
    image = layers.Input((SIZE, SIZE, 3))
    tf_keras.utils.set_random_seed(kernel)
    up = layers.Conv2DTranspose(8, kernel, stride, "same", name="up", bias_initializer="normal")
    model = tf_keras.Model(image, up(image))
    expected = outputs(model, crops)
    found = rounding.round_weights(model, crops)
    kernel, bias = up.get_weights()
    step = np.abs(kernel).max(axis=(0, 1, 3), keepdims=True) / 127
    whole = found.get_layer("up").get_weights()[0] / step
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-3)
    np.testing.assert_allclose(np.abs(whole).max(axis=(0, 1, 3)), 127, atol=1e-3)
    error = outputs(found, crops) - expected
    nearest = rebuild.rebuilt(model, lambda layer, new: False)
    nearest.get_layer("up").set_weights([np.round(kernel / step) * step, bias])
    assert np.square(error).mean() < ratio * np.square(outputs(nearest, crops) - expected).mean()
    assert np.abs(error.mean(axis=(0, 1, 2))).max() < 1e-3 * expected.std()


def test_in_int8(crops: np.ndarray) -> None:
    """All the way: the quantiser finds the grid that the kernels were rounded to."""
    model = optimise.fold_batch_norms(network())
    expected = outputs(model, crops)
    rounded = rounding.round_weights(model, crops)
    content = tiny_models.convert(rounded, [[1, SIZE, SIZE, 3]])
    chosen = ranges.choose(ranges.observe(content, crops), 8)
    content = quantise.to_int8(content, chosen, modes.INT8.steps)
    found = graph.parse(content)
    kernels = [op.inputs[1] for op in found.operators if op.name == "TRANSPOSE_CONV"]
    assert [kernel.dtype for kernel in kernels] == ["int8", "int8"]
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    details = {row["name"]: row for row in interpreter.get_tensor_details()}
    scales = np.sort([details[kernel.name]["quantization_parameters"]["scales"]
                      for kernel in kernels], axis=0)
    steps = [np.abs(rounded.get_layer(f"{name}_deconv").get_weights()[0]).max(axis=(0, 1, 3)) / 127
             for name in ("up", "other")]
    np.testing.assert_allclose(scales, np.sort(steps, axis=0), rtol=1e-4)
    results = []
    for crop in crops:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"],
                               crop[None].astype(np.float32) / 255.0)
        interpreter.invoke()
        results.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"])[0])
    error = np.stack(results) - expected
    assert np.sqrt(np.square(error).mean()) < 0.03 * expected.std()


def test_layers_that_several_read_are_copied_once() -> None:
    """A padding, a sum and a gated tensor with two readers each."""
    blocks = Blocks("relu6")
    image = layers.Input((SIZE, SIZE, 3))
    padded = layers.ZeroPadding2D(1, name="pad")(image)
    y = blocks.conv(padded, 8, 3, padding="valid", name="left")
    z = blocks.conv(padded, 8, 3, padding="valid", name="right")
    added = layers.Add(name="add")([y, z])
    gate = layers.Conv2D(8, 1, name="gate")(
        layers.GlobalAveragePooling2D(keepdims=True, name="mean")(added)
    )
    gated = layers.Multiply(name="gated")([added, gate])
    y = blocks.conv(gated, 4, 3, name="end")
    model = shaken(tf_keras.Model(image, [y, layers.Add(name="both")([gated, added])]), 3)
    crops = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    pixels = crops.astype(np.float32) / 255.0
    expected = model(pixels)
    for step in STEPS:
        model = step(model)
    model = rounding.clone(equalise.equalise(model, crops))
    for found, value in zip(model(pixels), expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-4)
    names = [layer.name for layer in model.layers]
    assert [names.count(name) for name in ("pad", "add", "gated")] == [1, 1, 1]
