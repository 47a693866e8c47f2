"""Checks the operators and types of an `.onnx` against what its mode promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efld_tf.errors import DataError, EfldError
from efld_tf.exporting.modes import Mode
from efld_tf.landmarks import model_outputs
from efld_tf.runtime import onnx_file

WEIGHTED = ("Conv", "Gemm", "MatMul", "ConvTranspose")


def check(path: str | Path, mode: Mode) -> onnx_file.OnnxGraph:
    """Checks a model against the promises of its mode.

    A model has to have:
      - ONNX's own operators, of `onnx_file.OPSET` or an older version;
      - a uint8 image as input, float32 points as output, and perhaps a confidence and depths, of
        fixed shapes;
      - in a float mode stored weights of float32; in one of integers such of int8 for every layer,
        and inputs of it that were quantised.

    Returns:
      What it computes.

    Raises:
      DataError: a promise does not hold; the message says which.
    """
    model = onnx_file.parsed(path)
    domains = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if domains:
        raise DataError(path, f"has operators of {', '.join(sorted(domains))}, not of ONNX alone")
    _check_ends(model, path)
    found = onnx_file.read(path)
    if found.opset > onnx_file.OPSET:
        raise DataError(path, f"expected operators of opset {onnx_file.OPSET} or older, got "
                              f"{found.opset}")
    _check_types(model, path, mode)
    return found


def _check_ends(model: Any, path: str | Path) -> None:
    ends = []
    for values, wanted in ((model.graph.input, "UINT8"), (model.graph.output, "FLOAT")):
        for value in values:
            tensor = value.type.tensor_type
            name = onnx_file.installed().TensorProto.DataType.Name(tensor.elem_type)
            if name != wanted:
                raise DataError(
                    path, f"{value.name}: expected {wanted.lower()}, got {name.lower()}")
        ends.append([[side.dim_value for side in value.type.tensor_type.shape.dim]
                     for value in values])
    (image, *others), outputs = ends
    if others or len(image) != 4 or image[::3] != [1, 3] or image[1] != image[2] or not image[1]:
        raise DataError(path, f"expected one input [1, S, S, 3], got {ends[0]}")
    try:
        model_outputs.places(outputs)
    except EfldError as error:
        raise DataError(path, str(error)) from error


def _check_types(model: Any, path: str | Path, mode: Mode) -> None:
    names = onnx_file.installed().TensorProto.DataType
    stored = {weight.name: names.Name(weight.data_type).lower()
              for weight in model.graph.initializer}
    givers = {output: node for node in model.graph.node for output in node.output}
    for node in model.graph.node:
        if node.op_type not in WEIGHTED:
            continue
        kinds = []
        for given in list(node.input)[:2]:
            giver = givers.get(given)
            unpacked = giver is not None and giver.op_type == "DequantizeLinear"
            kinds.append(stored.get(giver.input[0], "int8") if giver is not None and unpacked
                         else stored.get(given, "float"))
        expected = "int8" if mode.calibrated else "float"
        if kinds != [expected] * len(kinds):
            raise DataError(path, f"{mode.name}: {node.op_type} {node.name} computes with "
                                  f"{' and '.join(kinds)}")
