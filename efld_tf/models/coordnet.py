"""CoordNet predicts coordinates by three dense layers, a baseline of PIPNet (Section 4.3.1)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models import on_backbone
from efld_tf.models.blocks import near_zero
from efld_tf.models.codecs import MeanResidualCodec

UNITS = 512

CoordNetOptions = on_backbone.BackboneOptions


def build(options: CoordNetOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the raw residuals of every head.

    Args:
      options: the variant.
      input_size: side of the input in pixels, divisible by the backbone's stride.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: [B, N, 2] residuals from
      the mean shape, in crop sides}.
    """
    image, x = on_backbone.features(options, input_size)
    flat = layers.Flatten(name="flatten")(x)
    outputs = {}
    for schema, points in heads.items():
        x = flat
        for layer in (1, 2):
            x = options.blocks.dense(x, UNITS, name=f"{schema}_dense{layer}")
        x = layers.Dense(
            2 * points, kernel_initializer=near_zero(), name=f"{schema}_points"
        )(x)
        outputs[schema] = layers.Reshape((points, 2), name=f"{schema}_residual")(x)
    return tf_keras.Model(image, outputs, name="coordnet")


def codec(options: CoordNetOptions, input_size: int, mean_shape: np.ndarray) -> MeanResidualCodec:
    """The codec of a head."""
    return MeanResidualCodec(mean_shape)


def features(model: tf_keras.Model) -> tf.Tensor:
    """The features that the dense layers read, averaged over the crop: [B, C]."""
    return on_backbone.pooled(model.get_layer("flatten").input)
