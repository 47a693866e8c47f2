"""The fusions of Lite-HRNet Plus: how branches of different resolutions are combined.

Each takes the branches [B, S / 2^i, S / 2^i, C_i], from the highest resolution down, the reduction
of `scaf`, the blocks and a name, and gives branches of the same shapes.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
from tf_keras import layers

from efld_tf.models.blocks import LINEAR, Blocks, ChannelMean

# Groups of the fusion `group`, and by how much `bottleneck` narrows its channels (the paper gives
# neither).
GROUPS, NARROWING = 4, 4


def scaf(
    branches: list[tf.Tensor], reduction: int, blocks: Blocks, name: str
) -> list[tf.Tensor]:
    """Stepped channel attention (Section 3.1, Figure 3).

    Branch i becomes ReLU(X_i + sum over j of R(mean_j) a_ij): the channel mean of every other
    branch at the resolution of i, weighted for each channel by an attention from the averages of
    X_i. What comes from lower resolutions is summed on its way up, one resolution after the other.
    """
    means = [ChannelMean(name=f"{name}_mean{j + 1}")(x) for j, x in enumerate(branches)]
    result = []
    for i, x in enumerate(branches):
        pooled = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_pooled{i + 1}")(x)
        terms, below = [x], None
        for j in reversed(range(i + 1, len(branches))):
            part = f"{name}_{j + 1}to{i + 1}"
            term = _attended(means[j], pooled, reduction, part)
            if below is not None:
                term = layers.Add(name=f"{part}_sum")([term, below])
            below = layers.UpSampling2D(2, name=f"{part}_up")(term)
        if below is not None:
            terms.append(below)
        for j in range(i):
            means[j] = layers.AveragePooling2D(2, name=f"{name}_{j + 1}to{i + 1}_down")(means[j])
            terms.append(_attended(means[j], pooled, reduction, f"{name}_{j + 1}to{i + 1}"))
        result.append(_sum(terms, blocks, f"{name}_branch{i + 1}"))
    return result


def _attended(mean: tf.Tensor, pooled: tf.Tensor, reduction: int, name: str) -> tf.Tensor:
    """A mean [B, H, W, 1], weighted for each channel by an attention from averages [B, 1, 1, C]."""
    channels = pooled.shape[-1]
    weights = layers.Conv2D(max(1, channels // reduction), 1, activation="relu",
                            name=f"{name}_squeeze")(pooled)
    weights = layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_excite")(weights)
    return layers.Multiply(name=f"{name}_weighted")([mean, weights])


def pointwise(
    branches: list[tf.Tensor], reduction: int, blocks: Blocks, name: str
) -> list[tf.Tensor]:
    """Lite-HRNet's own fusion, by point-wise convolutions (its Section 3.1)."""
    return _convolved(branches, blocks, name, _plain)


def bottleneck(
    branches: list[tf.Tensor], reduction: int, blocks: Blocks, name: str
) -> list[tf.Tensor]:
    """`pointwise`, whose convolutions go by way of fewer channels (Table 2a)."""
    return _convolved(branches, blocks, name, _narrowed)


def group(
    branches: list[tf.Tensor], reduction: int, blocks: Blocks, name: str
) -> list[tf.Tensor]:
    """`pointwise`, whose convolutions are grouped (Table 2a)."""
    return _convolved(branches, blocks, name, _grouped)


Pointwise = Callable[[tf.Tensor, int, Blocks, str, str | None], tf.Tensor]


def _convolved(
    branches: list[tf.Tensor], blocks: Blocks, name: str, mix: Pointwise
) -> list[tf.Tensor]:
    """Sums all branches at each resolution, by convolutions that fit their channels."""
    result = []
    for i, x in enumerate(branches):
        channels, terms = x.shape[-1], []
        for j, term in enumerate(branches):
            part = f"{name}_{j + 1}to{i + 1}"
            if j > i:
                term = mix(term, channels, blocks, part, LINEAR)
                term = layers.UpSampling2D(2 ** (j - i), name=f"{part}_up")(term)
            for step in range(i - j):
                last = step == i - j - 1
                term = blocks.depthwise(term, 3, stride=2, name=f"{part}_depthwise{step + 1}",
                                        activation=LINEAR)
                term = mix(term, channels if last else term.shape[-1], blocks,
                           f"{part}_step{step + 1}", LINEAR if last else None)
            terms.append(term)
        result.append(_sum(terms, blocks, f"{name}_branch{i + 1}"))
    return result


def _plain(
    x: tf.Tensor, channels: int, blocks: Blocks, name: str, activation: str | None
) -> tf.Tensor:
    return blocks.conv(x, channels, 1, name=name, activation=activation)


def _narrowed(
    x: tf.Tensor, channels: int, blocks: Blocks, name: str, activation: str | None
) -> tf.Tensor:
    narrow = min(x.shape[-1], channels) // NARROWING
    x = blocks.conv(x, max(1, narrow), 1, name=f"{name}_narrow")
    return blocks.conv(x, channels, 1, name=name, activation=activation)


def _grouped(
    x: tf.Tensor, channels: int, blocks: Blocks, name: str, activation: str | None
) -> tf.Tensor:
    return blocks.conv(x, channels, 1, name=name, activation=activation, groups=GROUPS)


def _sum(terms: list[tf.Tensor], blocks: Blocks, name: str) -> tf.Tensor:
    return blocks.activate(layers.Add(name=f"{name}_sum")(terms), name=name)


Fusion = Callable[[list[tf.Tensor], int, Blocks, str], list[tf.Tensor]]
FUSIONS: dict[str, Fusion] = {
    "scaf": scaf, "pointwise": pointwise, "bottleneck": bottleneck, "group": group,
}
