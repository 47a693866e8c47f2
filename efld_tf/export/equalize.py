"""Cross-layer equalisation before a depthwise convolution: all channels fill the int8 range.

An int8 activation has one scale for all its channels, so a channel that stays below a twentieth of
the largest one gets a dozen levels. Where nothing but a depthwise convolution reads the channels,
each can be stretched to the full range and the convolution's kernel, which has a scale a channel
of its own, shrunk by the same factor: the same function, at no cost. (M. Nagel et al., "Data-Free
Quantization Through Weight Equalization and Bias Correction", ICCV 2019, Section 4.1; depthwise
kernels need no compromise between the two ranges.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tf_keras

BATCH = 32

# How much further than on the calibration crops a channel may go before a bounded activation cuts
# it off, and the largest stretch, for channels that hardly ever fire.
HEADROOM = 1.1
LARGEST_STRETCH = 100.0


@dataclass(frozen=True)
class _Pair:
    """Batch norm -> activation -> depthwise convolution, with nothing else reading between."""

    norm: tf_keras.layers.Layer
    activation: tf_keras.layers.Layer
    depthwise: tf_keras.layers.Layer


def equalise(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """A copy of a model that computes the same and loses less in int8.

    Args:
      crops: [F, S, S, 3] uint8, the calibration crops.

    Returns:
      The copy; on the calibration crops its outputs are those of `model`.
    """
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    pairs = list(_pairs(copy))
    if not pairs:
        return copy
    probe = tf_keras.Model(copy.input, [pair.activation.output for pair in pairs])
    largest = [np.zeros(pair.activation.output_shape[-1]) for pair in pairs]
    for start in range(0, len(crops), BATCH):
        outputs = probe(crops[start : start + BATCH].astype(np.float32) / 255.0, training=False)
        for index, output in enumerate(outputs if len(pairs) > 1 else [outputs]):
            output = np.reshape(output, (-1, len(largest[index])))
            largest[index] = np.maximum(largest[index], output.max(axis=0))
    for pair, reached in zip(pairs, largest, strict=True):
        _stretch(pair, reached)
    return copy


def _pairs(model: tf_keras.Model) -> Iterator[_Pair]:
    for layer in model.layers:
        if not isinstance(layer, tf_keras.layers.DepthwiseConv2D):
            continue
        activation = layer.inbound_nodes[0].inbound_layers
        if not isinstance(activation, tf_keras.layers.ReLU) or len(activation.outbound_nodes) > 1:
            continue
        norm = activation.inbound_nodes[0].inbound_layers
        if isinstance(norm, tf_keras.layers.BatchNormalization) and len(norm.outbound_nodes) == 1:
            yield _Pair(norm, activation, layer)


def _stretch(pair: _Pair, reached: np.ndarray) -> None:
    """Scales the channels of a pair, given the largest value [C] that each reached."""
    limit = pair.activation.max_value
    full = float(limit) if limit is not None else float(reached.max()) * HEADROOM
    factor = np.clip(full / np.maximum(reached * HEADROOM, 1e-6), 1.0, LARGEST_STRETCH)
    gamma, beta, mean, variance = pair.norm.get_weights()
    pair.norm.set_weights([gamma * factor, beta * factor, mean, variance])
    kernel, *rest = pair.depthwise.get_weights()
    pair.depthwise.set_weights([kernel / factor[None, None, :, None], *rest])
