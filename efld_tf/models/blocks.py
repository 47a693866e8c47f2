"""Convolution blocks that the families share: convolution -> batch norm -> activation."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf
import tf_keras

RELUS = ("relu", "relu6")
ACTIVATIONS = (*RELUS, "hard_swish")
# The activation of a block that has none.
LINEAR = "linear"


@tf_keras.utils.register_keras_serializable("efld_tf")
class HardSigmoid(tf_keras.layers.Layer):
    """min(max(x + 3, 0), 6) / 6 (A. Howard et al., "Searching for MobileNetV3", ICCV 2019, 5.2)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[...] -> [...] in [0, 1]."""
        return tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


@tf_keras.utils.register_keras_serializable("efld_tf")
class HardSwish(tf_keras.layers.Layer):
    """x min(max(x + 3, 0), 6) / 6, as MobileNetV3 has it; the converter makes it one operator."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[...] -> [...], from -3 / 8 up."""
        return inputs * tf.nn.relu6(inputs + 3.0) * (1.0 / 6.0)


@tf_keras.utils.register_keras_serializable("efld_tf")
class Channels(tf_keras.layers.Layer):
    """Takes some of a tensor's channels: [B, H, W, C] -> [B, H, W, count]."""

    def __init__(self, start: int, count: int, **options: object):
        super().__init__(**options)
        self.start, self.count = start, count

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """The channels from `start` on."""
        return inputs[..., self.start : self.start + self.count]

    def get_config(self) -> dict[str, object]:
        """The configuration of the layer, for Keras."""
        return {**super().get_config(), "start": self.start, "count": self.count}


