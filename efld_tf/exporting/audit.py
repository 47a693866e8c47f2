"""Checks the operators, types and shapes of a `.tflite` against what its mode promises."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ai_edge_litert.interpreter import Interpreter

from efld_tf.errors import DataError, EfldError
from efld_tf.exporting import onnx_audit
from efld_tf.exporting.modes import Mode
from efld_tf.landmarks import model_outputs
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime import graph, onnx_file, versions
from efld_tf.runtime.onnx_interpreter import SUFFIX

# These operators may follow the integer part of an integer model, in float: the decoding of the
# points, with whole numbers for the places of the best scores, and the sigmoid of a confidence. A
# layer of int8 weights that gives the points as a vector, without an output grid, may be there too.
DECODING = frozenset({
    "ADD", "ARG_MAX", "CAST", "CONCATENATION", "DIV", "FLOOR_DIV", "FLOOR_MOD", "GATHER",
    "MAXIMUM", "MINIMUM", "MUL", "PACK", "RELU", "RESHAPE", "SIGN", "SOFTMAX", "SUB", "SUM",
    "TRANSPOSE",
})
MOST_LISTED = 5  # operators that a message names
FLOAT_TAIL = DECODING | {"DEQUANTIZE", "LOGISTIC"}


class Facts(NamedTuple):
    """What an audit tells of a file of any format.

    Attributes:
      operators, types: how many of each it has.
      macs: multiply-accumulates of one run.
      minimum_runtime: the oldest TensorFlow Lite that can run it, or the version of ONNX's
        operators.
    """

    operators: dict[str, int]
    types: dict[str, int]
    macs: int
    minimum_runtime: str


def facts(path: Path, mode: Mode) -> Facts:
    """Checks a file of any format; errors as in `check`."""
    if onnx_file.is_onnx(path):
        found = onnx_audit.check(path, mode)
        return Facts(found.operators, found.types, found.total_macs, f"opset {found.opset}")
    model_graph = check(path, mode)
    return Facts(operator_counts(model_graph), type_counts(model_graph), model_graph.total_macs,
                 versions.minimum_runtime(model_graph))


def runtimes(minimum: str, suffix: str) -> str:
    """The runtimes that can run a model, in words."""
    if suffix == SUFFIX:
        return f"ONNX Runtime and others that have ONNX's {minimum}"
    if suffix != ".tflite":
        return f"Core ML of {minimum} and newer"
    return f"TensorFlow Lite {minimum} and newer, and LiteRT"


def check(path: str | Path, mode: Mode) -> graph.Graph:
    """Checks a model against the promises of its mode.

    A model has to have:
      - builtin operators and static shapes only;
      - a uint8 image as input, float32 points as output, and perhaps a confidence and depths;
      - DEQUANTIZE, which divides the pixels by 255, as its first operator, or QUANTIZE where they
        become integers at once;
      - results and weights of the mode's types, except in the tail of an integer model
        (`FLOAT_TAIL`), and for what chooses places, and these (int32);
      - versions and a minimum runtime, so that older runtimes refuse what they cannot compute;
      - one partition of XNNPACK, if the mode promises that, for all before the choice of those
        places; and one for the layers with weights that follow a choice, if a network has such a
        further stage, and for what is between them.

    Returns:
      The graph of the model.

    Raises:
      DataError: a promise does not hold; the message says which.
    """
    model_graph = graph.read(path)
    _check_builtin_and_static(model_graph, path)
    _check_ends(model_graph, path)
    _check_types(model_graph, path, mode)
    _check_versions(model_graph, path)
    if mode.one_partition:
        _check_partitions(model_graph, path)
    return model_graph


def tail_of(model_graph: graph.Graph) -> list[graph.Operator]:
    """The operators of an integer model after its last quantised values; empty without those."""
    outputs = [tensor for operator in model_graph.operators for tensor in operator.outputs]
    integers = [tensor for tensor in outputs if tensor.dtype in ("int8", "int16")]
    before = graph.leading_to(model_graph, integers)
    needed = graph.leading_to(model_graph, model_graph.outputs)
    return [op for op in model_graph.operators if integers and op.index in needed - before]


def stages(model_graph: graph.Graph) -> list[set[int]]:
    """The operators that XNNPACK should have, by their indices: those of a partition each.

    The first stage is all before a choice of places (`graph.chooses`). A further one is the layers
    with weights after as many choices, and what is between them: how the places are used before
    the first of them, and after the last, is not for XNNPACK.
    """
    choices = _choices_before(model_graph)
    found = [{index for index, count in choices.items() if not count}]
    for count in range(1, max(choices.values(), default=0) + 1):
        weighted = [op for op in model_graph.operators
                    if op.name in graph.WEIGHTED and choices.get(op.index) == count]
        after = graph.depending_on(model_graph, [t for op in weighted for t in op.outputs])
        before = graph.leading_to(model_graph, [t for op in weighted for t in op.inputs if t])
        between = {index for index in after & before if choices[index] == count}
        if weighted:
            found.append(between | {op.index for op in weighted})
    return found


def _before_choices(model_graph: graph.Graph) -> list[graph.Operator]:
    """The operators in float from which places are chosen, also where a further stage follows."""
    read = {t.index for op in model_graph.operators if graph.chooses(op) for t in op.inputs if t}
    result = []
    for operator in reversed(model_graph.operators):  # they stand in the order of execution
        given = {tensor.index for tensor in operator.outputs}
        if given & read and set(operator.output_dtypes) == {"float32"}:
            result.append(operator)
            read.update(tensor.index for tensor in operator.inputs if tensor)
    return result


def _choices_before(model_graph: graph.Graph) -> dict[int, int]:
    """How many choices in turn lead to each operator, itself included, by its index."""
    counts: dict[int, int] = {}
    of_tensors: dict[int, int] = {}
    for operator in model_graph.operators:  # they stand in the order of execution
        count = max((of_tensors.get(t.index, 0) for t in operator.inputs if t), default=0)
        counts[operator.index] = count + graph.chooses(operator)
        of_tensors.update({t.index: counts[operator.index] for t in operator.outputs})
    return counts


def _check_partitions(model_graph: graph.Graph, path: str | Path) -> None:
    found = partitions(path, model_graph)
    for stage in stages(model_graph):
        most = max(found, key=lambda inside: len(inside & stage), default=set[int]())
        outside = [op for op in model_graph.operators if op.index in stage - most]
        if outside:
            raise DataError(path, f"outside XNNPACK's partition: {_listed(outside)}")


def partitions(path: str | Path, model_graph: graph.Graph) -> list[set[int]]:
    """XNNPACK's partitions: the indices of the operators in each.

    The others are left to the built-in kernels.

    Raises:
      DataError: the runtime cannot load the model.
    """
    try:
        with silenced_stderr():
            interpreter = Interpreter(model_path=str(path), num_threads=1)
            interpreter.allocate_tensors()
            # This is the only place where the runtime tells its partitions.
            nodes = interpreter._get_ops_details()
    except (ValueError, RuntimeError) as error:
        raise DataError(path, f"LiteRT cannot load it: {error}") from error
    available = {tensor.index for tensor in model_graph.tensors if tensor.constant}
    available |= {tensor.index for tensor in model_graph.inputs}
    producers = {t.index: op for op in model_graph.operators for t in op.outputs}
    result = []
    for node in nodes:
        if node["op_name"] != "DELEGATE":
            continue
        inside: set[int] = set()
        pending = [int(index) for index in node["outputs"]]
        borders = {int(index) for index in node["inputs"]} - available
        while pending:
            index = pending.pop()
            if index in borders or index not in producers or producers[index].index in inside:
                continue
            inside.add(producers[index].index)
            pending += [tensor.index for tensor in producers[index].inputs if tensor]
        result.append(inside)
    return result


def operator_counts(model_graph: graph.Graph) -> dict[str, int]:
    """How often each operator occurs."""
    return dict(sorted(Counter(operator.name for operator in model_graph.operators).items()))


def type_counts(model_graph: graph.Graph) -> dict[str, int]:
    """How many tensors have each type."""
    return dict(sorted(Counter(tensor.dtype for tensor in model_graph.tensors).items()))


def _check_versions(model_graph: graph.Graph, path: str | Path) -> None:
    """Checks that the model makes runtimes refuse it that cannot compute it."""
    for operator in model_graph.operators:
        try:
            needed = versions.needed(operator)
        except EfldError as error:
            raise DataError(path, str(error)) from error
        if operator.version < needed:
            raise DataError(
                path, f"{_listed([operator])} is marked version {operator.version} but needs "
                f"version {needed}: TensorFlow Lite before {versions.since(operator, needed)} "
                "computes something else instead of refusing it; export it again")
        if operator.deprecated_name != operator.expected_deprecated_name:
            raise DataError(
                path, f"{_listed([operator])} is {operator.deprecated_name} by its deprecated "
                "code, which older readers take; export it again")
    try:
        minimum_release = versions.minimum_runtime(model_graph)
        stated_release = model_graph.minimum_runtime
    except EfldError as error:
        raise DataError(path, str(error)) from error
    valid = versions.is_release(stated_release)
    if not valid or versions.as_numbers(stated_release) < versions.as_numbers(minimum_release):
        raise DataError(
            path, f"min_runtime_version: it needs TensorFlow Lite {minimum_release} and says "
            f"{stated_release!r}; export it again")


def _check_types(model_graph: graph.Graph, path: str | Path, mode: Mode) -> None:
    first, *remaining = model_graph.operators
    name, pixels = ("QUANTIZE", mode.activations) if mode.steps.integer_pixels \
        else ("DEQUANTIZE", "float32")
    if first.name != name or first.output_dtypes != (pixels,):
        raise DataError(path, f"expected {name} of the pixels first, got {_listed([first])}")
    integer = mode.calibrated
    places = [op for op in graph.after_choice(model_graph) if op.output_dtypes == ("int32",)]
    tail = tail_of(model_graph) if integer else []
    choosing = _before_choices(model_graph) if integer else []
    computed = {t.index for operator in tail for t in operator.outputs}
    ended = all(output.index in computed for output in model_graph.outputs)
    last = _of_last_layer(model_graph) if mode.steps.last == "int16" else []
    for operator in tail:
        input_dtypes = {t.dtype for t in operator.inputs if t and not t.constant}
        ended = ended and (operator.name == "DEQUANTIZE" or input_dtypes <= {"float32", "int32"})
    if integer and not ended:
        raise DataError(path, f"{mode.name}: its integers do not end in DEQUANTIZE")
    for operator in remaining:
        stored = _stored_weights(model_graph, operator)
        if stored and stored != mode.weights:
            raise DataError(path, f"{mode.name}: {_listed([operator])} has {stored} weights")
        in_tail = operator in tail or operator in choosing
        if in_tail and operator.name not in FLOAT_TAIL and not graph.gives_vector(operator):
            raise DataError(
                path, f"{mode.name}: {_listed([operator])} does not belong to a float tail")
        if operator in places:
            continue
        expected = "float32" if in_tail else \
            mode.steps.last if operator in last else mode.activations
        for dtype in operator.output_dtypes:
            if dtype != expected:
                raise DataError(path, f"{mode.name}: {_listed([operator])} gives {dtype}")


def _of_last_layer(model_graph: graph.Graph) -> list[graph.Operator]:
    """The last layer of the points, and what gives its input other numbers."""
    of_points = graph.leading_to(model_graph, model_graph.outputs[:1])
    weighted = [op for op in model_graph.operators if op.name in graph.WEIGHTED]
    before = graph.leading_to(model_graph, [t for op in weighted for t in op.inputs if t])
    layers = [op for op in weighted
              if op.index in of_points - before and graph.gives_vector(op)]
    read = {tensor.index for layer in layers for tensor in layer.inputs if tensor}
    return [op for op in model_graph.operators if op in layers or (
        op.name == "QUANTIZE" and op.outputs[0].index in read)]


def _stored_weights(model_graph: graph.Graph, operator: graph.Operator) -> str | None:
    """The type of an operator's weights in the file; None for an operator without weights."""
    if operator.name not in graph.WEIGHTED:
        return None
    weights = operator.inputs[1]
    if weights is None:
        return None
    for unpacking in model_graph.operators:
        if unpacking.name == "DEQUANTIZE" and weights in unpacking.outputs:
            return unpacking.input_dtypes[0]
    return weights.dtype


