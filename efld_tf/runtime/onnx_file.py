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
LICENSE = "license"  # of the weights, among the properties
# Operators that choose places, after which a step of a grid moves a point by a cell.
CHOICES = frozenset({"ArgMax", "TopK", "Floor", "Round"})


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
      DataError: it cannot be read, is no ONNX, or keeps its weights in other files.
      EfldError: ONNX is not installed.
    """
    onnx = installed()
    content = model_file.read(path) if content is None else content
    try:
        model = onnx.ModelProto.FromString(content)
        # The checker would look at those files.
        outside = any(weight.external_data for weight in model.graph.initializer)
        if not outside:
            onnx.checker.check_model(model)
    except Exception as error:  # protobuf's and the checker's
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise DataError(path, f"is no ONNX model: {reason[0]}") from error
    if outside:
        raise DataError(path, "keeps weights in other files, which are not read")
    return model


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
    onnx = installed()
    names = {number: name.lower() for name, number in onnx.TensorProto.DataType.items()}
    nodes = list(model.graph.node)
    shapes = _shapes(model)
    weights = list(model.graph.initializer)
    largest = max(weights, key=lambda weight: math.prod(weight.dims), default=None)
    operators = Counter(node.op_type for node in nodes)
    return OnnxGraph(
        operators=dict(sorted(operators.items())),
        types=dict(sorted(Counter(names[weight.data_type] for weight in weights).items())),
        largest=names[largest.data_type] if largest is not None else "",
        total_macs=sum(_macs(node, shapes, path) for node in nodes),
        opset=max(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")),
        chooses=not CHOICES.isdisjoint(operators),
    )


def _shapes(model: Any) -> dict[str, list[int]]:
    """The shapes of the tensors that have static ones."""
    inferred = installed().shape_inference.infer_shapes(model, data_prop=True)
    values = [*inferred.graph.value_info, *inferred.graph.input, *inferred.graph.output]
    found = {value.name: [side.dim_value for side in value.type.tensor_type.shape.dim]
             for value in values}
    return found | {weight.name: list(weight.dims) for weight in inferred.graph.initializer}


def _macs(node: Any, shapes: dict[str, list[int]], path: str | Path) -> int:
    """The multiply-accumulates of a convolution or of a product of matrices; 0 of others.

    Raises:
      DataError: its shapes are not in the file.
    """
    if node.op_type not in ("Conv", "Gemm", "MatMul"):
        return 0
    if not all(0 not in shapes.get(name, [0]) for name in (*node.input[:2], node.output[0])):
        raise DataError(path, f"{node.op_type} {node.name} has no fixed shapes")
    result = math.prod(shapes[node.output[0]])
    if node.op_type == "Conv":  # weights [out, in / groups, height, width]
        return result * math.prod(shapes[node.input[1]][1:])
    transposed = any(entry.name == "transA" and entry.i for entry in node.attribute)
    return result * shapes[node.input[0]][-2 if transposed else -1]
