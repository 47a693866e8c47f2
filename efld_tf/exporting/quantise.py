"""Quantises a float `.tflite` to the numbers of an export mode with AI Edge Quantizer."""

from __future__ import annotations

import contextlib
import io
import json
import re
from collections.abc import Callable

import numpy as np
from ai_edge_quantizer import qtyping, quantizer
from ai_edge_quantizer.algorithm_manager import AlgorithmName

from efld_tf.errors import EfldError
from efld_tf.exporting import flatbuffer, ranges
from efld_tf.exporting.modes import DYNAMIC, INT8, INT16X8, MICRO, MODES, Last, Mode, Steps
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph

Ranges = dict[str, tuple[float, float]]

# The metadata of a float model that names, as JSON, the tensors of its head, before the decoding.
RAW = b"efld_tf_raw"

_ALL = qtyping.TFLOperationName.ALL_SUPPORTED
_KNOWN = frozenset(name.value for name in qtyping.TFLOperationName)
# The largest bias in steps of its grid, with room for what is added to it.
LARGEST_BIAS = 2**30


def quantised(
    content: bytes, mode: Mode, observed: ranges.Observed | None, clip_percentile: float = 100.0
) -> bytes:
    """A float model in the numbers of a mode.

    Args:
      content: the model; for the float16 mode, its weights are float16 already.
      observed: the observed values of its tensors; None for a mode that is not calibrated.
      clip_percentile: see `ranges.choose`.
    """
    chosen: Ranges = {}
    if observed is not None and mode.activation_bits is not None:
        chosen = ranges.choose(observed, mode.activation_bits, clip_percentile)
    quantiser = QUANTISERS.get(mode.name) or QUANTISERS.get(mode.stored_as)
    return content if quantiser is None else quantiser(content, chosen, mode.steps)


def to_int8(content: bytes, chosen: Ranges, steps: Steps) -> bytes:
    """A model with int8 weights and activations, see `_to_int`."""
    return _to_int(content, chosen, 8, steps.last)


def to_int16x8(content: bytes, chosen: Ranges, steps: Steps) -> bytes:
    """A model with int8 weights and activations of 16 bits, see `_to_int`."""
    return _to_int(content, chosen, 16, steps.last)


def to_dynamic(content: bytes, chosen: Ranges, steps: Steps) -> bytes:
    """A model with int8 weights whose operators quantise their float inputs by their present range.

    Transposed convolutions unpack their weights instead, since TensorFlow Lite up to 2.16 cannot
    combine int8 weights and float activations in them.
    """
    engine = quantizer.Quantizer(content)
    engine.add_dynamic_config(".*", _ALL, 8)
    engine.add_weight_only_config(".*", qtyping.TFLOperationName.CONV_2D_TRANSPOSE, 8)
    return run(engine)


# A quantiser takes the float model, the range of every tensor by name and the mode's steps, and
# returns the model in the mode's numbers. Modes without one keep the converter's numbers.
Quantiser = Callable[[bytes, Ranges, Steps], bytes]
QUANTISERS: dict[str, Quantiser] = {
    INT8.name: to_int8, INT16X8.name: to_int16x8, DYNAMIC.name: to_dynamic, MICRO.name: to_int8,
}


def register(mode: Mode, quantiser: Quantiser) -> None:
    """Registers the quantiser of a mode.

    Raises:
      EfldError: the mode has one already, or it is not in `modes`.
    """
    if MODES.get(mode.name) != mode or mode.name in QUANTISERS:
        raise EfldError(f"mode {mode.name!r}: expected a registered one without a quantiser")
    QUANTISERS[mode.name] = quantiser


def _to_int(content: bytes, chosen: Ranges, activation_bits: int, last: Last) -> bytes:
    """A model with integer weights and activations, up to the float tail.

    The tail is the decoding of what the network gives (`RAW`). If the last operator with weights
    gives the points as a vector, it has activations of its own: a float one belongs to the tail,
    and its input is quantised again, by its range in the present image.

    Args:
      content: the float model.
      chosen: the range of every tensor by name, see `ranges.choose`.
      activation_bits: 8 or 16.
      last: the activations of that last operator.
    """
    if activation_bits == 8:
        content = _with_room_for_biases(content, chosen)
    model_graph = graph.parse(content)
    engine = quantizer.Quantizer(content)
    engine.add_static_config(".*", _ALL, activation_bits, 8)
    for end in (qtyping.TFLOperationName.INPUT, qtyping.TFLOperationName.OUTPUT):
        _leave(engine, ".*", end)
    if activation_bits == 8:
        for operator in ranges.partial_sums(model_graph):
            # Scales for each of a thousand channels would take more bytes than their weights.
            engine.add_static_config(
                _scope(operator), qtyping.TFLOperationName(operator.name), 8, 8,
                qtyping.QuantGranularity.TENSORWISE,
            )
    of_points = graph.leading_to(model_graph, model_graph.outputs[:1])
    for operator in _tail(model_graph, content):
        if operator.name not in _KNOWN:
            continue  # the quantizer leaves it in float anyway
        name = qtyping.TFLOperationName(operator.name)
        if operator.name not in graph.WEIGHTED:
            _leave(engine, _scope(operator), name)
        elif operator.index in of_points and last == "float32":
            engine.add_dynamic_config(_scope(operator), name, 8)
        elif operator.index in of_points and last == "int16":
            engine.add_static_config(_scope(operator), name, 16, 8)
    return run(engine, {name: _statistics(*ends) for name, ends in chosen.items()})


