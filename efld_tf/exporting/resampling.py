"""Rewrites average pooling, nearest upsampling and channel shuffles for XNNPACK.

It has no average pooling in int8 and no nearest upsampling: each would end its partition. Average
pooling by k becomes depthwise convolutions of constant weights, by factors of k in turn; nearest
upsampling by k becomes copies of each pixel side by side, and of each row below one another, which
are concatenations of reshaped tensors. A channel shuffle would transpose single bytes; a point-wise
convolution by a permutation is faster. All compute the same.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.blocks import ChannelShuffle
from efld_tf.models.rebuild import Rebuild, call, rebuilt

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
        pooled = isinstance(layer, layers.AveragePooling2D)
        change = _pooled if pooled else _repeated
        new.put(layer.output, change(new.value(layer.input), factors, layer.name))
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


def _pooled(x: tf.Tensor, factors: list[int], name: str) -> tf.Tensor:
    """Means of squares: [B, H, W, C] -> [B, H / k, W / k, C], k being the factors' product."""
    for step, factor in enumerate(factors):
        mean = layers.DepthwiseConv2D(factor, factor, use_bias=False, name=f"{name}_{step + 1}")
        weights = np.full((factor, factor, x.shape[-1], 1), 1 / factor**2, np.float32)
        x = call(mean, x, [weights])
    return x


def _repeated(x: tf.Tensor, factors: list[int], name: str) -> tf.Tensor:
    """Pixels repeated: [B, H, W, C] -> [B, H * k, W * k, C], k being the factors' product."""
    _, height, width, channels = x.shape
    times = math.prod(factors)
    # Pixels first, while there are few: they take a copy each, and so do rows.
    for step, factor in enumerate(factors):
        pixels = x.shape[1] * x.shape[2] * x.shape[3] // channels
        x = layers.Reshape((pixels, 1, channels), name=f"{name}_pixels_{step + 1}")(x)
        x = layers.Concatenate(axis=2, name=f"{name}_wide_{step + 1}")([x] * factor)
    for step, factor in enumerate(factors):
        rows = height * math.prod(factors[:step])
        x = layers.Reshape((rows, 1, width * times * channels), name=f"{name}_rows_{step + 1}")(x)
        x = layers.Concatenate(axis=2, name=f"{name}_high_{step + 1}")([x] * factor)
    return layers.Reshape((height * times, width * times, channels), name=name)(x)
