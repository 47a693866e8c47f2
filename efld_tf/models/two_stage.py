"""Two stages: coarse heatmaps, then fine ones in a region of interest around each point.

T. Li et al., "Lightweight Real-time Makeup Try-on in Mobile Browsers with Tiny CNN Models for
Facial Tracking", CVPR Workshops 2019. The paper gives sizes but no table of layers; the one here
was searched for the sizes of its demo (Table 3). Nor does it say what a region near the border is;
here it is moved into the grid, and its point is not in its middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import EfldError
from efld_tf.models import heatmaps
from efld_tf.models.blocks import RELUS, Blocks, near_zero
from efld_tf.models.codecs import TwoStageCodec
from efld_tf.models.mobilenet import Bottleneck, inverted_residual
from efld_tf.models.rebuild import Rebuild, call, copied, rebuilt
from efld_tf.models.roi import RegionConvolution, RoiAlign, RoiOrigins

# Side of the input / side of the regions' features, and / side of the coarse maps.
FINE_STRIDE, COARSE_STRIDE = 4, 16
SIDE = 8  # cells of a region
# Standard deviations of the Gaussians in pixels of either map: between pixels, narrower ones lose
# their places; wider ones than a region are even.
SIGMA, LEAST_SIGMA, MOST_SIGMA = 1.0, 0.5, 8.0
EXPANSION = 6
DIVISOR = 4  # channels are multiples of it
MOST_WIDTH = 16.0

# Channels and stride of each block: of what both stages share, of the features that regions are
# taken from, and of the coarse maps.
STEM, NARROW = 8, 8
SHARED = ((24, 2), (24, 1))
FINE = ((24, 1), (24, 1))
COARSE = ((40, 2), (40, 1), (40, 1), (48, 2), (48, 1))

# The paper's: `demo` has the sizes of Table 3, `full` those of alpha = 1 (6.6 MB with 68 points).
VARIANTS: dict[str, dict[str, object]] = {
    "demo": {"width": 1.0},
    "half": {"width": 1.775},
    "full": {"width": 3.55},
}


@dataclass(frozen=True)
class TwoStageOptions:
    """What can be varied in the family.

    Attributes:
      width: channels of every layer, as a multiple of the demo's, from 1/8 to 16.
      stages: 2, or 1 for the coarse maps alone.
      roi: how the features of a region are taken in training and in float exports: `bilinear`
        between cells, or `whole` for whole cells, as exports in integers have them.
      jitter: how far a region is moved at random in training, in cells from 0 to 4.
      rounded: the share of regions that are moved to whole cells in training, from 0 to 1. Exports
        in integers lose less of a network that has seen them.
      sigma: the standard deviation of the Gaussians in pixels of a map, from 0.5 to 8.
      activation: `relu6`, as in the paper's blocks, or `relu`.
      batch_norm_momentum: of every batch norm; 0.95 follows short runs calmly.
    """

    width: float = 1.0
    stages: int = 2
    roi: str = "bilinear"
    jitter: float = 1.0
    rounded: float = 0.5
    sigma: float = SIGMA
    activation: str = "relu6"
    batch_norm_momentum: float = 0.95

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("stages", self.stages, (1, 2)), ("roi", self.roi, ("bilinear", "whole")),
            ("activation", self.activation, RELUS),
        ):
            if value not in allowed:
                raise EfldError(f"{name}: expected one of {allowed}, got {value!r}")
        if not LEAST_SIGMA <= self.sigma <= MOST_SIGMA:
            raise EfldError(f"sigma: expected a number from {LEAST_SIGMA:g} to {MOST_SIGMA:g}, got "
                            f"{self.sigma}")
        if not 1 / STEM <= self.width <= MOST_WIDTH:
            raise EfldError(f"width: expected a number from {1 / STEM} to {MOST_WIDTH:g}, got "
                            f"{self.width}")
        if not 0 <= self.jitter <= SIDE / 2:
            raise EfldError(f"jitter: expected a number from 0 to {SIDE / 2:g}, got {self.jitter}")
        if not 0 <= self.rounded <= 1:
            raise EfldError(f"rounded: expected a number from 0 to 1, got {self.rounded}")
        if not 0 < self.batch_norm_momentum < 1:
            raise EfldError("batch_norm_momentum: expected a number between 0 and 1, got "
                            f"{self.batch_norm_momentum}")


def check_size(options: TwoStageOptions, input_size: int) -> None:
    """Refuses an input size that cannot be halved four times, or gives fewer cells than a region.

    Raises:
      EfldError: it is not a multiple of 16 from 48 up.
    """
    if input_size % COARSE_STRIDE or input_size // FINE_STRIDE <= SIDE:
        raise EfldError(f"input_size: expected a multiple of {COARSE_STRIDE} above "
                        f"{FINE_STRIDE * SIDE}, got {input_size}")


def channels(options: TwoStageOptions, count: int) -> int:
    """The demo's channels at a width, to a multiple of 4."""
    return max(DIVISOR, round(options.width * count / DIVISOR) * DIVISOR)


