"""Widens convolutions of few channels, whose kernels would mostly multiply by nothing.

XNNPACK computes 4 pixels and 16 output channels at a time, from 4 or 8 input channels of each tap
of the kernel. A convolution of 4 channels to 4 leaves most of that idle, and spends more on the way
from tap to tap than on products. But in memory a pixel and its right neighbour are one pixel of
twice the channels: a reshape makes them so, and a kernel with zeros where a pixel does not look
computes the same integers. It makes more products, by zeros, and takes less time on x86 and fewer
instructions on ARM (`benchmarks/widening.py`).

It is done to the finished integer model, so that every bit of its results stays.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efld_tf.exporting import flatbuffer

# Pixels that become one; a map's width is a multiple of it.
FACTORS = (2, 4, 8)
# What the kernels do at a time: pixels and channels of the result, and, of dot products and of
# matrix products, channels of the source; the instructions that these take with their loads, those
# of a tap, and those of a tile. They are fitted to counts of `efld-bench --cpu`, see `cost`.
ROWS, COLUMNS = 4, 16
KERNELS = ((4, 22, 25), (8, 25, 40))
TILE = 100
# A reshape copies so many bytes an instruction.
COPIED = 6
VALID = schema.Padding.VALID


@dataclass(frozen=True)
class Shape:
    """A convolution, as far as its cost goes.

    Attributes:
      pixels: of its result.
      filters, taps, channels: of its kernel.
    """

    pixels: int
    filters: int
    taps: int
    channels: int


def cost(shape: Shape) -> float:
    """About how many instructions a convolution takes, as the mean of two kinds of kernels."""
    tiles = math.ceil(shape.pixels / ROWS) * math.ceil(shape.filters / COLUMNS)
    taps = [shape.taps * (math.ceil(shape.channels / piece) * each + tap)
            for piece, each, tap in KERNELS]
    return tiles * (float(np.mean(taps)) + TILE)


def widen(tree: schema.ModelT, factors: Mapping[int, int] | None = None) -> int:
    """Widens those convolutions of a model for which that saves time.

    Args:
      tree: of integers; it is changed.
      factors: how many pixels become one, by the index of the operator, for comparisons; those that
        are not in it stay. None for the factors of the lowest `cost`.

    Returns:
      How many were widened.
    """
    main, operators, count = tree.subgraphs[0], [], 0
    # A layer that is called twice has one kernel, which is not to be changed for one of the calls.
    reads = Counter(int(index) for operator in main.operators for index in operator.inputs)
    for index, operator in enumerate(main.operators):
        constants = [int(number) for number in operator.inputs[1:]]
        alone = all(reads[number] == 1 for number in constants)
        convolution = _Convolution.of(tree, operator) if alone else None
        factor = 1 if convolution is None else \
            convolution.best() if factors is None else factors.get(index, 1)
        if convolution is None or factor == 1:
            operators.append(operator)
        else:
            operators += convolution.widened(factor)
            count += 1
    main.operators = operators
    return count


@dataclass(frozen=True)
class _Convolution:
    """A convolution of int8 that can be widened.

    Attributes:
      tree, operator: the model, and the operator in it.
      kernel: [O, KH, KW, I] int8.
      source, target: shapes of the tensor that it reads, and of its result.
    """

    tree: schema.ModelT
    operator: schema.OperatorT
    kernel: np.ndarray
    source: tuple[int, ...]
    target: tuple[int, ...]

    @classmethod
    def of(cls, tree: schema.ModelT, operator: schema.OperatorT) -> _Convolution | None:
        """The convolution; None for other operators and for convolutions of another form."""
        code = tree.operatorCodes[operator.opcodeIndex]
        if max(code.builtinCode, code.deprecatedBuiltinCode) != schema.BuiltinOperator.CONV_2D:
            return None
        tensors, options = tree.subgraphs[0].tensors, operator.builtinOptions
        if len(operator.inputs) != 3 or min(operator.inputs) < 0:  # without a bias
            return None
        image, kernel, bias = (tensors[int(index)] for index in operator.inputs)
        result = tensors[int(operator.outputs[0])]
        types = [tensor.type for tensor in (image, kernel, bias, result)]
        int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
        shape = tuple(map(int, kernel.shape))
        plain = options.dilationWFactor == options.dilationHFactor == 1
        single = [sum(tensor.buffer == one.buffer for tensor in tensors) == 1
                  for one in (kernel, bias)]
        if types != [int8, int8, int32, int8] or not plain or not all(single) \
                or (options.padding == VALID and shape[2] > 1) \
                or tuple(map(int, image.shape))[-1] != shape[-1]:  # a grouped one
            return None
        data = np.frombuffer(bytes(tree.buffers[kernel.buffer].data), np.int8)
        return cls(tree, operator, data.reshape(shape), tuple(map(int, image.shape)),
                   tuple(map(int, result.shape)))

    @property
    def stride(self) -> int:
        """From pixel to pixel of the source's rows."""
        return int(self.operator.builtinOptions.strideW)

    def best(self) -> int:
        """The factor of the lowest cost; 1 leaves it as it is."""
        filters, high, _, channels = self.kernel.shape
        _, rows, columns, _ = self.target
        moved = (math.prod(self.source) + math.prod(self.target)) / COPIED
        costs = {1: cost(Shape(rows * columns, filters, high * self.kernel.shape[2], channels))}
        for factor in FACTORS:
            together, left = divmod(factor, self.stride)
            if left or self.source[2] % factor:
                continue
            wide = self._taps(factor)[1]
            costs[factor] = moved + cost(Shape(
                rows * columns // together, filters * together, high * wide, channels * factor))
        return min(costs, key=lambda factor: costs[factor])

    def _taps(self, factor: int) -> tuple[int, int]:
        """The first pixel's offset from that of a wide one, and the wide kernel's width."""
        width = self.kernel.shape[2]
        padding = max((self.target[2] - 1) * self.stride + width - self.source[2], 0) // 2
        last = (factor // self.stride - 1) * self.stride + width - 1 - padding
        before, after = -(-padding // factor), last // factor
        # So many before as SAME pads for a stride of 1: as many as after, or one less.
        while (before + after) // 2 != before:
            before, after = (before + 1, after) if (before + after) // 2 > before else \
                (before, after + 1)
        return before * factor - padding, before + after + 1

    def _wide_kernel(self, factor: int) -> np.ndarray:
        """The kernel [O * together, KH, wide, I * factor]."""
        filters, high, width, channels = self.kernel.shape
        together, (first, wide) = factor // self.stride, self._taps(factor)
        result = np.zeros((together, filters, high, wide * factor, channels), np.int8)
        for place in range(together):
            begin = first + place * self.stride
            result[place, :, :, begin : begin + width] = self.kernel
        return result.reshape(together * filters, high, wide, factor * channels)

    def widened(self, factor: int) -> list[schema.OperatorT]:
        """What replaces it: a reshape, itself with a wide kernel, and a reshape."""
        tree, operator, together = self.tree, self.operator, factor // self.stride
        tensors = tree.subgraphs[0].tensors
        source, kernel, bias = map(int, operator.inputs)
        (target,) = map(int, operator.outputs)
        wide_kernel = self._wide_kernel(factor)
        wide_bias = np.tile(np.asarray(tree.buffers[tensors[bias].buffer].data), together)
        for index, values in ((kernel, wide_kernel), (bias, wide_bias)):
            tree.buffers[tensors[index].buffer].data = values.reshape(-1).view(np.uint8)
            quantization = tensors[index].quantization
            for name in ("scale", "zeroPoint", "min", "max"):
                each = getattr(quantization, name)
                if each is not None and len(each) == len(self.kernel):
                    setattr(quantization, name, np.tile(each, together))
        tensors[kernel].shape = np.array(wide_kernel.shape, np.int32)
        tensors[bias].shape = np.array(wide_kernel.shape[:1], np.int32)
        cells = flatbuffer.reshaped(tree, source, (
            *self.source[:2], self.source[2] // factor, self.source[3] * factor))
        wide = flatbuffer.reshaped(tree, target, (
            *self.target[:2], self.target[2] // together, self.target[3] * together))
        operator.builtinOptions.strideW = 1
        operator.inputs = np.array([cells, kernel, bias], np.int32)
        operator.outputs = np.array([wide], np.int32)
        return [flatbuffer.reshape(tree, source, cells), operator,
                flatbuffer.reshape(tree, wide, target)]
