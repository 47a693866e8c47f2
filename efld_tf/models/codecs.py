"""How points become what a head predicts, and back: encode/decode pairs."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class MeanResidualCodec:
    """Points as residuals from their format's mean shape.

    The int8 grid of a residual is four to five times finer than that of a coordinate, and training
    starts from a face.

    Attributes:
      mean_shape: [N, 2] float32, in the crop's unit square.
    """

    def __init__(self, mean_shape: np.ndarray):
        self.mean_shape = np.asarray(mean_shape, np.float32)

    def encode(self, points: tf.Tensor) -> tf.Tensor:
        """Points [B, N, 2] in the crop's unit square -> residuals [B, N, 2]."""
        return points - self.mean_shape

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """Residuals [B, N, 2] -> points [B, N, 2] in the crop's unit square.

        A sum of three operands, because the converter keeps ADD_N in float: with a plain addition
        the points would be quantised once more, on the coarse grid of whole coordinates.
        """
        half = tf.broadcast_to(self.mean_shape / 2, tf.shape(raw))
        return tf.add_n([raw, half, half])
