"""The version that an operator needs, and the first runtime that has this version.

A `.tflite` states a version for each kind of operator. An old runtime refuses a version that it
does not know ("Didn't find op for builtin opcode ..."), but takes an operator that states version 1
for what version 1 was, and silently computes something else. The versions here are those that
TensorFlow's converter gives, with the releases of TensorFlow Lite that first had them
(tensorflow/compiler/mlir/lite/tools/versioning). One differs: 16-bit activations need their own
version with 8-bit weights too, not only with 16-bit ones.

LiteRT 1.0 is younger than all releases of TensorFlow Lite up to 2.17.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from efld_tf.errors import EfldError
from efld_tf.runtime.graph import Graph, Operator, Tensor

Condition = Callable[[Operator], object]


@dataclass(frozen=True)
class Versions:
    """The versions of one operator.

    Attributes:
      since: the releases that first had version 1, 2 and so on, separated by spaces.
      needed: versions with the condition that needs them. The first condition that holds counts;
        if none does, version 1 is enough.
    """

    since: str
    needed: tuple[tuple[int, Condition], ...] = ()


def needed(operator: Operator) -> int:
    """The version that an operator must state.

    Raises:
      EfldError: its versions are not known here.
    """
    return next((version for version, holds in _known(operator).needed if holds(operator)), 1)


def since(operator: Operator, version: int) -> str:
    """The release of TensorFlow Lite that first had a version of an operator, such as `2.4.0`.

    Raises:
      EfldError: the operator or the version is not known here.
    """
    releases = _known(operator).since.split()
    if not 1 <= version <= len(releases):
        raise EfldError(f"operator {operator.index} ({operator.name}): version {version} is not "
                        f"known here, where the last one is {len(releases)}")
    release = releases[version - 1]
    return release if release.count(".") > 1 else f"{release}.0"


def minimum_runtime(model_graph: Graph) -> str:
    """The oldest release of TensorFlow Lite that computes all operators of a graph correctly.

    Raises:
      EfldError: as in `needed`.
    """
    releases = [since(op, max(op.version, needed(op))) for op in model_graph.operators]
    return max(releases, key=as_numbers, default="1.5.0")


def as_numbers(release: str) -> tuple[int, ...]:
    """A release as numbers to compare: `2.4` and `2.4.0` become (2, 4, 0, 0)."""
    parts = [int(part) for part in release.split(".")]
    return tuple(parts + [0] * (4 - len(parts)))


def is_release(text: str) -> bool:
    """Whether a text is a release such as `2.4.0`."""
    return re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,4}){0,3}", text) is not None


def _known(operator: Operator) -> Versions:
    if operator.name not in VERSIONS:
        raise EfldError(
            f"operator {operator.index} ({operator.name}): from which runtime on it is right is "
            "not known here")
    return VERSIONS[operator.name]


def _operand(operator: Operator, at: int) -> Tensor | None:
    return operator.inputs[at] if at < len(operator.inputs) else None


def _takes(*dtypes: str, at: int = 0) -> Condition:
    """Whether the input at an index has one of these types."""

    def holds(operator: Operator) -> bool:
        tensor = _operand(operator, at)
        return tensor is not None and tensor.dtype in dtypes

    return holds


def _gives(*dtypes: str) -> Condition:
    """Whether the first output has one of these types."""
    return lambda operator: operator.output_dtypes[:1] in [(dtype,) for dtype in dtypes]


def _either(*dtypes: str) -> Condition:
    """Whether the first input or output has one of these types."""
    return lambda operator: _takes(*dtypes)(operator) or _gives(*dtypes)(operator)


def _all(*conditions: Condition) -> Condition:
    return lambda operator: all(holds(operator) for holds in conditions)


def _not(condition: Condition) -> Condition:
    return lambda operator: not condition(operator)


def _option(*names: str) -> Condition:
    """Whether one of these options is set."""
    return lambda operator: any(operator.options.get(name) for name in names)


def _rank_above(rank: int) -> Condition:
    """Whether an input has more dimensions than `rank`."""
    return lambda operator: any(len(t.shape) > rank for t in operator.inputs if t)


def _rank(operator: Operator) -> int:
    """The number of dimensions of the first input; 0 if it is absent."""
    tensor = _operand(operator, 0)
    return len(tensor.shape) if tensor else 0


def _scales(tensors: Sequence[Tensor | None]) -> int:
    """The number of scales that the first of an operator's inputs or outputs has."""
    return len(tensors[0].scales) if tensors and tensors[0] else 0


def _quantised(operator: Operator) -> bool:
    return any(tensor.scales for tensor in operator.inputs[:2] if tensor)


