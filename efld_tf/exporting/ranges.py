"""Measures the range of every tensor of a float `.tflite` on calibration crops, for its grid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from efld_tf.progress import Progress
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph

# Operators that only move values: their inputs and outputs share one grid, so that no arithmetic
# is needed between them.
MOVING = frozenset({"RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE"})

# Log-odds beyond which a confidence is nearly 0 or 1 (0.0003 and 0.9997). Calibration photos show
# faces, so the log-odds that they reach say nothing about crops without a face.
LARGEST_LOG_ODDS = 8.0

# The range of a sigmoid's results in int8, whose kernels have one grid for them.
OF_SIGMOIDS = 0.0, 255 / 256

# Partial sums are balanced on the calibration crops (`equalise.balance_parts`), where all of their
# channels reach the end of the grid; some go further on other faces.
HEADROOM = 1.35

# One of 16 bits is well spent on faces that drive a tensor further than the calibration crops.
HEADROOM_16_BITS = 2.0


# XNNPACK refuses an operator whose products lie on a grid 256 times as coarse as its results, as
# those of a unit would that is hardly ever above 0. This is half of what it takes.
LARGEST_RATIO = 128.0
# And a sum of which one part has steps of less than a 1,024th of the result's, as taps that are not
# moved have. So narrow a part gets this share of the result's range: what it is then rounded by is
# far less than a step of the sum.
LEAST_SHARE = 1 / 512
# And a product of which the parts' steps, multiplied, are less than a 65,536th of the result's.
LEAST_PRODUCT = 1 / 32768


@dataclass(frozen=True)
class Observed:
    """The observed values of tensors, crop by crop.

    Attributes:
      model_graph: the model's graph.
      lowest, highest: [F, T], the extremes of each tensor by its index; those of constants, too, if
        they are float, else NaN.
    """

    model_graph: graph.Graph
    lowest: np.ndarray
    highest: np.ndarray


def observe(content: bytes, crops: np.ndarray, *, progress: bool = False) -> Observed:
    """Runs a float model over crops and observes its tensors.

    Args:
      content: the model, which takes a float image [1, S, S, 3] in [0, 1].
      crops: [F, S, S, 3] uint8.
      progress: whether to show how far it is.
    """
    model_graph = graph.parse(content)
    with silenced_stderr():
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    image = model_graph.inputs[0].index
    computed = [tensor.index for operator in model_graph.operators for tensor in operator.outputs]
    lowest = np.full((len(crops), len(model_graph.tensors)), np.nan)
    highest = lowest.copy()
    with Progress("observing ranges", len(crops), "face", shown=progress) as bar:
        for face, crop in enumerate(bar.over(crops)):
            interpreter.set_tensor(image, crop[None].astype(np.float32) / 255.0)
            interpreter.invoke()
            for index in computed:
                values = interpreter.get_tensor(index)
                lowest[face, index], highest[face, index] = values.min(), values.max()
    lowest[:, image], highest[:, image] = 0, 1  # the pixels' grid, whatever the photos show
    for tensor in model_graph.tensors:
        if tensor.constant and tensor.dtype == "float32":
            values = interpreter.get_tensor(tensor.index)
            lowest[:, tensor.index], highest[:, tensor.index] = values.min(), values.max()
    return Observed(model_graph, lowest, highest)


def choose(
    observed: Observed, bits: int, clip_percentile: float = 100.0
) -> dict[str, tuple[float, float]]:
    """Chooses a range that contains 0 for each tensor, by name; tensors of one grid share it.

    A concatenation and its inputs share a grid, as do the two ends of an operator that moves
    values. A sigmoid's and what only moves its results have the grid that int8 kernels give them,
    so that none has to be changed into another. The range of an output's log-odds is
    `LARGEST_LOG_ODDS`, and so is that of what a layer computes for such log-odds alone. A tensor of
    nothing but zeros has one up to 1. That of a layer, or of a part of a sum or product, is never
    so narrow that XNNPACK would refuse it.

    Args:
      bits: the bits of the grid, 8 or 16.
      clip_percentile: in percent of the crops; below 100, a tensor's range leaves out the values
        that it reaches only on the crops that drive it furthest.
    """
    model_graph = observed.model_graph
    image = model_graph.inputs[0].index
    groups = _groups(model_graph)
    partial = {operator.outputs[0].index for operator in partial_sums(model_graph)}
    ranges: dict[int, tuple[float, float]] = {}
    for index in {*groups.values()}:
        members = [member for member, group in groups.items() if group == index]
        low = observed.lowest[:, members].min(axis=1)
        high = observed.highest[:, members].max(axis=1)
        percentile = 100.0 if image in members else clip_percentile
        room = HEADROOM if partial.intersection(members) else 1.0
        room = HEADROOM_16_BITS if bits == 16 and image not in members else room
        ranges[index] = (
            min(0.0, room * float(np.percentile(low, 100 - percentile))),
            max(0.0, room * float(np.percentile(high, percentile))),
        )
        if ranges[index] == (0.0, 0.0):
            ranges[index] = 0.0, 1.0
    if bits == 8:  # XNNPACK has no others
        _widen_parts(ranges, model_graph, groups)
    for operator in model_graph.operators:
        source, kernel = (*operator.inputs, None)[:2]
        if operator.name in graph.WEIGHTED and source and kernel and source.index in groups:
            output = groups[operator.outputs[0].index]
            low, high = ranges[output]
            least = _least_width(observed, kernel, ranges[groups[source.index]])
            ranges[output] = low, max(high, low + least)
    ends = {groups[tensor.index] for tensor in model_graph.outputs}
    for operator in model_graph.operators:
        log_odds = operator.inputs[0] if operator.name == "LOGISTIC" else None
        if log_odds is None:
            continue
        group = groups[operator.outputs[0].index]
        if group in ends:
            odds = groups[log_odds.index]
            ranges[odds] = -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS
            for latent in _latents(model_graph, groups, odds):
                ranges[latent] = -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS
        if bits == 8 and ranges[group][0] == 0 and ranges[group][1] <= 1:
            ranges[group] = OF_SIGMOIDS
    return {model_graph.tensors[member].name: ranges[group] for member, group in groups.items()}


def _latents(model_graph: graph.Graph, groups: Mapping[int, int], group: int) -> Iterator[int]:
    """The groups of what a layer computes for another one alone, which computes this group."""
    layers = [op for op in model_graph.operators if op.name in graph.WEIGHTED]
    for maker in layers:
        if groups[maker.outputs[0].index] != group or maker.inputs[0] is None:
            continue
        source = groups.get(maker.inputs[0].index)
        readers = [op for op in model_graph.operators if op.name not in MOVING
                   and any(tensor and groups.get(tensor.index) == source for tensor in op.inputs)]
        if readers == [maker] and any(groups[op.outputs[0].index] == source for op in layers):
            assert source is not None
            yield source


def _widen_parts(
    ranges: dict[int, tuple[float, float]], model_graph: graph.Graph, groups: Mapping[int, int]
) -> None:
    """Widens the ranges of parts of sums and products that are next to nothing beside the result.

    See `LEAST_SHARE` and `LEAST_PRODUCT`. From the last operator on, since a part may be a result.
    """
    for operator in reversed(model_graph.operators):
        if operator.name not in ("ADD", "SUB", "MUL"):
            continue
        low, high = ranges[groups[operator.outputs[0].index]]
        parts = [groups[part.index] for part in operator.inputs if part and part.index in groups]
        widths = [ranges[part][1] - ranges[part][0] for part in parts]
        if operator.name != "MUL":
            least = dict.fromkeys(parts, (high - low) * LEAST_SHARE)
        elif len(parts) == 2:
            narrow = parts[int(np.argmin(widths))]
            least = {narrow: (high - low) * 255 * LEAST_PRODUCT / max(widths)}
        else:  # by a constant
            least = {}
        for part, width in least.items():
            start, end = ranges[part]
            ranges[part] = start, max(end, start + width)


def _least_width(
    observed: Observed, kernel: graph.Tensor, of_input: tuple[float, float]
) -> float:
    """How wide the range of the results of a layer with weights has to be, see `LARGEST_RATIO`."""
    weight = max(-observed.lowest[0, kernel.index], observed.highest[0, kernel.index])
    return (of_input[1] - of_input[0]) * weight / (127 * LARGEST_RATIO)


def spread_at_concatenations(observed: Observed) -> list[dict[str, object]]:
    """How the ranges of each concatenation's inputs differ, since the narrowest loses levels.

    Those are left out that no layer with weights follows, or from which places are chosen first:
    what decodes points and chooses places is in float.

    Returns:
      For each concatenation its name, the names and largest magnitudes of its inputs, and `levels`:
      how many of the 255 steps the narrowest input uses.
    """
    weighted = [tensor for operator in observed.model_graph.operators
                if operator.name in graph.WEIGHTED for tensor in operator.inputs if tensor]
    rows = []
    followed = graph.leading_to(observed.model_graph, weighted, past=graph.chooses)
    for operator in observed.model_graph.operators:
        if operator.name != "CONCATENATION" or operator.index not in followed:
            continue
        sizes = {
            tensor.name: float(max(-np.nanmin(observed.lowest[:, tensor.index]),
                                   np.nanmax(observed.highest[:, tensor.index])))
            for tensor in operator.inputs if tensor
        }
        levels = 255 * min(sizes.values()) / max(max(sizes.values()), 1e-12)
        rows.append({"name": operator.outputs[0].name, "inputs": sizes, "levels": round(levels)})
    return rows


def partial_sums(model_graph: graph.Graph) -> list[graph.Operator]:
    """The depthwise convolutions that give partial sums (`optimise.split_depthwise`)."""
    readers = {t.index: op for op in model_graph.operators for t in op.inputs if t}
    result = []
    for operator in model_graph.operators:
        following = readers.get(operator.outputs[0].index)
        if operator.name == "DEPTHWISE_CONV_2D" and following and following.name == "RESHAPE":
            reader = readers.get(following.outputs[0].index)
            if reader and reader.name == "DEPTHWISE_CONV_2D":
                result.append(operator)
    return result


def _groups(model_graph: graph.Graph) -> Mapping[int, int]:
    """For each computed tensor, and the image, the tensor that represents those of its grid."""
    leader = {model_graph.inputs[0].index: model_graph.inputs[0].index}

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for operator in model_graph.operators:
        for tensor in operator.outputs:
            leader[tensor.index] = tensor.index
        shared = operator.inputs if operator.name == "CONCATENATION" else operator.inputs[:1]
        if operator.name in MOVING or operator.name == "CONCATENATION":
            for source in shared:
                if source and source.index in leader:
                    leader[find(source.index)] = operator.outputs[0].index
    return {index: find(index) for index in leader}
