"""Operator versions are those that TensorFlow's own converter gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.lite.python.convert import mlir_sparsify

from efld_tf.exporting import flatbuffer, modes, quantise, ranges
from efld_tf.runtime import graph, versions
from tests import tiny_models
from tests.errors import refuses

SIDE, CHANNELS = 8, 4
KERNEL = tf.constant(np.random.default_rng(0).normal(size=(3, 3, CHANNELS, 8)), tf.float32)
DEPTHWISE = tf.constant(np.random.default_rng(1).normal(size=(3, 3, CHANNELS, 1)), tf.float32)
GROUPED = tf.constant(np.random.default_rng(2).normal(size=(3, 3, 2, 8)), tf.float32)
DENSE = tf.constant(np.random.default_rng(3).normal(size=(SIDE * SIDE * CHANNELS, 10)), tf.float32)


def flat(x):
    return tf.reshape(x, [1, SIDE * SIDE * CHANNELS])


# What a network of landmarks may hold, one kind of operator after another.
FUNCTIONS = {
    "arg_max": lambda x: tf.argmax(flat(x), axis=1, output_type=tf.int32),
    "arithmetic": lambda x: (x + 1.5) * x - x / 2.0,
    "arithmetic in five dimensions": lambda x: tf.maximum(
        x[:, None], x[:, :, None]) - x[:, None] * 3.0,
    "batch_matmul": lambda x: tf.matmul(x, x, transpose_b=True),
    "cast": lambda x: tf.cast(tf.cast(x, tf.int32) // 3 % 2, tf.float32),
    "concatenation": lambda x: tf.concat([x, tf.nn.relu(x)], axis=3),
    "conv": lambda x: tf.nn.relu6(tf.nn.conv2d(x, KERNEL, 2, "SAME") + 1.0),
    "conv in groups": lambda x: tf.nn.conv2d(x, GROUPED, 1, "SAME"),
    "dense": lambda x: tf.matmul(flat(x), DENSE) + tf.range(10.0),
    "dense without bias": lambda x: tf.matmul(flat(x), DENSE),
    "depth_to_space": lambda x: tf.nn.space_to_depth(tf.nn.depth_to_space(x, 2), 2),
    "depthwise": lambda x: tf.nn.depthwise_conv2d(x, DEPTHWISE, [1, 1, 1, 1], "SAME"),
    "dilated": lambda x: tf.nn.depthwise_conv2d(
        x, DEPTHWISE, [1, 1, 1, 1], "SAME", dilations=[2, 2]),
    "gather": lambda x: tf.gather(x, tf.constant([[3, 1]]), axis=1, batch_dims=1),
    "gather_nd": lambda x: tf.gather_nd(x, [[0, 1, 2, 3], [0, 3, 2, 1]]),
    "gelu": tf.nn.gelu,
    "hard_swish": lambda x: x * tf.nn.relu6(x + 3) * (1 / 6),
    "leaky_relu": tf.nn.leaky_relu,
    "minimum": lambda x: tf.abs(tf.minimum(-x, tf.nn.elu(x))),
    "pack": lambda x: tf.stack(tf.unstack(x, axis=1), axis=2),
    "pad": lambda x: tf.pad(tf.pad(x, [[0, 0], [1, 1], [2, 2], [0, 0]], "REFLECT"),
                            [[0, 0], [1, 0], [0, 1], [0, 0]]),
    "pad with a value": lambda x: tf.pad(x, [[0, 0], [1, 0], [0, 1], [0, 0]], constant_values=2.0),
    "pools": lambda x: tf.nn.avg_pool2d(x, 2, 2, "SAME") + tf.nn.max_pool2d(x, 2, 2, "SAME"),
    "reductions": lambda x: tf.reduce_mean(x, [1, 2]) + tf.reduce_sum(x, [1, 2])
    + tf.reduce_max(x, [1, 2]) - tf.reduce_min(x, [1, 2]),
    "resize": lambda x: tf.image.resize(x, [16, 16]),
    "resize, aligned": lambda x: tf.compat.v1.image.resize_bilinear(x, [16, 16]),
    "resize, nearest": lambda x: tf.image.resize(x, [16, 16], "nearest"),
    "functions": lambda x: tf.sin(tf.sqrt(tf.square(x))) + tf.cos(tf.math.rsqrt(tf.exp(x)))
    + tf.math.log(x + 1) ** 1.5,
    "select": lambda x: tf.where((x > 0) & (x <= 2) | ~(x < 1), x, tf.floor(x)),
    "comparisons": lambda x: tf.where((x >= 0) | (x == 2) & (x != x), x, tf.math.ceil(x)),
    "sign": lambda x: tf.sign(tf.cast(x, tf.int32)),
    "slice": lambda x: tf.slice(x, [0, 1, 1, 0], [1, 2, 3, 4]),
    "softmax": lambda x: tf.tanh(tf.nn.softmax(x)) * tf.sigmoid(x),
    "split": lambda x: tf.add_n(tf.split(x, 4, axis=3)),
    "squared_difference": lambda x: tf.math.squared_difference(x, tf.round(x)),
    "strided slice": lambda x: x[:, ::2, 1:, 1:3],
    "strided slice in five dimensions": lambda x: tf.reshape(x, [1, 2, 4, 8, 4])[:, :, 1:, ::2],
    "tile": lambda x: tf.tile(x, [1, 2, 1, 1]),
    "topk": lambda x: tf.nn.top_k(x, 2)[0],
    "transpose": lambda x: tf.transpose(x, [0, 3, 1, 2]),
    "transpose in six dimensions": lambda x: tf.transpose(
        tf.reshape(x, [1, 2, 4, 2, 4, 4]), [0, 1, 3, 2, 5, 4]),
    "transposed conv": lambda x: tf.nn.conv2d_transpose(
        x, tf.transpose(KERNEL, [0, 1, 3, 2]), [1, 16, 16, 8], 2),
    "transposed conv, fused": lambda x: tf.nn.relu(tf.nn.conv2d_transpose(
        x, tf.transpose(KERNEL, [0, 1, 3, 2]), [1, 16, 16, 8], 2) + tf.range(8.0)),
}


# Integer operators of later releases than the TensorFlow that writes here, with their versions.
LATER = {"SQRT": 2}


def largest_versions(found: graph.Graph, of) -> dict[str, int]:
    result: dict[str, int] = {}
    for operator in found.operators:
        result[operator.name] = max(result.get(operator.name, 0), of(operator))
    return result


def float_model(name: str) -> bytes:
    return tiny_models.convert(FUNCTIONS[name], [(1, SIDE, SIDE, CHANNELS)])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float_versions_are_those_that_tensorflow_wrote(name: str) -> None:
    found = graph.parse(float_model(name))
    assert largest_versions(found, versions.needed) == largest_versions(found, lambda o: o.version)
    assert versions.minimum_runtime(found) == found.minimum_runtime


@pytest.mark.parametrize("mode", ["int8", "dynamic"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_integer_versions_are_those_that_tensorflow_writes(name: str, mode: str) -> None:
    """TensorFlow reads what the quantiser made and writes it again, with its versions."""
    content = float_model(name)
    if mode == "dynamic":
        content = quantise.to_dynamic(content, {}, modes.DYNAMIC.steps)
    else:
        crops = np.random.default_rng(4).integers(0, 256, (2, SIDE, SIDE, CHANNELS), np.uint8)
        chosen = ranges.choose(ranges.observe(content, crops), 8)
        content = quantise.to_int8(content, chosen, modes.INT8.steps)
    again = graph.parse(bytes(mlir_sparsify(content)))
    tree = flatbuffer.read(content)
    flatbuffer.state_versions(tree)
    found = graph.parse(flatbuffer.write(tree))
    stated, expected = (largest_versions(g, lambda o: o.version) for g in (found, again))
    if mode == "int8":
        expected |= {name: version for name, version in LATER.items() if name in expected}
    # Reading and writing may merge constants and drop what is not read.
    assert {k: v for k, v in stated.items() if k in expected} == expected
    if not LATER.keys() & expected.keys():
        assert found.minimum_runtime == again.minimum_runtime
    assert all(op.deprecated_name == op.expected_deprecated_name for op in found.operators)


def test_sixteen_bits_have_versions_of_their_own() -> None:
    """TensorFlow asks for 16-bit weights there, which none of its converters writes."""
    for name, operator, version in (("conv", "CONV_2D", 4), ("depthwise", "DEPTHWISE_CONV_2D", 5),
                                    ("dense", "FULLY_CONNECTED", 7)):
        content = float_model(name)
        crops = np.zeros((1, SIDE, SIDE, CHANNELS), np.uint8)
        chosen = ranges.choose(ranges.observe(content, crops), 16)
        found = graph.parse(quantise.to_int16x8(content, chosen, modes.Steps()))
        assert largest_versions(found, versions.needed)[operator] == version


def test_every_version_has_a_release() -> None:
    for name, known in versions.VERSIONS.items():
        releases = [versions.as_numbers(release) for release in known.since.split()]
        assert releases == sorted(releases), name
        assert all(1 < version <= len(releases) for version, _ in known.needed), name


@pytest.mark.parametrize("name", sorted(versions.VERSIONS))
def test_operands_that_are_missing_crash_nothing(name: str) -> None:
    """A stranger's operator may have none, absent ones or scalars."""
    operator = graph.parse(tiny_models.tiny_float()).operators[0]
    scalar = replace(operator.outputs[0], shape=(), scales=())
    for inputs in ((), (None,), (None,) * 4, (scalar,) * 4):
        for outputs in ((), (scalar,)):
            strange = replace(operator, name=name, inputs=inputs, outputs=outputs, options={})
            assert versions.needed(strange) >= 1


def test_a_version_that_nobody_knows_is_named() -> None:
    operator = graph.parse(tiny_models.tiny_float()).operators[0]
    with refuses(f"operator 0 ({operator.name})", "version 99", 8):
        versions.since(operator, 99)


def test_releases_are_compared_part_by_part() -> None:
    assert versions.as_numbers("2.4") == versions.as_numbers("2.4.0")
    assert versions.as_numbers("2.14.0") > versions.as_numbers("2.4.1")


def test_an_operator_that_nobody_knows_is_named() -> None:
    found = graph.parse(tiny_models.tiny_float())
    strange = replace(found.operators[0], name="BUCKETIZE")
    with refuses("operator 0 (BUCKETIZE)"):
        versions.needed(strange)


@pytest.mark.parametrize("text", ["", "2.x", "2..4", "-1", "2.4.0.1.1", "99999", "\uff12.4"])
def test_what_is_no_release(text: str) -> None:
    assert not versions.is_release(text)
