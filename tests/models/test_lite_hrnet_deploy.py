"""The form of Lite-HRNet Plus for phones computes what the trained network does."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from efld_tf.exporting import optimise
from efld_tf.exporting.convert import NO_CROPS
from efld_tf.models import (
    lite_hrnet_branches,
    lite_hrnet_deploy,
    lite_hrnet_fusion,
    lite_hrnet_heads,
    probe,
    registry,
)
from efld_tf.models.blocks import Channels, ChannelShuffle
from tests.exporting.test_optimise import shaken
from tests.families import small_options

FAMILY = "lite_hrnet_plus"
CROPS = np.random.default_rng(4).integers(0, 256, (5, 64, 64, 3), np.uint8)


def trained(
    presence: bool = False, heads: Sequence[str] = ("mtfl5", "ibug51"), **options: object
) -> tf_keras.Model:
    """A network whose weights and biases all do something."""
    architecture = registry.architecture(FAMILY, {**small_options(FAMILY), **options}, 64)
    tf_keras.utils.set_random_seed(0)
    network = shaken(architecture.build(dict.fromkeys(heads, 5), presence), 1)
    rng = np.random.default_rng(2)
    for layer in network.layers:
        if getattr(layer, "use_bias", False):
            kernel, bias = layer.get_weights()
            layer.set_weights([kernel + rng.normal(0, 0.1, kernel.shape),
                               rng.normal(0, 0.3, bias.shape)])
    return optimise.fold_batch_norms(network)


OTHERS = [
    {"modules": [1, 2, 1]},
    {"activation": "relu6"},
    *({"fusion": fusion} for fusion in lite_hrnet_fusion.FUSIONS if fusion != "scaf"),
    *({"head": head} for head in lite_hrnet_heads.HEADS if head != "mr"),
]


@pytest.mark.parametrize("crops", [
    pytest.param(CROPS, id="stretched"),
    pytest.param(NO_CROPS, id="float", marks=pytest.mark.long)])
@pytest.mark.parametrize("options", [
    {"presence": True, "heads": ("stage", "stage4")},  # a schema may be called so
    *(pytest.param({"presence": True, **options}, marks=pytest.mark.long) for options in OTHERS),
], ids=str)
def test_outputs_are_the_same(options: dict, crops: np.ndarray) -> None:
    network = trained(**options)
    deployed = lite_hrnet_deploy.deploy(network, crops)
    images = tf.random.uniform([3, 64, 64, 3], seed=3)
    expected, found = network(images), deployed(images)
    assert found.keys() == expected.keys() and deployed.name == network.name
    for name in expected:
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(found[name], expected[name], atol=1e-5 * scale)
        assert np.std(expected[name], axis=0).max() > 0.001 * scale  # it depends on the image
    assert not [layer for layer in deployed.layers if isinstance(layer, ChannelShuffle)]
    assert len(deployed.layers) < len(network.layers)


def test_channels_are_taken_out_of_weights_alone() -> None:
    deployed = lite_hrnet_deploy.deploy(trained(), NO_CROPS)
    for layer in deployed.layers:
        if isinstance(layer, Channels):  # of gates, at the lowest resolution of their stage
            assert layer.input.shape[1] <= 8


@pytest.mark.parametrize("head", [pytest.param("mr", marks=pytest.mark.long), "hrnet_v1"])
def test_nothing_is_put_in_order_between_attention_and_scores(head: str) -> None:
    network = trained(head=head)
    deployed = lite_hrnet_deploy.deploy(network, NO_CROPS)
    assert not [layer.name for layer in deployed.layers if layer.name.endswith("in_order")]
    images = tf.random.uniform([2, 64, 64, 3], seed=3)
    for name, expected in network(images).items():
        scale = np.abs(expected).max()
        np.testing.assert_allclose(deployed(images)[name], expected, atol=1e-5 * scale)


@pytest.mark.long
def test_channels_fill_their_range() -> None:
    network = trained()
    plain, stretched = (lite_hrnet_deploy.deploy(network, crops) for crops in (NO_CROPS, CROPS))
    module = "stage2_module1"
    for name in (f"{module}_ccw1_branch2_depthwise_dwconv", f"{module}_fusion_branch1_act"):
        before, after = (
            np.abs(probe.extremes_of(model, [model.get_layer(name)], CROPS)).max(axis=(0, 1, 2, 3))
            for model in (plain, stretched))
        expected = np.minimum(before.max(), before * lite_hrnet_deploy.LARGEST_STRETCH)
        np.testing.assert_allclose(after, expected, rtol=1e-3)
        assert before.min() < 0.9 * before.max()


def test_what_is_kept_is_weighted_by_the_largest_sigmoid_in_int8() -> None:
    step = 20 / 255  # of log-odds from -10 to 10, rounded either way
    for log_odds in lite_hrnet_branches.KEPT_LOG_ODDS + np.array([-step, step]) / 2:
        assert round(256 / (1 + np.exp(-log_odds))) == 255
    assert 1 / (1 + np.exp(-lite_hrnet_branches.KEPT_LOG_ODDS)) \
        == pytest.approx(lite_hrnet_branches.KEPT, abs=1e-12)
