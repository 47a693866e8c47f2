"""MobileNetV2 and MobileNetV3-Large without pooling and classifier, as in `tf_keras.applications`.

They are those of M. Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", CVPR
2018, Table 2, and A. Howard et al., "Searching for MobileNetV3", ICCV 2019, Table 1. Both end with
their last convolution before the pooling, which has 1280 and 960 channels.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf import hdf5
from efld_tf.annotations import parsing
from efld_tf.errors import DataError
from efld_tf.models import pretrained
from efld_tf.models.blocks import LINEAR, RELUS, Blocks, HardSigmoid

# The names of the layers of a file; HDF5 itself has at most 64 kB for an attribute, but by request.
MOST_NAME_BYTES = 1 << 20
# Public weights expect colours in [-1, 1].
MEAN, DEVIATION = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

# MobileNetV2's Table 2: expansion, channels, blocks, stride of the first block.
V2_STAGES = (
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2),
    (6, 320, 1, 1),
)  # fmt: skip
V2_STEM, V2_LAST = 32, 1280


class Bottleneck(NamedTuple):
    """A row of MobileNetV3's Table 1."""

    kernel: int
    expanded: int
    filters: int
    squeezes: bool
    hard_swish: bool
    stride: int


V3_LARGE = (
    Bottleneck(3, 16, 16, False, False, 1),
    Bottleneck(3, 64, 24, False, False, 2),
    Bottleneck(3, 72, 24, False, False, 1),
    Bottleneck(5, 72, 40, True, False, 2),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(5, 120, 40, True, False, 1),
    Bottleneck(3, 240, 80, False, True, 2),
    Bottleneck(3, 200, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 184, 80, False, True, 1),
    Bottleneck(3, 480, 112, True, True, 1),
    Bottleneck(3, 672, 112, True, True, 1),
    Bottleneck(5, 672, 160, True, True, 2),
    Bottleneck(5, 960, 160, True, True, 1),
    Bottleneck(5, 960, 160, True, True, 1),
)
V3_STEM, V3_LAST = 16, 960
# Channels are multiples of this; a squeeze-excite has a quarter of the channels in its middle.
DIVISOR, SQUEEZE = 8, 4


def v2(x: tf.Tensor, blocks: Blocks) -> tf.Tensor:
    """[B, S, S, 3] in [0, 1] -> [B, S / 32, S / 32, 1280]."""
    x = blocks.conv(x, V2_STEM, 3, stride=2, name="stem")
    index = 0
    for expansion, filters, count, stride in V2_STAGES:
        for block in range(count):
            expanded = expansion * x.shape[-1]
            row = Bottleneck(3, expanded, filters, False, False, 1 if block else stride)
            x = inverted_residual(x, row, f"block{index}", blocks)
            index += 1
    return blocks.conv(x, V2_LAST, 1, name="last")


def v3_large(x: tf.Tensor, blocks: Blocks) -> tf.Tensor:
    """[B, S, S, 3] in [0, 1] -> [B, S / 32, S / 32, 960].

    With the activation `hard_swish`, ReLU stays where the paper has it; any other activation
    replaces both.
    """
    x = blocks.conv(x, V3_STEM, 3, stride=2, name="stem")
    for index, row in enumerate(V3_LARGE):
        x = inverted_residual(x, row, f"block{index}", blocks, relu_of(blocks))
    return blocks.conv(x, V3_LAST, 1, name="last")


def relu_of(blocks: Blocks) -> str:
    """The activation where MobileNetV3 has ReLU."""
    return blocks.activation if blocks.activation in RELUS else "relu"


def inverted_residual(
    x: tf.Tensor, row: Bottleneck, name: str, blocks: Blocks, relu: str | None = None
) -> tf.Tensor:
    """Expansion, depthwise convolution, linear projection (V2's Figure 3b; V3's Figure 4).

    Args:
      x: [B, H, W, C].
      row: the block's numbers.
      relu: the activation of a block without hard-swish; None for that of `blocks`.

    Returns:
      [B, H / stride, W / stride, filters].
    """
    activation = None if row.hard_swish else relu
    y = x
    if row.expanded != x.shape[-1]:
        y = blocks.conv(y, row.expanded, 1, activation=activation, name=f"{name}_expand")
    y = blocks.depthwise(
        y, row.kernel, stride=row.stride, activation=activation, name=f"{name}_depthwise"
    )
    if row.squeezes:
        y = squeeze_excite(y, f"{name}_squeeze", blocks)
    y = blocks.conv(y, row.filters, 1, activation=LINEAR, name=f"{name}_project")
    if y.shape[1:] == x.shape[1:]:
        y = layers.Add(name=f"{name}_add")([x, y])
    return y


