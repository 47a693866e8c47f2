"""Widens convolutions of few channels, whose kernels would mostly multiply by nothing.

XNNPACK computes 8 or 16 output channels at a time, from pieces of 1, 4 or 8 input channels of a tap
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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efld_tf.exporting import flatbuffer
from efld_tf.exporting.kernels import ALL, Shape, cost

# Pixels that may become one.
SIZES = (1, 2, 4, 8)
# What saves less than a tenth is not worth its bytes.
WORTH = 0.9
# The costs were fitted to kernels that the processors' caches hold: of so many filters at most, and
# so many times the bytes, or so many bytes more.
MOST_FILTERS, MOST_TIMES, MOST_BYTES = 48, 16, 8192
VALID = schema.Padding.VALID


@dataclass(frozen=True)
class Cells:
    """How many neighbouring pixels of a row are taken for one: of the source and of the result."""

    source: int = 1
    target: int = 1


def widen(tree: schema.ModelT, processors: Sequence[str] = ALL) -> int:
    """Widens those convolutions of a model for which that saves time.

    Args:
      tree: of integers; it is changed.
      processors: those of `kernels.KERNELS` on which it should take little.

    Returns:
      How many were widened.
    """
    return apply(tree, {index: convolution.best(processors)
                        for index, convolution in convolutions(tree).items()})


def apply(tree: schema.ModelT, cells: Mapping[int, Cells]) -> int:
    """Widens convolutions of a model in these ways, by the index of the operator; see `widen`."""
    main, operators, count = tree.subgraphs[0], [], 0
    found = convolutions(tree)
    for index, operator in enumerate(main.operators):
        chosen = cells.get(index, Cells())
        if chosen == Cells():
            operators.append(operator)
        else:
            operators += found[index].widened(chosen)
            count += 1
    main.operators = operators
    return count


def convolutions(tree: schema.ModelT) -> dict[int, Convolution]:
    """The convolutions of a model that can be widened, by the index of the operator."""
    operators = tree.subgraphs[0].operators
    # A layer that is called twice has one kernel, which is not to be changed for one of the calls.
    reads = Counter(int(index) for operator in operators for index in operator.inputs)
    found = {index: Convolution.of(tree, operator) for index, operator in enumerate(operators)
             if all(reads[int(number)] == 1 for number in operator.inputs[1:])}
    return {index: convolution for index, convolution in found.items() if convolution is not None}


@dataclass(frozen=True)
class Convolution:
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
    def of(cls, tree: schema.ModelT, operator: schema.OperatorT) -> Convolution | None:
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
        stored = [tree.buffers[one.buffer].data is not None for one in (kernel, bias)]
        zeros = kernel.quantization.zeroPoint if kernel.quantization is not None else None
        if types != [int8, int8, int32, int8] or not plain or not all(single) or not all(stored) \
                or zeros is None or np.any(zeros) \
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

    @property
    def choices(self) -> dict[Cells, Shape]:
        """All ways to compute it, and what shape it has then."""
        _, rows, columns, filters = self.target
        _, high, _, channels = self.kernel.shape
        found = {}
        for cells in (Cells(source, target) for source in SIZES for target in SIZES):
            taps = self._taps(cells)
            if taps is not None:
                moved = math.prod(self.source) * (cells.source > 1) \
                    + math.prod(self.target) * (cells.target > 1)
                found[cells] = Shape(rows * columns // cells.target, filters * cells.target,
                                     high * taps[1], channels * cells.source, moved)
        return found

    def best(self, processors: Sequence[str] = ALL) -> Cells:
        """The cells of the lowest cost; it stays if they save little."""
        most = max(MOST_FILTERS, len(self.kernel))
        costs = {cells: cost(shape, processors) for cells, shape in self.choices.items()
                 if shape.filters <= most and self._grows_little(shape)}
        lowest = min(costs, key=lambda cells: costs[cells])
        return lowest if costs[lowest] < WORTH * costs[Cells()] else Cells()

    def _grows_little(self, shape: Shape) -> bool:
        size = shape.filters * shape.taps * shape.channels
        return size <= min(MOST_TIMES * self.kernel.size, self.kernel.size + MOST_BYTES)

    def _taps(self, cells: Cells) -> tuple[int, int] | None:
        """The first pixel's offset from that of the wide kernel, and how many cells this has.

        None if there are no such cells: pixels of a row are left over, or no kernel makes SAME pad
        as many of them as it should.
        """
        width, before = self.kernel.shape[2], self._padding
        stride, left = divmod(cells.target * self.stride, cells.source)
        if left or self.source[2] % cells.source or self.target[2] % cells.target:
            return None
        looked_at = (cells.target - 1) * self.stride + width
        columns, results = self.source[2] // cells.source, self.target[2] // cells.target
        least = math.ceil(before / cells.source)
        for padded in (least, least + 1):
            first = padded * cells.source - before
            wide = math.ceil((first + looked_at) / cells.source)
            for more in range(stride + 1):
                around = max((results - 1) * stride + wide + more - columns, 0)
                if around // 2 == padded:
                    return first, wide + more
        return None

    @property
    def _padding(self) -> int:
        """How many pixels SAME pads before each row."""
        return max(
            (self.target[2] - 1) * self.stride + self.kernel.shape[2] - self.source[2], 0) // 2

    def _wide_kernel(self, cells: Cells) -> np.ndarray:
        """The kernel [O * target, KH, wide, I * source]."""
        taps = self._taps(cells)
        assert taps is not None
        first, wide = taps
        filters, high, width, channels = self.kernel.shape
        result = np.zeros((cells.target, filters, high, wide * cells.source, channels), np.int8)
        for place in range(cells.target):
            begin = first + place * self.stride
            result[place, :, :, begin : begin + width] = self.kernel
        return result.reshape(cells.target * filters, high, wide, cells.source * channels)

    def widened(self, cells: Cells) -> list[schema.OperatorT]:
        """What replaces it: itself with a wide kernel, between reshapes."""
        tree, operator = self.tree, self.operator
        tensors = tree.subgraphs[0].tensors
        source, kernel, bias = map(int, operator.inputs)
        (target,) = map(int, operator.outputs)
        wide_kernel = self._wide_kernel(cells)
        wide_bias = np.tile(np.asarray(tree.buffers[tensors[bias].buffer].data), cells.target)
        for index, values in ((kernel, wide_kernel), (bias, wide_bias)):
            tree.buffers[tensors[index].buffer].data = values.reshape(-1).view(np.uint8)
            quantization = tensors[index].quantization
            for name in ("scale", "zeroPoint", "min", "max"):
                each = getattr(quantization, name)
                if each is not None and len(each) == len(self.kernel):
                    setattr(quantization, name, np.tile(each, cells.target))
        tensors[kernel].shape = np.array(wide_kernel.shape, np.int32)
        tensors[bias].shape = np.array(wide_kernel.shape[:1], np.int32)
        read, written = (
            flatbuffer.reshaped(tree, index, (
                *shape[:2], shape[2] // pixels, shape[3] * pixels)) if pixels > 1 else index
            for index, shape, pixels in ((source, self.source, cells.source),
                                         (target, self.target, cells.target)))
        operator.builtinOptions.strideW = cells.target * self.stride // cells.source
        operator.inputs = np.array([read, kernel, bias], np.int32)
        operator.outputs = np.array([written], np.int32)
        before, after = (
            [flatbuffer.reshape(tree, old, new)] if old != new else []
            for old, new in ((source, read), (written, target)))
        return [*before, operator, *after]
