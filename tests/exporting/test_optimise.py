"""Every step towards speed keeps the function, and does what it is named for."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_keras import layers

from efld_tf.exporting import convert, optimise
from efld_tf.models import efld
from tests import faces
from tests.errors import refuses

SIZE = 64
STEPS = (
    optimise.fold_batch_norms, optimise.split_depthwise, optimise.lift_biases,
    optimise.merge_siblings,
    optimise.interleave_as_planes,
)  # fmt: skip


def shaken(model: tf_keras.Model, seed: int) -> tf_keras.Model:
    """The model with batch norms and biases that do something."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, layers.BatchNormalization):
            size = layer.get_weights()[0].shape
            values = [rng.uniform(0.5, 2, size), *rng.normal(0, 0.3, (2, *size)),
                      rng.uniform(0.3, 2, size)]
            layer.set_weights(values if layer.scale else values[1:])
    return model


@pytest.fixture(scope="module", params=["plain", "standard", "pfld", "relu", "normed"])
def network(request) -> tf_keras.Model:
    options = {
        "plain": efld.EFLDOptions(), "standard": efld.EFLDOptions(separable=False),
        "pfld": efld.EFLDOptions(head="pfld"),
        "relu": efld.EFLDOptions(activation="relu", decoder="batch_norm"),
        "normed": efld.EFLDOptions(head_batch_norm=True),
    }[request.param]
    model = shaken(efld.build(options, 128, {"ibug51": 51}), 0)
    return tf_keras.Model(model.input, model.output["ibug51"])


def pixels(seed: int, size: int = 128) -> np.ndarray:
    return np.random.default_rng(seed).random((3, size, size, 3), np.float32)


def test_all_steps_keep_the_function(network: tf_keras.Model) -> None:
    image = pixels(1)
    expected = network(image).numpy()
    scale = max(1.0, float(np.abs(expected).max()))
    for step in STEPS:
        network = step(network)
        np.testing.assert_allclose(network(image).numpy(), expected, atol=1e-5 * scale)


@pytest.mark.parametrize("scale", [True, False])
def test_a_batch_norm_without_a_convolution_before_it_becomes_one(scale: bool) -> None:
    image = tf_keras.Input((8, 8, 3))
    x = layers.BatchNormalization(scale=scale)(image)
    two = layers.Conv2D(4, 1)(layers.ReLU()(x))  # is read twice
    network = shaken(tf_keras.Model(image, layers.BatchNormalization()(two) + two), 0)
    folded = optimise.fold_batch_norms(network)
    assert not [la for la in folded.layers if isinstance(la, layers.BatchNormalization)]
    taps = [la.kernel_size for la in folded.layers if isinstance(la, layers.DepthwiseConv2D)]
    assert taps == [(1, 1), (1, 1)]
    np.testing.assert_allclose(folded(pixels(1, 8)), network(pixels(1, 8)), atol=1e-5)


def test_what_each_step_leaves(network: tf_keras.Model) -> None:
    folded = optimise.fold_batch_norms(network)
    assert not [la for la in folded.layers if isinstance(la, layers.BatchNormalization)]
    split = optimise.split_depthwise(folded)
    for layer in split.layers:
        if isinstance(layer, layers.DepthwiseConv2D):
            assert np.prod(layer.kernel_size) <= optimise.MOST_TAPS
    merged = optimise.merge_siblings(split)
    convolutions = [la for la in merged.layers if type(la) is layers.Conv2D]
    assert convolutions[0].filters == 12  # 8 low-level and 4 of the OSA branch
    planes = optimise.interleave_as_planes(merged)
    assert not [la for la in planes.layers if isinstance(la, optimise.SiblingChannels)]
    for layer in planes.layers:
        if isinstance(layer, layers.Concatenate) and len(layer.output.shape) == 4:
            pieces = [tensor.shape[-1] for tensor in layer.input]
            assert layer.axis == 1 or min(pieces) >= optimise.LARGEST_PIECE


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize(("decoder", "lifted"), [("linear", True), ("batch_norm", False)])
def test_a_linear_decoder_leaves_its_bias_to_the_head(
    decoder: str, lifted: bool, dropout: float
) -> None:
    options = efld.EFLDOptions(decoder=decoder, dropout=dropout)
    model = efld.build(options, 128, {"ibug51": 51, "mtfl5": 5})
    folded = optimise.fold_batch_norms(shaken(model, 0))
    last = folded.get_layer("decoder_depthwise_dwconv")
    bias = np.random.default_rng(0).normal(0, 1, 256)
    last.set_weights([last.get_weights()[0], bias])
    after = optimise.lift_biases(folded)
    assert after.get_layer("decoder_depthwise_dwconv").use_bias is not lifted
    image = pixels(3)
    for head, value in folded(image).items():
        np.testing.assert_allclose(after(image)[head], value, atol=2e-4)


