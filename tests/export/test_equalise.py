"""Equalisation changes the scales within a network, not what it computes."""

from __future__ import annotations

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from efld_tf.export import equalise


@pytest.fixture
def crops() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), np.uint8)


def network(limit: float | None, shared: bool = False) -> tf_keras.Model:
    """conv -> norm -> ReLU -> depthwise -> dense, with channels of very different ranges."""
    tf_keras.utils.set_random_seed(1)
    image = layers.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, 2, use_bias=False)(image)
    x = layers.BatchNormalization(name="norm")(x)
    x = layers.ReLU(limit, name="act")(x)
    y = layers.DepthwiseConv2D(7, use_bias=False, name="depthwise")(x)
    outputs = [layers.Dense(4)(layers.Flatten()(y))]
    if shared:
        outputs.append(layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    model = tf_keras.Model(image, outputs)
    norm = model.get_layer("norm")
    gamma, beta, mean, variance = norm.get_weights()
    norm.set_weights([gamma * np.geomspace(0.1, 3, 8), beta, mean, variance])
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
    full = limit or reached(model, crops).max() * equalise.HEADROOM
    plain = reached(model, crops)
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
    norm = model.get_layer("norm")
    gamma, beta, mean, variance = norm.get_weights()
    gamma[0], beta[0] = 0, -1
    norm.set_weights([gamma, beta, mean, variance])
    equalised = equalise.equalise(model, crops)
    assert all(np.isfinite(weight).all() for weight in equalised.get_weights())
    pixels = crops.astype(np.float32) / 255.0
    np.testing.assert_allclose(equalised(pixels), model(pixels), rtol=1e-4, atol=1e-5)
