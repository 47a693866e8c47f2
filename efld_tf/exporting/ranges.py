"""The range of every tensor of a float `.tflite` on calibration crops: what its grid covers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph

# Operators that only move values: what goes in and what comes out has one grid, so that no
# arithmetic is needed between them.
MOVING = frozenset({"RESHAPE", "TRANSPOSE", "STRIDED_SLICE", "SLICE"})

# Log-odds beyond which a confidence is as good as 0 or 1 (0.0003 and 0.9997). Calibration photos
# show faces, so that what they reach says nothing about crops without one.
LARGEST_LOG_ODDS = 8.0

# Partial sums are balanced on the calibration crops (`equalise.balance_parts`): all of their
# channels reach the end of the grid there, and some go further on other faces.
HEADROOM = 1.35

# Of 16 bits, one is well spent on faces that drive a tensor further than the calibration crops.
HEADROOM_16_BITS = 2.0


@dataclass(frozen=True)
class Observed:
    """What tensors held, crop by crop.

    Attributes:
      found: the model's graph.
      lowest, highest: [F, T] by the index of the tensor; NaN for constants.
    """

    found: graph.Graph
    lowest: np.ndarray
    highest: np.ndarray


def observe(content: bytes, crops: np.ndarray) -> Observed:
    """Runs a float model over crops.

    Args:
      content: the model: float image [1, S, S, 3] in [0, 1] in.
      crops: [F, S, S, 3] uint8.
    """
    found = graph.parse(content)
    with silenced_stderr():
        interpreter = Interpreter(
            model_content=content,
            num_threads=1,
            experimental_preserve_all_tensors=True,
            experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        )
        interpreter.allocate_tensors()
    image = found.inputs[0].index
    computed = [tensor.index for operator in found.operators for tensor in operator.outputs]
    lowest = np.full((len(crops), len(found.tensors)), np.nan)
    highest = lowest.copy()
    for face, crop in enumerate(crops):
        interpreter.set_tensor(image, crop[None].astype(np.float32) / 255.0)
        interpreter.invoke()
        for index in computed:
            values = interpreter.get_tensor(index)
            lowest[face, index], highest[face, index] = values.min(), values.max()
    lowest[:, image], highest[:, image] = 0, 1  # the pixels' grid, whatever the photos
    return Observed(found, lowest, highest)


def choose(
    observed: Observed, bits: int, clip_percentile: float = 100.0
) -> dict[str, tuple[float, float]]:
    """A range that contains 0 for each tensor, by name; one for tensors that share their grid.

    A concatenation and its inputs share it, as do the two ends of an operator that moves values.
    Log-odds of an output have `LARGEST_LOG_ODDS`.

    Args:
      bits: of the grid, 8 or 16.
      clip_percentile: in percent of the crops; below 100, a tensor's range leaves out what it
        reaches only on the crops that drive it furthest.
    """
    found = observed.found
    image = found.inputs[0].index
    groups = _groups(found)
    partial = {operator.outputs[0].index for operator in partial_sums(found)}
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
    ends = {groups[tensor.index] for tensor in found.outputs}
    for operator in found.operators:
        read = operator.inputs[0] if operator.name == "LOGISTIC" else None
        if read is not None and groups[operator.outputs[0].index] in ends:
            ranges[groups[read.index]] = -LARGEST_LOG_ODDS, LARGEST_LOG_ODDS
    return {found.tensors[member].name: ranges[group] for member, group in groups.items()}


def spread_at_concatenations(observed: Observed) -> list[dict[str, object]]:
    """How the ranges of each concatenation's inputs differ: the narrowest loses levels.

    Those of the decoding of points are left out: it is in float.

    Returns:
      For each one its name, the names and largest magnitudes of its inputs, and `levels`: how many
      of the 255 steps the narrowest input uses.
    """
    rows, decoding = [], graph.after_search(observed.found)
    for operator in observed.found.operators:
        if operator.name != "CONCATENATION" or operator in decoding:
            continue
        sizes = {
            tensor.name: float(max(-np.nanmin(observed.lowest[:, tensor.index]),
                                   np.nanmax(observed.highest[:, tensor.index])))
            for tensor in operator.inputs if tensor
        }
        levels = 255 * min(sizes.values()) / max(max(sizes.values()), 1e-12)
        rows.append({"name": operator.outputs[0].name, "inputs": sizes, "levels": round(levels)})
    return rows


def partial_sums(found: graph.Graph) -> list[graph.Operator]:
    """The depthwise convolutions that give partial sums (`optimise.split_depthwise`)."""
    readers = {t.index: operator for operator in found.operators for t in operator.inputs if t}
    result = []
    for operator in found.operators:
        following = readers.get(operator.outputs[0].index)
        if operator.name == "DEPTHWISE_CONV_2D" and following and following.name == "RESHAPE":
            last = readers.get(following.outputs[0].index)
            if last and last.name == "DEPTHWISE_CONV_2D":
                result.append(operator)
    return result


def _groups(found: graph.Graph) -> Mapping[int, int]:
    """For each computed tensor, and the image, the one that stands for those of the same grid."""
    leader = {found.inputs[0].index: found.inputs[0].index}

    def find(index: int) -> int:
        while leader[index] != index:
            index = leader[index]
        return index

    for operator in found.operators:
        for tensor in operator.outputs:
            leader[tensor.index] = tensor.index
        shared = operator.inputs if operator.name == "CONCATENATION" else operator.inputs[:1]
        if operator.name in MOVING or operator.name == "CONCATENATION":
            for read in shared:
                if read and read.index in leader:
                    leader[find(read.index)] = operator.outputs[0].index
    return {index: find(index) for index in leader}
