"""MapNet predicts heatmaps by transposed convolutions, a baseline of PIPNet (Section 4.3.1).

The head is that of B. Xiao, H. Wu and Y. Wei, "Simple Baselines for Human Pose Estimation and
Tracking", ECCV 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import EfldError
from efld_tf.models import heatmaps, on_backbone
from efld_tf.models.blocks import near_zero
from efld_tf.models.codecs import HeatmapCodec
from efld_tf.models.heatmaps import HeatmapOptions

# The Gaussian's radius in pixels of the map, by stride (Section 4.3.1).
SIGMAS = {4: 1.0, 2: 2.0, 1: 4.0}


@dataclass(frozen=True)
class MapNetOptions(HeatmapOptions, on_backbone.BackboneOptions):
    """What can be varied in the family, beside the options of its two bases.

    Attributes:
      decoder: as in the paper, `quarter`; `centroid` is more exact.
      stride: side of the input / side of the heatmaps: 4, 2 or 1.
      channels: of every transposed convolution; the paper's 512 take most of the time.
    """

    decoder: str = "quarter"
    stride: int = 4
    channels: int = 512

    def __post_init__(self) -> None:
        on_backbone.BackboneOptions.__post_init__(self)
        HeatmapOptions.__post_init__(self)
        if self.stride not in SIGMAS:
            raise EfldError(f"stride: expected one of {tuple(SIGMAS)}, got {self.stride}")
        on_backbone.check_channels(self.channels)


def grid(options: MapNetOptions, input_size: int) -> int:
    """Pixels a side of the heatmaps."""
    return input_size // options.stride


def build(options: MapNetOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the heatmaps of every head.

    Args:
      options: the variant.
      input_size: side of the input in pixels, divisible by the backbone's stride.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: [B, G, G, N] heatmaps},
      where G = S / stride.
    """
    image, x = on_backbone.features(options, input_size)
    step = 1
    while x.shape[1] < grid(options, input_size):
        x = options.blocks.deconv(x, options.channels, 4, name=f"up{step}")
        step += 1
    bias = heatmaps.first_bias(
        options.maps, options.sigma or SIGMAS[options.stride], grid(options, input_size))
    outputs = {
        schema: layers.Conv2D(
            points, 1, kernel_initializer=near_zero(),
            bias_initializer=tf_keras.initializers.Constant(bias), name=f"{schema}_scores"
        )(x)
        for schema, points in heads.items()
    }
    return tf_keras.Model(image, outputs, name="mapnet")


def codec(options: MapNetOptions, input_size: int, mean_shape: np.ndarray) -> HeatmapCodec:
    """The codec of a head."""
    return HeatmapCodec(
        len(mean_shape), grid(options, input_size), options.sigma or SIGMAS[options.stride],
        options.decoder, options.maps,
    )


def features(model: tf_keras.Model) -> tf.Tensor:
    """The features that the transposed convolutions read, averaged over the crop: [B, C]."""
    return on_backbone.pooled(model.get_layer("up1_deconv").input)
