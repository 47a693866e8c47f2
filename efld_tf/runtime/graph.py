"""The graph inside a `.tflite`: its tensors, its operators, and their multiply-accumulates.

Convolutions, dense layers and matrix products are counted, as in EFLD's "FLOPs" (2 x MACs); any
other operator counts 0. Nothing is executed and neither TensorFlow nor the interpreter is loaded,
so a file from anywhere can be inspected.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from efld_tf.arrays import Array
from efld_tf.errors import DataError
from efld_tf.runtime import model_file, onnx_file

IDENTIFIER = b"TFL3"
# The format's own entry for the oldest runtime that a model is for.
MINIMUM_RUNTIME = b"min_runtime_version"
# The deprecated code of all operators that do not fit into 8 bits.
LARGEST_DEPRECATED_CODE = schema.BuiltinOperator.PLACEHOLDER_FOR_GREATER_OP_CODES

# The generated accessors raise these when offsets, lengths or enums of a damaged file lead nowhere.
DAMAGED = (
    struct.error, IndexError, KeyError, TypeError, ValueError, AttributeError, OverflowError,
    MemoryError,
)  # fmt: skip


def _names(enumeration: type) -> dict[int, str]:
    return {n: name for name, n in vars(enumeration).items() if isinstance(n, int)}


# Operators with weights.
WEIGHTED = frozenset({"FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV"})
BUILTIN_NAMES = _names(schema.BuiltinOperator)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model.

    Attributes:
      subgraph, index: its place in the file.
      name: its name, which the converter chose.
      dtype: its type, such as `int8` or `float32`.
      shape: its stored shape; None for a dimension that is only known at run time.
      constant: whether its values are stored in the file (weights).
      scales: the steps of its integers, one for all or one for each channel; empty for floats.
    """

    subgraph: int
    index: int
    name: str
    dtype: str
    shape: tuple[int | None, ...]
    constant: bool
    scales: tuple[float, ...] = ()


@dataclass(frozen=True)
class Operator:
    """An operator of a model.

    Attributes:
      subgraph, index: its place in the file, in order of execution.
      name: the name of the builtin operator, such as `CONV_2D`, or of the custom one.
      inputs, outputs: its tensors; None for an optional input that is absent.
      macs: multiply-accumulates of one invocation.
      builtin: False for a custom operator, which not every runtime has.
      version: the version that the file states, see `versions`.
      deprecated_name: the operator that readers of the format's deprecated 8-bit code take it for.
      options: its settings, by their names in the format's schema.
    """

    subgraph: int
    index: int
    name: str
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    macs: int
    builtin: bool
    version: int
    deprecated_name: str
    options: Mapping[str, Any]

    @property
    def expected_deprecated_name(self) -> str:
        """The operator that readers of the deprecated code should take it for."""
        number = getattr(schema.BuiltinOperator, self.name, schema.BuiltinOperator.CUSTOM)
        return BUILTIN_NAMES[min(number, LARGEST_DEPRECATED_CODE)]

    @property
    def input_dtypes(self) -> tuple[str, ...]:
        """The dtypes of the inputs that are present."""
        return tuple(tensor.dtype for tensor in self.inputs if tensor is not None)

    @property
    def output_dtypes(self) -> tuple[str, ...]:
        """The dtypes of the outputs."""
        return tuple(tensor.dtype for tensor in self.outputs)

    @property
    def output_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """The shapes of the outputs."""
        return tuple(tensor.shape for tensor in self.outputs)


@dataclass(frozen=True)
class Graph:
    """The tensors and operators of a model, over all subgraphs.

    Attributes:
      inputs, outputs: the tensors at the ends of the main subgraph.
      minimum_runtime: the release of TensorFlow Lite that the file says it needs, or "".
      total_macs: multiply-accumulates of one invocation; the body of a control-flow operator
        counts once.
    """

    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    minimum_runtime: str

    @property
    def total_macs(self) -> int:
        """The sum over the operators."""
        return sum(operator.macs for operator in self.operators)


