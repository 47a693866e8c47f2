"""One head of a trained model -> a TensorFlow Lite flatbuffer of an export mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.exporting import equalise, flatbuffer, optimise, quantise, ranges, rounding
from efld_tf.models.checkpoint import ModelSpec
from efld_tf.models.registry import PRESENCE
from efld_tf.quiet import silenced_stderr

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")
CALIBRATED = frozenset({"int8", "int16x8"})
INTEGER_WEIGHTS = CALIBRATED | {"dynamic"}
# The output of a head, beside `PRESENCE` where the model has one.
POINTS = "points"


@dataclass(frozen=True)
class Steps:
    """What is done to the network on its way; for comparisons, each can be left out.

    Attributes:
      split, merge, planes: the steps of `optimise`, in order; planes need merged siblings.
      equalise: the steps of `equalise`.
      round: see `rounding.round_weights`.
      dense_as_convolutions: that step of `optimise`.
      float_last: see `quantise.to_int`.
      clip_percentile: see `ranges.choose`.
    """

    split: bool = True
    merge: bool = True
    planes: bool = True
    equalise: bool = True
    round: bool = True
    dense_as_convolutions: bool = True
    float_last: bool = True
    clip_percentile: float = 100.0


ALL_STEPS = Steps()


def convert(
    spec: ModelSpec,
    model: tf_keras.Model,
    head: str,
    mode: str,
    crops: np.ndarray | None = None,
    steps: Steps = ALL_STEPS,
) -> bytes:
    """Converts one head: uint8 image [1, S, S, 3] in, float32 points [1, N, 2] out.

    A model with a presence output gives a second one: float32 [1, 1], a confidence from 0 to 1.

    Args:
      spec, model: a trained model.
      head: of its heads.
      mode: of `MODES`.
      crops: [F, S, S, 3] uint8, evaluation preprocessing only; for the modes in `CALIBRATED`.
      steps: what to leave out.
    """
    network = rewritten(single(model, head), mode, crops, steps)
    return lowered(spec, network, head, mode, crops, steps)[0]


def single(model: tf_keras.Model, head: str) -> tf_keras.Model:
    """The part of a trained model that an export of one head needs.

    Returns:
      A model from images to `{POINTS: the head's raw output}` and, where the model has it,
      `PRESENCE`.
    """
    outputs = {POINTS: model.output[head]}
    if PRESENCE in model.output:
        outputs[PRESENCE] = model.output[PRESENCE]
    return tf_keras.Model(model.input, outputs)


def rewritten(
    network: tf_keras.Model, mode: str, crops: np.ndarray | None, steps: Steps = ALL_STEPS
) -> tf_keras.Model:
    """The network of `single` as it is best computed in a mode; arguments as in `convert`."""
    int8 = mode == "int8"
    network = optimise.fold_batch_norms(network)
    if int8 and steps.equalise:
        network = equalise.equalise(network, crops)
    if steps.split and mode != "int16x8":
        network = optimise.split_depthwise(network)
        if int8 and steps.equalise:
            network = equalise.balance_parts(network, crops)
    if int8 and steps.equalise:
        network = equalise.equalise_features(network, crops)
    if steps.merge and mode != "int16x8":
        network = optimise.merge_siblings(network)
    if int8 and steps.planes:
        network = optimise.interleave_as_planes(network)
    if steps.round and mode in CALIBRATED:
        network = rounding.round_weights(network, crops)
    network = optimise.lift_biases(network)
    if mode in INTEGER_WEIGHTS and steps.dense_as_convolutions:
        network = optimise.dense_as_convolutions(network)
    return network


def lowered(
    spec: ModelSpec,
    network: tf_keras.Model,
    head: str,
    mode: str,
    crops: np.ndarray | None,
    steps: Steps = ALL_STEPS,
) -> tuple[bytes, ranges.Observed | None]:
    """A rewritten network as a flatbuffer in the numbers of a mode; arguments as in `convert`.

    Returns:
      The flatbuffer, and for the modes in `CALIBRATED` what its tensors held.
    """
    content, observed = to_float(spec, network, head, half=mode == "float16"), None
    if mode in CALIBRATED:
        observed = ranges.observe(content, crops)
        bits = 8 if mode == "int8" else 16
        chosen = ranges.choose(observed, bits, steps.clip_percentile)
        content = quantise.to_int(content, chosen, bits, steps.float_last)
    elif mode == "dynamic":
        content = quantise.to_dynamic(content)
    tree = flatbuffer.read(content)
    flatbuffer.take_pixels(tree, "image")
    flatbuffer.shorten_names(tree)
    flatbuffer.remove_metadata(tree, b"CONVERSION_METADATA")
    flatbuffer.state_versions(tree)
    return flatbuffer.write(tree), observed


def to_float(spec: ModelSpec, network: tf_keras.Model, head: str, half: bool = False) -> bytes:
    """The network of `single` and its decoding in float, for a float image in [0, 1].

    Args:
      half: store the weights as float16.
    """
    # A fixed batch of 1: a free one would add shape arithmetic and split the delegate's partition.
    shape = [1, spec.input_size, spec.input_size, 3]
    codec = spec.codec(head)

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def landmarks(image):
        raw = network(image, training=False)
        outputs = {POINTS: codec.decode(raw[POINTS])}
        if PRESENCE in raw:
            outputs[PRESENCE] = tf.sigmoid(raw[PRESENCE])
        return outputs

    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [landmarks.get_concrete_function()], network
    )
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with silenced_stderr():
        tree = flatbuffer.read(converter.convert())
    flatbuffer.order_outputs(tree, (POINTS, PRESENCE))
    flatbuffer.shorten_names(tree)
    return flatbuffer.write(tree)
