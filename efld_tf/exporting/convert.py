"""Converts one head of a trained model to a TensorFlow Lite flatbuffer of an export mode."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.errors import EfldError
from efld_tf.exporting import (
    equalise,
    flatbuffer,
    optimise,
    quantise,
    ranges,
    resampling,
    rounding,
    widen,
)
from efld_tf.exporting.modes import Mode, Steps
from efld_tf.models.registry import PRESENCE, Family
from efld_tf.models.trained import DEPTH, POINTS, TrainedModel
from efld_tf.progress import Progress
from efld_tf.quiet import silenced_stderr

# The crops for modes that are not calibrated.
NO_CROPS = np.empty((0, 1, 1, 3), np.uint8)

# How far results may lie apart that should be the same, as a share of the largest value, or of
# this; and the number of images on which they are compared.
SAME, LEAST, CHECKED = 1e-3, 1e-4, 4


def convert(
    trained: TrainedModel, mode: Mode, crops: np.ndarray = NO_CROPS, steps: Steps | None = None
) -> bytes:
    """Converts one head; it takes a uint8 image [1, S, S, 3] and gives float32 points [1, N, 2].

    A model with a presence output gives a second one: float32 [1, 1], a confidence from 0 to 1. One
    that tells depths gives a last one: float32 [1, N], in sides of the image.

    Args:
      crops: [F, S, S, 3] uint8, evaluation preprocessing only; for modes that are calibrated.
      steps: steps that replace the mode's, for comparisons.
    """
    mode = mode if steps is None else replace(mode, steps=steps)
    return lowered(rewritten(trained, mode, crops), mode, crops)[0]


def rewritten(
    trained: TrainedModel, mode: Mode, crops: np.ndarray, *, progress: bool = False
) -> TrainedModel:
    """The model with its network rewritten for a mode; arguments are as in `convert`.

    With `progress`, how far it is is shown.
    """
    steps = mode.steps
    with Progress("rewriting the network", 3, "step", shown=progress) as bar:
        family = trained.spec.architecture.family
        if mode.calibrated and family.for_integers is not None:
            trained = replace(trained, network=family.for_integers(trained.network))
        network = optimise.fold_batch_norms(trained.network)
        deploy = family.deploy
        if steps.deploy and deploy is not None:
            network = deploy(network, crops if steps.equalise else NO_CROPS)
        if steps.resample:
            network = resampling.resample(network)
        if steps.equalise:
            network = equalise.equalise(network, crops)
        bar.update()
        if steps.split:
            network = optimise.split_depthwise(network)
            if steps.equalise:
                network = equalise.balance_parts(network, crops)
        bar.update()
        if steps.equalise:
            network = equalise.equalise_features(network, crops)
        if steps.merge:
            network = optimise.merge_siblings(network)
        if steps.planes:
            network = optimise.interleave_as_planes(network)
        bar.update()
    _check_same(trained.network, network, crops)
    if steps.round:
        network = rounding.round_weights(network, crops, progress=progress)
    with_biases = network
    network = optimise.lift_biases(network)
    if steps.dense_as_convolutions:
        network = optimise.dense_as_convolutions(network)
    _check_same(with_biases, network, crops)
    return replace(trained, network=network)


def _check_same(network: tf_keras.Model, changed: tf_keras.Model, crops: np.ndarray) -> None:
    """Refuses a rewritten network that computes something else.

    Raises:
      EfldError: an output differs on crops, or on noise if there are none, or is not finite.
    """
    if not len(crops):
        shape = CHECKED, *network.input.shape[1:]
        crops = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    images = tf.constant(crops[:CHECKED] / np.float32(255))
    results = zip(*(tf.nest.flatten(model(images)) for model in (network, changed)), strict=True)
    for name, (expected, found) in zip(network.output_names, results, strict=True):
        scale, difference = (float(tf.reduce_max(abs(x))) for x in (expected, found - expected))
        if not np.isfinite(scale):
            raise EfldError(f"output {name}: the trained network gives no finite numbers")
        if not difference <= SAME * max(scale, LEAST):
            raise EfldError(f"output {name}: the rewritten network differs by {difference:g}; a "
                            "layer of the family cannot be rewritten, see optimise")


def lowered(
    trained: TrainedModel, mode: Mode, crops: np.ndarray, *, progress: bool = False
) -> tuple[bytes, ranges.Observed | None]:
    """A rewritten model as a flatbuffer in the numbers of a mode; arguments as in `rewritten`.

    Returns:
      The flatbuffer, and the observed ranges of its tensors if the mode is calibrated.
    """
    with Progress("converting", 1, "model", shown=progress) as bar:
        content, observed = to_float(trained, half=mode.weights == "float16"), None
        bar.update()
    if mode.calibrated:
        observed = ranges.observe(content, crops, progress=progress)
    clip = clip_percentile(mode, trained.spec.architecture.family)
    content = quantise.quantised(content, mode, observed, clip)
    tree = flatbuffer.read(content)
    if mode.steps.widen and widen.widen(tree, mode.steps.widen):
        flatbuffer.join_reshapes(tree)
    take_pixels = flatbuffer.take_integer_pixels if mode.steps.integer_pixels \
        else flatbuffer.take_pixels
    take_pixels(tree, "image")
    flatbuffer.shorten_names(tree)
    flatbuffer.remove_metadata(tree, b"CONVERSION_METADATA")
    flatbuffer.remove_metadata(tree, quantise.RAW, with_buffer=True)
    flatbuffer.state_versions(tree)
    return flatbuffer.write(tree), observed


def clip_percentile(mode: Mode, family: Family) -> float:
    """How much of the observed values a grid holds, see `ranges.choose`.

    A family's wish is for grids of 8 bits, since those of 16 have room.
    """
    own = mode.steps.clip_percentile
    return min(own, family.clip_percentile) if mode.activation_bits == 8 else own


def to_float(trained: TrainedModel, half: bool = False) -> bytes:
    """The network and its decoding in float, for a float image in [0, 1].

    The metadata `quantise.RAW` names the tensors of the head, which the decoding takes.

    Args:
      half: whether to store the weights as float16.
    """
    layer_names = [output.node.layer.name for output in tf.nest.flatten(
        trained.network.output[POINTS])]
    raw_names = [f"raw{index}" for index, _ in enumerate(layer_names)]
    # The batch is fixed to 1: a free one would add shape arithmetic and split the delegate's
    # partition.
    shape = [1, trained.input_size, trained.input_size, 3]

    @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32, name="image")])
    def landmarks(image: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = trained.network(image, training=False)
        maps = tf.nest.flatten(raw[POINTS])
        return {**trained.decode(raw), **dict(zip(raw_names, maps, strict=True))}

    # The weights alone: a Keras model would have the functions of every layer traced and saved.
    weights = tf.Module()
    weights.variables_of_network = trained.network.variables
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [landmarks.get_concrete_function()], weights
    )
    if half:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.target_spec.supported_types = [tf.float16]
    with silenced_stderr():
        tree = flatbuffer.read(converter.convert())
    flatbuffer.order_outputs(tree, (POINTS, PRESENCE, DEPTH))
    raw = flatbuffer.take_outputs(tree, raw_names)
    for index, name in zip(raw, layer_names, strict=True):
        tree.subgraphs[0].tensors[index].name = name.encode()
    flatbuffer.shorten_names(tree)
    names = [tree.subgraphs[0].tensors[index].name.decode() for index in raw]
    flatbuffer.add_metadata(tree, quantise.RAW, json.dumps(names).encode())
    return flatbuffer.write(tree)