def read(path: str | Path) -> Graph:
    """Reads the graph of a model.

    Raises:
      DataError: the file cannot be read, is not a TFLite model or is damaged, or an operator that
        counts has a shape that is only known at run time.
    """
    return parse(model_file.read(path), path)


def parse(content: bytes, path: str | Path = "model") -> Graph:
    """The graph of a model in memory; `path` is its name in messages. Errors as in `read`."""
    if content[4:8] != IDENTIFIER:
        raise DataError(path, "not a TFLite model: the identifier TFL3 is missing")
    try:
        return _Reader(path, content).graph()
    except DAMAGED as error:
        reason = f"a damaged TFLite model ({type(error).__name__}: {error})"
        raise DataError(path, reason) from error


def leading_to(
    model_graph: Graph, tensors: Sequence[Tensor],
    past: Callable[[Operator], bool] = lambda operator: False,
) -> set[int]:  # fmt: skip
    """The indices of the operators of the main subgraph that compute these tensors.

    Args:
      past: operators from which the way is not followed further; they are left out.
    """
    wanted = {tensor.index for tensor in tensors}
    result = set()
    for operator in reversed(model_graph.operators):  # they stand in the order of execution
        if operator.subgraph or past(operator):
            continue
        if wanted.intersection(tensor.index for tensor in operator.outputs):
            result.add(operator.index)
            wanted.update(tensor.index for tensor in operator.inputs if tensor)
    return result


def depending_on(model_graph: Graph, tensors: Sequence[Tensor]) -> set[int]:
    """The indices of the operators that take these tensors, or what is computed from them."""
    reached = {tensor.index for tensor in tensors}
    result = set()
    for operator in model_graph.operators:  # they stand in the order of execution
        if reached.intersection(tensor.index for tensor in operator.inputs if tensor):
            result.add(operator.index)
            reached.update(tensor.index for tensor in operator.outputs)
    return result


def chooses(operator: Operator) -> bool:
    """Whether an operator makes whole numbers of others: a search of the best score, or rounding.

    XNNPACK has neither. A small change of what it reads may give the next whole number.
    """
    read = {tensor.dtype for tensor in operator.inputs if tensor and not tensor.constant}
    return operator.output_dtypes == ("int32",) and bool(read - {"int32"})


def after_choice(model_graph: Graph) -> list[Operator]:
    """The operators that choose places (`chooses`), and all that depend on them."""
    choices = [operator for operator in model_graph.operators if chooses(operator)]
    dependent = depending_on(model_graph, [t for op in choices for t in op.outputs])
    return [op for op in model_graph.operators if op in choices or op.index in dependent]


def only_from(model_graph: Graph, tensors: Sequence[Tensor]) -> set[int]:
    """The indices of the operators that take these tensors, or what is computed from them, alone.

    Constants do not matter.
    """
    reached = {tensor.index for tensor in tensors}
    constants = {tensor.index for tensor in model_graph.tensors if tensor.constant}
    result = set()
    for operator in model_graph.operators:  # they stand in the order of execution
        read = {tensor.index for tensor in operator.inputs if tensor} - constants
        given = {tensor.index for tensor in operator.outputs}
        if not read:
            constants |= given
        elif read <= reached:
            result.add(operator.index)
            reached |= given
    return result


def gives_vector(operator: Operator) -> bool:
    """Whether an operator is a dense layer, or a convolution with an output of one pixel."""
    one_pixel = operator.name == "CONV_2D" and operator.outputs[0].shape[1:3] == (1, 1)
    return one_pixel or operator.name == "FULLY_CONNECTED"


def operators(path: str | Path) -> tuple[Operator, ...]:
    """The operators of a model, with their tensors and MACs; errors as in `read`."""
    return read(path).operators


def total_macs(path: str | Path) -> int:
    """Multiply-accumulates of one invocation of a model of any format; errors as in `read`."""
    return onnx_file.read(path).total_macs if onnx_file.is_onnx(path) else read(path).total_macs


@dataclass(frozen=True)
class _Code:
    """A model's entry for one kind of operator."""

    name: str
    builtin: bool
    version: int
    deprecated_name: str


