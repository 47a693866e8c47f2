"""Stacked dense U-Nets with dual transformers: heatmaps of half the input's resolution.

J. Guo, J. Deng, N. Xue and S. Zafeiriou, "Stacked Dense U-Nets with Dual Transformers for Robust
Face Alignment", BMVC 2018. The paper draws topologies and blocks and gives sizes, but no table of
layers; what is around the stacks follows the authors' published code. The inside transformer is an
option here, the outside one is `training.coherence` of a recipe.
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
from efld_tf.models.codecs import HeatmapCodec
from efld_tf.models.dense_unet_blocks import BLOCKS
from efld_tf.models.dense_unet_topologies import LOWEST, TOPOLOGIES, Stack
from efld_tf.models.heatmaps import HeatmapOptions
from efld_tf.models.rebuild import Rebuild, copied, rebuilt
from efld_tf.models.spatial_transformers import Moved, MovedTaps, deformable, localised

# Side of the input / side of the heatmaps.
STRIDE = 2
SIGMA = 1.5  # pixels of the map; the paper gives none
INSIDE = ("none", "deformable", "stn")
MOST_HALVINGS, MOST_STACKS, MOST_WIDTH = 5, 8, 4.0
# Channels of the stem, of what follows it, and of the stacks, in multiples of 8, since the blocks
# take eighths.
STEM, NARROW, WIDE, DIVISOR = 64, 128, 256, 8
# The layers that find the similarity of `stn`: sized for the 116 MB of Table 1.
STN_CHANNELS, STN_UNITS = (32, 64, 128, 256, 512), 2048

# The rows of Table 1, in its order.
VARIANTS: dict[str, dict[str, object]] = {
    "hourglass1_residual":
        {"topology": "hourglass", "block": "residual", "halvings": 4, "stacks": 1},
    "hourglass2_residual": {"topology": "hourglass", "block": "residual", "halvings": 4},
    "hourglass2_inception": {"topology": "hourglass", "block": "inception", "halvings": 4},
    "hourglass2_hpm": {"topology": "hourglass", "block": "hpm", "halvings": 4},
    "hourglass2_cab": {"topology": "hourglass", "halvings": 4},
    "hourglass2_hpm_3": {"topology": "hourglass", "block": "hpm"},
    "hourglass2_cab_3": {"topology": "hourglass"},
    "u_net2_cab": {"topology": "u_net", "halvings": 4},
    "dla2_cab": {"topology": "dla", "halvings": 4},
    "sat_1": {"topology": "sat", "halvings": 4},
    "sat_2": {"topology": "sat"},
    "sat_3": {},
    "sat_3_stn": {"inside": "stn"},
    "sat_3_deformable": {"inside": "deformable"},
}


@dataclass(frozen=True)
class DenseUNetOptions(HeatmapOptions):
    """What can be varied in the family, beside the options of heatmaps; by default SAT (III)-CAB.

    Attributes:
      maps: `log_odds`, for binary cross-entropy, or `values`, for mean squared error.
      topology: `hourglass`, `u_net`, `dla`, `sat`, which is SAT (I) and (II), or `sat_light`, SAT
        (III).
      halvings: of the resolution in a stack, from 1 to 5; the paper has 3 and 4.
      block: `cab`, `hpm`, `inception` or `residual`.
      stacks: from 1 to 8, one after the other; all are supervised.
      inside: the inside transformer: `deformable` convolutions after each stack, the paper's;
        `stn`, its comparison, which moves the image and moves the heatmaps back; or `none`.
      width: channels of every layer, as a multiple of the paper's, from 1/32 to 4.
      activation: `relu`, as in the paper, or `relu6`, which bounds what int8 calibration can see.
      batch_norm_momentum: of every batch norm; 0.95 follows short runs calmly.
    """

    maps: str = "log_odds"
    topology: str = "sat_light"
    halvings: int = 3
    block: str = "cab"
    stacks: int = 2
    inside: str = "none"
    width: float = 1.0
    activation: str = "relu"
    batch_norm_momentum: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, allowed in (
            ("topology", self.topology, tuple(TOPOLOGIES)), ("block", self.block, tuple(BLOCKS)),
            ("inside", self.inside, INSIDE), ("activation", self.activation, RELUS),
        ):
            if value not in allowed:
                raise EfldError(f"{name}: expected one of {allowed}, got {value!r}")
        for name, count, most in (("halvings", self.halvings, MOST_HALVINGS),
                                  ("stacks", self.stacks, MOST_STACKS)):
            if not 1 <= count <= most:
                raise EfldError(f"{name}: expected a number from 1 to {most}, got {count}")
        if not 1 / 32 <= self.width <= MOST_WIDTH:
            raise EfldError(f"width: expected a number from {1 / 32} to {MOST_WIDTH:g}, got "
                            f"{self.width}")
        if not 0 < self.batch_norm_momentum < 1:
            raise EfldError("batch_norm_momentum: expected a number between 0 and 1, got "
                            f"{self.batch_norm_momentum}")

    @property
    def blocks(self) -> Blocks:
        """The convolution blocks."""
        return Blocks(self.activation, self.batch_norm_momentum)

    def channels(self, count: int) -> int:
        """The paper's channels at this width, to a multiple of 8."""
        return max(DIVISOR, round(self.width * count / DIVISOR) * DIVISOR)