def squeeze_excite(x: tf.Tensor, name: str, blocks: Blocks) -> tf.Tensor:
    """Gates each channel by the means of all channels (V3's Section 5.3); the shape stays.

    The gate is a hard-sigmoid. The activation in its middle is ReLU or ReLU6, even if that of
    `blocks` is hard-swish.
    """
    channels = x.shape[-1]
    y = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_mean")(x)
    y = layers.Conv2D(_rounded(channels / SQUEEZE), 1, name=f"{name}_down")(y)
    y = blocks.activate(y, activation=relu_of(blocks), name=f"{name}_down")
    y = layers.Conv2D(channels, 1, name=f"{name}_up")(y)
    return layers.Multiply(name=f"{name}_gated")([x, HardSigmoid(name=f"{name}_gate")(y)])


def _rounded(channels: float) -> int:
    """The nearest multiple of `DIVISOR` that is not more than a tenth smaller."""
    nearest = max(DIVISOR, int(channels + DIVISOR / 2) // DIVISOR * DIVISOR)
    return nearest if nearest >= 0.9 * channels else nearest + DIVISOR


def loader(
    build: Callable[[tf.Tensor, Blocks], tf.Tensor],
) -> Callable[[tf_keras.Model, Path], None]:
    """Makes the loader of weights of `tf_keras.applications` for models with the backbone `build`.

    The file is HDF5, with or without the top. Its layers are taken in their order, as Keras does
    it, since names have changed between releases and the weights of a MobileNet form one chain.
    They are for colours in [-1, 1], see `pretrained.take_colours`.

    Returns:
      (model, path) -> None; it raises DataError if the file cannot be read, lacks a weight, or has
      it in another shape, and then leaves the model unchanged.
    """

    def load(model: tf_keras.Model, path: Path) -> None:
        backbone_layers = pretrained.layers_of(model, build)
        values = _read(path, backbone_layers)
        pretrained.take_colours(values["stem_conv"], values["stem_bn"], MEAN, DEVIATION)
        pretrained.assign(path, backbone_layers, values)

    return load


def _read(path: Path, backbone_layers: list[layers.Layer]) -> dict[str, list[np.ndarray]]:
    """Reads the weights of every layer, by the layer's name."""
    values = {}
    try:
        parsing.check_file(path)
        with hdf5.opened(path) as file:
            weights = hdf5.find(file, "model_weights") if "model_weights" in file else file
            groups = [hdf5.find(weights, name) for name in _names(weights, "layer_names")]
            groups = [group for group in groups if _names(group, "weight_names")]
            for index, layer in enumerate(backbone_layers):
                if index == len(groups):
                    raise DataError(path, f"the weights of {layer.name} are missing")
                values[layer.name] = _of_layer(path, groups[index], layer)
    except hdf5.ERRORS as error:
        raise DataError(
            path, f"not a weight file of tf_keras.applications: {hdf5.reason(error)}") from error
    return values


def _of_layer(path: Path, group: h5py.Group, layer: layers.Layer) -> list[np.ndarray]:
    names = _names(group, "weight_names")
    if len(names) != len(layer.weights):
        raise DataError(
            path, f"{group.name} has {len(names)} weights, expected {len(layer.weights)} "
            f"for {layer.name}"
        )
    values = []
    for name, weight in zip(names, layer.weights, strict=True):
        data = hdf5.find(group, name)
        pretrained.check_shape(path, name, data.shape, weight.shape)
        value = hdf5.values(data, "f", weight.shape.num_elements())
        values.append(pretrained.checked(path, name, value, weight.shape))
    return values


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """The texts of an attribute."""
    names = hdf5.attribute(group, attribute, MOST_NAME_BYTES)
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]