def _check_builtin_and_static(model_graph: graph.Graph, path: str | Path) -> None:
    if any(operator.subgraph for operator in model_graph.operators):
        raise DataError(path, "expected one graph, found others beside it")
    for operator in model_graph.operators:
        if not operator.builtin:
            raise DataError(path, f"{_listed([operator])} is not a builtin")
        missing = operator.name in graph.WEIGHTED and None in (*operator.inputs, None, None)[:2]
        if not operator.outputs or missing:
            raise DataError(path, f"{_listed([operator])} lacks an input or an output")
    for tensor in model_graph.tensors:
        if None in tensor.shape:
            raise DataError(path, f"tensor {tensor.name} has no static shape")


def _check_ends(model_graph: graph.Graph, path: str | Path) -> None:
    """Checks the contract: one uint8 image in, `model_outputs.places` of float32 out."""
    if len(model_graph.inputs) != 1 or not model_graph.outputs or not model_graph.operators:
        raise DataError(path, "expected one input, and outputs and operators; got "
                              f"{len(model_graph.inputs)} inputs, {len(model_graph.outputs)} "
                              f"outputs, {len(model_graph.operators)} operators")
    image = model_graph.inputs[0]
    if image.dtype != "uint8" or len(image.shape) != 4 or image.shape[0] != 1 \
            or image.shape[3] != 3:
        raise DataError(path, "expected an input [1, S, S, 3] of uint8, got "
                              f"{(image.dtype, image.shape)}")
    for output in model_graph.outputs:
        if output.dtype != "float32":
            raise DataError(path, f"expected outputs of float32, got {output.dtype}")
    try:
        model_outputs.places([output.shape for output in model_graph.outputs])
    except EfldError as error:
        raise DataError(path, str(error)) from error


def _listed(operators: list[graph.Operator]) -> str:
    listed = ", ".join(f"operator {op.index} ({op.name})" for op in operators[:MOST_LISTED])
    more = len(operators) - MOST_LISTED
    return f"{listed} and {more} more" if more > 0 else listed
