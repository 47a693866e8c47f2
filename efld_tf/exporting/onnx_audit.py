"""Checks the operators and types of an `.onnx` against what its mode promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efld_tf.errors import DataError, EfldError
from efld_tf.exporting.modes import Mode
from efld_tf.landmarks import model_outputs
from efld_tf.runtime import onnx_file
from efld_tf.runtime.onnx_file import WEIGHTED


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
    for values, wanted in ((model.graph.input, "uint8"), (model.graph.output, "float")):
        for value in values:
            tensor = value.type.tensor_type
            name = onnx_file.type_name(tensor.elem_type)
            if name != wanted:
                raise DataError(path, f"{value.name}: expected {wanted}, got {name}")
        ends.append([[side.dim_value for side in value.type.tensor_type.shape.dim]
                     for value in values])
    inputs, outputs = ends
    image = inputs[0] if len(inputs) == 1 else []
    if len(image) != 4 or image[::3] != [1, 3] or image[1] != image[2] or not image[1]:
        raise DataError(path, f"expected one input [1, S, S, 3], got {inputs}")
    try:
        model_outputs.places(outputs)
    except EfldError as error:
        raise DataError(path, str(error)) from error


def _check_types(model: Any, path: str | Path, mode: Mode) -> None:
    stored = {weight.name: onnx_file.type_name(weight.data_type)
              for weight in model.graph.initializer}
    givers = {output: node for node in model.graph.node for output in node.output}

    def numbers(name: str) -> str:
        """Those in which a value was given: of a stored one, or by which type it went."""
        giver = givers.get(name)
        while giver is not None and giver.op_type == "Cast":
            name = giver.input[0]
            giver = givers.get(name)
        if giver is not None and giver.op_type == "DequantizeLinear":
            zero = [stored.get(point, "") for point in list(giver.input)[2:]]
            given = stored.get(giver.input[0], *zero or ["uint8"])
            return "int8" if given in ("int8", "uint8") else given
        return stored.get(name, "float")

    for node in model.graph.node:
        if node.op_type not in WEIGHTED:
            continue
        kinds = [numbers(name) for name in list(node.input)[:2]]
        expected = "int8" if mode.calibrated else "float"
        if kinds != [expected] * len(kinds):
            raise DataError(path, f"{mode.name}: {node.op_type} {node.name} computes with "
                                  f"{' and '.join(kinds)}")
