"""The output modules of Lite-HRNet Plus: from the last branches to the heatmaps of a head.

Each has a part that all heads share and a part for every head. Branches are [B, G / 2^i, G / 2^i,
C_i], from the highest resolution down; heatmaps are [B, G, G, N].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.blocks import LINEAR, Blocks, near_zero


@dataclass(frozen=True)
class Head:
    """An output module.

    Attributes:
      shared: (branches, blocks) -> tensors that the maps of every head are computed from.
      maps: (those tensors, points N, the bias to start from, the head's schema) -> heatmaps.
    """

    shared: Callable[[list[tf.Tensor], Blocks], list[tf.Tensor]]
    maps: Callable[[list[tf.Tensor], int, float, str], tf.Tensor]


def _scores(x: tf.Tensor, points: int, bias: float, name: str) -> tf.Tensor:
    return layers.Conv2D(
        points, 1, kernel_initializer=near_zero(),
        bias_initializer=tf_keras.initializers.Constant(bias), name=name,
    )(x)


def _up(x: tf.Tensor, times: int, name: str) -> tf.Tensor:
    if times == 1:
        return x
    return layers.UpSampling2D(times, interpolation="bilinear", name=name)(x)


def _one_map(tensors: list[tf.Tensor], points: int, bias: float, schema: str) -> tf.Tensor:
    """Heatmaps by one point-wise convolution of the only tensor."""
    return _scores(tensors[0], points, bias, f"{schema}_scores")


def _of_all_resolutions(
    tensors: list[tf.Tensor], points: int, bias: float, schema: str
) -> tf.Tensor:
    """The sum of each branch's own heatmaps (Section 3.2, Figure 4)."""
    maps = []
    for i, x in enumerate(tensors):
        scores = _scores(x, points, 0.0 if i else bias, f"{schema}_scores{i + 1}")
        maps.append(_up(scores, 2**i, f"{schema}_up{i + 1}"))
    return layers.Add(name=f"{schema}_sum")(maps)


def _all(branches: list[tf.Tensor], blocks: Blocks) -> list[tf.Tensor]:
    return branches


def _highest(branches: list[tf.Tensor], blocks: Blocks) -> list[tf.Tensor]:
    return branches[:1]


def _concatenated(branches: list[tf.Tensor], blocks: Blocks) -> list[tf.Tensor]:
    """HRNetV2's: all branches at the highest resolution, mixed by a point-wise convolution."""
    x = layers.Concatenate(name="head_concat")(
        [_up(x, 2**i, f"head_up{i + 1}") for i, x in enumerate(branches)])
    return [blocks.conv(x, x.shape[-1], 1, name="head_mix")]


def _iterated(branches: list[tf.Tensor], blocks: Blocks) -> list[tf.Tensor]:
    """Lite-HRNet's: from the lowest resolution upwards, each is added to the next."""
    widths = [x.shape[-1] for x in branches]
    below = None
    for i in reversed(range(len(branches))):
        x = branches[i]
        if below is not None:
            x = layers.Add(name=f"head_sum{i + 1}")([x, _up(below, 2, f"head_up{i + 1}")])
        x = blocks.depthwise(x, 3, name=f"head_depthwise{i + 1}", activation=LINEAR)
        below = blocks.conv(x, widths[max(0, i - 1)], 1, name=f"head_pointwise{i + 1}")
    return [below]


HEADS: dict[str, Head] = {
    "mr": Head(_all, _of_all_resolutions),
    "hrnet_v1": Head(_highest, _one_map),
    "hrnet_v2": Head(_concatenated, _one_map),
    "iterative": Head(_iterated, _one_map),
}