@given(st.data())
@settings(max_examples=12, deadline=None)
def test_any_network_of_such_layers_keeps_its_function(data) -> None:
    """Branches of drawn widths on one tensor, concatenated, and a depthwise end."""
    seed = data.draw(st.integers(0, 1000))
    widths = data.draw(st.lists(st.sampled_from([3, 4, 5, 8, 12, 16]), min_size=2, max_size=4))
    kernels = data.draw(st.lists(st.sampled_from([1, 3]), min_size=len(widths),
                                 max_size=len(widths)))
    tf_keras.utils.set_random_seed(seed)
    image = layers.Input((12, 12, 3))
    branches = []
    for index, (width, kernel) in enumerate(zip(widths, kernels, strict=True)):
        x = layers.Conv2D(width, kernel, 1, "same", use_bias=bool(seed % 2))(image)
        x = layers.ReLU(6.0)(layers.BatchNormalization(scale=bool(index % 2))(x))
        branches.append(x)
    deeper = layers.ReLU(6.0)(layers.Conv2D(4, 3, 1, "same")(branches[0]))
    x = layers.Concatenate()([*branches, deeper])
    x = layers.DepthwiseConv2D(data.draw(st.sampled_from([3, 12])), use_bias=False)(x)
    model = shaken(tf_keras.Model(image, layers.Flatten()(x)), seed) if not seed % 3 else \
        tf_keras.Model(image, layers.Flatten()(x))
    values = pixels(seed, 12)
    expected = model(values).numpy()
    for step in STEPS:
        model = step(model)
    np.testing.assert_allclose(model(values).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_grouped_convolutions_are_not_merged() -> None:
    """Each output channel reads the channels of its own group alone."""
    image = layers.Input((8, 8, 8))
    x = layers.Concatenate()([
        layers.ReLU()(layers.Conv2D(4, 1, groups=2, name=name)(image)) for name in "ab"])
    model = tf_keras.Model(image, x)
    merged = optimise.merge_siblings(model)
    values = tf.random.normal([2, 8, 8, 8], seed=0)
    np.testing.assert_allclose(merged(values), model(values), atol=1e-6)


@pytest.mark.parametrize(("filters", "convolutions"), [
    ((4, 8), 1), ((16, 16), 2), ((20, 24), 1), ((144, 144), 2), ((4, 4, 4), 1)])
def test_siblings_are_merged_where_that_saves_tiles_of_16_channels(
    filters: tuple[int, ...], convolutions: int
) -> None:
    image = layers.Input((4, 4, 8))
    branches = [layers.ReLU()(layers.Conv2D(count, 1)(image)) for count in filters]
    model = tf_keras.Model(image, layers.Concatenate()(branches))
    merged = optimise.merge_siblings(model)
    found = [layer for layer in merged.layers if isinstance(layer, layers.Conv2D)]
    assert len(found) == convolutions
    values = tf.random.normal([2, 4, 4, 8], seed=0)
    np.testing.assert_allclose(merged(values), model(values), atol=1e-6)


def test_a_model_is_not_changed_by_its_copies() -> None:
    model = shaken(efld.build(efld.EFLDOptions(), SIZE, {"ibug51": 51}), 3)
    single = tf_keras.Model(model.input, model.output["ibug51"])
    before = [weight.copy() for weight in model.get_weights()]
    for step in STEPS:
        single = step(single)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    assert single.output.shape[1:] == (51, 2) == faces.mean_shape("ibug51").shape


@pytest.mark.parametrize("shape", [(8,), (1, 8), (2, 4)])
def test_biases_are_lifted_through_shapes_that_keep_the_channels(shape: tuple[int, ...]) -> None:
    image = tf_keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Conv2D(8, 4, 4)(image)
    x = layers.DepthwiseConv2D(SIZE // 4, bias_initializer="ones")(x)
    model = tf_keras.Model(image, layers.Dense(3)(layers.Reshape(shape)(x)))
    lifted = optimise.lift_biases(model)
    np.testing.assert_allclose(lifted(pixels(0, SIZE)), model(pixels(0, SIZE)), atol=1e-5)
    depthwise = next(x for x in lifted.layers if isinstance(x, layers.DepthwiseConv2D))
    assert depthwise.use_bias == (shape[-1] != 8)


def test_a_rewritten_network_that_computes_something_else_is_refused() -> None:
    image = tf_keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.Dense(4, bias_initializer="ones")(layers.GlobalAveragePooling2D()(image))
    small = tf_keras.Model(image, layers.Rescaling(1e-3, name="points")(x))
    convert._check_same(small, small, convert.NO_CROPS)
    other = tf_keras.Model(image, layers.Rescaling(0.0, name="points")(x))
    with refuses("points", "rewritten"):
        convert._check_same(small, other, convert.NO_CROPS)
    endless = tf_keras.Model(image, layers.Rescaling(np.inf, name="points")(x))
    with refuses("points", "finite"):
        convert._check_same(endless, endless, convert.NO_CROPS)


def _with_operations(kind: str) -> tf_keras.Model:
    image = tf_keras.Input((SIZE, SIZE, 3), name="image")
    x = layers.BatchNormalization()(layers.Conv2D(4, 3, 4)(image))
    x = {
        "softmax of rows": lambda: tf.nn.softmax(x, axis=1),
        "sum of rows": lambda: tf.reduce_sum(x, axis=1, keepdims=True),
        "number first": lambda: 10.0 * x,
        "number last": lambda: x * 10.0,
        "constant matrix": lambda: tf.matmul(x, np.arange(8, dtype=np.float32).reshape(4, 2)),
        "transposed": lambda: tf.transpose(x, [0, 3, 1, 2]),
        "slice": lambda: x[:, 1:, ::2],
        "joined": lambda: tf.concat([x, 2.0 * x], axis=-1),
        "squares": lambda: x * x,
        "split": lambda: tf.split(x, 2, axis=-1)[1],
        "two Keras inputs": lambda: layers.Subtract()([x, layers.ReLU()(x)]),
    }[kind]()
    return tf_keras.Model(image, x)


@pytest.mark.parametrize("kind", [
    "softmax of rows", "sum of rows", "number first", "number last", "constant matrix",
    "transposed", "slice", "joined", "squares", "split", "two Keras inputs"])
def test_operations_keep_their_arguments(kind: str) -> None:
    network = shaken(_with_operations(kind), 0)
    image = pixels(1, SIZE)
    expected = network(image).numpy()
    for step in STEPS:
        network = step(network)
    np.testing.assert_allclose(network(image).numpy(), expected, atol=1e-5, rtol=1e-4)


def test_networks_that_cannot_be_copied_are_refused() -> None:
    image = tf_keras.Input((SIZE, SIZE, 3), name="image")
    inner = tf_keras.Sequential([layers.Conv2D(3, 3, padding="same", name="conv")], name="inner")
    with refuses("layer inner", "model"):
        optimise.fold_batch_norms(tf_keras.Model(image, inner(image)))
    twice = layers.Conv2D(3, 3, padding="same", name="both")
    with refuses("layer both", "twice"):
        optimise.fold_batch_norms(tf_keras.Model(image, twice(twice(image))))
    x = layers.GlobalAveragePooling2D()(image)
    with refuses("layer softmax", "vectors", "Dense"):
        optimise.dense_as_convolutions(
            tf_keras.Model(image, layers.Softmax(name="softmax")(layers.Dense(4)(x))))
