"""Pooling, upsampling and shuffles in the form that XNNPACK has in int8."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting.resampling import resample
from efld_tf.models.blocks import ChannelShuffle

OTHERS = layers.AveragePooling2D | layers.UpSampling2D | ChannelShuffle


def both(layer: layers.Layer, size: int, channels: int = 6) -> tuple[tf_keras.Model, tf.Tensor]:
    """The rewritten model, after it was seen to compute the same."""
    image = tf_keras.Input((size, size, channels))
    model = tf_keras.Model(image, layers.ReLU()(layer(image)))
    changed = resample(model)
    x = tf.random.normal([2, size, size, channels], seed=1)
    np.testing.assert_allclose(changed(x), model(x), atol=1e-6)
    return changed


@pytest.mark.parametrize("times", [2, 3, 4, 8, 10, 16])
@pytest.mark.parametrize("kind", [layers.AveragePooling2D, layers.UpSampling2D])
def test_pooling_and_upsampling_are_the_same_by_other_layers(kind: type, times: int) -> None:
    changed = both(kind(times), 2 * times if kind is layers.AveragePooling2D else 3)
    assert not [layer for layer in changed.layers if isinstance(layer, OTHERS)]
    for layer in changed.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            assert max(layer.kernel_size) <= 5  # 25 taps
        if isinstance(layer, layers.Concatenate):
            assert len(layer.input) <= 5


def test_a_shuffle_is_a_permutation() -> None:
    changed = both(ChannelShuffle(), 4)
    assert not [layer for layer in changed.layers if isinstance(layer, OTHERS)]


@pytest.mark.parametrize("layer", [
    layers.AveragePooling2D(7), layers.AveragePooling2D(3, strides=1),
    layers.AveragePooling2D((2, 1)), layers.AveragePooling2D(4),  # 14 pixels
    layers.UpSampling2D(7), layers.UpSampling2D((2, 1)),
    layers.UpSampling2D(2, interpolation="bilinear"),
], ids=lambda layer: layer.name)
def test_others_stay_as_they_are(layer: layers.Layer) -> None:
    changed = both(layer, 14)
    assert [found for found in changed.layers if isinstance(found, OTHERS)]