def _broadcast(operator: Operator) -> bool:
    first, second = (_operand(operator, at) for at in (0, 1))
    return first is not None and second is not None and first.shape != second.shape


def _per_channel(operator: Operator) -> bool:
    """Whether the weights have a scale for each channel, even if there is only one channel."""
    weights = _operand(operator, 1)
    if weights is None or not weights.shape:
        return False
    channels = weights.shape[-1 if operator.name == "DEPTHWISE_CONV_2D" else 0]
    return len(weights.scales) > 1 or len(weights.scales) == channels == 1


def _grouped(operator: Operator) -> bool:
    image, weights = (_operand(operator, at) for at in (0, 1))
    return image is not None and weights is not None \
        and image.shape[3:] != weights.shape[3:]


def _rescaled_up(operator: Operator) -> bool:
    """Whether the steps of two integer factors give a larger step than that of their product."""
    tensors = [t for t in (*operator.inputs[:2], *operator.outputs[:1]) if t and t.scales]
    if len(tensors) < 3:
        return False
    first, second, product = (tensor.scales[0] for tensor in tensors)
    return product > 0 and first * second / product >= 1


_INT8, _INT16 = _takes("int8"), _takes("int16")
_SHORT = _takes("int8", "int16")
_BYTES = _takes("int8", "uint8")
_HYBRID = _all(_takes("float32"), _takes("int8", at=1), _gives("float32"))
_BY_SIZE = ((3, _INT16), (2, _INT8))
_MANY_DIMENSIONS = _all(_broadcast, _rank_above(4))

