"""ResNets without pooling and classifier, laid out so that public PyTorch weights fit.

They are those of K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, Section
4.1 and Table 1. As in torchvision, the stride of a bottleneck is in its 3x3 convolution ("v1.5"),
and convolutions of stride 2 are padded symmetrically. Layers are named after torchvision's:
`layer2.0.conv1` is `layer2_0_1_conv`, its batch norm `layer2_0_1_bn`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from safetensors import SafetensorError, safe_open
from tf_keras import layers

from efld_tf.annotations import parsing
from efld_tf.errors import DataError
from efld_tf.models import pretrained
from efld_tf.models.blocks import LINEAR, Blocks

# The axes of a kernel [H, W, in, out] in PyTorch's [out, in, H, W].
KERNEL_AXES = (2, 3, 1, 0)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4
EPSILON = 1e-5
# Mean and deviation of ImageNet's colours, from 0 to 1. Public weights expect normalised colours,
# (x - MEAN) / DEVIATION.
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Depth:
    """A row of the paper's Table 1.

    Attributes:
      blocks: number of blocks in each of the four stages.
      bottleneck: whether a block is 1x1, 3x3 and 1x1 rather than two 3x3 convolutions.
    """

    blocks: tuple[int, int, int, int]
    bottleneck: bool


RESNET18 = Depth((2, 2, 2, 2), False)
RESNET50 = Depth((3, 4, 6, 3), True)
RESNET101 = Depth((3, 4, 23, 3), True)


def build(depth: Depth, x: tf.Tensor, blocks: Blocks) -> tf.Tensor:
    """[B, S, S, 3] in [0, 1] -> [B, S / 32, S / 32, 512, or 2048 with bottlenecks]."""
    blocks = replace(blocks, batch_norm_epsilon=EPSILON)
    x = blocks.conv(x, WIDTHS[0], 7, stride=2, padding="symmetric", name="stem")
    # The padding is zero where torchvision's is -inf, which is the same after a ReLU.
    x = layers.ZeroPadding2D(1, name="pool_pad")(x)
    x = layers.MaxPooling2D(3, 2, name="pool")(x)
    residual = bottleneck if depth.bottleneck else basic
    for stage, (width, count) in enumerate(zip(WIDTHS, depth.blocks, strict=True)):
        for block in range(count):
            stride = 2 if stage and not block else 1
            x = residual(x, width, stride, f"layer{stage + 1}_{block}", blocks)
    return x


def basic(x: tf.Tensor, width: int, stride: int, name: str, blocks: Blocks) -> tf.Tensor:
    """Two 3x3 convolutions (Figure 5, left): [B, H, W, C] -> [B, H / stride, W / stride, width]."""
    y = blocks.conv(x, width, 3, stride=stride, padding="symmetric", name=f"{name}_1")
    y = blocks.conv(y, width, 3, activation=LINEAR, name=f"{name}_2")
    return _added(x, y, stride, name, blocks)


def bottleneck(x: tf.Tensor, width: int, stride: int, name: str, blocks: Blocks) -> tf.Tensor:
    """1x1, 3x3, 1x1 (Figure 5, right): [B, H, W, C] -> [B, H / stride, W / stride, 4 * width]."""
    y = blocks.conv(x, width, 1, name=f"{name}_1")
    y = blocks.conv(y, width, 3, stride=stride, padding="symmetric", name=f"{name}_2")
    y = blocks.conv(y, EXPANSION * width, 1, activation=LINEAR, name=f"{name}_3")
    return _added(x, y, stride, name, blocks)


def _added(x: tf.Tensor, y: tf.Tensor, stride: int, name: str, blocks: Blocks) -> tf.Tensor:
    if x.shape[1:] != y.shape[1:]:
        x = blocks.conv(
            x, y.shape[-1], 1, stride=stride, activation=LINEAR, name=f"{name}_downsample"
        )
    return blocks.activate(layers.Add(name=f"{name}_add")([x, y]), name=name)


def loader(depth: Depth) -> Callable[[tf_keras.Model, Path], None]:
    """Makes the loader of weights of a `.safetensors` file for models with this backbone.

    The file has torchvision's names, which are timm's too; other arrays, such as a classifier's,
    are ignored. Weights are for normalised colours, see `pretrained.take_colours`.

    Returns:
      (model, path) -> None; it raises DataError if the file cannot be read, lacks a weight, or has
      it in another shape, and then leaves the model unchanged.
    """

    def load(model: tf_keras.Model, path: Path) -> None:
        backbone_layers = pretrained.layers_of(model, lambda x, blocks: build(depth, x, blocks))
        sources = [source for layer in backbone_layers for source in _sources(layer)]
        arrays = iter(_read(path, sources))
        values = {layer.name: [next(arrays) for _ in layer.weights] for layer in backbone_layers}
        pretrained.take_colours(values["stem_conv"], values["stem_bn"], MEAN, DEVIATION)
        pretrained.assign(path, backbone_layers, values)

    return load


@dataclass(frozen=True)
class _Source:
    """An array of a file: its name in the file, and its shape in Keras."""

    name: str
    shape: tuple[int, ...]


def _sources(layer: layers.Layer) -> list[_Source]:
    """The arrays for a layer's weights, in order."""
    *place, part, kind = layer.name.split("_")
    before = "".join(f"{word}." for word in place)
    if part == "downsample":
        name = f"{before}downsample.{0 if kind == 'conv' else 1}"
    else:
        name = f"{before}{kind}{1 if part == 'stem' else part}"
    parts = ("weight",) if kind == "conv" else ("weight", "bias", "running_mean", "running_var")
    return [
        _Source(f"{name}.{suffix}", tuple(weight.shape))
        for suffix, weight in zip(parts, layer.weights, strict=True)
    ]


def _read(path: Path, sources: list[_Source]) -> list[np.ndarray]:
    """Reads the arrays in Keras's layout, with kernels [H, W, in, out]."""
    arrays = []
    try:
        parsing.check_file(path)
        with safe_open(path, framework="numpy") as file:
            names = {*file.keys()}
            for source in sources:
                if source.name not in names:
                    raise DataError(path, f"{source.name} is missing")
                shape = file.get_slice(source.name).get_shape()
                if len(shape) == 4:  # from [out, in, H, W]
                    shape = [shape[axis] for axis in KERNEL_AXES]
                pretrained.check_shape(path, source.name, shape, source.shape)
                value = file.get_tensor(source.name)
                if value.ndim == 4:
                    value = value.transpose(KERNEL_AXES)
                arrays.append(pretrained.checked(path, source.name, value, source.shape))
    except (SafetensorError, OSError, TypeError) as error:
        raise DataError(path, f"cannot be read as a safetensors file: {error}") from error
    return arrays
