"""The model families by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf import config
from efld_tf.errors import EfldError
from efld_tf.models import coordnet, efld, mapnet, on_backbone, pipnet

# What a head predicts: a tensor, or several by name.
Raw = tf.Tensor | Mapping[str, tf.Tensor]

# The output that says whether there is a face, beside those of the heads, and its layer.
PRESENCE = "presence"
# The name of its layer, and so of its weights in a file. To be changed with the features that a
# family's presence reads, so that weights for other features are refused.
PRESENCE_LAYER = "presence_logit"


class Codec(Protocol):
    """How points become what a head predicts, and back; see `codecs`.

    Attributes:
      precision: how exactly `decode` inverts `encode`, in crop sides.
    """

    precision: float

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> Raw:
        """Points [B, N, 2] in the crop's unit square, annotated where the mask [B, N] is 1.

        Returns:
          Training targets.
        """

    def decode(self, raw: Raw) -> tf.Tensor:
        """A head's raw output -> points [B, N, 2] in the crop's unit square."""

    def encode_coarse(self, points: tf.Tensor, level: int) -> tf.Tensor:
        """Points [B, N, 2] -> target scores on a grid of cells 2^level times as long.

        Only of a family that has `Family.coarse`, for self-training with curriculum.
        """


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
      options: the dataclass of what can be varied.
      build: (options, input size, points by head) -> model from images [B, S, S, 3] in [0, 1] to
        {head: raw output}.
      codec: (options, input size, mean shape [N, 2]) -> the codec of a head.
      losses: the names of `training.losses` that fit what its heads predict, its own first.
      features: model -> what it knows about the crop, [B, C], from which one dense layer tells
        whether it shows a face; None for a family without such an output.
      coarse: (model, head, level) -> the head's scores on a grid of cells 2^level times as long,
        by the same weights; None for a family whose heads have no grid.
      load_backbone: (model, options, file) copies ImageNet weights into the backbone; None for a
        family that has none to load.
    """

    options: type
    build: Callable[[Any, int, Mapping[str, int]], tf_keras.Model]
    codec: Callable[[Any, int, np.ndarray], Codec]
    losses: tuple[str, ...]
    features: Callable[[tf_keras.Model], tf.Tensor] | None = None
    coarse: Callable[[tf_keras.Model, str, int], tf.Tensor] | None = None
    load_backbone: Callable[[tf_keras.Model, Any, Path], None] | None = None


FAMILIES: dict[str, Family] = {
    "efld": Family(efld.EFLDOptions, efld.build, efld.codec, ("nme", "l1", "wing"), efld.features),
    "pipnet": Family(
        pipnet.PIPNetOptions, pipnet.build, pipnet.codec, ("pip",), pipnet.features,
        pipnet.coarse, on_backbone.load_backbone,
    ),
    "coordnet": Family(
        coordnet.CoordNetOptions, coordnet.build, coordnet.codec, ("l1", "nme", "wing"),
        coordnet.features, load_backbone=on_backbone.load_backbone,
    ),
    "mapnet": Family(
        mapnet.MapNetOptions, mapnet.build, mapnet.codec, ("heatmap",), mapnet.features,
        mapnet.coarse, on_backbone.load_backbone,
    ),
}


def get(name: str) -> Family:
    """The family of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name not in FAMILIES:
        raise EfldError(f"unknown model family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def build(
    family: str,
    options: Mapping[str, Any],
    input_size: int,
    heads: Mapping[str, int],
    presence: bool = False,
) -> tf_keras.Model:
    """Builds a family's model from options as they stand in a config.

    Args:
      presence: add the output `PRESENCE`, see `with_presence`.

    Raises:
      EfldError: an unknown family, options or a size that it does not accept, or no head.
    """
    if not heads:
        raise EfldError("heads: at least one is needed")
    model = get(family).build(options_of(family, options), input_size, heads)
    return with_presence(family, model) if presence else model


def codec(
    family: str, options: Mapping[str, Any], input_size: int, mean_shape: np.ndarray
) -> Codec:
    """The codec of a head with this mean shape [N, 2]; arguments and errors as in `build`."""
    return get(family).codec(options_of(family, options), input_size, mean_shape)


def load_backbone(
    family: str, options: Mapping[str, Any], model: tf_keras.Model, path: str | Path
) -> None:
    """Copies public ImageNet weights from a file into a model's backbone.

    Raises:
      EfldError: there are none for it, or (DataError) the file is not one of its.
    """
    load = get(family).load_backbone
    if load is None:
        raise EfldError(f"the family {family!r} has no public weights to start from")
    load(model, options_of(family, options), Path(path))


def coarse_scores(family: str, model: tf_keras.Model, head: str, level: int) -> tf.Tensor:
    """A head's scores on a grid of cells 2^level times as long; see `Family.coarse`.

    Raises:
      EfldError: the family's heads have no grid, or one that cannot be that much coarser.
    """
    coarse = get(family).coarse
    if coarse is None:
        raise EfldError(f"level: the family {family!r} has no grid that could be coarser")
    return coarse(model, head, level)


def options_of(family: str, options: Mapping[str, Any]) -> Any:
    """A family's options as it takes them, from options as they stand in a config.

    Raises:
      EfldError: an unknown family, or options that it does not accept.
    """
    return config.from_tree(dict(options), get(family).options, "model.options")


def with_presence(family: str, model: tf_keras.Model) -> tf_keras.Model:
    """The model, which keeps its layers, with one more output.

    Returns:
      A model whose output `PRESENCE` is [B, 1], the log-odds that the crop shows a face, by a new
      dense layer on the family's features.

    Raises:
      EfldError: the family has no such output, or the model has one of that name already.
    """
    features = get(family).features
    if features is None:
        raise EfldError(f"the family {family!r} has no presence output")
    if PRESENCE in model.output:
        raise EfldError(f"the model has an output {PRESENCE!r} already")
    logit = tf_keras.layers.Dense(1, name=PRESENCE_LAYER)(features(model))
    return tf_keras.Model(model.input, {**model.output, PRESENCE: logit}, name=model.name)