class _Reader:
    """Walks through one flatbuffer."""

    def __init__(self, path: str | Path, content: bytes):
        self.path = path
        self.size = len(content)
        self.model = schema.Model.GetRootAs(content, 0)
        self.codes = [self._op_code(i) for i in self._range(self.model.OperatorCodesLength())]
        # Touching every buffer finds a file that was cut off within its weights.
        buffers = [self.model.Buffers(i) for i in self._range(self.model.BuffersLength())]
        # In larger models the buffers may lie behind the flatbuffer.
        self.stored = [_vector(b.DataAsNumpy()).size > 0 or b.Size() > 0 for b in buffers]
        if any(buffer.Offset() + buffer.Size() > self.size for buffer in buffers):
            raise ValueError("a buffer ends behind the file")

    def graph(self) -> Graph:
        count = self.model.SubgraphsLength()
        if not count:
            raise DataError(self.path, "a TFLite model without a graph")
        tensors: list[Tensor] = []
        all_operators: list[Operator] = []
        for index in self._range(count):
            subgraph_tensors = self._tensors(index)
            tensors += subgraph_tensors
            all_operators += self._operators(index, subgraph_tensors)
        main = self.model.Subgraphs(0)
        return Graph(
            tensors=tuple(tensors),
            operators=tuple(all_operators),
            inputs=tuple(_pick(tensors, i) for i in _vector(main.InputsAsNumpy())),
            outputs=tuple(_pick(tensors, i) for i in _vector(main.OutputsAsNumpy())),
            minimum_runtime=self._minimum_runtime(),
        )

    def _range(self, length: int) -> range:
        # Each element of a vector takes at least 4 bytes, so a longer vector is damage.
        if length * 4 > self.size:
            raise ValueError(f"a list of {length} in {self.size} bytes")
        return range(length)

    def _op_code(self, index: int) -> _Code:
        code = self.model.OperatorCodes(index)
        # The older field has 8 bits; the format's schema says to take the larger of the two.
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        custom = number == schema.BuiltinOperator.CUSTOM
        name = code.CustomCode().decode() if custom else BUILTIN_NAMES[number]
        deprecated_name = BUILTIN_NAMES[code.DeprecatedBuiltinCode()]
        return _Code(name, not custom, code.Version(), deprecated_name)

    def _minimum_runtime(self) -> str:
        for index in self._range(self.model.MetadataLength()):
            entry = self.model.Metadata(index)
            if entry.Name() == MINIMUM_RUNTIME and entry.Buffer() < len(self.stored):
                content = _vector(self.model.Buffers(entry.Buffer()).DataAsNumpy())[:16]
                return content.astype(np.uint8).tobytes().rstrip(b"\0").decode(errors="replace")
        return ""

    def _tensors(self, subgraph: int) -> list[Tensor]:
        table = self.model.Subgraphs(subgraph)
        result = []
        for index in self._range(table.TensorsLength()):
            tensor = table.Tensors(index)
            shape: list[int | None] = _vector(tensor.ShapeAsNumpy()).tolist()
            # The signature, where there is one, marks dimensions that are free with -1.
            signature = _vector(tensor.ShapeSignatureAsNumpy()).tolist()
            for axis, dimension in enumerate(signature or shape):
                if dimension < 0:
                    shape[axis] = None
            buffer = tensor.Buffer()
            grid = tensor.Quantization()
            scales = _vector(grid.ScaleAsNumpy()).tolist() if grid else []
            result.append(
                Tensor(
                    subgraph=subgraph,
                    index=index,
                    name=(tensor.Name() or b"").decode(),
                    dtype=_DTYPE_NAMES[tensor.Type()],
                    shape=tuple(shape),
                    constant=buffer > 0 and self.stored[buffer],
                    scales=tuple(scales),
                )
            )
        return result

    def _operators(self, subgraph: int, tensors: Sequence[Tensor]) -> list[Operator]:
        table = self.model.Subgraphs(subgraph)
        result = []
        for index in self._range(table.OperatorsLength()):
            operator = table.Operators(index)
            code = self.codes[operator.OpcodeIndex()]
            inputs = tuple(
                _pick(tensors, i) if i >= 0 else None for i in _vector(operator.InputsAsNumpy())
            )
            outputs = tuple(_pick(tensors, i) for i in _vector(operator.OutputsAsNumpy()))
            options, macs = _options(operator), 0
            if code.name in _COUNTED:
                place = f"operator {index} ({code.name})"
                macs = _COUNTED[code.name](_Operands(self.path, place, options, inputs, outputs))
            result.append(Operator(subgraph, index, code.name, inputs, outputs, macs, code.builtin,
                                   code.version, code.deprecated_name, options))
        return result


