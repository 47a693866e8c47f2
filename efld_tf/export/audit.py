"""Whether a `.tflite` is what its mode promises: operators, types and shapes, before it is used."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from efld_tf.errors import DataError
from efld_tf.runtime import graph

# What may follow the integer part of an int8 model: the last dequantisation, then these in float
# (see `models.codecs` for why they are what they are).
FLOAT_TAIL = frozenset({"DEQUANTIZE", "NEG", "ADD_N", "RESHAPE"})
INTEGERS = frozenset({"int8", "int32", "uint8"})


def check_int8(path: str | Path) -> graph.Graph:
    """Checks a full-int8 model: integer operators, then nothing but the declared float tail.

    Returns:
      Its graph.

    Raises:
      DataError: an operator or a shape that does not belong there.
    """
    found = _check_builtin_and_static(path)
    for operator in found.operators:
        where = f"operator {operator.index} ({operator.name})"
        floats_in = [t for t in operator.inputs if t and t.dtype not in INTEGERS]
        floats_out = [t for t in operator.outputs if t.dtype not in INTEGERS]
        for tensor in (*floats_in, *floats_out):
            if tensor.dtype != "float32":
                raise DataError(path, f"{where} has the type {tensor.dtype}")
        if (floats_in or floats_out) and operator.name not in FLOAT_TAIL:
            raise DataError(path, f"{where} computes in float; allowed: {', '.join(FLOAT_TAIL)}")
        if floats_in and not floats_out:
            raise DataError(path, f"{where} goes back from float to integers: not a tail")
    _check_ends(found, path)
    return found


def check_float32(path: str | Path) -> graph.Graph:
    """Checks a float model: the pixels are cast once, everything else is float32.

    Raises:
      DataError: an operator or a shape that does not belong there.
    """
    found = _check_builtin_and_static(path)
    for operator in found.operators:
        for dtype in operator.output_dtypes:
            if dtype != "float32":
                raise DataError(path, f"operator {operator.index} ({operator.name}) gives {dtype}")
    _check_ends(found, path)
    return found


def operator_counts(found: graph.Graph) -> dict[str, int]:
    """How often each operator occurs."""
    return dict(sorted(Counter(operator.name for operator in found.operators).items()))


def type_counts(found: graph.Graph) -> dict[str, int]:
    """How many tensors have each type."""
    return dict(sorted(Counter(tensor.dtype for tensor in found.tensors).items()))


def _check_builtin_and_static(path: str | Path) -> graph.Graph:
    found = graph.read(path)
    for operator in found.operators:
        if not operator.builtin:
            raise DataError(path, f"operator {operator.index} ({operator.name}) is not a builtin")
    for tensor in found.tensors:
        if None in tensor.shape:
            raise DataError(path, f"tensor {tensor.name} has no static shape")
    return found


def _check_ends(found: graph.Graph, path: str | Path) -> None:
    """Checks the contract of the ends: one uint8 image in, float32 points out."""
    ends = [(tensor.dtype, tensor.shape) for tensor in (*found.inputs, *found.outputs)]
    if len(found.inputs) != 1 or len(found.outputs) != 1:
        raise DataError(path, "expected one input and one output")
    (image, image_shape), (points, points_shape) = ends
    if image != "uint8" or len(image_shape) != 4 or image_shape[0] != 1 or image_shape[3] != 3:
        raise DataError(path, f"expected an input [1, S, S, 3] of uint8, got {ends[0]}")
    if points != "float32" or len(points_shape) != 3 or points_shape[::2] != (1, 2):
        raise DataError(path, f"expected an output [1, N, 2] of float32, got {ends[1]}")