VERSIONS = {
    "ABS": Versions("1.13 2.4 2.5 2.6 2.12", (
        (5, _takes("int32")), (4, _all(_INT16, _not(_quantised))), (3, _INT16), (2, _BYTES))),
    "ADD": Versions("1.5 1.14 2.4 2.6 2.13", (
        (5, _all(_INT16, _not(_quantised))), (4, _takes("int64")),
        (3, _all(_INT16, _not(_option("potScaleInt16")))), (2, _INT8))),
    "ADD_N": Versions("1.14"),
    "ARG_MAX": Versions("1.9 1.14 2.9", ((3, _takes("bool")), (2, _INT8))),
    "ARG_MIN": Versions("1.9 1.14 2.9", ((3, _takes("bool")), (2, _INT8))),
    "AVERAGE_POOL_2D": Versions("1.5 1.14 2.3", _BY_SIZE),
    "BATCH_MATMUL": Versions("2.3 2.3 2.4 2.5", (
        *_BY_SIZE, (4, _all(_HYBRID, _option("asymmetricQuantizeInputs"))))),
    "BATCH_TO_SPACE_ND": Versions("1.6 1.14 2.3 2.12", (
        (4, _INT16), (3, lambda op: _rank(op) != 4), (2, _INT8))),
    "CAST": Versions("1.5 2.7 2.8 2.9 2.12 2.15", (
        (6, _takes("int4")), (5, _either("float64", "float16")), (4, _either("uint16")),
        (3, _either("int8")), (2, _either("uint32")))),
    "CEIL": Versions("1.14"),
    "CONCATENATION": Versions("1.5 1.14 2.3 2.14", ((4, _takes("uint32")), *_BY_SIZE)),
    "CONV_2D": Versions("1.5 1.14 1.14 2.3 2.4 2.9 2.11 2.15", (
        (8, _all(_INT16, _option("quantizedBiasType"))), (6, _grouped), (4, _INT16),
        (7, _all(_INT8, _takes("int4", at=1))), (3, _INT8),
        (5, _all(_HYBRID, _per_channel)), (2, _HYBRID))),
    "COS": Versions("1.14"),
    "DEPTHWISE_CONV_2D": Versions("1.5 1.12 1.14 2.2 2.3 2.3 2.11", (
        (5, _INT16), (6, _all(_HYBRID, _per_channel)), (4, _HYBRID),
        (7, _all(_INT8, _takes("int4", at=1))), (3, _INT8),
        (2, lambda op: max(op.options.get(f"dilation{side}Factor", 1) for side in "WH") > 1))),
    "DEPTH_TO_SPACE": Versions("2.1 2.5", ((2, _INT8),)),
    "DEQUANTIZE": Versions("1.13.1 1.14 1.15 2.2 2.7 2.18", (
        (6, _takes("int4")), (3, _takes("int16", "float16")),
        (5, _all(_INT8, lambda op: _scales(op.inputs) > 1)), (2, _INT8))),
    "DIV": Versions("1.6 2.3", ((2, _MANY_DIMENSIONS),)),
    "ELU": Versions("1.14"),
    "EQUAL": Versions("1.14 1.14 2.3 2.13 2.21", (
        (5, _INT16), (3, _takes("string")), (2, _INT8))),
    "EXP": Versions("1.7 2.12", ((2, _SHORT),)),
    "EXPAND_DIMS": Versions("1.10"),
    "FLOOR": Versions("1.9"),
    "FLOOR_DIV": Versions("1.14 1.14 2.13", ((3, _SHORT), (2, _takes("float32")))),
    "FLOOR_MOD": Versions("1.13 2.13", ((2, _SHORT),)),
    "FULLY_CONNECTED": Versions(
        "1.5 1.10 1.14 1.14 2.0 2.1 2.3 2.3 2.3 2.11 2.15 2.17 2.18", (
            (13, _all(_INT16, _takes("int4", at=1))), (12, _all(_HYBRID, _per_channel)),
            (11, _all(_INT16, _option("quantizedBiasType"))), (7, _INT16),
            (6, lambda op: len(op.inputs) == 2), (5, _option("keepNumDims")),
            (10, _all(_INT8, _takes("int4", at=1))), (4, _INT8),
            (9, _all(_HYBRID, _option("asymmetricQuantizeInputs"))), (3, _HYBRID),
            (2, _option("weightsFormat")))),
    "GATHER": Versions("1.6 1.14 1.15 2.4 2.5 2.13 2.15", (
        (7, _takes("int4")), (6, _takes("int16", at=1)), (5, _option("batchDims")), (4, _INT16),
        (3, _takes("bool")), (2, _INT8))),
    "GATHER_ND": Versions("1.14 2.3 2.5 2.13 2.16", (
        (5, _takes("bool")), (4, _takes("int16", at=1)), (3, _INT16), (2, _takes("string")))),
    "GELU": Versions("2.9 2.9", ((2, _BYTES),)),
    "GREATER": Versions("1.14 1.14", ((2, _INT8),)),
    "GREATER_EQUAL": Versions("1.14 1.14 2.13", _BY_SIZE),
    "HARD_SWISH": Versions("1.15"),
    "LEAKY_RELU": Versions("1.13.1 2.3", ((2, _INT16),)),
    "LESS": Versions("1.14 1.14 2.13", _BY_SIZE),
    "LESS_EQUAL": Versions("1.14 1.14", ((2, _INT8),)),
    "LOG": Versions("1.14 2.15", ((2, _SHORT),)),
    "LOGICAL_AND": Versions("1.11"),
    "LOGICAL_NOT": Versions("1.11"),
    "LOGICAL_OR": Versions("1.11"),
    "LOGISTIC": Versions("1.14 1.14 2.3", _BY_SIZE),
    "MAXIMUM": Versions("1.14 1.14 2.3 2.3", ((4, _INT16), (3, _MANY_DIMENSIONS), (2, _INT8))),
    "MAX_POOL_2D": Versions("1.5 1.14 2.3", _BY_SIZE),
    "MEAN": Versions("1.6 1.14 2.4", _BY_SIZE),
    "MINIMUM": Versions("1.14 1.14 2.3 2.3", ((4, _INT16), (3, _MANY_DIMENSIONS), (2, _INT8))),
    "MIRROR_PAD": Versions("1.13.1 2.3 2.12", _BY_SIZE),
    "MUL": Versions("1.5 1.14 1.15 2.3 2.6 2.11 2.13", (
        (7, _all(_INT16, _not(_quantised))), (7, _takes("uint32")), (6, _takes("complex64")),
        (5, _takes("int64")), (4, _INT16), (3, _rescaled_up), (2, _INT8))),
    "NEG": Versions("1.9"),
    "NOT_EQUAL": Versions("1.14 1.14 2.3 2.21", (
        (4, _INT16), (3, _takes("string")), (2, _INT8))),
    "ONE_HOT": Versions("1.11"),
    "PACK": Versions("1.11 1.14 2.3 2.13", ((2, _INT8), (3, _INT16), (4, _takes("uint32")))),
    "PAD": Versions("1.5 1.14 2.4 2.6 2.20", (
        (5, _takes("bool")), (4, _rank_above(4)), *_BY_SIZE)),
    "PADV2": Versions("1.9 1.14 2.4 2.6 2.20", (
        (5, _takes("bool")), (4, _rank_above(4)), *_BY_SIZE)),
    "POW": Versions("1.10"),
    "PRELU": Versions("1.8"),
    "QUANTIZE": Versions("1.14 1.15 2.7 2.21", (
        (4, _either("int4")), (3, lambda op: _scales(op.outputs) > 1),
        (2, _gives("int16")))),
    "REDUCE_MAX": Versions("1.11 1.14 2.5", _BY_SIZE),
    "REDUCE_MIN": Versions("1.11 1.14 2.5", _BY_SIZE),
    "RELU": Versions("1.5 2.1 2.5", ((3, _INT16), (2, _BYTES))),
    "RELU6": Versions("1.5 1.14 2.5", _BY_SIZE),
    "RESHAPE": Versions("1.5"),
    "RESIZE_BILINEAR": Versions("1.7 1.14 2.2 2.5", (
        (4, _INT16), (3, _option("halfPixelCenters")), (2, _INT8))),
    "RESIZE_NEAREST_NEIGHBOR": Versions("1.13.1 1.14 2.3 2.4", (
        (4, _INT16), (3, _option("halfPixelCenters", "alignCorners")), (2, _INT8))),
    "ROUND": Versions("1.14"),
    "RSQRT": Versions("1.10 2.5 2.15", _BY_SIZE),
    "SELECT": Versions("1.14 1.14 2.12 2.12", (
        (4, _takes("uint32")), (3, _rank_above(4)), (2, _INT8))),
    "SELECT_V2": Versions("2.2 2.12", ((2, _takes("uint32")),)),
    "SHAPE": Versions("1.10"),
    "SIGN": Versions("2.11 2.12", ((2, _takes("int32")),)),
    "SIN": Versions("1.9"),
    "SLICE": Versions("1.14 1.14 1.14 2.4 2.5 2.14 2.21", (
        (7, _takes("int4")), (6, _takes("uint32")), (5, lambda op: _rank(op) > 4),
        (4, _INT16), (3, _takes("string")), (2, _INT8))),
    "SOFTMAX": Versions("1.5 1.14 2.3", _BY_SIZE),
    "SPACE_TO_BATCH_ND": Versions("1.6 1.14 2.3 2.12", (
        (4, _INT16), (3, lambda op: _rank(op) != 4), (2, _INT8))),
    "SPACE_TO_DEPTH": Versions("1.5 1.14", ((2, _INT8),)),
    "SPLIT": Versions("1.5 1.14 1.14 2.3", (
        (4, _takes("int16", at=1)), (3, _takes("int32", at=1)), (2, _takes("int8", at=1)))),
    "SPLIT_V": Versions("1.13.1 2.3", ((2, _INT8),)),
    "SQRT": Versions("1.10 2.21", ((2, _SHORT),)),
    "SQUARE": Versions("1.12"),
    "SQUARED_DIFFERENCE": Versions("1.13.1 2.5", ((2, _INT8),)),
    "SQUEEZE": Versions("1.6 2.5", ((2, _takes("string")),)),
    "STRIDED_SLICE": Versions("1.6 1.14 2.1 2.2 2.5 2.6 2.14 2.14", (
        (8, _option("offset")), (7, _takes("uint32")), (6, _option("ellipsisMask", "newAxisMask")),
        (5, _takes("string")), (4, lambda op: _rank(op) > 4), (3, _takes("bool")),
        (2, _INT8))),
    "SUB": Versions("1.6 1.14 2.3 2.4 2.4", (
        (5, _all(_INT16, _not(_option("potScaleInt16")))), (4, _takes("int64")),
        (3, _MANY_DIMENSIONS), (2, _INT8))),
    "SUM": Versions("1.10 1.15", ((2, _INT8),)),
    "TANH": Versions("1.14 1.14 2.3", _BY_SIZE),
    "TILE": Versions("1.10.1 2.2 2.8", ((3, _INT8), (2, _takes("string")))),
    "TOPK_V2": Versions("1.7 1.14 2.13", _BY_SIZE),
    "TRANSPOSE": Versions("1.6 1.14 1.15 2.3 2.4 2.12 2.15 2.22", (
        (8, _rank_above(6)), (7, _takes("int4")), (6, _rank_above(5)), (5, _INT16),
        (4, _rank_above(4)), (3, _takes("bool")), (2, _INT8))),
    # The first input is the shape of the output, the second the weights.
    "TRANSPOSE_CONV": Versions("1.9 2.2 2.3 2.13 2.15", (
        (5, _all(_takes("int16", at=2), _option("quantizedBiasType"))),
        (4, _option("fusedActivationFunction")), (3, lambda op: _operand(op, 3) is not None),
        (2, _takes("int8", at=1)))),
    "UNPACK": Versions("1.11 1.14 2.2 2.3 2.22", (
        (2, _BYTES), (3, _takes("bool")), (4, _INT16), (5, _takes("float16")))),
}
