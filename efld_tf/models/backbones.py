"""The backbones by name; they turn an image into features for a head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.models import efld, mobilenet, resnet
from efld_tf.models.blocks import Blocks


@dataclass(frozen=True)
class Backbone:
    """One backbone: a flat graph of plain layers, which export rewrites one by one.

    Attributes:
      stride: side of the input, divided by the side of the features.
      activation: its default activation, one of `blocks.ACTIVATIONS`; `build` uses that of its
        blocks.
      build: (images [B, S, S, 3] in [0, 1], blocks) -> features [B, S / stride, S / stride, C];
        S is divisible by the stride.
      load: (model, path) copies ImageNet weights from a file into the layers that `build` made, or
        raises DataError and leaves the model as it was; None if there is no such file.
    """

    stride: int
    activation: str
    build: Callable[[tf.Tensor, Blocks], tf.Tensor]
    load: Callable[[tf_keras.Model, Path], None] | None


def _resnet(depth: resnet.Depth) -> Backbone:
    return Backbone(32, "relu", partial(resnet.build, depth), resnet.loader(depth))


BACKBONES: dict[str, Backbone] = {
    "efld": Backbone(16, "relu6", partial(efld.backbone, separable=True), None),
    "resnet18": _resnet(resnet.RESNET18),
    "resnet50": _resnet(resnet.RESNET50),
    "resnet101": _resnet(resnet.RESNET101),
    "mobilenet_v2": Backbone(32, "relu6", mobilenet.v2, mobilenet.loader(mobilenet.v2)),
    "mobilenet_v3_large": Backbone(
        32, "hard_swish", mobilenet.v3_large, mobilenet.loader(mobilenet.v3_large)
    ),
}


def get(name: str) -> Backbone:
    """The backbone of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name not in BACKBONES:
        raise EfldError(f"backbone: unknown {name!r}; known: {', '.join(BACKBONES)}")
    return BACKBONES[name]
