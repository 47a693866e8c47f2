"""The topologies of stacked dense U-Nets (Section 2.1, Figure 2): how scales are aggregated.

Each takes features [B, H, W, C] and gives the same shape, having halved the resolution some times
on the way. The paper draws them with one node a scale. What its nodes are is taken from the
authors' published code for the hourglass and the light SAT; for the others, of which there is none,
it is what gives the sizes of Table 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import tensorflow as tf
from tf_keras import layers

from efld_tf.models.blocks import Blocks
from efld_tf.models.dense_unet_blocks import Block, mean_of

# The end of the name of what has the lowest resolution of a stack.
LOWEST = "lowest"


@dataclass(frozen=True)
class Stack:
    """What a topology is made of.

    Attributes:
      block: the building block.
      blocks: the convolution blocks.
      halvings: how often the resolution is halved.
      name: the prefix of all layers.
    """

    block: Block
    blocks: Blocks
    halvings: int
    name: str

    def same(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """The building block: [B, H, W, C] -> [B, H, W, C]."""
        return self.block(x, x.shape[-1], f"{self.name}_{name}", self.blocks)

    def conv(self, x: tf.Tensor, kernel: int, name: str, stride: int = 1) -> tf.Tensor:
        """A convolution of as many channels: [B, H, W, C] -> [B, H / stride, W / stride, C]."""
        return self.blocks.conv(
            x, x.shape[-1], kernel, stride=stride, name=f"{self.name}_{name}")

    def pool(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """The largest of 2 x 2 pixels: [B, H, W, C] -> [B, H / 2, W / 2, C]."""
        return layers.MaxPooling2D(name=f"{self.name}_{name}_pool")(x)

    def lowest(self, x: tf.Tensor) -> tf.Tensor:
        """Names a tensor of the lowest resolution, and leaves it as it is."""
        return layers.Activation("linear", name=f"{self.name}_{LOWEST}")(x)

    def nearest(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """[B, H, W, C] -> [B, 2 H, 2 W, C]."""
        return layers.UpSampling2D(name=f"{self.name}_{name}_up")(x)


def hourglass(x: tf.Tensor, stack: Stack) -> tf.Tensor:
    """A. Newell et al., "Stacked Hourglass Networks for Human Pose Estimation", ECCV 2016."""
    return _symmetric(x, stack, stack.same)


def u_net(x: tf.Tensor, stack: Stack) -> tf.Tensor:
    """An hourglass whose lateral connections are point-wise convolutions."""
    return _symmetric(x, stack, lambda x, name: stack.conv(x, 1, name))


def _symmetric(
    x: tf.Tensor, stack: Stack, lateral: Callable[[tf.Tensor, str], tf.Tensor]
) -> tf.Tensor:
    """Down and up again, with what `lateral` gives for a scale added on the way up."""
    kept = []
    for level in range(1, stack.halvings + 1):
        kept.append(lateral(x, f"lateral{level}"))
        x = stack.same(stack.pool(x, f"down{level}"), f"down{level}")
    x = stack.lowest(stack.same(x, "bottom"))
    for level in range(stack.halvings, 0, -1):
        x = stack.nearest(stack.same(x, f"up{level}"), f"up{level}")
        x = layers.Add(name=f"{stack.name}_sum{level}")([kept[level - 1], x])
    return x


def dla(x: tf.Tensor, stack: Stack) -> tf.Tensor:
    """Deep layer aggregation (F. Yu et al., CVPR 2018): rows of nodes, each of two scales."""
    return _aggregated(x, stack, _by_convolutions(stack))


def sat(x: tf.Tensor, stack: Stack) -> tf.Tensor:
    """The scale aggregation topology, (I) with four halvings, (II) with three.

    A node of it also gets what the node before it in its row gives, by a convolution of stride 2.
    """
    return _aggregated(x, stack, _by_convolutions(stack), downwards=True)


def sat_light(x: tf.Tensor, stack: Stack) -> tf.Tensor:
    """The simplified topology, SAT (III): lateral connections are depthwise or direct."""

    def lateral(kept: tf.Tensor, row: int, place: int) -> tf.Tensor:
        if row % 2 == 0 or not place:
            return kept
        return stack.blocks.depthwise(kept, 3, name=f"{stack.name}_lateral{row}_{place + 1}")

    return _aggregated(x, stack, lateral)


# (a scale's features, row from 1, place in the row from 0) -> those that its node gets.
Lateral = Callable[[tf.Tensor, int, int], tf.Tensor]


def _by_convolutions(stack: Stack) -> Lateral:
    return lambda kept, row, place: stack.conv(kept, 3, f"lateral{row}_{place + 1}")


def _aggregated(
    x: tf.Tensor, stack: Stack, lateral: Lateral, downwards: bool = False
) -> tf.Tensor:
    """Scales in a row, from the highest resolution down; each further row has one scale less.

    Args:
      lateral: the connection of a scale to the node above it.
      downwards: whether nodes also get the one before them in their row.
    """
    row = [x]
    for level in range(1, stack.halvings + 1):
        down = stack.pool(stack.same(row[-1], f"scale{level}_1"), f"scale{level}")
        row.append(stack.same(down, f"scale{level}_2"))
    row[-1] = stack.lowest(row[-1])
    for above in range(1, stack.halvings + 1):
        joined: list[tf.Tensor] = []
        for place, (kept, lower) in enumerate(pairwise(row)):
            node = f"{above}_{place + 1}"
            last = place == len(row) - 2
            up = _enlarged(lower, stack, f"up{node}", by_block=last)
            kept = lateral(kept, above, place)
            scales = [kept, up]
            if downwards and joined:
                scales.append(stack.conv(joined[-1], 3, f"down{node}", stride=2))
            joined.append(mean_of(scales, f"{stack.name}_node{node}"))
        row = joined
    return row[0]


def _enlarged(x: tf.Tensor, stack: Stack, name: str, by_block: bool) -> tf.Tensor:
    """[B, H, W, C] -> [B, 2 H, 2 W, C] by a transposed convolution, or by the building block."""
    if by_block:
        return stack.same(stack.nearest(x, name), name)
    return stack.blocks.deconv(x, x.shape[-1], 2, name=f"{stack.name}_{name}")


# (features, stack) -> features.
Topology = Callable[[tf.Tensor, Stack], tf.Tensor]

TOPOLOGIES: dict[str, Topology] = {
    "hourglass": hourglass, "u_net": u_net, "dla": dla, "sat": sat, "sat_light": sat_light,
}
