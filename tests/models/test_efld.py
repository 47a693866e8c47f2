"""EFLD against the numbers of the paper and of the table derived from it."""

from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from efld_tf.models import costs, efld, registry
from tests.errors import refuses

# Rows of the architecture table: name of the layers, output shape, MACs.
ROWS = {
    "eosa1": ((64, 64, 16), 1_916_928),
    "eosa2": ((32, 32, 32), 2_637_824),
    "eosa3": ((16, 16, 64), 2_564_096),
    "eosa4": ((8, 8, 80), 1_052_672),
    "decoder": ((256,), 1_327_104),
    "ibug51": ((51, 2), 63_552),
}
TOTAL = 9_562_176
PARAMETERS = 132_618  # the decoder has 256 biases, not 4 x 256 numbers of a batch norm


def macs(model: tf_keras.Model) -> dict[str, int]:
    """MACs by the first word of each layer's name."""
    result: dict[str, int] = {}
    for layer, cost in costs.by_layer(model).items():
        if cost.macs:
            name = re.match(r"[a-z]+\d*", layer)[0]
            result[name] = result.get(name, 0) + cost.macs
    return result


@pytest.fixture(scope="module")
def model() -> tf_keras.Model:
    return efld.build(efld.EFLDOptions(), 128, {"ibug51": 51})


def test_every_row_has_its_macs(model: tf_keras.Model) -> None:
    assert macs(model) == {name: count for name, (_, count) in ROWS.items()}
    assert sum(macs(model).values()) == TOTAL


def test_every_row_has_its_shape(model: tf_keras.Model) -> None:
    ends = {name: f"{name}_concat" for name in ROWS if name.startswith("eosa")}
    ends |= {"decoder": "decoder_flatten", "ibug51": "ibug51_residual"}
    shapes = {name: model.get_layer(end).output_shape[1:] for name, end in ends.items()}
    assert shapes == {name: shape for name, (shape, _) in ROWS.items()}


def test_parameters(model: tf_keras.Model) -> None:
    assert model.count_params() == PARAMETERS


@pytest.mark.parametrize(
    ("options", "mflops", "printed", "tolerance"),
    [
        (efld.EFLDOptions(), 19.124, 19.1, 0.05),
        (efld.EFLDOptions(separable=False), 24.900, 25.2, 0.35),
        (efld.EFLDOptions(head="pfld"), 18.748, 18.8, 0.06),
    ],
)
def test_ablation_rows(options, mflops: float, printed: float, tolerance: float) -> None:
    """The paper's Table 2; where it does not fix the widths, the distance is held."""
    found = 2e-6 * sum(macs(efld.build(options, 128, {"ibug51": 51})).values())
    assert found == pytest.approx(mflops, abs=1e-3)
    assert abs(found - printed) < tolerance


@pytest.mark.parametrize("size", [64, 112, 160])
@pytest.mark.parametrize("head", efld.HEADS)
def test_any_size_and_any_heads(size: int, head: str) -> None:
    heads = {"ibug51": 51, "wflw98": 98, "mtfl5": 5}
    network = efld.build(efld.EFLDOptions(head=head), size, heads)
    outputs = network(tf.zeros([2, size, size, 3]))
    assert {name: tuple(value.shape) for name, value in outputs.items()} == {
        name: (2, points, 2) for name, points in heads.items()
    }


def test_what_tells_a_face_is_read_wherever_it_is(model: tf_keras.Model) -> None:
    """The means of modules 2 to 4 and the maxima of the last: 32 + 64 + 80 + 80."""
    modules = [model.get_layer(f"eosa{module}_concat").output for module in (2, 3, 4)]
    probe = tf_keras.Model(model.input, [*modules, efld.features(model)])
    *maps, found = [x.numpy() for x in probe(np.random.default_rng(0).uniform(
        0, 1, (2, *model.input.shape[1:])).astype(np.float32))]
    means = [values.mean(axis=(1, 2)) for values in maps]
    expected = np.concatenate([*means, maps[-1].max(axis=(1, 2))], axis=1)
    assert found.shape == (2, 256) and np.ptp(expected) > 0
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("head", "channels", "end"),
    [("concat_linear", 256, "decoder_flatten"), ("pfld", 48, "pfld_flatten")],
)
def test_vectors_are_made_by_a_convolution_alone_or_as_all_others(
    head: str, channels: int, end: str
) -> None:
    linear, normed = (efld.build(efld.EFLDOptions(head=head, decoder=decoder), 128, {"ibug51": 51})
                      for decoder in efld.DECODERS)
    assert sum(macs(normed).values()) == sum(macs(linear).values())
    assert normed.count_params() - linear.count_params() == 3 * channels
    image = tf.random.stateless_normal([4, 128, 128, 3], [0, 1])
    ends = [tf_keras.Model(m.input, m.get_layer(end).output)(image) for m in (linear, normed)]
    assert float(tf.reduce_min(ends[0])) < 0 == float(tf.reduce_min(ends[1]))


