"""Widened convolutions compute the same integers, and are those that cost less."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import assets
from efld_tf.exporting import flatbuffer, kernels, widen
from efld_tf.exporting.kernels import KERNELS, Shape
from efld_tf.exporting.widen import Cells
from efld_tf.runtime import golden, graph
from tests.errors import refuses

INT8, INT32 = schema.TensorType.INT8, schema.TensorType.INT32
SAME, VALID = schema.Padding.SAME, schema.Padding.VALID


def convolution(
    size: tuple[int, int], channels: int, filters: int, kernel: tuple[int, int],
    strides: tuple[int, int] = (1, 1), padding: int = SAME, seed: int = 0,
) -> schema.ModelT:
    """A model of one convolution of int8 with ReLU, a scale for each filter."""
    rng, tree, main = np.random.default_rng(seed), schema.ModelT(), schema.SubGraphT()
    tree.version, tree.buffers, tree.subgraphs = 3, [schema.BufferT()], [main]
    tree.operatorCodes, main.tensors = [], []

    def tensor(shape, kind, scales, zero=0, data=None) -> int:
        one = schema.TensorT()
        one.shape, one.type, one.name = np.array(shape, np.int32), kind, b"t%d" % len(main.tensors)
        one.buffer = 0
        if data is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(data.tobytes(), np.uint8)
            tree.buffers.append(buffer)
            one.buffer = len(tree.buffers) - 1
        one.quantization = schema.QuantizationParametersT()
        one.quantization.scale = np.array(scales, np.float32)
        one.quantization.zeroPoint = np.full(len(scales), zero, np.int64)
        main.tensors.append(one)
        return len(main.tensors) - 1

    scales = rng.uniform(0.002, 0.01, filters)
    sides = [math.ceil(n / s) if padding == SAME else (n - k) // s + 1
             for n, k, s in zip(size, kernel, strides, strict=True)]
    image = tensor([1, *size, channels], INT8, [0.02], zero=-7)
    weights = rng.integers(-127, 128, (filters, *kernel, channels)).astype(np.int8)
    main.inputs = np.array([image], np.int32)
    inputs = [image, tensor(weights.shape, INT8, scales, data=weights), tensor(
        [filters], INT32, 0.02 * scales, data=rng.integers(-900, 900, filters).astype(np.int32))]
    output = tensor([1, *sides, filters], INT8, [0.03], zero=-128)
    main.outputs = np.array([output], np.int32)
    code, operator = schema.OperatorCodeT(), schema.OperatorT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CONV_2D
    code.version = 3
    tree.operatorCodes.append(code)
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = np.array(inputs, np.int32), np.array([output], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.Conv2DOptions
    options = operator.builtinOptions = schema.Conv2DOptionsT()
    options.padding, options.strideH, options.strideW = padding, *strides
    options.dilationHFactor = options.dilationWFactor = 1
    options.fusedActivationFunction = schema.ActivationFunctionType.RELU
    main.operators = [operator]
    return tree


def result(tree: schema.ModelT, image: np.ndarray) -> np.ndarray:
    """By the built-in kernels, which compute every operator exactly as the format says."""
    interpreter = Interpreter(
        model_content=flatbuffer.write(tree),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


@given(
    height=st.integers(1, 7), columns=st.integers(1, 16), channels=st.integers(1, 5),
    filters=st.integers(1, 5), high=st.integers(1, 4), width=st.integers(1, 9),
    strides=st.tuples(st.integers(1, 2), st.integers(1, 3)), seed=st.integers(0, 99),
)
def test_any_cells_give_the_same_integers(
    height, columns, channels, filters, high, width, strides, seed
) -> None:
    size = height, columns
    padding = VALID if width == 1 and high <= height and seed % 2 else SAME
    made = (size, channels, filters, (high, width), strides, padding, seed)
    image = np.random.default_rng(seed).integers(-128, 128, (1, *size, channels)).astype(np.int8)
    expected = result(convolution(*made), image)
    (found,) = widen.convolutions(convolution(*made)).values()
    choices = found.choices
    assert choices[Cells()] == Shape(math.prod(expected.shape[1:3]), filters, high * width,
                                     channels)
    for cells, shape in choices.items():
        tree = convolution(*made)
        (found,) = widen.convolutions(tree).values()
        operators = tree.subgraphs[0].operators = found.widened(cells)
        np.testing.assert_array_equal(result(tree, image), expected)
        assert len(operators) == 1 + (cells.source > 1) + (cells.target > 1)
        wide = graph.parse(flatbuffer.write(tree)).operators[cells.source > 1]
        assert math.prod(wide.output_shapes[0]) == shape.pixels * shape.filters
        assert math.prod(wide.inputs[1].shape) == shape.filters * shape.taps * shape.channels


def test_these_cells_there_are() -> None:
    """By hand: a row of 8, 3 wide, padded by one pixel on each side."""
    (found,) = widen.convolutions(convolution((8, 8), 4, 4, (3, 3))).values()
    # Two results look at four pixels, which begin before the first of a cell: three cells of two.
    assert found.choices[Cells(2, 2)] == Shape(32, 8, 9, 8, 2 * 256)
    assert found.choices[Cells(1, 2)] == Shape(32, 8, 12, 4, 256)
    # Four look at six.
    assert found.choices[Cells(1, 4)] == Shape(16, 16, 18, 4, 256)
    assert found.choices[Cells(2, 4)] == Shape(16, 16, 12, 8, 2 * 256)
    assert Cells(2, 1) not in found.choices  # every other result would begin within a cell


def test_the_shipped_stem_and_small_convolutions_are_widened() -> None:
    """With the same output, to the last bit, on the golden image."""
    shipped, image, _ = assets.INT8_MODEL.read_bytes(), *golden.read(assets.INT8_MODEL)[1:]
    tree = flatbuffer.read(shipped)
    plain = max(len(one.kernel) for one in widen.convolutions(tree).values()
                if one.source[1:] == (64, 64, 4)) == 4
    if not plain:
        pytest.fail("the shipped model is widened: take an export that is not")
    assert widen.widen(tree) >= 4
    flatbuffer.join_reshapes(tree)
    outputs = [result(flatbuffer.read(shipped), image), result(tree, image)]
    np.testing.assert_array_equal(*outputs)
    assert widen.widen(tree) == 0


@pytest.mark.parametrize(("made", "why"), [
    (((6, 6), 4, 4, (3, 3), (1, 1), VALID), "its result is not as wide as it"),
    (((6, 5), 4, 4, (3, 3)), "an odd width"),
    (((8, 8), 64, 64, (3, 3)), "its kernels are full"),
])
def test_these_stay(made: tuple, why: str) -> None:
    tree = convolution(*made)
    assert widen.widen(tree) == 0 and len(tree.subgraphs[0].operators) == 1, why


def test_a_kernel_that_is_read_twice_stays() -> None:
    """The layer is called twice: what one call widened, the other would take as it is."""
    tree = convolution((8, 8), 4, 4, (3, 3))
    main = tree.subgraphs[0]
    (first,), (output,) = main.operators, map(int, main.outputs)
    (alone,) = widen.convolutions(tree).values()
    assert alone.best() != Cells()
    second = copy.copy(first)
    second.inputs = np.array([output, *first.inputs[1:]], np.int32)
    last = flatbuffer.reshaped(tree, output, main.tensors[output].shape)
    second.outputs, main.outputs = np.array([last], np.int32), np.array([last], np.int32)
    main.operators.append(second)
    image = np.random.default_rng(0).integers(-128, 128, (1, 8, 8, 4)).astype(np.int8)
    expected = result(tree, image)
    assert widen.widen(tree) == 0
    np.testing.assert_array_equal(result(tree, image), expected)


def test_kernels_grow_within_bounds() -> None:
    """Beyond what the costs were fitted to, nothing is known of them."""
    for made in (((8, 8), 1, 33, (1, 1)), ((16, 16), 512, 1, (3, 3), (2, 2)),
                 ((32, 32), 3, 18, (1, 1)), ((32, 32), 4, 4, (3, 3))):
        tree = convolution(*made)
        (before,) = (one.kernel.size for one in widen.convolutions(tree).values())
        widen.widen(tree)
        (wide,) = widen.convolutions(tree).values()
        assert len(wide.kernel) <= max(widen.MOST_FILTERS, made[2])
        assert wide.kernel.size <= min(widen.MOST_TIMES * before, before + widen.MOST_BYTES)


def test_an_image_that_is_not_quantised_first_is_refused() -> None:
    """Its type would change for a layer that takes another one."""
    with refuses("image", "float"):
        flatbuffer.take_integer_pixels(convolution((8, 8), 4, 4, (3, 3)), "image")


def test_a_computed_kernel_stays() -> None:
    tree = convolution((8, 8), 4, 4, (3, 3))
    (operator,) = tree.subgraphs[0].operators
    tree.buffers[tree.subgraphs[0].tensors[int(operator.inputs[1])].buffer].data = None
    assert widen.widen(tree) == 0


def test_a_convolution_without_a_bias_stays() -> None:
    for inputs in (slice(2), None):
        tree = convolution((8, 8), 4, 4, (3, 3))
        (operator,) = tree.subgraphs[0].operators
        operator.inputs = operator.inputs[inputs] if inputs else np.array(
            [*operator.inputs[:2], -1], np.int32)
        assert widen.widen(tree) == 0


def test_the_cost_is_what_was_counted() -> None:
    """Instructions of the shipped model's convolutions, of what all of it takes."""
    wholes = {"cortex-a72": 6_406_171, "cortex-a76": 2_905_892, "neoverse-v1": 3_015_325}
    counted = {
        Shape(4096, 12, 9, 3): (2_197_772, 585_996, 731_404),
        Shape(4096, 4, 9, 4): (1_148_601, 575_161, 721_085),
        Shape(1024, 8, 9, 8): (290_166, 189_301, 184_411),
        Shape(1024, 8, 9, 16): (404_573, 285_789, 233_027),
        Shape(256, 16, 9, 32): (346_260, 115_541, 85_247),
        Shape(64, 256, 1, 80): (395_586, 133_953, 103_474),
    }
    for shape, instructions in counted.items():
        for (core, whole), number in zip(wholes.items(), instructions, strict=True):
            found = KERNELS[core].cost(shape) * whole / 1e6
            assert found == pytest.approx(number, rel=0.3), (core, shape)


