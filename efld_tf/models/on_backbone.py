"""The common parts of families whose heads stand on a named backbone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.models import backbones
from efld_tf.models.blocks import ACTIVATIONS, Blocks

MOST_CHANNELS = 4096


@dataclass(frozen=True)
class BackboneOptions:
    """What can be varied in every such family.

    Attributes:
      backbone: `efld`, EFLD's own and the smallest, or as in PIPNet's paper `resnet18`, `resnet50`,
        `resnet101`, `mobilenet_v2` or `mobilenet_v3_large`.
      activation: of backbone and head; None for the backbone's own.
      batch_norm_momentum: of every batch norm; 0.95 follows short runs calmly.
    """

    backbone: str = "efld"
    activation: str | None = None
    batch_norm_momentum: float = 0.95

    def __post_init__(self) -> None:
        backbones.get(self.backbone)
        if self.activation not in (None, *ACTIVATIONS):
            raise EfldError(f"activation: expected one of {ACTIVATIONS}, got {self.activation!r}")
        if not 0 < self.batch_norm_momentum < 1:
            raise EfldError("batch_norm_momentum: expected a number between 0 and 1, got "
                            f"{self.batch_norm_momentum}")

    @property
    def blocks(self) -> Blocks:
        """The blocks of backbone and head."""
        activation = self.activation or backbones.get(self.backbone).activation
        return Blocks(activation, self.batch_norm_momentum)


def check_size(options: BackboneOptions, input_size: int) -> None:
    """Refuses an input size that does not fit.

    Raises:
      EfldError: the size is not divisible by the backbone's stride.
    """
    backbone = backbones.get(options.backbone)
    if input_size <= 0 or input_size % backbone.stride:
        raise EfldError(
            f"input_size: expected a multiple of {backbone.stride} with the backbone "
            f"{options.backbone}, got {input_size}"
        )


def check_channels(channels: int) -> None:
    """Raises EfldError for a number of channels that no layer has."""
    if not 1 <= channels <= MOST_CHANNELS:
        raise EfldError(f"channels: expected 1 to {MOST_CHANNELS}, got {channels}")


def features(options: BackboneOptions, input_size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """An image input [B, S, S, 3], and the backbone's features of it [B, G, G, C]."""
    backbone = backbones.get(options.backbone)
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    return image, backbone.build(image, options.blocks)


def load_backbone(model: tf_keras.Model, options: BackboneOptions, path: Path) -> None:
    """Copies ImageNet weights into a model's backbone.

    Raises:
      EfldError: there are no weights for this backbone.
      DataError: the file does not hold weights for it.
    """
    load = backbones.get(options.backbone).load
    if load is None:
        raise EfldError(f"training.backbone_weights: the backbone {options.backbone!r} has no "
                        "public weights to start from")
    load(model, path)


def pooled(x: tf.Tensor) -> tf.Tensor:
    """The mean of features over the crop: [B, G, G, C] -> [B, C], for a presence output."""
    return tf_keras.layers.GlobalAveragePooling2D(name="presence_features")(x)


def coarse_scores(model: tf_keras.Model, head: str, level: int) -> tf.Tensor:
    """A head's scores on a grid of cells 2^level times as long (PIPNet, Section 3.3, Figure 8).

    The head's own convolution, `HEAD_scores`, computes them from its max-pooled input, as in the
    published code.

    Returns:
      [B, G / 2^level, G / 2^level, N]; G is divisible by 2^level.
    """
    scores = model.get_layer(f"{head}_scores")
    x = scores.input
    for _ in range(level):
        x = tf_keras.layers.MaxPooling2D(2)(x)
    return scores(x)