@dataclass(frozen=True)
class _Operands:
    """An operator whose MACs are asked for, with access to complete shapes only."""

    path: str | Path
    place: str
    options: Mapping[str, Any]
    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]

    def shape(self, tensor: Tensor | None, rank: int | None = None) -> tuple[int, ...]:
        """The shape of an operand, which must have `rank` dimensions if that is given."""
        if tensor is None or not tensor.shape or (rank is not None and len(tensor.shape) != rank):
            raise ValueError(f"{self.place} has an operand of shape {tensor and tensor.shape}")
        sizes = tuple(size for size in tensor.shape if size is not None)
        if len(sizes) < len(tensor.shape):
            shape = ", ".join("?" if size is None else str(size) for size in tensor.shape)
            raise DataError(self.path, f"{self.place} has a dynamic shape [{shape}]: convert it "
                            "with a fixed batch of 1")
        return sizes

    def input(self, index: int, rank: int | None = None) -> tuple[int, ...]:
        return self.shape(self.inputs[index], rank)

    def output(self, rank: int | None = None) -> tuple[int, ...]:
        return self.shape(self.outputs[0], rank)


def _conv_2d(operands: _Operands) -> int:
    # Filter [out, height, width, in / groups]: each output value takes one pass over its part.
    return math.prod(operands.output(4)) * math.prod(operands.input(1, 4)[1:])


def _depthwise_conv_2d(operands: _Operands) -> int:
    # Filter [1, height, width, out].
    _, height, width, _ = operands.input(1, 4)
    return math.prod(operands.output(4)) * height * width


def _fully_connected(operands: _Operands) -> int:
    # Weights [out, in].
    return math.prod(operands.output()) * operands.input(1, 2)[1]


def _transpose_conv(operands: _Operands) -> int:
    # Inputs: output shape, filter [out, height, width, in], image. Each input value is spread over
    # the filter; what falls outside a `same`-padded output is counted, as for a convolution.
    out, height, width, _ = operands.input(1, 4)
    return math.prod(operands.input(2, 4)) * out * height * width


def _batch_matmul(operands: _Operands) -> int:
    left = operands.input(0)
    return math.prod(operands.output()) * left[-2 if operands.options.get("adjX") else -1]


_COUNTED: dict[str, Callable[[_Operands], int]] = {
    "CONV_2D": _conv_2d,
    "DEPTHWISE_CONV_2D": _depthwise_conv_2d,
    "FULLY_CONNECTED": _fully_connected,
    "TRANSPOSE_CONV": _transpose_conv,
    "BATCH_MATMUL": _batch_matmul,
}


_OPTION_NAMES = _names(schema.BuiltinOptions)
_DTYPE_NAMES = {number: name.lower() for number, name in _names(schema.TensorType).items()}


def _options(operator: schema.Operator) -> dict[str, Any]:
    """An operator's settings; empty if it has none, or has them in the format's second union."""
    kind, table = operator.BuiltinOptionsType(), operator.BuiltinOptions()
    if not kind or table is None:
        return {}
    options: dict[str, Any] = vars(
        getattr(schema, f"{_OPTION_NAMES[kind]}T").InitFromBuf(table.Bytes, table.Pos))
    return options


def _vector(values: Any) -> Array:
    # The generated accessors give the number 0 for a vector that is not there.
    return values if isinstance(values, np.ndarray) else np.zeros(0, np.int32)


def _pick(tensors: Sequence[Tensor], index: int) -> Tensor:
    if index < 0:  # Python would count from the end.
        raise IndexError(f"tensor {index}")
    return tensors[index]
