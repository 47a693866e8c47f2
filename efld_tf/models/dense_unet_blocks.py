"""The building blocks of stacked dense U-Nets (Section 2.2, Figure 3), at one resolution.

Each takes and gives [B, H, W, C], where it keeps the channels C. The residual block and HPM can
also change them; the other two leave that to one of these, as the authors' published code does.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import tensorflow as tf
from tf_keras import layers

from efld_tf.models.blocks import LINEAR, Blocks

# (x, channels of the result, name, blocks) -> the result.
Block = Callable[[tf.Tensor, int, str, Blocks], tf.Tensor]


class Part(NamedTuple):
    """A convolution of a block that normalises and activates its input before it."""

    kernel: int
    share: int  # of the block's channels, as 1 / share


RESIDUAL = (Part(1, 2), Part(3, 2), Part(1, 1))
HPM = (Part(3, 2), Part(3, 4), Part(3, 4))
# How often a channel aggregation block halves the channels.
HALVINGS = 3


def mean_of(tensors: list[tf.Tensor], name: str) -> tf.Tensor:
    """The mean of tensors of one shape."""
    return layers.Average(name=f"{name}_mean")(tensors)


def residual(x: tf.Tensor, channels: int, name: str, blocks: Blocks) -> tf.Tensor:
    """The bottleneck of K. He et al., "Identity Mappings in Deep Residual Networks", ECCV 2016."""
    shortcut, parts = _pre_activated(x, channels, RESIDUAL, name, blocks)
    return layers.Add(name=f"{name}_add")([shortcut, parts[-1]])


def hpm(x: tf.Tensor, channels: int, name: str, blocks: Blocks) -> tf.Tensor:
    """Hierarchical, parallel and multi-scale: a chain of convolutions, all of which are the result.

    It is that of A. Bulat and G. Tzimiropoulos, "Binarized Convolutional Landmark Localizers for
    Human Pose Estimation and Face Alignment with Limited Resources", ICCV 2017, Figure 3b.
    """
    shortcut, parts = _pre_activated(x, channels, HPM, name, blocks)
    joined = layers.Concatenate(name=f"{name}_concat")(parts)
    return layers.Add(name=f"{name}_add")([shortcut, joined])


def _pre_activated(
    x: tf.Tensor, channels: int, rows: tuple[Part, ...], name: str, blocks: Blocks
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """The shortcut of a block, and what each convolution of its chain gives."""
    first = y = _normalised(x, f"{name}_1", blocks)
    parts: list[tf.Tensor] = []
    for index, row in enumerate(rows, start=1):
        if parts:
            y = _normalised(parts[-1], f"{name}_{index}", blocks)
        parts.append(_plain(y, channels // row.share, row.kernel, f"{name}_{index}"))
    shortcut = x if x.shape[-1] == channels else _plain(first, channels, 1, f"{name}_shortcut")
    return shortcut, parts


def _normalised(x: tf.Tensor, name: str, blocks: Blocks) -> tf.Tensor:
    return blocks.activate(blocks.norm(x, name=name), name=name)


def _plain(x: tf.Tensor, channels: int, kernel: int, name: str) -> tf.Tensor:
    return layers.Conv2D(
        channels, kernel, padding="same", use_bias=False, kernel_initializer="he_normal",
        name=f"{name}_conv")(x)


def inception(x: tf.Tensor, channels: int, name: str, blocks: Blocks) -> tf.Tensor:
    """Three parallel chains and a shortcut.

    It is the block of 35 x 35 pixels of C. Szegedy et al., "Inception-v4, Inception-ResNet and the
    Impact of Residual Connections on Learning", AAAI 2017, Figure 16, in shares of the channels.
    """
    if x.shape[-1] != channels:
        return residual(x, channels, name, blocks)
    chains = []
    for index, shares in enumerate(((2,), (2, 2), (2, 3, 4)), start=1):  # in eighths
        y = x
        for step, share in enumerate(shares, start=1):
            kernel = 1 if step == 1 else 3
            y = blocks.conv(y, channels * share // 8, kernel, name=f"{name}_{index}_{step}")
        chains.append(y)
    joined = layers.Concatenate(name=f"{name}_concat")(chains)
    joined = blocks.conv(joined, channels, 1, activation=LINEAR, name=f"{name}_out")
    return blocks.activate(layers.Add(name=f"{name}_add")([x, joined]), name=name)


def cab(x: tf.Tensor, channels: int, name: str, blocks: Blocks) -> tf.Tensor:
    """The channel aggregation block (Figure 3d): a U-Net over halved channels.

    Before every halving, a branch keeps what there was; on the way back, channels are doubled by
    repeating them, and joined with the branches by means, in two rows.
    """
    if x.shape[-1] != channels:
        return hpm(x, channels, name, blocks)
    row = [x]
    for halving in range(1, HALVINGS + 1):
        row.append(blocks.conv(row[-1], channels >> halving, 3, name=f"{name}_half{halving}"))
    for above in range(1, HALVINGS + 1):
        joined = []
        for place, (kept, narrow) in enumerate(pairwise(row)):
            node = f"{name}_row{above}_{place + 1}"
            # As in the topology, every other row goes through a depthwise convolution but for its
            # first place.
            if above % 2 and place:
                kept = blocks.depthwise(kept, 3, name=node)
            repeated = layers.Concatenate(name=f"{node}_twice")([narrow, narrow])
            joined.append(mean_of([kept, repeated], node))
        row = joined
    return row[0]


BLOCKS: dict[str, Block] = {"residual": residual, "inception": inception, "hpm": hpm, "cab": cab}
