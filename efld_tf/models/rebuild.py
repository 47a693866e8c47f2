"""Copies a functional model layer by layer, so that some of its layers can be written otherwise."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import EfldError


class Rebuild:
    """Copies a functional model layer by layer, so that some can be replaced on the way.

    Attributes:
      image: the new model's input.

    Raises:
      EfldError: the model has a model in it, or uses a layer twice.
    """

    def __init__(self, model: tf_keras.Model):
        self._model = model
        self._nodes: dict[int, Any] = {}
        for node in (node for nodes in model._nodes_by_depth.values() for node in nodes):
            layer = node.layer
            if isinstance(layer, tf_keras.Model):
                raise EfldError(f"layer {layer.name}: a model within the model cannot be exported; "
                                "call its layers one by one")
            if id(layer) in self._nodes:
                raise EfldError(f"layer {layer.name}: a layer that is used twice cannot be "
                                "exported; make one for each use")
            self._nodes[id(layer)] = node
        self._values: dict[int, tf.Tensor] = {}
        self.image = tf_keras.Input(model.input.shape[1:], name=model.input_names[0])
        self.put(model.input, self.image)

    def value(self, old: tf.Tensor) -> tf.Tensor:
        """The new tensor that replaces one of the old model's."""
        return self._values[id(old)]

    def put(self, old: tf.Tensor, new: tf.Tensor) -> None:
        """Sets the tensor that replaces one of the old model's."""
        self._values[id(old)] = new

    def is_replaced(self, layer: layers.Layer) -> bool:
        """Whether a layer's outputs are replaced already."""
        return all(id(output) in self._values for output in tf.nest.flatten(layer.output))

    def copy(self, layer: layers.Layer) -> None:
        """Copies a layer as it is, with the arguments that it was called with."""
        node = self._nodes[id(layer)]
        # Keras takes a value from the list each time that the layer reads the tensor.
        values = {str(id(old)): [self.value(old)] * len(node.keras_inputs)
                  for old in node.keras_inputs}
        arguments, options = node.map_arguments(values)
        new = copied(layer)
        outputs = new(*arguments, **options)
        new.set_weights(layer.get_weights())
        for old, output in zip(
            tf.nest.flatten(layer.output), tf.nest.flatten(outputs), strict=True
        ):
            self.put(old, output)

    def finish(self) -> tf_keras.Model:
        """The new model."""
        outputs = tf.nest.map_structure(self.value, self._model.output)
        return tf_keras.Model(self.image, outputs, name=self._model.name)


def call(layer: layers.Layer, inputs: tf.Tensor, weights: list[np.ndarray]) -> tf.Tensor:
    """The output of a new layer, which then has these weights."""
    output = layer(inputs)
    layer.set_weights(weights)
    return output


def copied(layer: layers.Layer, **changes: object) -> layers.Layer:
    """A new layer of the same configuration, with some entries changed."""
    return type(layer).from_config({**layer.get_config(), **changes})


def consumers(layer: layers.Layer) -> list[layers.Layer]:
    """The layers that read a layer's output."""
    return [node.outbound_layer for node in layer.outbound_nodes]


def rebuilt(
    model: tf_keras.Model, replace: Callable[[layers.Layer, Rebuild], bool]
) -> tf_keras.Model:
    """A copy of a model in which `replace` may replace layers; it returns whether it did."""
    new = Rebuild(model)
    for layer in model.layers:
        if not new.is_replaced(layer) and not replace(layer, new):
            new.copy(layer)
    return new.finish()
