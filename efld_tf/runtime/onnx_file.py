"""Reads `.onnx` files: the toolkit's metadata in them, and what they compute."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import model_file
from efld_tf.runtime.onnx_interpreter import SUFFIX

# The operators of exports: every ONNX Runtime since 1.12 has them.
OPSET = 17
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
LICENSE = "license"  # of the weights, among the properties
# Operators that choose places, after which a step of a grid moves a point by a cell; a Cast to
# whole numbers does so, too.
CHOICES = frozenset({"ArgMax", "TopK", "Floor", "Round"})
WHOLE, REAL = ("INT32", "INT64"), ("FLOAT", "FLOAT16", "DOUBLE")
# The toolkit's are of a few hundred bytes; more would be an attempt to fill the memory.
MOST_PROPERTY = 1 << 20


@dataclass(frozen=True)
class OnnxGraph:
    """What a file computes.

    Attributes:
      operators, types: how many of each it has; the types are those of the stored weights.
      largest: the type of the largest one.
      total_macs: multiply-accumulates of one run.
      opset: the version of ONNX's operators.
      chooses: whether it chooses places.
    """

    operators: dict[str, int]
    types: dict[str, int]
    largest: str
    total_macs: int
    opset: int
    chooses: bool


def is_onnx(path: str | Path) -> bool:
    """Whether a path is that of an `.onnx`."""
    return Path(path).suffix == SUFFIX


def parsed(path: str | Path, content: bytes | None = None) -> Any:
    """The file as ONNX's `ModelProto`.

    Args:
      content: the bytes of the file; None to read them.

    Raises:
      DataError: it cannot be read, is no ONNX, or has what no export has: weights in other files,
        graphs in its graph, functions of its own, or data without end.
      EfldError: ONNX is not installed.
    """
    onnx = installed()
    content = model_file.read(path) if content is None else content
    try:
        model = onnx.ModelProto.FromString(content)
        _refuse_strange(model, path)  # first, since the checker would look at other files
        onnx.checker.check_model(model)
    except DataError:
        raise
    except Exception as error:  # protobuf's and the checker's
        raise DataError(path, f"is no ONNX model: {_reason(error)}") from error
    return model


def _reason(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _refuse_strange(model: Any, path: str | Path) -> None:
    """Refuses what would read other files, or take time or memory without end."""
    kinds = installed().AttributeProto
    if len(model.functions) or len(model.training_info):
        raise DataError(path, "has functions of its own or parts for training: no export has")
    tensors = [*model.graph.initializer]
    sparse = len(model.graph.sparse_initializer)
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type in (kinds.GRAPH, kinds.GRAPHS):
                raise DataError(path, f"{node.op_type} {node.name} has a graph in the graph: no "
                                      "export has")
            sparse += attribute.type in (kinds.SPARSE_TENSOR, kinds.SPARSE_TENSORS)
            tensors += [attribute.t, *attribute.tensors]
    if sparse:
        raise DataError(path, "has sparse weights: no export has")
    if any(len(tensor.external_data) or tensor.data_location for tensor in tensors):
        raise DataError(path, "keeps weights in other files, which are not read")
    for entry in model.metadata_props:
        if len(entry.value) > MOST_PROPERTY:
            raise DataError(path, f"its property {entry.key[:40]!r} is too large")


def installed() -> Any:
    """The package `onnx`.

    Raises:
      EfldError: it is not installed.
    """
    try:
        import onnx
    except ImportError as error:
        raise EfldError("ONNX is not installed: pip install 'efld-tf[onnx]'") from error
    return onnx


def properties(path: str | Path) -> dict[str, str]:
    """The metadata of the file, by name; errors as in `parsed`."""
    return {entry.key: entry.value for entry in parsed(path).metadata_props}


def read(path: str | Path) -> OnnxGraph:
    """What a file computes; errors as in `parsed`."""
    model = parsed(path)
    nodes, weights = list(model.graph.node), list(model.graph.initializer)
    shapes, types = _tensors(model, path)
    largest = max(weights, key=lambda weight: math.prod(weight.dims), default=None)
    operators = Counter(node.op_type for node in nodes)
    opset = max((entry.version for entry in model.opset_import
                 if entry.domain in ("", "ai.onnx")), default=0)
    if not opset:
        raise DataError(path, "does not say which version of ONNX's operators it has")
    return OnnxGraph(
        operators=dict(sorted(operators.items())),
        types=dict(sorted(Counter(type_name(weight.data_type) for weight in weights).items())),
        largest=type_name(largest.data_type) if largest is not None else "",
        total_macs=sum(_macs(node, shapes, path) for node in nodes),
        opset=opset,
        chooses=any(_chooses(node, types) for node in nodes),
    )


def type_name(number: int) -> str:
    """The name of a type of ONNX, such as `float`."""
    types = installed().TensorProto.DataType
    return str(types.Name(number)).lower() if number in types.values() else f"type {number}"


def _tensors(model: Any, path: str | Path) -> tuple[dict[str, list[int]], dict[str, str]]:
    """The static shapes of the tensors by name, and their types."""
    try:
        inferred = installed().shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        raise DataError(path, f"has shapes that do not fit: {_reason(error)}") from error
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    shapes = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
              for value in values}
    types = {value.name: type_name(value.type.tensor_type.elem_type) for value in values}
    for weight in inferred.graph.initializer:
        shapes[weight.name], types[weight.name] = list(weight.dims), type_name(weight.data_type)
    return shapes, types


def _chooses(node: Any, types: dict[str, str]) -> bool:
    """Whether an operator makes whole numbers of others, see `graph.chooses`."""
    if node.op_type != "Cast":
        return node.op_type in CHOICES
    wanted = next((entry.i for entry in node.attribute if entry.name == "to"), 0)
    return type_name(wanted).upper() in WHOLE and types.get(node.input[0], "").upper() in REAL


def _macs(node: Any, shapes: dict[str, list[int]], path: str | Path) -> int:
    """The multiply-accumulates of a convolution or of a product of matrices; 0 of others.

    Raises:
      DataError: its shapes are not in the file.
    """
    if node.op_type not in WEIGHTED:
        return 0
    if not all(0 not in shapes.get(name, [0]) for name in (*node.input[:2], node.output[0])):
        raise DataError(path, f"{node.op_type} {node.name} has no fixed shapes")
    result = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":  # weights [out, in / groups, height, width]
        return result * math.prod(shapes[node.input[1]][1:])
    if node.op_type == "ConvTranspose":  # weights [in, out / groups, height, width]
        return math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return result * shapes[node.input[0]][-2 if transposed else -1]