def build(options: TwoStageOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the maps of every head.

    Args:
      options: the variant.
      input_size: side S of the input in pixels, a multiple of 16 from 48 up.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: maps}, with the entries

      - `first`: [B, S / 16, S / 16, N], log-odds of the coarse maps;
      - `second`: [B, 8, 8, N], those of the maps of the regions;
      - `origin`: [B, N, 2], x and y of each region's first cell on a grid of S / 4 cells a side.

      With one stage there is `first` alone.
    """
    blocks = Blocks(options.activation, options.batch_norm_momentum)
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    x = blocks.conv(image, channels(options, STEM), 3, stride=2, name="stem")
    narrow = Bottleneck(3, x.shape[-1], channels(options, NARROW), False, False, 1)
    x = inverted_residual(x, narrow, "narrow", blocks)
    shared = _chain(x, SHARED, "shared", options, blocks)
    coarse = _chain(shared, COARSE, "coarse", options, blocks)
    fine = _chain(shared, FINE, "fine", options, blocks) if options.stages == 2 else None
    outputs = {
        schema: _maps(coarse, fine, points, options, schema) for schema, points in heads.items()
    }
    return tf_keras.Model(image, outputs, name="two_stage")


def _chain(
    x: tf.Tensor, rows: tuple[tuple[int, int], ...], name: str, options: TwoStageOptions,
    blocks: Blocks,
) -> tf.Tensor:  # fmt: skip
    """Inverted residuals one after the other."""
    for index, (count, stride) in enumerate(rows):
        row = Bottleneck(
            3, EXPANSION * x.shape[-1], channels(options, count), False, False, stride)
        x = inverted_residual(x, row, f"{name}{index + 1}", blocks)
    return x


def _maps(
    coarse: tf.Tensor, fine: tf.Tensor | None, points: int, options: TwoStageOptions, schema: str
) -> dict[str, tf.Tensor]:
    """The maps of one head."""
    first = layers.Conv2D(
        points, 1, kernel_initializer=near_zero(),
        bias_initializer=_bias(options, coarse.shape[1]), name=f"{schema}_first")(coarse)
    if fine is None:
        return {"first": first}
    whole = options.roi == "whole"
    origin = RoiOrigins(
        fine.shape[1], SIDE, options.jitter, options.rounded, whole, name=f"{schema}_origin")(first)
    regions = RoiAlign(SIDE, whole, name=f"{schema}_regions")([fine, origin])
    second = RegionConvolution(
        points, 3, padding="same", groups=points, kernel_initializer=near_zero(),
        bias_initializer=_bias(options, SIDE), name=f"{schema}_second")(regions)
    return {"first": first, "origin": origin, "second": second}


def _bias(options: TwoStageOptions, size: int) -> tf_keras.initializers.Initializer:
    return tf_keras.initializers.Constant(heatmaps.first_bias("log_odds", options.sigma, size))


def deploy(network: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """The network with plain convolutions of as many groups as regions, which are faster there."""

    def replace(layer: layers.Layer, new: Rebuild) -> bool:
        if not isinstance(layer, RegionConvolution):
            return False
        plain = layers.Conv2D.from_config(layer.get_config())
        new.put(layer.output, call(plain, new.value(layer.input), layer.get_weights()))
        return True

    return rebuilt(network, replace)


def for_integers(network: tf_keras.Model) -> tf_keras.Model:
    """The network with regions of whole cells, since interpolated ones are slow in integers."""

    def replace(layer: layers.Layer, new: Rebuild) -> bool:
        if not isinstance(layer, RoiOrigins | RoiAlign):
            return False
        inputs = tf.nest.map_structure(new.value, layer.input)
        new.put(layer.output, copied(layer, whole=True)(inputs))
        return True

    return rebuilt(network, replace)


def codec(options: TwoStageOptions, input_size: int, mean_shape: np.ndarray) -> TwoStageCodec:
    """The codec of a head."""
    return TwoStageCodec(
        input_size // COARSE_STRIDE, input_size // FINE_STRIDE, SIDE, options.sigma, options.stages)


def features(model: tf_keras.Model) -> tf.Tensor:
    """The averages of what the coarse maps and, with two stages, the regions are taken from."""
    names = {layer.name for layer in model.layers}
    last = [f"{part}{len(rows)}_add" for part, rows in (("coarse", COARSE), ("fine", FINE))]
    averages = [
        layers.GlobalAveragePooling2D(name=f"presence_{name}")(model.get_layer(name).output)
        for name in last if name in names
    ]
    if len(averages) == 1:
        return averages[0]
    return layers.Concatenate(name="presence_features")(averages)
