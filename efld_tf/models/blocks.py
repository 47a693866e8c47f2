"""Convolution blocks shared by the families: convolution -> batch norm -> activation."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
import tf_keras

ACTIVATIONS = ("relu", "relu6")


@dataclass(frozen=True)
class Blocks:
    """Builds named blocks with one choice of activation and batch norm.

    Every convolution is without bias and followed by batch norm and the activation. Layers are
    called `NAME_conv` or `NAME_dwconv`, `NAME_bn` and `NAME_act`.

    Attributes:
      activation: `relu` or `relu6`; the latter bounds what int8 calibration can ever see.
      batch_norm_momentum: share of the old moving average kept in each step.
    """

    activation: str = "relu6"
    batch_norm_momentum: float = 0.95

    def conv(
        self, x: tf.Tensor, filters: int, kernel: int, *, stride: int = 1, name: str,
        padding: str = "same",
    ) -> tf.Tensor:
        """Convolution block: [B, H, W, C] -> [B, H / stride, W / stride, filters]."""
        x = tf_keras.layers.Conv2D(
            filters, kernel, stride, padding, use_bias=False,
            kernel_initializer="he_normal", name=f"{name}_conv",
        )(x)
        return self._normalise(x, name)

    def depthwise(
        self, x: tf.Tensor, kernel: int, *, stride: int = 1, name: str, padding: str = "same"
    ) -> tf.Tensor:
        """Depthwise convolution block: [B, H, W, C] -> [B, H / stride, W / stride, C]."""
        x = tf_keras.layers.DepthwiseConv2D(
            kernel, stride, padding, use_bias=False,
            depthwise_initializer="he_normal", name=f"{name}_dwconv",
        )(x)
        return self._normalise(x, name)

    def separable(
        self, x: tf.Tensor, filters: int, kernel: int, *, stride: int = 1, name: str
    ) -> tf.Tensor:
        """Depthwise then pointwise block: [B, H, W, C] -> [B, H / stride, W / stride, filters]."""
        x = self.depthwise(x, kernel, stride=stride, name=f"{name}_depthwise")
        return self.conv(x, filters, 1, name=f"{name}_pointwise")

    def dense(self, x: tf.Tensor, units: int, *, name: str) -> tf.Tensor:
        """Dense layer with bias and the activation, without batch norm: [B, C] -> [B, units]."""
        x = tf_keras.layers.Dense(units, kernel_initializer="he_normal", name=name)(x)
        return self._activate(x, name)

    def _normalise(self, x: tf.Tensor, name: str) -> tf.Tensor:
        x = tf_keras.layers.BatchNormalization(
            momentum=self.batch_norm_momentum, name=f"{name}_bn"
        )(x)
        return self._activate(x, name)

    def _activate(self, x: tf.Tensor, name: str) -> tf.Tensor:
        largest = 6.0 if self.activation == "relu6" else None
        return tf_keras.layers.ReLU(largest, name=f"{name}_act")(x)
