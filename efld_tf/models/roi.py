"""Regions of interest around coarse predictions: where they lie, and the features in them.

RoI-align (K. He et al., "Mask R-CNN", ICCV 2017, Section 3) with one bilinear sample a cell. A
region covers side x side cells of a grid of features; it is moved into the grid, so that no sample
lies outside.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

# Keeps an expected place finite where a whole map is 0.
NOTHING = 1e-20


def expected_places(log_odds: tf.Tensor) -> tf.Tensor:
    """The mean place on each map, weighted by probabilities (Equation 1 of the two-stage paper).

    Args:
      log_odds: [B, G, G, N]; their sigmoid, divided by its sum over the map, are the weights.

    Returns:
      [B, N, 2] x and y in pixels of the map; the centre of the first one is at 0.
    """
    size, points = log_odds.shape[2:]
    weights = tf.sigmoid(log_odds)
    along = [tf.reduce_sum(weights, axis=axis) for axis in (1, 2)]  # of columns, and of rows
    total = tf.reduce_sum(along[0], axis=1) + NOTHING
    steps = np.arange(size, dtype=np.float32)[:, None]
    means = [tf.reduce_sum(sums * steps, axis=1) / total for sums in along]
    # Stacking would be left to the built-in kernels.
    return tf.concat([tf.reshape(mean, [-1, points, 1]) for mean in means], axis=-1)


@tf_keras.utils.register_keras_serializable("efld_tf")
class RoiOrigins(layers.Layer):
    """Where the regions around coarse predictions begin: [B, G, G, N] -> [B, N, 2].

    Gradients do not pass: where a region lies is not learnt from what is found in it.

    Attributes:
      grid: cells a side of the features.
      side: cells a side of a region.
      jitter: in training, how far a region is moved at random, in cells. What follows learns to
        find a point that is not in the middle of its region, as after rounding.
      rounded: in training, the share of regions that are moved to whole cells after that.
      whole: whether origins are rounded to whole cells, and int32.
    """

    def __init__(
        self, grid: int, side: int, jitter: float = 0.0, rounded: float = 0.0, whole: bool = False,
        **options: object,
    ):  # fmt: skip
        # Numbers of 16 bits would tell quarters of a cell apart at best.
        super().__init__(**{"dtype": "float32", **options})
        self.grid, self.side, self.whole = grid, side, whole
        self.jitter, self.rounded = jitter, rounded

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Log-odds of coarse maps -> x and y of each region's first cell, in cells."""
        scale = self.grid / inputs.shape[1]
        # From the centre of the first pixel to the crop's corner, and back from a region's middle.
        origins = expected_places(inputs) * scale + (scale - self.side) / 2
        if training:
            origins = self._moved(origins, inputs)
        origins = tf.minimum(tf.maximum(origins, 0.0), float(self.grid - self.side))
        return _whole(origins + 0.5) if self.whole else tf.stop_gradient(origins)

    def _moved(self, origins: tf.Tensor, log_odds: tf.Tensor) -> tf.Tensor:
        """Origins [B, N, 2] moved at random, in the same way for the same maps.

        So a run that is resumed is what it would have been.
        """
        sums = tf.stack([tf.reduce_sum(log_odds), tf.reduce_max(log_odds)])
        seed = tf.bitcast(sums, tf.int32)
        shape = tf.shape(origins)
        if self.jitter:
            origins += tf.random.stateless_uniform(shape, seed, -self.jitter, self.jitter)
        if self.rounded:
            chosen = tf.random.stateless_uniform(shape[:2], seed + 1) < self.rounded
            origins = tf.where(chosen[..., None], tf.round(origins), origins)
        return origins

    def get_config(self) -> dict[str, object]:
        """The configuration of the layer, for Keras."""
        return {**super().get_config(), "grid": self.grid, "side": self.side,
                "jitter": self.jitter, "rounded": self.rounded, "whole": self.whole}


@tf_keras.utils.register_keras_serializable("efld_tf")
class RoiAlign(layers.Layer):
    """The features in regions: [B, G, G, C], [B, N, 2] -> [B, side, side, N * C].

    The features of region n are the channels n * C to n * C + C - 1.

    Attributes:
      side: cells a side of a region.
      whole: whether origins are whole cells; then nothing is interpolated.
    """

    def __init__(self, side: int, whole: bool = False, **options: object):
        super().__init__(autocast=False, **options)  # origins stay float32
        self.side, self.whole = side, whole

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """The features, and the origins of `RoiOrigins`."""
        features, origins = inputs
        if self.whole:
            return _window(features, origins, self.side)
        # One cell more, between which all samples of a region are interpolated alike.
        last = float(features.shape[1] - self.side - 1)
        first = _whole(tf.minimum(origins, last))
        window = _window(features, first, self.side + 1)
        # A share for each channel: old runtimes crash where five dimensions are broadcast.
        share = (origins - tf.cast(first, tf.float32))[..., None] * np.ones(features.shape[-1], "f")
        share = tf.cast(share, features.dtype)
        x, y = (tf.reshape(share[:, :, axis], [-1, 1, 1, window.shape[-1]]) for axis in (0, 1))
        window = window[:, :, :-1] * (1 - x) + window[:, :, 1:] * x
        return window[:, :-1] * (1 - y) + window[:, 1:] * y

    def get_config(self) -> dict[str, object]:
        """The configuration of the layer, for Keras."""
        return {**super().get_config(), "side": self.side, "whole": self.whole}


@tf_keras.utils.register_keras_serializable("efld_tf")
class RegionConvolution(layers.Conv2D):
    """A convolution of each region by weights of its own: [B, R, R, N * C] -> [B, R, R, N].

    It is `Conv2D` with a group for each region, stride 1 and the padding `same`. TensorFlow
    takes far longer for the gradients of groups on a CPU than for those of this form.
    """

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The features of all regions -> one value a cell of each."""
        _, rows, columns, width = inputs.shape
        *side, channels, regions = self.kernel.shape
        kernel = tf.reshape(tf.transpose(self.kernel, [0, 1, 3, 2]), [*side, width, 1])
        products = tf.nn.depthwise_conv2d(inputs, channels * kernel, [1, 1, 1, 1], "SAME")
        products = tf.reshape(products, [-1, rows, columns, regions, channels])
        # Their sum; old runtimes have no sum of 16-bit numbers.
        return tf.reduce_mean(products, axis=-1) + self.bias


def _whole(origins: tf.Tensor) -> tf.Tensor:
    """Origins without their fractions; 0 where they are not numbers, which gather would refuse."""
    return tf.maximum(tf.cast(origins, tf.int32), 0)


def _window(features: tf.Tensor, origins: tf.Tensor, side: int) -> tf.Tensor:
    """Cells from whole origins [B, N, 2] on: [B, G, G, C] -> [B, side, side, N * C]."""
    _, rows, columns, channels = features.shape
    steps = np.arange(side, dtype=np.int32)
    places = (steps[:, None] * columns + steps)[..., None]  # [side, side, 1]
    first = origins[..., 1] * columns + origins[..., 0]  # [B, N]
    cells = first[:, None, None] + places
    chosen = tf.gather(
        tf.reshape(features, [-1, rows * columns, channels]), cells, axis=1, batch_dims=1)
    return tf.reshape(chosen, [-1, side, side, origins.shape[1] * channels])
