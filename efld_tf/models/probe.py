"""What the layers of a network give for crops."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

BATCH = 32


def batches_of(
    model: tf_keras.Model, chosen: list[layers.Layer], crops: np.ndarray
) -> Iterator[list[np.ndarray]]:
    """Yields the outputs of layers for uint8 crops [F, S, S, 3], `BATCH` crops at a time."""
    probe = tf_keras.Model(model.input, [layer.output for layer in chosen])
    for start in range(0, len(crops), BATCH):
        pixels = crops[start : start + BATCH].astype(np.float32) / 255.0
        yield [np.asarray(x) for x in tf.nest.flatten(probe(pixels, training=False))]


def extremes_of(
    model: tf_keras.Model, chosen: list[layers.Layer], crops: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray]]:
    """The lowest and the highest value of every element of each layer's output over all crops."""
    extremes: list[tuple[np.ndarray, np.ndarray]] = []
    for batch in batches_of(model, chosen, crops) if chosen else ():
        ends = [(values.min(axis=0), values.max(axis=0)) for values in batch]
        extremes = [
            (np.minimum(low, lowest), np.maximum(high, highest))
            for (low, high), (lowest, highest) in zip(ends, extremes or ends, strict=True)
        ]
    return extremes
