"""The model families by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf import config
from efld_tf.errors import EfldError
from efld_tf.models import efld

# The output that says whether there is a face, beside those of the heads, and its layer.
PRESENCE = "presence"


class Codec(Protocol):
    """How points become what a head predicts, and back."""

    def encode(self, points: tf.Tensor) -> tf.Tensor:
        """Points [B, N, 2] in the crop's unit square -> training targets."""

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """A head's raw output -> points [B, N, 2] in the crop's unit square."""


@dataclass(frozen=True)
class Family:
    """One architecture.

    Attributes:
      options: the dataclass of what can be varied.
      build: (options, input size, points by head) -> model from images [B, S, S, 3] in [0, 1] to
        {head: raw output}.
      codec: mean shape [N, 2] -> the codec of a head.
      features: model -> what it knows about the crop, [B, C], from which one dense layer tells
        whether it shows a face; None for a family without such an output.
    """

    options: type
    build: Callable[[Any, int, Mapping[str, int]], tf_keras.Model]
    codec: Callable[[np.ndarray], Codec]
    features: Callable[[tf_keras.Model], tf.Tensor] | None = None


FAMILIES: dict[str, Family] = {
    "efld": Family(efld.EFLDOptions, efld.build, efld.codec, efld.features),
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
      EfldError: an unknown family, or options that it does not accept.
    """
    found = get(family)
    model = found.build(
        config.from_tree(dict(options), found.options, "model.options"), input_size, heads
    )
    return with_presence(family, model) if presence else model


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
    logit = tf_keras.layers.Dense(1, name=PRESENCE)(features(model))
    return tf_keras.Model(model.input, {**model.output, PRESENCE: logit}, name=model.name)
