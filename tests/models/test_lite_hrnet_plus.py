"""Lite-HRNet Plus has the papers' sizes, and each of its options trains and is kept in a file."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import (
    checkpoint,
    costs,
    lite_hrnet_fusion,
    lite_hrnet_heads,
    lite_hrnet_plus,
    registry,
)
from efld_tf.models.blocks import Blocks, ChannelMean, Channels, ChannelShuffle
from efld_tf.training import losses
from tests import faces
from tests.errors import refuses
from tests.families import small_options

FAMILY = "lite_hrnet_plus"

# Parameters and FLOPs with 68 points at 96 pixels, and the papers' rounded ones: Lite-HRNet Plus,
# Tables 1 and 2a.
SIZES = {
    "small": (364_342, 10_318_824, 0.37, 10.25),
    "large": (1_512_792, 30_273_420, 1.51, 30.27),
    "lite_hrnet": (662_474, 33_510_844, 0.66, 33.61),
    "large_pointwise": (570_226, 29_856_352, None, 29.67),
    "large_bottleneck": (501_338, 29_451_444, None, 29.29),
    "large_group": (413_706, 29_647_240, None, 29.31),
}


def build(options: dict, size: int = 96, points: int = 68) -> tf_keras.Model:
    return registry.architecture(FAMILY, options, size).build({"ibug68": points})


def small(**options: object) -> dict:
    return {**small_options(FAMILY), **options}


def flops(model: tf_keras.Model, *prefixes: str, part: str = "") -> int:
    """FLOPs of the layers whose names begin with one of these and have this part."""
    return sum(cost.flops for name, cost in costs.by_layer(model).items()
               if name.startswith(prefixes) and part in name)


@pytest.mark.parametrize("name", [
    "small", pytest.param("large", marks=pytest.mark.long),
    pytest.param("lite_hrnet", marks=pytest.mark.long),
    pytest.param("large_pointwise", marks=pytest.mark.long),
    pytest.param("large_bottleneck", marks=pytest.mark.long),
    pytest.param("large_group", marks=pytest.mark.long),
])
def test_sizes_are_the_papers(name: str) -> None:
    model = build(lite_hrnet_plus.VARIANTS[name])
    cost = costs.total(model)
    parameters, counted = cost.parameters, cost.flops
    expected_parameters, expected_flops, millions, megaflops = SIZES[name]
    assert (parameters, counted) == (expected_parameters, expected_flops)
    error = abs(counted / 1e6 / megaflops - 1)
    if millions:
        error += abs(parameters / 1e6 / millions - 1)
        assert error < (0.02 if name == "lite_hrnet" else 0.03)
    else:
        assert 29.2e6 < counted < 30.3e6  # the paper's four fusions of about equal cost


def test_the_default_is_the_small_variant() -> None:
    options = registry.architecture(FAMILY, {}, 96).options
    assert options == registry.architecture(FAMILY, lite_hrnet_plus.VARIANTS["small"], 96).options


def test_attention_saves_most_of_the_fusions_cost() -> None:
    """By approximately 80% (Section 3.1), here at one width: attention has hardly any cost left."""
    cost = {fusion: flops(build(small(fusion=fusion)), "stage", part="_fusion_")
            for fusion in ("scaf", "pointwise")}
    assert cost["scaf"] < 0.2 * cost["pointwise"]


def test_all_resolutions_cost_less_than_twice_the_highest() -> None:
    """1.87 times the head of one resolution (Section 3.2): 1 + 1/2 + 1/4 + 1/8."""
    cost = {head: flops(build(small(head=head)), "head_", "ibug68_scores")
            for head in lite_hrnet_heads.HEADS}
    assert cost["mr"] / cost["hrnet_v1"] == 1.875
    assert cost["hrnet_v2"] > cost["mr"] and cost["iterative"] > cost["hrnet_v1"]


def test_the_narrowest_network_can_be_built() -> None:
    model = build(small(stem=4, channels=4), size=32)
    assert model.output["ibug68"].shape == (None, 8, 8, 68)


def test_branches_keep_their_shapes() -> None:
    model = build(small())
    for branch, (side, channels) in enumerate([(24, 8), (12, 16), (6, 32), (3, 64)]):
        for layer in (f"ccw2_branch{branch + 1}_shuffle", f"fusion_branch{branch + 1}_act"):
            found = model.get_layer(f"stage3_module1_{layer}").output.shape
            assert found == (None, side, side, channels)
    assert model.output["ibug68"].shape == (None, 24, 24, 68)


@pytest.mark.long
@pytest.mark.parametrize("options", [
    {"maps": "values"},
    *({"fusion": fusion} for fusion in lite_hrnet_fusion.FUSIONS),
    *({"head": head} for head in lite_hrnet_heads.HEADS if head != "mr"),
    {"activation": "relu6", "decoder": "quarter", "sigma": 1.5},
], ids=str)
def test_every_option_trains_and_is_kept(options: dict, tmp_path) -> None:
    spec = checkpoint.ModelSpec(FAMILY, 64, small(**options), {
        "mtfl5": checkpoint.HeadSpec(faces.mean_shape("mtfl5").tolist(),
                                     CropRule("points", "mtfl5", 1.2))})
    tf_keras.utils.set_random_seed(0)
    model = spec.build()
    loss = losses.get(spec.architecture.losses[0])
    image, mask = tf.random.uniform([2, 64, 64, 3], seed=1), tf.ones([2, 5])
    target = spec.codec("mtfl5").encode(tf.random.uniform([2, 5, 2], seed=2), mask)
    optimizer, values = tf_keras.optimizers.Adam(3e-3), []

    @tf.function
    def step() -> tf.Tensor:
        with tf.GradientTape() as tape:
            value = tf.reduce_mean(
                loss(model(image, training=True)["mtfl5"], target, mask, tf.ones([2])))
        gradients = tape.gradient(value, model.trainable_weights)
        optimizer.apply_gradients(zip(gradients, model.trainable_weights, strict=True))
        # Every weight takes part.
        return tf.stack([value, *(tf.cast(g is not None, tf.float32) for g in gradients)])

    for _ in range(8):
        values.append(step().numpy())
    assert values[-1][0] < values[0][0] and np.all(values[0][1:] == 1)
    checkpoint.save(tmp_path / "m.h5", spec, model)
    loaded_spec, loaded = checkpoint.load(tmp_path / "m.h5")
    assert loaded_spec.architecture.options == spec.architecture.options
    np.testing.assert_array_equal(loaded(image)["mtfl5"], model(image)["mtfl5"])


def test_channels_by_hand() -> None:
    pixel = tf.reshape(tf.range(6.0), [1, 1, 1, 6])
    assert ChannelShuffle()(pixel).numpy().ravel().tolist() == [0, 3, 1, 4, 2, 5]
    assert Channels(2, 3)(pixel).numpy().ravel().tolist() == [2, 3, 4]
    assert ChannelMean()(pixel).numpy().ravel().tolist() == [2.5]


@pytest.mark.parametrize("head", [
    "mr", *(pytest.param(head, marks=pytest.mark.long)
            for head in lite_hrnet_heads.HEADS if head != "mr")])
def test_log_odds_start_from_the_share_of_a_point(head: str) -> None:
    for maps, expected in (("values", 0.0), ("log_odds", 2 * math.pi / 16**2)):
        model = build(small(head=head, maps=maps), size=64, points=5)
        raw = model(tf.random.uniform([2, 64, 64, 3]))["ibug68"]
        started = raw if maps == "values" else tf.sigmoid(raw)
        np.testing.assert_allclose(tf.reduce_mean(started), expected, atol=2e-3)


def test_stepped_attention_by_hand() -> None:
    """As the formula has it, every branch with every other one by itself."""
    rng = np.random.default_rng(0)
    branches = [rng.normal(size=(1, 8 >> i, 8 >> i, 4 << i)).astype(np.float32) for i in range(3)]
    inputs = [tf_keras.Input(x.shape[1:]) for x in branches]
    model = tf_keras.Model(inputs, lite_hrnet_fusion.scaf(inputs, 2, Blocks("relu"), "f"))
    for weight in model.weights:
        weight.assign(rng.normal(size=weight.shape))
    for i, found in enumerate(model(branches)):
        expected = branches[i][0].astype(np.float64)
        for j, other in enumerate(branches):
            if j == i:
                continue
            vector = branches[i][0].mean(axis=(0, 1))
            for name, activation in (("squeeze", lambda v: np.maximum(v, 0)),
                                     ("excite", lambda v: 1 / (1 + np.exp(-v)))):
                kernel, bias = model.get_layer(f"f_{j + 1}to{i + 1}_{name}").get_weights()
                vector = activation(vector @ kernel[0, 0] + bias)
            mean = other[0].mean(axis=-1)
            side = len(expected)
            if j > i:
                mean = np.kron(mean, np.ones((2 ** (j - i),) * 2))
            else:
                mean = mean.reshape(side, 2 ** (i - j), side, -1).mean(axis=(1, 3))
            expected += mean[..., None] * vector
        np.testing.assert_allclose(found[0], np.maximum(expected, 0), atol=1e-5)


@pytest.mark.parametrize(("options", "facts"), [
    ({"fusion": "sum"}, ["model.options.fusion", "scaf", "'sum'"]),
    ({"head": "fpn"}, ["model.options.head", "mr", "'fpn'"]),
    ({"activation": "gelu"}, ["model.options.activation", "'gelu'"]),
    ({"stem": 7}, ["model.options.stem", 7]),
    ({"stem": 4098}, ["model.options.stem", 4096, 4098]),
    ({"channels": 2}, ["model.options.channels", 2]),
    ({"channels": 514}, ["model.options.channels", 512, 514]),
    ({"channels": 30, "fusion": "group"}, ["model.options.channels", 4, 30]),
    ({"modules": [1, 2]}, ["model.options.modules", "[1, 2]"]),
    ({"modules": [1, 0, 1]}, ["model.options.modules", "[1, 0, 1]"]),
    ({"modules": [1, 1, 33]}, ["model.options.modules", 32, "[1, 1, 33]"]),
    *(({"sigma": sigma}, ["model.options.sigma", 0.25, 100.0, sigma])
      for sigma in (-1.0, 0.0, 0.2, 101.0)),
    ({"reduction": 0}, ["model.options.reduction", 0]),
    ({"batch_norm_momentum": 1.0}, ["model.options.batch_norm_momentum", 1.0]),
])
def test_wrong_options_are_named(options: dict, facts: list[object]) -> None:
    with refuses(*facts):
        registry.architecture(FAMILY, options, 96)


def test_sizes_that_cannot_be_halved_are_named() -> None:
    with refuses("model.input_size", 32, 80):
        registry.architecture(FAMILY, {}, 80)
