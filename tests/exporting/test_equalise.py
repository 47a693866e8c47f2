"""Equalisation changes the scales within a network, not what it computes."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from efld_tf.exporting import equalise, optimise
from efld_tf.models import probe


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)


def network(limit: float | None, shared: bool = False) -> tf_keras.Model:
    """conv -> ReLU -> depthwise -> dense, with channels of very different ranges."""
    tf_keras.utils.set_random_seed(1)
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, 2, name="conv")(image)
    x = layers.ReLU(limit, name="act")(x)
    y = layers.DepthwiseConv2D(7, name="depthwise")(x)
    outputs = [layers.Dense(4)(layers.Flatten()(y))]
    if shared:
        outputs.append(layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    model = tf_keras.Model(image, outputs)
    kernel, bias = model.get_layer("conv").get_weights()
    model.get_layer("conv").set_weights([kernel * np.geomspace(0.1, 3, 8), bias])
    return model


def reached(model: tf_keras.Model, crops: np.ndarray) -> np.ndarray:
    probe = tf_keras.Model(model.input, model.get_layer("act").output)
    return probe(crops.astype(np.float32) / 255.0).numpy().max(axis=(0, 1, 2))


@pytest.mark.parametrize("limit", [6.0, None])
def test_the_same_function_with_full_channels(limit: float | None, crops: np.ndarray) -> None:
    model = network(limit)
    before = model.get_weights()
    equalised = equalise.equalise(model, crops)
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(equalised(pixels), model(pixels), rtol=1e-4, atol=1e-5)
    for kept, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, kept)
    plain = reached(model, crops)
    full = limit or plain.max() * equalise.HEADROOM
    assert plain.min() < 0.2 * full
    expected = np.clip(full / equalise.HEADROOM, plain, equalise.LARGEST_STRETCH * plain)
    np.testing.assert_allclose(reached(equalised, crops), expected, rtol=1e-4)


def test_a_channel_that_others_read_is_left_alone(crops: np.ndarray) -> None:
    model = network(6.0, shared=True)
    equalised = equalise.equalise(model, crops)
    for kept, weight in zip(model.get_weights(), equalised.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, kept)


def test_a_dead_channel_stays_finite(crops: np.ndarray) -> None:
    model = network(6.0)
    kernel, bias = model.get_layer("conv").get_weights()
    kernel[..., 0], bias[0] = 0, -1
    model.get_layer("conv").set_weights([kernel, bias])
    equalised = equalise.equalise(model, crops)
    assert all(np.isfinite(weight).all() for weight in equalised.get_weights())
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(equalised(pixels), model(pixels), rtol=1e-4, atol=1e-5)


def test_balanced_parts_are_centred_and_exact_in_int8(crops: np.ndarray) -> None:
    tf_keras.utils.set_random_seed(2)
    image = layers.Input((16, 16, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(6, 3, 2, "same")(image))
    x = layers.DepthwiseConv2D(8, name="whole", bias_initializer="normal")(x)
    plain = tf_keras.Model(image, layers.Flatten()(x))
    split = optimise.split_depthwise(plain)
    balanced = equalise.balance_parts(split, crops)
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(balanced(pixels), plain(pixels), rtol=1e-4, atol=1e-5)
    parts = balanced.get_layer("whole_parts")
    ((lowest, highest),) = probe.extremes_of(balanced, [parts], crops)
    np.testing.assert_allclose(highest, -lowest, atol=1e-5)
    assert highest.max() <= 1 + 1e-5  # the scale of the largest is in the sum's kernel
    kernel = balanced.get_layer("whole_sum").get_weights()[0][:, 0, :, 0]
    steps = kernel / (kernel.max(axis=0) / 127)
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert equalise.is_split(parts) and not equalise.is_split(balanced.get_layer("whole_sum"))


def test_dead_channels_do_not_blow_up_the_kernel_of_the_parts(crops: np.ndarray) -> None:
    """Its scale is one for all parts, so that it would have no levels left for the others."""
    tf_keras.utils.set_random_seed(3)
    image = layers.Input((16, 16, 3))
    before = layers.Conv2D(6, 3, 2, "same")
    x = layers.ReLU(6.0)(before(image))
    x = layers.DepthwiseConv2D(8, name="whole", bias_initializer="normal")(x)
    plain = tf_keras.Model(image, layers.Flatten()(x))
    dead = np.array([True, True, False, True, True, False])  # most of them
    before.set_weights([before.get_weights()[0], np.where(dead, -100.0, 0.5)])
    balanced = equalise.balance_parts(optimise.split_depthwise(plain), crops)
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(balanced(pixels), plain(pixels), rtol=1e-4, atol=1e-5)
    kernel = np.abs(balanced.get_layer("whole_parts").get_weights()[0]).max(axis=(0, 1, 3))
    kernel = kernel.reshape(-1, 6)
    assert kernel[:, dead].max() <= 1.01 * kernel[:, ~dead].max()


def test_features_share_the_ranges_of_the_dense_kernels(crops: np.ndarray) -> None:
    tf_keras.utils.set_random_seed(4)
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(5, 3, 2, "same", activation="relu")(image)
    depthwise = layers.DepthwiseConv2D(8, name="features", bias_initializer="normal")
    x = layers.Flatten()(depthwise(x))
    hidden = layers.Dense(4, activation="relu", name="hidden", bias_initializer="normal")(x)
    both = layers.Concatenate()([hidden, x])  # the features are inputs 4 to 8 of the last
    plain = tf_keras.Model(image, layers.Dense(2, name="points")(both))
    kernel, bias = depthwise.get_weights()
    depthwise.set_weights([kernel * np.array([1, 10, 0.1, 1, 0])[:, None], bias])
    balanced = equalise.equalise_features(plain, crops)
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(balanced(pixels), plain(pixels), rtol=1e-4, atol=1e-5)
    ((lowest, highest),) = probe.extremes_of(balanced, [balanced.get_layer("features")], crops)
    bias = balanced.get_layer("features").get_weights()[1]  # which is lifted away later
    reached = np.maximum(bias - lowest, highest - bias).reshape(-1)
    rows = [balanced.get_layer(name).get_weights()[0] for name in ("hidden", "points")]
    weights = np.maximum(*(np.abs(r).max(axis=1) for r in (rows[0], rows[1][4:])))
    np.testing.assert_allclose(reached[:4], weights[:4], rtol=1e-4)
    assert np.isfinite(weights).all() and reached[4] < 1e-6
