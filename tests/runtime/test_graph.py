"""Multiply-accumulates against numbers worked out by hand, and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.errors import DataError
from efld_tf.runtime import graph
from tests import tiny_models
from tests.errors import assert_refusal, refuses


def _weights(*shape: int):
    import tensorflow as tf

    return tf.constant(np.random.default_rng(0).random(shape), tf.float32)


def _conv(x):
    import tensorflow as tf

    return tf.nn.conv2d(x, _weights(3, 3, 3, 5), 2, "SAME")


def _grouped_conv(x):
    import tensorflow as tf

    return tf.nn.conv2d(x, _weights(3, 3, 2, 6), 1, "SAME")


def _depthwise(x):
    import tensorflow as tf

    return tf.nn.depthwise_conv2d(x, _weights(3, 3, 4, 2), (1, 2, 2, 1), "VALID")


def _dense(x):
    import tensorflow as tf

    return tf.matmul(x, _weights(7, 5))


def _transpose_conv(x):
    import tensorflow as tf

    return tf.nn.conv2d_transpose(x, _weights(3, 3, 5, 4), (1, 8, 8, 5), 2, "SAME")


def _matmul(a, b):
    import tensorflow as tf

    return tf.matmul(a, b)


def _matmul_left_transposed(a, b):
    import tensorflow as tf

    return tf.matmul(a, b, transpose_a=True)


def _matmul_right_transposed(a, b):
    import tensorflow as tf

    return tf.matmul(a, b, transpose_b=True)


@pytest.mark.parametrize(
    ("name", "function", "shapes", "expected"),
    [
        # Output values x the products that each takes.
        ("CONV_2D", _conv, [(1, 8, 8, 3)], (4 * 4 * 5) * (3 * 3 * 3)),
        # Two groups of 2 channels each.
        ("CONV_2D", _grouped_conv, [(1, 8, 8, 4)], (8 * 8 * 6) * (3 * 3 * 2)),
        ("DEPTHWISE_CONV_2D", _depthwise, [(1, 9, 9, 4)], (4 * 4 * 8) * (3 * 3)),
        ("FULLY_CONNECTED", _dense, [(3, 7)], (3 * 5) * 7),
        # Input values x the products that each goes into.
        ("TRANSPOSE_CONV", _transpose_conv, [(1, 4, 4, 4)], (4 * 4 * 4) * (3 * 3 * 5)),
        ("BATCH_MATMUL", _matmul, [(2, 3, 4), (2, 4, 5)], (2 * 3 * 5) * 4),
        ("BATCH_MATMUL", _matmul_left_transposed, [(2, 4, 3), (2, 4, 5)], (2 * 3 * 5) * 4),
        ("BATCH_MATMUL", _matmul_right_transposed, [(2, 3, 4), (2, 5, 4)], (2 * 3 * 5) * 4),
    ],
)
def test_each_operator_against_a_hand_count(tmp_path, name, function, shapes, expected):
    path = tmp_path / "op.tflite"
    path.write_bytes(tiny_models.convert(function, shapes))
    operators = graph.operators(path)
    assert [(op.name, op.macs) for op in operators if op.macs] == [(name, expected)]
    assert name in [op.name for op in operators]


def test_the_int8_network_against_a_hand_count(int8_model):
    found = graph.read(int8_model)
    assert found.total_macs == graph.total_macs(int8_model) == tiny_models.TINY_MACS
    counted = {op.name: op for op in found.operators}
    assert counted["DEPTHWISE_CONV_2D"].macs == 4 * 4 * 4 * 9
    assert counted["FULLY_CONNECTED"].output_shapes == ((1, 10),)
    assert counted["CONV_2D"].output_dtypes == ("int8",)
    assert counted["CONV_2D"].input_dtypes == ("int8", "int8", "int32")
    assert counted["QUANTIZE"].input_dtypes == ("uint8",)
    assert [(t.dtype, t.shape) for t in found.inputs] == [("uint8", (1, 16, 16, 3))]
    assert [(t.dtype, t.shape) for t in found.outputs] == [("float32", (1, 5, 2))]
    filters = counted["CONV_2D"].inputs[1]
    assert filters.constant and not found.inputs[0].constant


def test_float_and_int8_count_the_same(float_model, int8_model):
    assert graph.total_macs(float_model) == graph.total_macs(int8_model)


def test_a_dynamic_shape_is_refused_only_where_it_counts(tmp_path):
    import tensorflow as tf

    path = tmp_path / "dynamic.tflite"
    path.write_bytes(tiny_models.convert(_conv, [(None, 8, 8, 3)]))
    with refuses("operator 0 (CONV_2D)", "[?, 4, 4, 5]", path=path):
        graph.read(path)
    path.write_bytes(tiny_models.convert(lambda x: tf.nn.relu(x), [(None, 8)]))
    assert graph.total_macs(path) == 0
    assert graph.operators(path)[0].output_shapes == ((None, 8),)


def test_files_that_are_no_models_are_refused(tmp_path):
    path = tmp_path / "m.tflite"
    for content in (b"", b"TFL3", b"PK\x03\x04" * 100):
        path.write_bytes(content)
        with refuses("TFL3", path=path):
            graph.read(path)
    for missing, reason in ((tmp_path / "none.tflite", "No such file"), (tmp_path, "directory")):
        with refuses("model", reason, path=missing):
            graph.read(missing)
    path.write_bytes(b"\x08\0\0\0TFL3" + bytes(100))
    with refuses("without a graph", path=path):
        graph.read(path)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda model: model.subgraphs.clear(), "without a graph"),
        (lambda model: model.operatorCodes.clear(), "list index"),
        (lambda model: setattr(model.subgraphs[0], "inputs", np.array([-2], np.int32)),
         "tensor -2"),
        (lambda model: setattr(model.subgraphs[0].operators[1], "inputs", None), "tuple index"),
        (lambda model: setattr(model.subgraphs[0].operators[1], "outputs", None), "tuple index"),
        (lambda model: setattr(model.subgraphs[0].operators[1], "opcodeIndex", 99), "list index"),
        (lambda model: setattr(model.subgraphs[0].tensors[0], "type", 99), "KeyError: 99"),
        (lambda model: setattr(model.subgraphs[0].tensors[9], "shape", None),
         "operator 1 (CONV_2D) has an operand of shape ()"),
        (lambda model: setattr(model.subgraphs[0].tensors[9], "buffer", 999), "list index"),
    ],
)
def test_inconsistent_models_are_refused(tmp_path, edit, reason):
    path = tmp_path / "m.tflite"
    path.write_bytes(tiny_models.edited(tiny_models.tiny_int8(), edit))
    with refuses(reason, path=path):
        graph.read(path)


@given(st.floats(0, 1, exclude_max=True))
def test_a_truncated_model_is_refused(tmp_path: Path, share):
    content = tiny_models.tiny_int8()
    path = tmp_path / "cut.tflite"
    path.write_bytes(content[: int(share * len(content))])
    with refuses("TFLite model", path=path):
        graph.read(path)


@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 7)), min_size=1))
def test_flipped_bits_never_end_in_a_traceback(tmp_path: Path, flips):
    content = bytearray(tiny_models.tiny_int8())
    for place, bit in flips:
        content[int(place * len(content))] ^= 1 << bit
    path = tmp_path / "flipped.tflite"
    path.write_bytes(content)
    try:
        assert graph.total_macs(path) >= 0
    except DataError as error:
        assert_refusal(error, path=path)