@tf_keras.utils.register_keras_serializable("efld_tf")
class ChannelShuffle(tf_keras.layers.Layer):
    """Interleaves the two halves of the channels (X. Zhang et al., "ShuffleNet", CVPR 2018)."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H, W, C]: channels 0, C / 2, 1, C / 2 + 1, ..."""
        _, height, width, channels = inputs.shape
        halves = tf.reshape(inputs, [-1, height, width, 2, channels // 2])
        return tf.reshape(tf.transpose(halves, [0, 1, 2, 4, 3]), [-1, height, width, channels])


@tf_keras.utils.register_keras_serializable("efld_tf")
class ChannelMean(tf_keras.layers.Layer):
    """The mean of the channels: [B, H, W, C] -> [B, H, W, 1]."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, H, W, C] -> [B, H, W, 1]."""
        return tf.reduce_mean(inputs, axis=-1, keepdims=True)


def near_zero() -> tf_keras.initializers.Initializer:
    """The initialiser of a head's last weights: it starts from the mean face or an even grid."""
    return tf_keras.initializers.RandomNormal(stddev=1e-3)


@dataclass(frozen=True)
class Blocks:
    """Builds named blocks with one choice of activation and batch norm.

    Every convolution is without bias and followed by batch norm and the activation; a block
    without batch norm has a bias instead. Layers are called `NAME_conv`, `NAME_dwconv` or
    `NAME_deconv`, `NAME_bn` and `NAME_act`; before a convolution with explicit padding there is a
    `NAME_pad`.

    A convolution's `padding` may be `same` or `valid` as in TensorFlow, or `symmetric`, PyTorch's
    padding by half the kernel. At stride 1 this is the same as `same`; at stride 2, where
    TensorFlow pads more at the end, a layer of its own puts zeros around the input.

    The `activation` of a single block replaces that of all; `LINEAR` leaves it out.

    Attributes:
      activation: one of `ACTIVATIONS`. `relu6` bounds the values that int8 calibration can see.
      batch_norm_momentum: share of the old moving average kept in each step.
      batch_norm_epsilon: added to the variance; the default is Keras's, PyTorch's is 1e-5.
    """

    activation: str = "relu6"
    batch_norm_momentum: float = 0.95
    batch_norm_epsilon: float = 1e-3

    def conv(
        self, x: tf.Tensor, filters: int, kernel: int, *, stride: int = 1, name: str,
        padding: str = "same", activation: str | None = None, batch_norm: bool = True,
        groups: int = 1,
    ) -> tf.Tensor:
        """Convolution block: [B, H, W, C] -> [B, H / stride, W / stride, filters]."""
        x, padding = _padded(x, kernel, stride, padding, name)
        x = tf_keras.layers.Conv2D(
            filters, kernel, stride, padding, groups=groups, use_bias=not batch_norm,
            kernel_initializer="he_normal", name=f"{name}_conv",
        )(x)
        return self._finish(x, name, activation, batch_norm)

    def depthwise(
        self, x: tf.Tensor, kernel: int, *, stride: int = 1, name: str, padding: str = "same",
        activation: str | None = None, batch_norm: bool = True,
    ) -> tf.Tensor:
        """Depthwise convolution block: [B, H, W, C] -> [B, H / stride, W / stride, C]."""
        x, padding = _padded(x, kernel, stride, padding, name)
        x = tf_keras.layers.DepthwiseConv2D(
            kernel, stride, padding, use_bias=not batch_norm,
            depthwise_initializer="he_normal", name=f"{name}_dwconv",
        )(x)
        return self._finish(x, name, activation, batch_norm)

    def separable(
        self, x: tf.Tensor, filters: int, kernel: int, *, stride: int = 1, name: str
    ) -> tf.Tensor:
        """Depthwise then pointwise block: [B, H, W, C] -> [B, H / stride, W / stride, filters]."""
        x = self.depthwise(x, kernel, stride=stride, name=f"{name}_depthwise")
        return self.conv(x, filters, 1, name=f"{name}_pointwise")

    def deconv(
        self, x: tf.Tensor, filters: int, kernel: int, *, stride: int = 2, name: str,
        activation: str | None = None,
    ) -> tf.Tensor:
        """Transposed convolution block: [B, H, W, C] -> [B, H * stride, W * stride, filters]."""
        x = tf_keras.layers.Conv2DTranspose(
            filters, kernel, stride, "same", use_bias=False,
            kernel_initializer="he_normal", name=f"{name}_deconv",
        )(x)
        return self._finish(x, name, activation)

    def dense(
        self, x: tf.Tensor, units: int, *, name: str, batch_norm: bool = False
    ) -> tf.Tensor:
        """Dense layer with bias or a batch norm, and the activation: [B, C] -> [B, units]."""
        x = tf_keras.layers.Dense(
            units, use_bias=not batch_norm, kernel_initializer="he_normal", name=name
        )(x)
        return self._finish(x, name, None, batch_norm)

    def norm(self, x: tf.Tensor, *, name: str) -> tf.Tensor:
        """The batch norm alone: [..., C] -> [..., C]."""
        return tf_keras.layers.BatchNormalization(
            momentum=self.batch_norm_momentum, epsilon=self.batch_norm_epsilon, name=f"{name}_bn"
        )(x)

    def activate(self, x: tf.Tensor, *, name: str, activation: str | None = None) -> tf.Tensor:
        """The activation alone: [...] -> [...]."""
        activation = activation or self.activation
        if activation == LINEAR:
            return x
        if activation == "hard_swish":
            return HardSwish(name=f"{name}_act")(x)
        largest = 6.0 if activation == "relu6" else None
        return tf_keras.layers.ReLU(largest, name=f"{name}_act")(x)

    def _finish(
        self, x: tf.Tensor, name: str, activation: str | None, batch_norm: bool = True
    ) -> tf.Tensor:
        if batch_norm:
            x = self.norm(x, name=name)
        return self.activate(x, name=name, activation=activation)


def _padded(
    x: tf.Tensor, kernel: int, stride: int, padding: str, name: str
) -> tuple[tf.Tensor, str]:
    """The input of a convolution with that padding, and the padding that is left to do in it."""
    if padding != "symmetric":
        return x, padding
    if stride == 1 or kernel == 1:
        return x, "same"
    return tf_keras.layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
