"""PIPNet predicts scores on a coarse grid, offsets within its cells, and the neighbours' offsets.

H. Jin, S. Liao and L. Shao, "Pixel-in-Pixel Net: Towards Efficient Facial Landmark Detection in the
Wild", IJCV 2021, describe the head in Sections 3.1 and 3.2 and Figure 3, and strides other than the
backbone's in Section 4.2.1. The 1x1 convolutions and their initial weights are those of the
published code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import EfldError
from efld_tf.models import backbones, on_backbone
from efld_tf.models.blocks import Blocks, near_zero
from efld_tf.models.codecs import PIPCodec

STRIDES = (16, 32, 64, 128)
# How neighbours are chosen: by distance in the mean shape, or by correlation of the points' places
# in the training faces (Section 3.2).
NEIGHBOURS_BY = ("distance", "correlation")
# Channels of the convolutions that bring a backbone to another stride (Section 4.2.1).
CHANNELS = 512


@dataclass(frozen=True)
class PIPNetOptions(on_backbone.BackboneOptions):
    """What can be varied in the family.

    Attributes:
      stride: side of the input / side of the grid: 16, 32, 64 or 128; None for the backbone's
        own. The paper's best grid has 8 x 8 cells (Table 1).
      neighbours: C, of each point, at most all others of its head; 0 leaves out neighbour
        regression. 10 is the paper's best.
      neighbours_by: `distance` in the mean shape, or `correlation` of places in training faces.
      channels: of the convolutions that bring the backbone to another stride.
    """

    stride: int | None = None
    neighbours: int = 10
    neighbours_by: str = "distance"
    channels: int = CHANNELS

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stride not in (None, *STRIDES):
            raise EfldError(f"stride: expected one of {STRIDES} or null, got {self.stride}")
        if self.neighbours < 0:
            raise EfldError(f"neighbours: expected 0 or more, got {self.neighbours}")
        if self.neighbours_by not in NEIGHBOURS_BY:
            raise EfldError(f"neighbours_by: expected one of {', '.join(NEIGHBOURS_BY)}, got "
                            f"{self.neighbours_by!r}")
        on_backbone.check_channels(self.channels)

    @property
    def cell(self) -> int:
        """Side of a cell of the grid in pixels of the input."""
        return self.stride or backbones.get(self.backbone).stride


def check_size(options: PIPNetOptions, input_size: int) -> None:
    """Refuses an input size that does not fit.

    Raises:
      EfldError: the size is not divisible by the strides of backbone and grid.
    """
    on_backbone.check_size(options, input_size)
    if input_size % options.cell:
        raise EfldError(f"input_size: expected a multiple of {options.cell}, got {input_size}")


def grid(options: PIPNetOptions, input_size: int) -> int:
    """Cells a side of the grid."""
    return input_size // options.cell


def coarse_loss(options: PIPNetOptions) -> str:
    """The loss of scores without offsets (PIPNet, Section 3.3)."""
    return "heatmap"


def at_grid(x: tf.Tensor, cells: int, blocks: Blocks, channels: int) -> tf.Tensor:
    """Halves or doubles features [B, G', G', C] up to the grid: [B, G, G, C or channels]."""
    step = 1
    while x.shape[1] != cells:
        if x.shape[1] > cells:
            x = blocks.conv(x, channels, 3, stride=2, name=f"stride{step}")
        else:
            x = blocks.deconv(x, channels, 4, name=f"stride{step}")
        step += 1
    return x


def build(options: PIPNetOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """The network from images to the raw maps of every head.

    Args:
      options: the variant.
      input_size: side of the input in pixels, divisible by the strides of backbone and grid.
      heads: points N by the name of each head's schema; at least one.

    Returns:
      A functional model: images [B, S, S, 3] float in [0, 1] -> {schema: maps of `PIPCodec`}.
    """
    image, x = on_backbone.features(options, input_size)
    x = at_grid(x, grid(options, input_size), options.blocks, options.channels)
    outputs = {}
    for schema, points in heads.items():
        channels = {"scores": points, "x": points, "y": points}
        if neighbours := min(options.neighbours, points - 1):
            # These are outputs of their own: neighbours lie cells away, and one int8 grid for all
            # would leave the point's own offsets a tenth of its steps.
            count = points * neighbours
            channels |= {"neighbour_x": count, "neighbour_y": count}
        outputs[schema] = {
            name: layers.Conv2D(
                count, 1, kernel_initializer=near_zero(), name=f"{schema}_{name}"
            )(x)
            for name, count in channels.items()
        }
    return tf_keras.Model(image, outputs, name="pipnet")


def codec(
    options: PIPNetOptions, input_size: int, mean_shape: np.ndarray,
    order: np.ndarray | None = None,
) -> PIPCodec:
    """The codec of a head.

    Args:
      order: as in `PIPCodec`, for neighbours that the training faces have chosen.

    Raises:
      EfldError: the options need an order.
    """
    if order is None and by_correlation(options):
        raise EfldError("neighbours_by: correlation needs the order of the training faces")
    return PIPCodec(mean_shape, grid(options, input_size), options.neighbours, order)


def by_correlation(options: PIPNetOptions) -> bool:
    """Whether neighbours are chosen by correlation."""
    return options.neighbours_by == "correlation"


def features(model: tf_keras.Model) -> tf.Tensor:
    """The features that the heads read, averaged over the crop: [B, C]."""
    return on_backbone.pooled(model.get_layer(f"{next(iter(model.output))}_scores").input)
