"""Layers that move what a convolution sees, by what they see themselves (Section 3.1).

`deformable` moves every tap of a convolution (J. Dai et al., "Deformable Convolutional Networks",
ICCV 2017), `localised` and `Moved` the whole image (M. Jaderberg et al., "Spatial Transformer
Networks", NeurIPS 2015).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.blocks import Blocks, near_zero

# A kernel of 3 x 3 taps, each of which is moved by up to a pixel in y and x.
KERNEL = 3
TAPS = KERNEL**2
# The furthest pixel that a moved tap reads from.
REACH = KERNEL // 2 + 1
# The similarity that moves nothing, see `Moved`.
UNMOVED = (1.0, 0.0, 0.0, 0.0)
# Keeps the inverse of a similarity finite that has shrunk to a point.
NOTHING = 1e-6


def deformable(x: tf.Tensor, filters: int, *, name: str, **options: object) -> tf.Tensor:
    """A deformable convolution of 3 x 3 taps: [B, H, W, C] -> [B, H, W, filters].

    A tap is moved by at most a pixel in either direction, so that nothing but sums and products is
    needed, also in integers: what lies between four pixels is a mean of theirs. Offsets begin near
    0, with the plain convolution. Outside of the map there are zeros.

    Args:
      options: of the layer `Conv2D` that the moved taps' features go through.
    """
    options = {"kernel_initializer": "he_normal", **options}
    moved = layers.Conv2D(
        2 * TAPS, KERNEL, padding="same", kernel_initializer=near_zero(), name=f"{name}_offset")(x)
    taps = MovedTaps(name=f"{name}_taps")([x, moved])
    return layers.Conv2D(filters, 1, name=f"{name}_conv", **options)(taps)


@tf_keras.utils.register_keras_serializable("efld_tf")
class MovedTaps(layers.Layer):
    """The features that the moved taps of a kernel see: [B, H, W, C], offsets -> [B, H, W, 9 C].

    Offsets [B, H, W, 18] are y of each tap, row by row, and then x of each, in pixels; beyond one
    pixel they count as one. The features of tap k are the channels k C to k C + C - 1.

    Attributes:
      as_sums: whether each tap is a sum of the nine pixels that it may see, with a share of each,
        which needs sums and products alone. Otherwise it is gathered from four of them, which is
        faster in training.
    """

    def __init__(self, as_sums: bool = False, **options: object):
        super().__init__(**options)
        self.as_sums = as_sums

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """The features, and the offsets."""
        features, offsets = inputs
        padded = tf.pad(features, [[0, 0], [REACH, REACH], [REACH, REACH], [0, 0]])
        down, right = offsets[..., :TAPS], offsets[..., TAPS:]
        return (_as_sums if self.as_sums else _gathered)(padded, down, right)

    def get_config(self) -> dict[str, object]:
        """The configuration of the layer, for Keras."""
        return {**super().get_config(), "as_sums": self.as_sums}


def _gathered(padded: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """Taps [B, H, W, 9 C] from padded features and offsets [B, H, W, 9], see `MovedTaps`."""
    _, height, width, _ = down.shape
    _, rows, columns, channels = padded.shape
    row, column = np.divmod(np.arange(TAPS), KERNEL)
    places = []
    for offset, first in ((down, np.arange(height)[:, None, None] + row),
                          (right, np.arange(width)[:, None] + column)):
        # Clipped as a place: the converter would make one operator of a clip from -1 to 1, which
        # old runtimes have not.
        first = first.astype(np.float32)
        moved = tf.minimum(tf.maximum(offset + (first + 1), first), first + 2)
        places.append(tf.reshape(moved, [-1, height * width * TAPS]))
    taps = _between(tf.reshape(padded, [-1, rows * columns, channels]), rows, columns, *places)
    return tf.reshape(taps, [-1, height, width, TAPS * channels])


def _as_sums(padded: tf.Tensor, down: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
    """What `_gathered` gives."""
    _, height, width, _ = down.shape
    channels, places = padded.shape[-1], height * width
    shifted = {
        (y, x): tf.reshape(padded[:, y : y + height, x : x + width], [-1, places, 1, channels])
        for y, x in itertools.product(range(2 * REACH + 1), repeat=2)
    }
    # In steps of three, since XNNPACK joins five tensors at most.
    rows = {(y, x): tf.concat([shifted[y, x + column] for column in range(KERNEL)], axis=2)
            for y, x in itertools.product(range(2 * REACH + 1), range(3))}
    total = None
    for (y, down_share), (x, right_share) in itertools.product(
        enumerate(_shares(down)), enumerate(_shares(right))
    ):
        seen = tf.concat([rows[y + row, x] for row in range(KERNEL)], axis=2)
        part = seen * tf.reshape(down_share * right_share, [-1, places, TAPS, 1])
        total = part if total is None else total + part  # integers have no sum of many
    return tf.reshape(total, [-1, height, width, TAPS * channels])


def _shares(offsets: tf.Tensor) -> list[tf.Tensor]:
    """The shares of the pixels before, at and after each tap along an axis; their sum is 1."""
    # relu6 of sixfold offsets is a relu up to 1, for which integers have no operator.
    before, after = (tf.nn.relu6(factor * offsets) * (1 / 6) for factor in (-6.0, 6.0))
    return [before, 1.0 - before - after, after]


def localised(
    image: tf.Tensor, channels: Sequence[int], units: int, blocks: Blocks, name: str
) -> tf.Tensor:
    """How an image is to be moved, see `Moved`: [B, S, S, 3] -> [B, 4].

    Args:
      channels: of convolutions of stride 2, one after the other.
      units: of the dense layer after them.
    """
    x = image
    for index, count in enumerate(channels, start=1):
        x = blocks.conv(x, count, KERNEL, stride=2, name=f"{name}_{index}")
    x = blocks.dense(layers.Flatten(name=f"{name}_flat")(x), units, name=f"{name}_dense")
    return layers.Dense(
        len(UNMOVED), kernel_initializer=near_zero(),
        bias_initializer=tf_keras.initializers.Constant(UNMOVED), name=f"{name}_move")(x)


@tf_keras.utils.register_keras_serializable("efld_tf")
class Moved(layers.Layer):
    """Features after a similarity, by bilinear interpolation: [B, H, W, C], [B, 4] -> [B, H, W, C].

    A similarity (a, b, x, y) reads at (a u - b v + x, b u + a v + y) what belongs at (u, v), where
    places go from -1 to 1 between the borders. Outside of the features there are zeros.

    Attributes:
      back: whether to undo the similarity instead.
    """

    def __init__(self, back: bool = False, **options: object):
        super().__init__(**options)
        self.back = back

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """The features, and the similarities."""
        features, move = inputs
        a, b, x, y = (move[:, i : i + 1] for i in range(4))
        if self.back:
            square = a * a + b * b + NOTHING
            a, b = a / square, 0.0 - b / square
            x, y = 0.0 - (a * x - b * y), 0.0 - (b * x + a * y)
        _, height, width, channels = features.shape
        v, u = (grid.astype(np.float32).ravel() for grid in np.meshgrid(
            *((2 * np.arange(side) + 1) / side - 1 for side in (height, width)), indexing="ij"))
        padded = tf.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]])
        # Everything further outside is like the place a pixel outside, where there are zeros.
        column, row = (tf.clip_by_value((place + 1) * (side / 2) + 0.5, 0.0, side + 1.0)
                       for place, side in ((a * u - b * v + x, width), (b * u + a * v + y, height)))
        flat = tf.reshape(padded, [-1, (height + 2) * (width + 2), channels])
        moved = _between(flat, height + 2, width + 2, row, column)
        return tf.reshape(moved, [-1, height, width, channels])

    def get_config(self) -> dict[str, object]:
        """The configuration of the layer, for Keras."""
        return {**super().get_config(), "back": self.back}


def _between(
    pixels: tf.Tensor, height: int, width: int, row: tf.Tensor, column: tf.Tensor
) -> tf.Tensor:
    """Pixels [B, height * width, C] at places [B, K] inside, interpolated bilinearly: [B, K, C]."""
    # The first of two pixels; at the last one, the other has no share.
    top, left = (tf.minimum(tf.cast(place, tf.int32), side - 2)
                 for place, side in ((row, height), (column, width)))
    down, right = row - tf.cast(top, row.dtype), column - tf.cast(left, row.dtype)
    total = None
    for ahead_y, share_y in ((0, 1 - down), (1, down)):
        for ahead_x, share_x in ((0, 1 - right), (1, right)):
            cell = (top + ahead_y) * width + left + ahead_x
            part = tf.gather(pixels, cell, axis=1, batch_dims=1) * (share_y * share_x)[..., None]
            total = part if total is None else total + part
    return total
