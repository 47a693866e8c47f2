"""One head of a trained model, read once, from which prediction and every export start."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
import tf_keras

from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry
from efld_tf.models.checkpoint import HeadSpec, ModelSpec
from efld_tf.models.registry import PRESENCE, Codec, Raw

# The outputs of the head: the others where it tells depths and expected errors. Beside them is
# `PRESENCE` where the model has one.
POINTS, DEPTH, ERRORS = "points", "depth", "errors"


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model, of which one head is used.

    Attributes:
      path: the file that it was read from.
      spec: the description of the whole model.
      head: the head that is used, by the name of its schema.
      network: images [B, S, S, 3] in [0, 1] -> {`POINTS`: the head's raw output} and, if the model
        has them, `PRESENCE`, log-odds [B, 1], `DEPTH`, [B, N] in sides of the crop, and `ERRORS`,
        [B, N] log-odds.
      codec: the codec of the head.
    """

    path: Path
    spec: ModelSpec
    head: str
    network: tf_keras.Model
    codec: Codec

    @classmethod
    def load(cls, path: str | Path, head: str | None = None) -> TrainedModel:
        """Reads a model file.

        Args:
          head: the head to use; None for the model's first.

        Raises:
          DataError: the file is not a model, or has no such head.
        """
        spec, network = checkpoint.load(path)
        return cls.of(Path(path), spec, network, checkpoint.chosen_head(path, spec, head))

    @classmethod
    def of(cls, path: Path, spec: ModelSpec, network: tf_keras.Model, head: str) -> TrainedModel:
        """One head of a model in memory.

        Args:
          network: the network with all heads; the other arguments are as the attributes.
        """
        outputs = {POINTS: registry.predictions(network.output[head])[-1]}
        if PRESENCE in network.output:
            outputs[PRESENCE] = network.output[PRESENCE]
        if (name := registry.depth_output(head)) in network.output:
            outputs[DEPTH] = network.output[name]
        if (name := registry.errors_output(head)) in network.output:
            outputs[ERRORS] = network.output[name]
        single = tf_keras.Model(network.input, outputs)
        return cls(path, spec, head, single, spec.codec(head))

    @property
    def head_spec(self) -> HeadSpec:
        """The description of the head."""
        return self.spec.heads[self.head]

    @property
    def crop_rule(self) -> CropRule:
        """How a face is cropped for the head."""
        return self.head_spec.crop_rule

    @property
    def input_size(self) -> int:
        """Side S of the input in pixels."""
        return self.spec.input_size

    def decoded(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        """Runs the model on images [B, S, S, 3] in [0, 1].

        Returns:
          `POINTS`: [B, N, 2] in the unit square of each image; and, if the model has them,
          `PRESENCE`: [B, 1], how sure it is that there is a face, from 0 to 1, or [B, 1 + N] with
          the expected errors of the points, in sides of the image; and `DEPTH`: [B, N], how far
          each point is in front of their mean, in sides of the image.
        """
        return self.decode(self.network(images, training=False))

    def decode(self, raw: dict[str, Raw]) -> dict[str, tf.Tensor]:
        """What `decoded` gives, from the network's outputs."""
        outputs = {POINTS: self.codec.decode(raw[POINTS])}
        if PRESENCE in raw:
            quality = [tf.sigmoid(raw[name]) for name in (PRESENCE, ERRORS) if name in raw]
            outputs[PRESENCE] = tf.concat(quality, axis=1) if len(quality) > 1 else quality[0]
        if DEPTH in raw:
            outputs[DEPTH] = raw[DEPTH]
        return outputs

    @functools.cached_property
    def compiled(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """`decoded` as a graph, traced once, for images [B, S, S, 3] float32 of 0 to 255."""
        shape = [None, self.input_size, self.input_size, 3]

        def predict(images: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.decoded(images / 255.0)

        return tf.function(predict, input_signature=[tf.TensorSpec(shape)])
