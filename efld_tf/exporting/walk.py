"""Runs a network over crops layer by layer, while the weights of its layers are being changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models.probe import BATCH

# Bytes up to which what later layers read is kept in memory.
LARGEST_CUT = 2 << 30


class Walk:
    """Gives the inputs of layers in the order of `model.layers`, with the weights of that moment.

    What lies between two layers is kept, so that a layer is run once for all crops. Where it would
    take more than `LARGEST_CUT` bytes, layers are run again from the last place where it did not.
    """

    def __init__(self, model: tf_keras.Model, crops: np.ndarray):
        """Starts at the image.

        Args:
          model: a network whose layers are called once each.
          crops: [F, S, S, 3] uint8.
        """
        self._crops = crops
        self._image = id(model.input)
        nodes = {id(node.layer): node for nodes in model._nodes_by_depth.values() for node in nodes}
        self._nodes = [nodes[id(layer)] for layer in model.layers]
        self._places = {id(layer): place for place, layer in enumerate(model.layers)}
        # The last reader of each tensor, by its place.
        self._last = {id(tensor): place for place, node in enumerate(self._nodes)
                      for tensor in node.keras_inputs}
        self._start = 0
        self._kept: dict[int, list[np.ndarray]] = {}

    def inputs(self, layer: layers.Layer) -> Iterator[np.ndarray]:
        """Yields a layer's input, `BATCH` crops at a time.

        Args:
          layer: one with a single input, not before that of the last call.
        """
        end = self._places[id(layer)]
        later = [tensor for node in self._nodes[:end] for tensor in tf.nest.flatten(node.outputs)
                 if self._last.get(id(tensor), -1) >= end and id(tensor) != self._image]
        size = 4 * len(self._crops) * sum(math.prod(tensor.shape[1:]) for tensor in later)
        kept: dict[int, list[np.ndarray]] = {id(tensor): [] for tensor in later}
        for batch, start in enumerate(range(0, len(self._crops), BATCH)):
            pixels = self._crops[start : start + BATCH].astype(np.float32) / 255.0
            values = {self._image: pixels, **{key: rows[batch] for key, rows in self._kept.items()}}
            for node in self._nodes[self._start : end]:
                self._run(node, values)
            yield values[id(layer.input)]
            if size <= LARGEST_CUT:
                for key, rows in kept.items():
                    rows.append(values[key])
        if size <= LARGEST_CUT:
            self._start, self._kept = end, kept

    def _run(self, node: Any, values: dict[int, np.ndarray]) -> None:
        """Computes a layer's outputs from the values of its inputs, by their ids."""
        if not node.keras_inputs:
            return  # the image
        # Keras takes a value from the list each time that the layer reads the tensor.
        given = {str(id(old)): [values[id(old)]] * len(node.keras_inputs)
                 for old in node.keras_inputs}
        arguments, options = node.map_arguments(given)
        outputs = tf.nest.flatten(node.layer(*arguments, **options))
        for old, output in zip(tf.nest.flatten(node.outputs), outputs, strict=True):
            values[id(old)] = np.asarray(output)
