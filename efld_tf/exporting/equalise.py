"""Cross-layer equalisation: makes all channels fill the int8 range.

An int8 activation has one scale for all its channels, so a channel that stays below a twentieth of
the largest one gets a dozen levels. If only a depthwise convolution reads the channels, each can be
stretched to the full range, and the convolution's kernel, which has a scale for each channel, can
be shrunk by the same factor. The function stays the same, and nothing gets slower. (M. Nagel et
al., "Data-Free Quantization Through Weight Equalization and Bias Correction", ICCV 2019, Section
4.1; depthwise kernels need no compromise between the two ranges.) Features that dense layers read
are treated alike, but with the paper's compromise, because the rows of their kernels share scales.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting.optimise import ends_in_dense, scaled
from efld_tf.models import probe

# HEADROOM is how much further than on the calibration crops a channel may go before a bounded
# activation cuts it off; LARGEST_STRETCH limits channels that hardly ever fire.
HEADROOM = 1.1
LARGEST_STRETCH = 100.0

# Channels that fire on few of the calibration crops go much further on other faces: partial sums
# get the range that this share of them reaches with weights like theirs, or less.
USUAL_SHARE = 0.9

# The part of the largest range below which an element of an activation counts as constant.
STILL = 1e-6


@dataclass(frozen=True)
class _Pair:
    """A convolution with a bias, a ReLU or Reshape, and the depthwise convolution that reads it.

    Nothing else reads the first two. The Reshape is that of a depthwise convolution in partial sums
    (`optimise.split_depthwise`).
    """

    producer: layers.Layer
    between: layers.Layer
    depthwise: layers.Layer


def equalise(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """Stretches the channels between a convolution, its ReLU and a depthwise convolution.

    Args:
      model: a network without batch norms, see `optimise.fold_batch_norms`.
      crops: [F, S, S, 3] uint8, the calibration crops.

    Returns:
      A copy that loses less in int8; on the calibration crops its outputs are those of `model`.
    """
    copy = clone(model)
    pairs = list(_pairs(copy, layers.ReLU))
    extremes = probe.extremes_of(copy, [pair.between for pair in pairs], crops)
    for pair, (_, highest) in zip(pairs, extremes, strict=True):
        _stretch(pair, highest.reshape(-1, highest.shape[-1]).max(axis=0))
    return copy


def balance_parts(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """Gives all partial sums of `optimise.split_depthwise` the same range around zero.

    Each part of each channel is centred on zero by its bias, for which the sum's bias makes up, and
    scaled to the range of the others, for which the sum's kernel makes up: in whole 127ths of its
    largest value, so that the kernel is exact in int8. A part with large weights for its range
    keeps a smaller one, because it may fire on other faces and the partial sums' kernel has one
    scale for all (see `quantise`).

    Args:
      model, crops: as in `equalise`.
    """
    copy = clone(model)
    pairs = list(_pairs(copy, layers.Reshape))
    extremes = probe.extremes_of(copy, [pair.between for pair in pairs], crops)
    for pair, ends in zip(pairs, extremes, strict=True):
        lowest, highest = (end[:, 0].astype(np.float64) for end in ends)  # [parts, C]
        parts, channels = lowest.shape
        centre = (lowest + highest) / 2
        kernel, bias = pair.producer.get_weights()
        largest = np.maximum(np.abs(kernel).max(axis=(0, 1, 3)).reshape(parts, channels), 1e-12)
        radius = (highest - lowest) / 2
        # Parts of channels that never fire say nothing about the usual range for a weight.
        fires = radius > STILL * radius.max()
        usual = np.quantile((radius / largest)[fires], USUAL_SHARE) if fires.any() else 1.0
        radius = np.maximum(radius, largest * usual)
        unit = radius.max(axis=0) / 127
        scale = np.minimum(np.ceil(radius / unit - 1e-9), 127) * unit
        pair.producer.set_weights(
            [kernel / scale.reshape(-1, 1), (bias - centre.reshape(-1)) / scale.reshape(-1)]
        )
        kernel, bias = pair.depthwise.get_weights()
        bias = bias + (kernel[:, 0, :, 0] * centre).sum(axis=0)
        pair.depthwise.set_weights([kernel * scale[:, None, :, None], bias])
    return copy


def equalise_features(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """Balances the channels of a vector that only dense layers read against their kernels.

    Each channel's share of the activation's range becomes its share of the kernels' range (the
    paper's Section 4.1, with the largest weight of all layers that read the channel). The range is
    taken without the bias, which `optimise.lift_biases` removes.

    Args:
      model, crops: as in `equalise`.
    """
    copy = clone(model)
    for layer in copy.layers:
        if not isinstance(layer, layers.DepthwiseConv2D) or not ends_in_dense(layer):
            continue
        readers = list(_dense_readers(copy, layer))
        ((lowest, highest),) = probe.extremes_of(copy, [layer], crops)
        kernel, *bias = layer.get_weights()
        shift = bias[0] if bias else 0.0
        reached = np.maximum(np.abs(lowest - shift), np.abs(highest - shift)).reshape(-1)
        weights = np.zeros_like(reached)
        for dense, channels in readers:
            rows = np.abs(dense.get_weights()[0]).max(axis=1)
            np.maximum.at(weights, channels[channels >= 0], rows[channels >= 0])
        fires = (reached > STILL * reached.max()) & (weights > STILL * weights.max())
        factor = np.ones_like(reached)
        factor[fires] = np.sqrt(weights[fires] / reached[fires])
        factor[~fires] = np.median(factor[fires]) if fires.any() else 1.0
        layer.set_weights([scaled(layer, kernel, factor), *(b * factor for b in bias)])
        for dense, channels in readers:
            divisor = np.where(channels >= 0, factor[channels], 1.0)
            kernel, bias = dense.get_weights()
            dense.set_weights([kernel / divisor[:, None], bias])
    return copy


def _dense_readers(
    model: tf_keras.Model, source: layers.Layer
) -> Iterator[tuple[layers.Dense, np.ndarray]]:
    """Yields the dense layers that read a vector, and the channel of each of their inputs or -1."""
    channels = {id(source.output): np.arange(source.output.shape[-1])}
    for layer in model.layers:
        inputs = tf.nest.flatten(layer.input)
        if layer is source or not any(id(tensor) in channels for tensor in inputs):
            continue
        unknown = [np.full(tensor.shape[-1], -1) for tensor in inputs]
        input_channels = [channels.get(id(t), u) for t, u in zip(inputs, unknown, strict=True)]
        if isinstance(layer, layers.Dense):
            yield layer, input_channels[0]
        else:
            channels[id(layer.output)] = np.concatenate(input_channels)


def clone(model: tf_keras.Model) -> tf_keras.Model:
    """A copy of a model, with weights of its own."""
    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy


def _pairs(model: tf_keras.Model, kind: type[layers.Layer]) -> Iterator[_Pair]:
    producer_kind = layers.DepthwiseConv2D if kind is layers.Reshape else layers.Conv2D
    for layer in model.layers:
        if not isinstance(layer, layers.DepthwiseConv2D):
            continue
        between = layer.inbound_nodes[0].inbound_layers
        if not isinstance(between, kind) or len(between.outbound_nodes) > 1:
            continue
        producer = between.inbound_nodes[0].inbound_layers
        if not isinstance(producer, producer_kind) or len(producer.outbound_nodes) > 1:
            continue
        if producer.use_bias and layer.use_bias:
            yield _Pair(producer, between, layer)


def _stretch(pair: _Pair, reached: np.ndarray) -> None:
    """Scales the channels of a pair by `reached` [C], the largest value of each."""
    limit = pair.between.max_value
    full = float(limit) if limit is not None else float(reached.max()) * HEADROOM
    factor = np.clip(full / np.maximum(reached * HEADROOM, 1e-6), 1.0, LARGEST_STRETCH)
    kernel, bias = pair.producer.get_weights()
    pair.producer.set_weights([scaled(pair.producer, kernel, factor), bias * factor])
    kernel, bias = pair.depthwise.get_weights()
    pair.depthwise.set_weights([kernel / factor[:, None], bias])


def is_split(layer: layers.Layer) -> bool:
    """Whether a layer gives the partial sums of `optimise.split_depthwise`."""
    following = [node.outbound_layer for node in layer.outbound_nodes]
    if not isinstance(layer, layers.DepthwiseConv2D) or len(following) != 1:
        return False
    readers = [node.outbound_layer for node in following[0].outbound_nodes]
    return isinstance(following[0], layers.Reshape) and any(
        isinstance(reader, layers.DepthwiseConv2D) for reader in readers
    )
