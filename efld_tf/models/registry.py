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
    """

    options: type
    build: Callable[[Any, int, Mapping[str, int]], tf_keras.Model]
    codec: Callable[[np.ndarray], Codec]


FAMILIES: dict[str, Family] = {"efld": Family(efld.EFLDOptions, efld.build, efld.codec)}


def get(name: str) -> Family:
    """The family of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name not in FAMILIES:
        raise EfldError(f"unknown model family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def build(
    family: str, options: Mapping[str, Any], input_size: int, heads: Mapping[str, int]
) -> tf_keras.Model:
    """Builds a family's model from options as they stand in a config.

    Raises:
      EfldError: an unknown family, or options that it does not accept.
    """
    found = get(family)
    return found.build(
        config.from_tree(dict(options), found.options, "model.options"), input_size, heads
    )
