"""How points become what a head predicts, and back: encode/decode pairs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class MeanResidualCodec:
    """Points as residuals from their format's mean shape: raw = mean shape - points.

    The int8 grid of a residual is four to five times finer than that of a coordinate, and training
    starts from a face.

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
        return tf.subtract(self.mean_shape, raw)
