"""What the parts of a Lite-HRNet Plus cost: by formula for any widths, and by the layers it has."""

from __future__ import annotations

import math
from collections import defaultdict

import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models import costs
from efld_tf.models.blocks import ChannelMean
from efld_tf.models.costs import Cost
from efld_tf.models.lite_hrnet_fusion import GROUPS, NARROWING
from efld_tf.models.lite_hrnet_plus import (
    ACROSS_RESOLUTIONS,
    BRANCHES,
    OVER_SPACE,
    STRIDE,
    LiteHRNetPlusOptions,
)

# Parts in the order of the network; "weighting" is conditional channel weighting.
STEM, TRANSITIONS, FUSION, HEAD = "stem", "transitions", "fusion", "head"
ACROSS, FILTERS, SPACE = "weighting: across resolutions", "weighting: depthwise", \
    "weighting: over space"
PARTS = (STEM, TRANSITIONS, ACROSS, FILTERS, SPACE, FUSION, HEAD)
Parts = dict[str, Cost]


def of_layers(model: tf_keras.Model) -> Parts:
    """The cost of each part of a built network, by the names of its layers."""
    found: Parts = dict.fromkeys(PARTS, Cost())
    for name, cost in costs.by_layer(model).items():
        if cost != Cost():
            found[part_of(name)] += cost
    return found


def part_of(layer: str) -> str:
    """The part that a layer with a cost belongs to, by its name."""
    if "_fusion_" in layer:
        return FUSION
    if "_ccw" in layer:
        if "_across_" in layer:
            return ACROSS
        return FILTERS if "_depthwise_" in layer else SPACE
    if layer.startswith("stem_"):
        return STEM
    return TRANSITIONS if layer.startswith("stage") else HEAD


def uncounted(model: tf_keras.Model) -> int:
    """The sums, products and averages in the fusions of a built network, which FLOPs leave out.

    One for each value that is added to another, multiplied or averaged.
    """
    count = 0
    for layer in model.layers:
        if part_of(layer.name) != FUSION:
            continue
        inputs = tf.nest.flatten(layer.input)
        if isinstance(layer, (layers.Add, layers.Multiply)):
            count += math.prod(layer.output.shape[1:]) * (len(inputs) - 1)
        elif isinstance(layer, (layers.AveragePooling2D, layers.GlobalAveragePooling2D,
                                ChannelMean)):
            count += math.prod(inputs[0].shape[1:])
    return count


def total(parts: Parts) -> Cost:
    """The cost of all parts."""
    return sum(parts.values(), Cost())