def test_the_costs_are_those_that_were_fitted() -> None:
    path = Path(__file__).parents[2] / "benchmarks" / "widening" / "results.json"
    fitted = json.loads(path.read_text())["kernels"]
    parts = "of_piece", "of_tap", "of_tile", "of_byte"
    assert {name: [getattr(kernel, part) for part in parts] for name, kernel in KERNELS.items()} \
        == {name: [kernel[part] for part in parts] for name, kernel in fitted.items()}


def test_processors_want_different_cells() -> None:
    """Kernels for 8 channels at a time, with which 8 channels are no few."""
    (found,) = widen.convolutions(convolution((32, 32), 8, 8, (3, 3))).values()
    assert found.best(["cortex-a72"]) == found.best(["avx2"]) == Cells()
    assert found.best(["cortex-a76"]) == Cells(1, 2)


def test_alike_processors_are_asked_once() -> None:
    assert kernels.check(["neoverse-n1", "avx2", "cortex-a76"]) == ("cortex-a76", "avx2")


def test_reshapes_of_reshapes_are_left_out() -> None:
    tree = convolution((4, 8), 2, 2, (1, 1))
    main = tree.subgraphs[0]
    (output,) = map(int, main.outputs)
    first = flatbuffer.reshaped(tree, output, (1, 8, 8))
    second = flatbuffer.reshaped(tree, output, (1, 64))
    main.operators += [flatbuffer.reshape(tree, output, first),
                       flatbuffer.reshape(tree, first, second)]
    main.outputs = np.array([second], np.int32)
    flatbuffer.join_reshapes(tree)
    assert [op.name for op in graph.parse(flatbuffer.write(tree)).operators] == [
        "CONV_2D", "RESHAPE"]
    image = np.random.default_rng(0).integers(-128, 128, (1, 4, 8, 2)).astype(np.int8)
    assert result(tree, image).shape == (1, 64)