def _statistics(low: float, high: float) -> dict[str, np.ndarray]:
    """A range as the engine takes it."""
    # Its own grid of a sigmoid has no dimensions, and it takes one that has for another grid.
    shape = () if (low, high) == ranges.OF_SIGMOIDS else (1, 1)
    return {"min": np.full(shape, low, np.float32), "max": np.full(shape, high, np.float32)}


def _with_room_for_biases(content: bytes, chosen: Ranges) -> bytes:
    """A model in which each filter with a bias has a weight that is large enough for it.

    The step of an int32 bias is that of its layer's input times that of its filter's weights. Where
    these are next to nothing, as in a filter that has died, the bias would not fit and would be cut
    off without a word. There one weight becomes as large as it has to be, which changes the result
    by less than a ten thousandth of the bias.
    """
    tree, changed = flatbuffer.read(content), False
    for operator in graph.parse(content).operators:
        source, kernel, bias, *_ = *operator.inputs, None, None
        if operator.name == "TRANSPOSE_CONV":  # it takes the shape of its result first
            _, kernel, source, bias, *_ = *operator.inputs, None
        if operator.name not in graph.WEIGHTED or not (source and kernel and bias):
            continue
        low, high = chosen[source.name]
        biases = flatbuffer.constant(tree, bias.index)
        least = 127 * np.abs(biases) / (LARGEST_BIAS * (high - low) / 255)
        axis = 3 if operator.name == "DEPTHWISE_CONV_2D" else 0
        filters = np.moveaxis(flatbuffer.constant(tree, kernel.index), axis, 0)
        weights = filters.reshape(len(biases), -1).copy()
        small = np.abs(weights).max(axis=1) < least
        if small.any():
            weights[small, 0] = least[small]
            filters = np.moveaxis(weights.reshape(filters.shape), 0, axis)
            flatbuffer.set_constant(tree, kernel.index, filters)
            changed = True
    return flatbuffer.write(tree) if changed else content


def _tail(model_graph: graph.Graph, content: bytes) -> list[graph.Operator]:
    """The operators of the decoding, and those after the last weights if these give a vector.

    Those last operators with weights are included. The decoding is what is computed from the raw
    outputs of the network alone. It may lead to the places that a further stage reads at, by way of
    whole numbers; what leads to the weights of that stage otherwise is not part of it.
    """
    weighted = [tensor for op in model_graph.operators if op.name in graph.WEIGHTED
                for tensor in op.inputs if tensor]
    before_weights = graph.leading_to(model_graph, weighted)
    before_choices = graph.leading_to(model_graph, weighted, past=graph.chooses)
    last = [op for op in model_graph.operators if op.name in graph.WEIGHTED
            and op.index not in before_weights and graph.gives_vector(op)]
    names = json.loads(flatbuffer.metadata(content, RAW) or b"[]")
    raw = [tensor for tensor in model_graph.tensors if tensor.name in names]
    after = graph.only_from(model_graph, raw) - before_choices
    after |= graph.depending_on(model_graph, [t for op in last for t in op.outputs])
    return [op for op in model_graph.operators if op in last or op.index in after]


def _leave(engine: quantizer.Quantizer, scope: str, name: qtyping.TFLOperationName) -> None:
    """Leaves an operator in float."""
    engine.update_quantization_recipe(scope, name, None, AlgorithmName.NO_QUANTIZE)


def _scope(operator: graph.Operator) -> str:
    """The scope of one operator in a recipe, which is the name of its output."""
    return f"^{re.escape(operator.outputs[0].name)};?$"


def run(engine: quantizer.Quantizer, statistics: dict | None = None) -> bytes:
    """Runs a quantiser with its recipe and the ranges of tensors, without its output."""
    # It shows a bar of its own for a few milliseconds, also where stderr is a notebook's cell.
    with silenced_stderr(), contextlib.redirect_stderr(io.StringIO()):
        result = engine.quantize(
            statistics, enable_progress_bar=False, enable_progress_report=False
        )
    return bytes(result.quantized_model)
