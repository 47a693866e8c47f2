"""How points become what a head predicts, and back: encode/decode pairs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class MeanResidualCodec:
    """Points as residuals from their format's mean shape: raw = mean shape - points.

    The int8 grid of a residual is four to five times finer than that of a coordinate, and training
    starts from a face.

    The sign and the sum of three are what keeps the last step in float after full int8
    conversion: the converter quantises an addition of two and would put the points on the coarse
    grid of coordinates; it leaves NEG and ADD_N alone, but lets the range of ADD_N's result spread
    to its operands unless another float operation (NEG) stands between.

    Attributes:
      mean_shape: [N, 2] float32, in the crop's unit square.
    """

    def __init__(self, mean_shape: np.ndarray):
        self.mean_shape = np.asarray(mean_shape, np.float32)

    def encode(self, points: tf.Tensor) -> tf.Tensor:
        """Points [B, N, 2] in the crop's unit square -> raw residuals [B, N, 2]."""
        return self.mean_shape - points

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """Raw residuals [B, N, 2] -> points [B, N, 2] in the crop's unit square."""
        half = tf.broadcast_to(self.mean_shape / 2, tf.shape(raw))
        return tf.add_n([tf.negative(raw), half, half])
