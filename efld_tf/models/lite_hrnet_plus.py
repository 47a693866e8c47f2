"""Lite-HRNet Plus: heatmaps from four resolutions that exchange cheap attention.

S. Kato et al., "Lite-HRNet Plus: Fast and Accurate Facial Landmark Detection", ICIP 2023, on the
network of C. Yu et al., "Lite-HRNet: A Lightweight High-Resolution Network", CVPR 2021. The first
paper gives neither the widths nor the reduction; those of `VARIANTS` were searched for its sizes
(`python benchmarks/lite_hrnet_costs.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import EfldError
from efld_tf.models import heatmaps, lite_hrnet_fusion, lite_hrnet_heads
from efld_tf.models.blocks import LINEAR, RELUS, Blocks, Channels, ChannelShuffle
from efld_tf.models.codecs import HeatmapCodec
from efld_tf.models.heatmaps import HeatmapOptions
from efld_tf.models.on_backbone import MOST_CHANNELS

# Side of the input / side of the heatmaps and the first branch, and the halvings of the last one.
STRIDE, BRANCHES = 4, 4
# Reductions of the two gates of a conditional channel weighting (Lite-HRNet, Section 3.2).
ACROSS_RESOLUTIONS, OVER_SPACE = 8, 4
MOST_MODULES = 32  # of a stage; the papers have up to 8
# Pixels of the heatmap, where neither this nor a paper's recipe says otherwise.
SIGMA = 1.0

# Options fitted to the papers' sizes with 68 points at 96 pixels. Beside the two variants: plain
# Lite-HRNet, and the large network with each fusion of Table 2a at the cost of the others.
VARIANTS: dict[str, dict[str, object]] = {
    "small": {"stem": 28, "channels": 24, "reduction": 4},
    "large": {"stem": 74, "channels": 40, "reduction": 2},
    "lite_hrnet": {"stem": 56, "channels": 30, "fusion": "pointwise", "head": "iterative"},
    "large_pointwise": {"stem": 54, "channels": 28, "fusion": "pointwise"},
    "large_bottleneck": {"stem": 60, "channels": 34, "fusion": "bottleneck"},
    "large_group": {"stem": 70, "channels": 32, "fusion": "group"},
}


@dataclass(frozen=True)
class LiteHRNetPlusOptions(HeatmapOptions):
    """What can be varied in the family, beside the options of heatmaps; by default `small`.

    Attributes:
      maps: `log_odds`, for binary cross-entropy, or `values`, for mean squared error.
      stem: channels S of the stem; even.
      channels: channels C of the first branch, the others have 2 C, 4 C and 8 C; even.
      modules: modules of the stages with 2, 3 and 4 branches; each has two conditional channel
        weightings and a fusion.
      fusion: how branches are combined: `scaf`, stepped channel attention, or one of the paper's
        comparisons, `pointwise` (Lite-HRNet's own), `bottleneck` or `group`.
      reduction: r of the attention in `scaf`.
      head: `mr` (all resolutions), `hrnet_v1` (the highest alone), `hrnet_v2` (all, concatenated)
        or `iterative` (Lite-HRNet's own, from the lowest upwards).
      activation: `relu`, as in the paper, or `relu6`, which bounds what int8 calibration can see.
      batch_norm_momentum: of every batch norm; 0.95 follows short runs calmly.
    """

    maps: str = "log_odds"
    stem: int = 28
    channels: int = 24
    modules: list[int] = field(default_factory=lambda: [2, 4, 2])
    fusion: str = "scaf"
    reduction: int = 4
    head: str = "mr"
    activation: str = "relu"
    batch_norm_momentum: float = 0.95

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value, allowed in (
            ("fusion", self.fusion, tuple(lite_hrnet_fusion.FUSIONS)),
            ("head", self.head, tuple(lite_hrnet_heads.HEADS)),
            ("activation", self.activation, RELUS),
        ):
            if value not in allowed:
                raise EfldError(f"{name}: expected one of {allowed}, got {value!r}")
        for name, width, most in (("stem", self.stem, MOST_CHANNELS),
                                  ("channels", self.channels, MOST_CHANNELS >> BRANCHES - 1)):
            if not 4 <= width <= most or width % 2:
                raise EfldError(f"{name}: expected an even number from 4 to {most}, got {width}")
        if self.fusion == "group" and self.channels % lite_hrnet_fusion.GROUPS:
            raise EfldError(f"channels: the fusion group needs a multiple of "
                            f"{lite_hrnet_fusion.GROUPS}, got {self.channels}")
        if len(self.modules) != BRANCHES - 1 \
                or not 1 <= min(self.modules) <= max(self.modules) <= MOST_MODULES:
            raise EfldError(f"modules: expected {BRANCHES - 1} numbers from 1 to {MOST_MODULES}, "
                            f"got {self.modules}")
        if self.reduction < 1:
            raise EfldError(f"reduction: expected 1 or more, got {self.reduction}")
        if not 0 < self.batch_norm_momentum < 1:
            raise EfldError("batch_norm_momentum: expected a number between 0 and 1, got "
                            f"{self.batch_norm_momentum}")


def check_size(options: LiteHRNetPlusOptions, input_size: int) -> None:
    """Refuses an input size that cannot be halved as often as the last branch is.

    Raises:
      EfldError: it is not a multiple of 32.
    """
    multiple = STRIDE << BRANCHES - 1
    if input_size <= 0 or input_size % multiple:
        raise EfldError(f"input_size: expected a multiple of {multiple}, got {input_size}")


def stem(x: tf.Tensor, channels: int, blocks: Blocks) -> tf.Tensor:
    """Lite-HRNet's stem: [B, S, S, 3] -> [B, S / 4, S / 4, channels]."""
    x = blocks.conv(x, channels, 3, stride=2, name="stem_first")
    half = channels // 2
    kept = Channels(0, half, name="stem_kept")(x)
    kept = blocks.depthwise(kept, 3, stride=2, name="stem_kept_depthwise", activation=LINEAR)
    kept = blocks.conv(kept, half, 1, name="stem_kept_pointwise")
    wide = Channels(half, half, name="stem_wide")(x)
    wide = blocks.conv(wide, channels, 1, name="stem_wide_expand")
    wide = blocks.depthwise(wide, 3, stride=2, name="stem_wide_depthwise", activation=LINEAR)
    wide = blocks.conv(wide, half, 1, name="stem_wide_pointwise")
    x = layers.Concatenate(name="stem_concat")([kept, wide])
    return ChannelShuffle(name="stem_shuffle")(x)


def transition(
    branches: list[tf.Tensor], options: LiteHRNetPlusOptions, blocks: Blocks, name: str
) -> list[tf.Tensor]:
    """Adds a branch of half the resolution; branches get the widths of their resolution.

    Args:
      branches: [B, S_i, S_i, C_i] each, from the highest resolution down.
    """
    widths = [options.channels << index for index in range(max(2, len(branches) + 1))]
    result = []
    for index, width in enumerate(widths):
        new = index >= len(branches)
        x = branches[min(index, len(branches) - 1)]
        if new or x.shape[-1] != width:
            part = f"{name}_branch{index + 1}"
            x = blocks.depthwise(x, 3, stride=2 if new else 1, name=f"{part}_depthwise",
                                 activation=LINEAR)
            x = blocks.conv(x, width, 1, name=f"{part}_pointwise")
        result.append(x)
    return result


def weighting(branches: list[tf.Tensor], blocks: Blocks, name: str) -> list[tf.Tensor]:
    """Conditional channel weighting (Lite-HRNet, Section 3.2): shapes stay as they are.

    Half of each branch's channels are weighted by all resolutions together, filtered, and weighted
    by their own averages.
    """
    halves = [x.shape[-1] // 2 for x in branches]
    kept = [Channels(0, half, name=f"{name}_kept{index + 1}")(x)
            for index, (x, half) in enumerate(zip(branches, halves, strict=True))]
    changed = [Channels(half, half, name=f"{name}_changed{index + 1}")(x)
               for index, (x, half) in enumerate(zip(branches, halves, strict=True))]
    gates = _across_resolutions(changed, blocks, f"{name}_across")
    result = []
    for index, (same, x, gate) in enumerate(zip(kept, changed, gates, strict=True)):
        part = f"{name}_branch{index + 1}"
        x = layers.Multiply(name=f"{part}_weighted")([x, gate])
        x = blocks.depthwise(x, 3, name=f"{part}_depthwise", activation=LINEAR)
        weights = layers.GlobalAveragePooling2D(keepdims=True, name=f"{part}_pooled")(x)
        weights = layers.Conv2D(max(1, x.shape[-1] // OVER_SPACE), 1, activation="relu",
                                name=f"{part}_squeeze")(weights)
        weights = layers.Conv2D(x.shape[-1], 1, activation="sigmoid",
                                name=f"{part}_excite")(weights)
        x = layers.Multiply(name=f"{part}_excited")([x, weights])
        x = layers.Concatenate(name=f"{part}_concat")([same, x])
        result.append(ChannelShuffle(name=f"{part}_shuffle")(x))
    return result


def _across_resolutions(parts: list[tf.Tensor], blocks: Blocks, name: str) -> list[tf.Tensor]:
    """Weights in [0, 1] of the shape of each part, from all of them at the lowest resolution."""
    lowest = parts[-1].shape[1]
    pooled = [
        layers.AveragePooling2D(x.shape[1] // lowest, name=f"{name}_pool{index + 1}")(x)
        if x.shape[1] > lowest else x for index, x in enumerate(parts)
    ]
    x = layers.Concatenate(name=f"{name}_concat")(pooled)
    total = x.shape[-1]
    x = blocks.conv(x, max(1, total // ACROSS_RESOLUTIONS), 1, name=f"{name}_squeeze")
    x = blocks.conv(x, total, 1, name=f"{name}_excite", activation=LINEAR)
    x = layers.Activation("sigmoid", name=f"{name}_sigmoid")(x)
    gates, start = [], 0
    for index, part in enumerate(parts):
        gate = Channels(start, part.shape[-1], name=f"{name}_gate{index + 1}")(x)
        start += part.shape[-1]
        if part.shape[1] > lowest:
            gate = layers.UpSampling2D(part.shape[1] // lowest, name=f"{name}_up{index + 1}")(gate)
        gates.append(gate)
    return gates


def build(
    options: LiteHRNetPlusOptions, input_size: int, heads: Mapping[str, int]
) -> tf_keras.Model:
    """The network from images to the heatmaps of every head.

    Args:
      options: the variant.
      input_size: side S of the input in pixels, a multiple of 32.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: [B, G, G, N] heatmaps},
      where G = S / 4.
    """
    blocks = Blocks(options.activation, options.batch_norm_momentum)
    fuse = lite_hrnet_fusion.FUSIONS[options.fusion]
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    branches = [stem(image, options.stem, blocks)]
    for stage, modules in enumerate(options.modules):
        branches = transition(branches, options, blocks, f"stage{stage + 1}")
        for module in range(modules):
            name = f"stage{stage + 1}_module{module + 1}"
            for block in range(2):
                branches = weighting(branches, blocks, f"{name}_ccw{block + 1}")
            branches = fuse(branches, options.reduction, blocks, f"{name}_fusion")
    head = lite_hrnet_heads.HEADS[options.head]
    shared = head.shared(branches, blocks)
    bias = heatmaps.first_bias(options.maps, options.sigma or SIGMA, input_size // STRIDE)
    outputs = {
        schema: head.maps(shared, points, bias, schema) for schema, points in heads.items()
    }
    return tf_keras.Model(image, outputs, name="lite_hrnet_plus")


def codec(
    options: LiteHRNetPlusOptions, input_size: int, mean_shape: np.ndarray
) -> HeatmapCodec:
    """The codec of a head."""
    return HeatmapCodec(
        len(mean_shape), input_size // STRIDE, options.sigma or SIGMA, options.decoder,
        options.maps,
    )


def features(model: tf_keras.Model) -> tf.Tensor:
    """The averages of all branches before the last fusion: [B, 15 C]."""
    lowest = f"_branch{BRANCHES}_shuffle"
    blocks = [layer.name.removesuffix(lowest) for layer in model.layers
              if layer.name.endswith(lowest)]
    averages = [
        layers.GlobalAveragePooling2D(name=f"presence_average{branch}")(
            model.get_layer(f"{blocks[-1]}_branch{branch}_shuffle").output)
        for branch in range(1, BRANCHES + 1)
    ]
    return layers.Concatenate(name="presence_features")(averages)