def by_formula(options: LiteHRNetPlusOptions, input_size: int, points: int) -> Parts:
    """The cost of each part of a network, without building it.

    Args:
      input_size: side of the input in pixels.
      points: N of its only head.
    """
    sides = [input_size // STRIDE >> branch for branch in range(BRANCHES)]
    widths = [options.channels << branch for branch in range(BRANCHES)]
    found: Parts = defaultdict(Cost)
    found[STEM] = _stem(options.stem, sides[0])
    for stage, modules in enumerate(options.modules):
        branches = stage + 2
        before = widths[: stage + 1] if stage else [options.stem]
        found[TRANSITIONS] += _transition(before, widths[:branches], sides)
        for part, cost in _weighting(widths[:branches], sides).items():
            found[part] += _times(2 * modules, cost)
        found[FUSION] += _times(modules, _fusion(options, widths[:branches], sides))
    if options.head == "hrnet_v1":  # nothing reads the last fusion's other branches
        for branch in range(1, BRANCHES):
            found[FUSION] += _times(-1, _fused(options, widths, sides, branch))
    found[HEAD] = _head(options.head, widths, sides, points)
    return {part: found[part] for part in PARTS}


def _times(count: int, cost: Cost) -> Cost:
    return Cost(count * cost.parameters, count * cost.macs, count * cost.flops)


def _conv(
    side: int, before: int, after: int, *, taps: int = 1, active: bool = True, groups: int = 1
) -> Cost:
    """A convolution of that many taps with batch norm."""
    size, each = side**2 * after, taps * before // groups
    return Cost(each * after + 2 * after, size * each, size * (each + 2 + active))


def _depthwise(side: int, channels: int) -> Cost:
    """3 x 3, with batch norm and without activation."""
    size = side**2 * channels
    return Cost(11 * channels, 9 * size, 11 * size)


def _gate(channels: int, narrow: int) -> Cost:
    """Weights of channels from their averages, by two convolutions with biases."""
    macs = 2 * channels * narrow
    return Cost(macs + channels + narrow, macs, macs + channels + narrow)


def _scores(side: int, channels: int, points: int) -> Cost:
    """A point-wise convolution with bias, without activation."""
    macs = side**2 * channels * points
    return Cost(channels * points + points, macs, macs)


def _stem(channels: int, side: int) -> Cost:
    half = channels // 2
    return (_conv(2 * side, 3, channels, taps=9)
            + _depthwise(side, half) + _conv(side, half, half)
            + _conv(2 * side, half, channels) + _depthwise(side, channels)
            + _conv(side, channels, half))


def _transition(before: list[int], after: list[int], sides: list[int]) -> Cost:
    cost = Cost()
    for branch, width in enumerate(after):
        source = before[min(branch, len(before) - 1)]
        if branch >= len(before) or source != width:
            cost += _depthwise(sides[branch], source) + _conv(sides[branch], source, width)
    return cost


def _weighting(widths: list[int], sides: list[int]) -> Parts:
    """Of half of each branch's channels."""
    halves = [width // 2 for width in widths]
    lowest, whole = sides[len(widths) - 1], sum(halves)
    narrow = whole // ACROSS_RESOLUTIONS
    return {
        ACROSS: _conv(lowest, whole, narrow) + _conv(lowest, narrow, whole),
        FILTERS: sum(map(_depthwise, sides, halves), Cost()),
        SPACE: sum((_gate(half, max(1, half // OVER_SPACE)) for half in halves), Cost()),
    }


def _fusion(options: LiteHRNetPlusOptions, widths: list[int], sides: list[int]) -> Cost:
    return sum((_fused(options, widths, sides, to) for to in range(len(widths))), Cost())


def _fused(
    options: LiteHRNetPlusOptions, widths: list[int], sides: list[int], to: int
) -> Cost:
    """What makes one branch of a fusion from all."""
    width = widths[to]
    cost = Cost(flops=sides[to] ** 2 * width)  # the activation of the sum
    if options.fusion == "scaf":
        gate = _gate(width, max(1, width // options.reduction))
        return cost + _times(len(widths) - 1, gate)
    for start, other in enumerate(widths):
        if start > to:
            cost += _mixed(options.fusion, sides[start], other, width, False)
        for step in range(to - start):
            last = step == to - start - 1
            side = sides[start + step + 1]
            cost += _depthwise(side, other)
            cost += _mixed(options.fusion, side, other, width if last else other, not last)
    return cost


def _mixed(fusion: str, side: int, before: int, after: int, active: bool) -> Cost:
    """The point-wise convolution of a fusion, or what it has instead."""
    if fusion == "bottleneck":
        narrow = max(1, min(before, after) // NARROWING)
        return _conv(side, before, narrow) + _conv(side, narrow, after, active=active)
    groups = GROUPS if fusion == "group" else 1
    return _conv(side, before, after, active=active, groups=groups)


def _head(head: str, widths: list[int], sides: list[int], points: int) -> Cost:
    if head == "mr":
        return sum((_scores(side, width, points)
                    for side, width in zip(sides, widths, strict=True)), Cost())
    if head == "hrnet_v1":
        return _scores(sides[0], widths[0], points)
    if head == "hrnet_v2":
        whole = sum(widths)
        return _conv(sides[0], whole, whole) + _scores(sides[0], whole, points)
    narrower = [widths[max(0, branch - 1)] for branch in range(len(widths))]
    return sum(
        (_depthwise(side, width) + _conv(side, width, after)
         for side, width, after in zip(sides, widths, narrower, strict=True)),
        _scores(sides[0], widths[0], points),
    )