def check_size(options: DenseUNetOptions, input_size: int) -> None:
    """Refuses an input size that cannot be halved as often as the options say.

    Raises:
      EfldError: it is not a multiple of 2 to the power of the halvings + 1.
    """
    multiple = STRIDE << options.halvings
    if input_size <= 0 or input_size % multiple:
        raise EfldError(f"input_size: expected a multiple of {multiple} with {options.halvings} "
                        f"halvings, got {input_size}")


def build(options: DenseUNetOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the heatmaps of every head.

    Args:
      options: the variant.
      input_size: side S of the input in pixels, see `check_size`.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: [B, G, G, N] heatmaps of
      every stack, the first one first}, where G = S / 2.
    """
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    x, move = image, None
    if options.inside == "stn":
        move = localised(image, [options.channels(count) for count in STN_CHANNELS],
                         options.channels(STN_UNITS), options.blocks, "stn")
        x = Moved(name="stn_image")([image, move])
    x = _stem(x, options)
    outputs: dict[str, list[tf.Tensor]] = {schema: [] for schema in heads}
    for index in range(1, options.stacks + 1):
        features = _stack(x, options, f"stack{index}")
        maps = {schema: _maps(features, points, options, f"{schema}_stack{index}")
                for schema, points in heads.items()}
        for schema, some in maps.items():
            if move is not None:  # the image's, not those of the moved one
                some = Moved(back=True, name=f"{schema}_stack{index}_back")([some, move])
            outputs[schema].append(some)
        if index < options.stacks:
            x = _next(x, features, maps, options, f"stack{index}")
    return tf_keras.Model(image, outputs, name="dense_unet")


def _stem(x: tf.Tensor, options: DenseUNetOptions) -> tf.Tensor:
    """[B, S, S, 3] -> [B, S / 2, S / 2, channels of the stacks]."""
    block, blocks = BLOCKS[options.block], options.blocks
    narrow = options.channels(NARROW)
    x = blocks.conv(x, options.channels(STEM), 3, name="stem_first")
    x = block(x, narrow, "stem_narrow1", blocks)
    x = layers.MaxPooling2D(name="stem_pool")(x)
    x = block(x, narrow, "stem_narrow2", blocks)
    return block(x, options.channels(WIDE), "stem_wide", blocks)


def _stack(x: tf.Tensor, options: DenseUNetOptions, name: str) -> tf.Tensor:
    """What the heatmaps of a stack are computed from: [B, G, G, C] -> [B, G, G, C]."""
    block, blocks = BLOCKS[options.block], options.blocks
    x = TOPOLOGIES[options.topology](x, Stack(block, blocks, options.halvings, name))
    x = block(x, x.shape[-1], f"{name}_after", blocks)
    if options.inside != "deformable":
        return blocks.conv(x, x.shape[-1], 1, name=f"{name}_features")
    x = deformable(x, x.shape[-1], name=f"{name}_features")
    return blocks.activate(blocks.norm(x, name=f"{name}_features"), name=f"{name}_features")


def _maps(features: tf.Tensor, points: int, options: DenseUNetOptions, name: str) -> tf.Tensor:
    """The heatmaps of a head after a stack."""
    bias = heatmaps.first_bias(options.maps, options.sigma or SIGMA, features.shape[1])
    about = {"kernel_initializer": near_zero(),
             "bias_initializer": tf_keras.initializers.Constant(bias)}
    if options.inside == "deformable":
        return deformable(features, points, name=name, **about)
    return layers.Conv2D(points, 1, name=f"{name}_conv", **about)(features)


def _next(
    x: tf.Tensor, features: tf.Tensor, maps: Mapping[str, tf.Tensor], options: DenseUNetOptions,
    name: str,
) -> tf.Tensor:  # fmt: skip
    """What the next stack gets: what this one got, and what it has found."""
    parts = [layers.Conv2D(
        x.shape[-1], 1, kernel_initializer="he_normal", name=f"{name}_again")(features)]
    for schema, some in maps.items():
        # From zeros, so that a new head leaves the others of a trained network as they were.
        parts.append(layers.Conv2D(
            x.shape[-1], 1, kernel_initializer="zeros", name=f"{schema}_{name}_again")(some))
    x = layers.Add(name=f"{name}_sum")([x, *parts])
    return deformable(x, x.shape[-1], name=f"{name}_next") if options.inside == "deformable" else x


def by_sums(network: tf_keras.Model) -> tf_keras.Model:
    """The network with deformable convolutions of sums and products, which XNNPACK has."""

    def replace(layer: layers.Layer, new: Rebuild) -> bool:
        if not isinstance(layer, MovedTaps):
            return False
        inputs = [new.value(some) for some in layer.input]
        new.put(layer.output, copied(layer, as_sums=True)(inputs))
        return True

    if all(layer.as_sums for layer in network.layers if isinstance(layer, MovedTaps)):
        return network
    return rebuilt(network, replace)


def deploy(network: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """`by_sums`, also for exports in float."""
    return by_sums(network)


def codec(options: DenseUNetOptions, input_size: int, mean_shape: np.ndarray) -> HeatmapCodec:
    """The codec of a head."""
    return HeatmapCodec(len(mean_shape), input_size // STRIDE, options.sigma or SIGMA,
                        options.decoder, options.maps)


def features(model: tf_keras.Model) -> tf.Tensor:
    """The features of the last stack's lowest resolution, averaged over the crop: [B, C]."""
    last = [layer for layer in model.layers if layer.name.endswith(f"_{LOWEST}")][-1]
    return layers.GlobalAveragePooling2D(name="presence_features")(last.output)
