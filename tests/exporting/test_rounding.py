"""Rounded weights lie on the grid that the quantiser finds, and lose less than the nearest ones."""

from __future__ import annotations

import numpy as np
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_keras import layers

from efld_tf.exporting import rounding


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_columns_are_whole_steps_and_better_than_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    taps, outputs = int(rng.integers(2, 20)), int(rng.integers(1, 6))
    mixing = rng.normal(size=(taps, taps)) + 2
    patches = (rng.random((400, taps)) @ mixing)[None]
    columns, bias = rng.normal(size=(1, taps, outputs)), rng.normal(size=(1, outputs))
    step = np.abs(columns).max(axis=1, keepdims=True) / 127
    rounded, shifted = rounding.round_columns(patches, columns, bias, step)
    whole = rounded / step
    np.testing.assert_allclose(whole, np.round(whole), atol=1e-3)
    np.testing.assert_allclose(np.abs(whole).max(axis=1), 127, atol=1e-3)  # so the grid is found
    expected = patches @ columns + bias[:, None]
    nearest = patches @ (np.round(columns / step) * step) + bias[:, None]
    found = patches @ rounded + shifted[:, None]
    assert abs((found - expected).mean()) < 1e-3 * np.abs(expected).mean() + 1e-6
    assert np.square(found - expected).mean() <= 1.05 * np.square(nearest - expected).mean() + 1e-9


def test_a_hand_case() -> None:
    """Two inputs that are always equal: what the first weight loses, the second takes over.

    Steps of 1: 0.4 is rounded to 0 and its 0.4 goes to 126.4, which becomes 126.8, so 127.
    """
    same = np.repeat(np.arange(1.0, 9.0)[:, None], 2, axis=1)[None]
    columns = np.array([[[0.4], [126.4]]])
    rounded, _ = rounding.round_columns(same, columns, np.zeros((1, 1)), np.ones((1, 1, 1)))
    np.testing.assert_array_equal(rounded[0, :, 0], [0, 127])


def test_a_network_keeps_its_mean_and_gets_a_grid() -> None:
    tf_keras.utils.set_random_seed(0)
    image = layers.Input((16, 16, 3))
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, 2, "same", name="conv")(image))
    x = layers.ReLU(6.0)(layers.DepthwiseConv2D(3, 1, "same", name="depthwise")(x))
    x = layers.ReLU(6.0)(layers.Conv2D(8, 3, 2, groups=4, name="grouped")(x))
    x = layers.Dense(4, name="dense")(layers.Flatten()(x))
    model = tf_keras.Model(image, x)
    crops = np.random.default_rng(0).integers(0, 256, (64, 16, 16, 3), np.uint8)
    rounded = rounding.round_weights(model, crops)
    values = crops.astype(np.float32) / 255.0
    before, after = model(values).numpy(), rounded(values).numpy()
    assert np.abs((before - after).mean(axis=0)).max() < 1e-3
    assert np.abs(before - after).max() < 0.05 * before.std()
    for name, axes in (
        ("conv", (0, 1, 2)), ("grouped", (0, 1, 2)), ("depthwise", (0, 1, 3)), ("dense", (0,)),
    ):
        kernel = rounded.get_layer(name).get_weights()[0]
        steps = kernel / (np.abs(kernel).max(axis=axes, keepdims=True) / 127)
        np.testing.assert_allclose(steps, np.round(steps), atol=1e-3)