def test_batch_norms_in_the_head_cost_nothing_once_folded() -> None:
    plain, normed = (efld.build(efld.EFLDOptions(head_batch_norm=normed), 128, {"ibug51": 51})
                     for normed in (False, True))
    assert sum(macs(normed).values()) == sum(macs(plain).values())
    # In the place of a bias: scale, centre, mean and variance.
    assert normed.count_params() - plain.count_params() == 3 * 3 * 32
    kinds = [type(layer).__name__ for layer in normed.layers if "ibug51_dense" in layer.name]
    assert kinds == ["Dense", "BatchNormalization", "ReLU"] * 3


def test_gradients_reach_every_weight_from_every_head() -> None:
    network = efld.build(efld.EFLDOptions(), 64, {"ibug51": 51, "mtfl5": 5})
    for weight in network.trainable_weights:
        if weight.name.endswith("kernel:0"):  # the last layers start near 0
            weight.assign(weight + 0.05)
    for head, other in (("ibug51", "mtfl5"), ("mtfl5", "ibug51")):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.abs(network(tf.random.uniform([4, 64, 64, 3]))[head]))
        gradients = tape.gradient(loss, network.trainable_weights)
        for weight, gradient in zip(network.trainable_weights, gradients, strict=True):
            if weight.name.startswith(other):
                assert gradient is None
            else:
                assert gradient is not None, weight.name
        first = next(g for w, g in zip(network.trainable_weights, gradients, strict=True)
                     if w.name == "eosa1_osa1_conv/kernel:0")
        assert np.abs(first.numpy()).max() > 0


def test_dropout_is_there_in_training_alone() -> None:
    heads, images = {"mtfl5": 5}, tf.random.uniform([2, 64, 64, 3])
    plain = efld.build(efld.EFLDOptions(), 64, heads)
    network = efld.build(efld.EFLDOptions(dropout=0.5), 64, heads)
    network.set_weights([w + 0.05 for w in plain.get_weights()])
    plain.set_weights(network.get_weights())
    np.testing.assert_array_equal(network(images)["mtfl5"], plain(images)["mtfl5"])
    dropped = tf_keras.Model(network.input, network.get_layer("dropout").output)
    features = dropped(images, training=True).numpy()
    assert 0.3 < (features == 0).mean() - (dropped(images).numpy() == 0).mean() < 0.8


def test_relu6_bounds_what_calibration_can_see() -> None:
    network = efld.build(efld.EFLDOptions(decoder="batch_norm"), 64, {"mtfl5": 5})
    activations = [layer.output for layer in network.layers if layer.name.endswith("_act")]
    outputs = tf_keras.Model(network.input, activations)(1e4 * tf.random.normal([2, 64, 64, 3]))
    assert len(activations) == 3 + 5 + 5 + 5 + 2 + 3  # modules, decoder, head
    assert all(float(tf.reduce_max(value)) <= 6.0 for value in outputs)


@pytest.mark.parametrize("size", [0, -16, 120])
def test_a_size_that_does_not_divide_is_refused(size: int) -> None:
    with refuses("model.input_size", 16, size):
        registry.architecture("efld", {}, size)


@pytest.mark.parametrize(
    ("wrong", "facts"),
    [
        ({"activation": "swish"}, ("activation", "'relu'", "'relu6'", "'swish'")),
        ({"decoder": "conv"}, ("decoder", efld.DECODERS, "'conv'")),
        ({"head": "conv"}, ("head", efld.HEADS, "'conv'")),
        ({"batch_norm_momentum": 1.0}, ("batch_norm_momentum", 0, 1, 1.0)),
        ({"dropout": 1.0}, ("dropout", 0, 1, 1.0)),
        ({"head_batch_norm": True, "head": "pfld"}, ("head_batch_norm", "concat_linear", "pfld")),
    ],
)
def test_options_are_checked(wrong: dict, facts: tuple) -> None:
    with refuses(*facts):
        efld.EFLDOptions(**wrong)
