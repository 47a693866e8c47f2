"""The coherent loss: maps of one face in two crops should differ as the crops do.

It is the outside transformer of the stacked dense U-Nets (Section 3.2, Equation 1). There one of
the crops is as it was, and the other is changed by an affine or mirrored; here both are augmented.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from efld_tf.data.augment import Placed, warp_by_tensorflow

# How much of a pixel may lie outside.
EDGE = 1e-3


def difference(
    maps: tf.Tensor, placed: Placed, flip: Sequence[int], mask: tf.Tensor
) -> tf.Tensor:
    """The mean squared difference between the maps of a face in one crop and in the other.

    Args:
      maps: [2 K, G, G, N] maps, or their log-odds, of K faces and of the same ones again.
      placed: how the 2 K faces lie in their crops.
      flip: the flip permutation of the N points.
      mask: [2 K, N], 1 where a point is annotated.

    Returns:
      [2 K]: for each pair of maps H_1 and H_2, the mean of (H_2 - T H_1)^2 over the pixels of H_2
      that lie inside of H_1, and over the annotated points; half of it for each crop of the pair.
    """
    first, second = tf.split(maps, 2)
    size = maps.shape[1]
    to_first = _between(placed)
    mirrored = tf.math.logical_xor(*tf.split(placed.mirrored, 2))
    # A mirrored face has its points in another order.
    first = tf.where(mirrored[:, None, None, None], tf.gather(first, flip, axis=-1), first)
    moved = warp_by_tensorflow(first, to_first, size)
    # Where the map ends, a part of a pixel would be compared with nothing.
    inside = warp_by_tensorflow(tf.ones_like(first[..., :1]), to_first, size)
    inside = tf.cast(inside > 1 - EDGE, tf.float32) * tf.split(mask, 2)[1][:, None, None]
    squares = tf.reduce_sum(tf.square(second - moved) * inside, axis=(1, 2, 3))
    mean = tf.math.divide_no_nan(squares, tf.reduce_sum(inside, axis=(1, 2, 3)))
    return tf.tile(mean / 2, [2])


def _between(placed: Placed) -> tf.Tensor:
    """Affines [K, 2, 3] from the unit squares of the second crops to those of the first."""
    first, second = tf.split(placed.to_stored, 2)
    back = tf.linalg.inv(first[..., :2])
    linear = back @ second[..., :2]
    offset = tf.linalg.matvec(back, second[..., 2] - first[..., 2])
    return tf.concat([linear, offset[..., None]], axis=-1)
