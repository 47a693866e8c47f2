"""Rewrites average pooling, nearest upsampling and channel shuffles for XNNPACK.

It has no average pooling in int8 and no nearest upsampling: each would end its partition. Average
pooling by k becomes depthwise convolutions of constant weights, by factors of k in turn; nearest
upsampling by k becomes copies of each pixel side by side, and of each row below one another, which
are concatenations of reshaped tensors. A channel shuffle would transpose single bytes; a point-wise
convolution by a permutation is faster. All compute the same.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting.optimise import Rebuild, call, rebuilt
from efld_tf.models.blocks import ChannelShuffle

# Depthwise convolutions by more than 5 x 5 pixels are computed channel by channel, and XNNPACK
# concatenates up to five tensors.
LARGEST_FACTOR = 5


def resample(model: tf_keras.Model) -> tf_keras.Model:
    """The model with other layers of the same function for these three.

    Sizes that have a prime factor above 5 stay as they are.
    """

    def replace(layer: layers.Layer, new: Rebuild) -> bool:
        if isinstance(layer, ChannelShuffle):
            new.put(layer.output, _shuffle(layer, new.value(layer.input)))
            return True
        times = _factor(layer)
        factors = _factors(times) if times > 1 else None
        if factors is None:
            return False
        x = new.value(layer.input)
        for step, factor in enumerate(factors):
            name = f"{layer.name}_by{factor}_{step + 1}"
            pooled = isinstance(layer, layers.AveragePooling2D)
            x = _pool(x, factor, name) if pooled else _repeat(x, factor, name)
        new.put(layer.output, x)
        return True

    return rebuilt(model, replace)


def _shuffle(layer: ChannelShuffle, x: tf.Tensor) -> tf.Tensor:
    """The shuffle by a convolution, whose kernel is what the layer makes of the unit matrix."""
    channels = x.shape[-1]
    kernel = layer(np.eye(channels, dtype=np.float32)[None, None]).numpy()
    permutation = layers.Conv2D(channels, 1, use_bias=False, name=layer.name)
    return call(permutation, x, [kernel])


def _factor(layer: layers.Layer) -> int:
    """By how much a layer that can be replaced pools or upsamples; 1 for other layers."""
    if isinstance(layer, layers.AveragePooling2D):
        rows, columns = layer.pool_size
        _, height, width, _ = layer.input.shape
        whole = height % rows == 0 and width % columns == 0 and layer.strides == layer.pool_size
        return rows if rows == columns and whole else 1
    if isinstance(layer, layers.UpSampling2D) and layer.interpolation == "nearest":
        rows, columns = layer.size
        return rows if rows == columns else 1
    return 1


def _factors(times: int) -> list[int] | None:
    """Factors of a number, from the largest down, each at most 5; None if it has none such."""
    factors = []
    while times > 1:
        factor = next((f for f in range(LARGEST_FACTOR, 1, -1) if times % f == 0), None)
        if factor is None:
            return None
        factors.append(factor)
        times //= factor
    return factors


def _pool(x: tf.Tensor, factor: int, name: str) -> tf.Tensor:
    """Means of squares: [B, H, W, C] -> [B, H / factor, W / factor, C]."""
    mean = layers.DepthwiseConv2D(factor, factor, use_bias=False, name=name)
    weights = np.full((factor, factor, x.shape[-1], 1), 1 / factor**2, np.float32)
    return call(mean, x, [weights])


def _repeat(x: tf.Tensor, factor: int, name: str) -> tf.Tensor:
    """Pixels repeated: [B, H, W, C] -> [B, H * factor, W * factor, C]."""
    _, height, width, channels = x.shape
    x = layers.Reshape((height * width, 1, channels), name=f"{name}_columns")(x)
    x = layers.Concatenate(axis=2, name=f"{name}_wide")([x] * factor)
    x = layers.Reshape((height, 1, width * factor * channels), name=f"{name}_rows")(x)
    x = layers.Concatenate(axis=2, name=f"{name}_high")([x] * factor)
    return layers.Reshape((height * factor, width * factor, channels), name=name)(x)
