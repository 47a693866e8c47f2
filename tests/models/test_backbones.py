"""What every backbone builds, and that export takes it. Its weights: `test_pretrained.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from tf_keras import layers

from efld_tf.exporting import optimise
from efld_tf.models import backbones, efld, mobilenet
from efld_tf.models.blocks import Blocks, HardSigmoid, HardSwish
from efld_tf.runtime import graph
from tests import tiny_models
from tests.errors import refuses
from tests.exporting.test_optimise import shaken

SIZE = 64
# Trainable parameters and channels of the features.
EXPECTED = {
    "efld": (30_116, 80),
    "resnet18": (11_176_512, 512),
    "resnet50": (23_508_032, 2048),
    "resnet101": (42_500_160, 2048),
    "mobilenet_v2": (2_223_872, 1280),
    "mobilenet_v3_large": (2_971_952, 960),
}


def network(name: str, size: int = SIZE, activation: str | None = None) -> tf_keras.Model:
    backbone = backbones.get(name)
    image = tf_keras.Input((size, size, 3))
    return tf_keras.Model(
        image, backbone.build(image, Blocks(activation or backbone.activation, 0.9))
    )


def pixels(seed: int = 0, size: int = SIZE) -> np.ndarray:
    return np.random.default_rng(seed).random((2, size, size, 3), np.float32)


def assert_close(found: np.ndarray, expected: np.ndarray, share: float = 1e-4) -> None:
    """Equal to a share of the largest value."""
    np.testing.assert_allclose(found, expected, atol=share * float(np.abs(expected).max()))


@pytest.mark.parametrize("name", backbones.BACKBONES)
def test_parameters_and_shapes(name: str) -> None:
    parameters, channels = EXPECTED[name]
    model, backbone = network(name, 256), backbones.get(name)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) == parameters
    side = 256 // backbone.stride
    assert model.output.shape[1:] == (side, side, channels)
    norms = [la for la in model.layers if isinstance(la, layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}
    assert {norm.epsilon for norm in norms} == {1e-5 if name.startswith("resnet") else 1e-3}


def test_the_efld_backbone_is_that_of_the_family() -> None:
    own = efld.build(efld.EFLDOptions(), SIZE, {"mtfl5": 5})
    model = network("efld")
    model.set_weights(own.get_weights()[: len(model.weights)])
    features = tf_keras.Model(own.input, own.get_layer("eosa4_concat").output)
    np.testing.assert_array_equal(model(pixels()), features(pixels()))


def test_an_unknown_backbone_is_refused() -> None:
    with refuses("backbone", "'resnet34'", *EXPECTED):
        backbones.get("resnet34")


def test_the_efld_family_takes_the_activations_of_its_paper_and_export() -> None:
    with refuses("activation", "'relu'", "'relu6'", "'hard_swish'"):
        efld.EFLDOptions("hard_swish")


def kinds(model: tf_keras.Model) -> dict[str, int]:
    """How often each activation is there."""
    names = [
        f"relu{la.max_value or ''}" if isinstance(la, layers.ReLU) else type(la).__name__
        for la in model.layers if isinstance(la, layers.ReLU | HardSwish | HardSigmoid)
    ]
    return {name: names.count(name) for name in sorted({*names})}


@pytest.mark.parametrize(
    ("name", "activation", "expected"),
    [
        # V3's Table 1: RE in 6 blocks, the first without an expansion, and in 8 squeeze-excites;
        # HS in 9 blocks and at both ends.
        ("mobilenet_v3_large", None, {"HardSigmoid": 8, "HardSwish": 20, "relu": 19}),
        ("mobilenet_v3_large", "relu", {"HardSigmoid": 8, "relu": 39}),
        ("mobilenet_v3_large", "relu6", {"HardSigmoid": 8, "relu6.0": 39}),
        ("mobilenet_v2", None, {"relu6.0": 35}),
        ("mobilenet_v2", "hard_swish", {"HardSwish": 35}),
        ("resnet18", None, {"relu": 17}),
        ("resnet50", "relu6", {"relu6.0": 49}),
        ("efld", "hard_swish", {"HardSwish": 18}),
    ],
)
def test_one_activation_replaces_another(
    name: str, activation: str | None, expected: dict[str, int]
) -> None:
    assert kinds(network(name, activation=activation)) == expected


def test_hard_activations() -> None:
    x = np.array([[-4, -3, -1.5, 0, 1, 3, 5]], np.float32)
    np.testing.assert_allclose(HardSigmoid()(x), [[0, 0, 0.25, 0.5, 4 / 6, 1, 1]], atol=1e-6)
    np.testing.assert_allclose(HardSwish()(x), [[0, 0, -0.375, 0, 4 / 6, 3, 5]], atol=1e-6)


def test_a_model_with_them_is_saved_and_read(tmp_path: Path) -> None:
    model = network("mobilenet_v3_large")
    model.save(tmp_path / "m.keras")
    read = tf_keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(read(pixels()), model(pixels()))


def test_symmetric_padding() -> None:
    """A 3x3 kernel of ones at stride 2 counts the ones of a 6x6 image that it sees."""
    image = tf_keras.Input((6, 6, 1))
    blocks = Blocks("relu")
    model = tf_keras.Model(image, [
        blocks.conv(image, 1, 3, stride=2, padding=padding, name=padding)
        for padding in ("symmetric", "same")
    ])
    for layer in model.layers:
        if isinstance(layer, layers.Conv2D):
            layer.set_weights([np.ones((3, 3, 1, 1))])
    symmetric, same = (x.numpy()[0, ..., 0] * np.sqrt(1.001) for x in model(np.ones((1, 6, 6, 1))))
    np.testing.assert_allclose(symmetric, [[4, 6, 6], [6, 9, 9], [6, 9, 9]], rtol=1e-5)
    np.testing.assert_allclose(same, [[9, 9, 6], [9, 9, 6], [6, 6, 4]], rtol=1e-5)


@pytest.mark.parametrize("name", [
    pytest.param(name, marks=pytest.mark.long) if name in ("resnet50", "resnet101") else name
    for name in backbones.BACKBONES])
def test_export_in_float(name: str) -> None:
    """Batch norms fold away, and the converter knows every operator as one of its own."""
    model = shaken(network(name), 3)
    folded = optimise.fold_batch_norms(model)
    assert not [la for la in folded.layers if isinstance(la, layers.BatchNormalization)]
    assert_close(folded(pixels()), model(pixels()), 1e-3)
    content = tiny_models.convert(folded, [[1, SIZE, SIZE, 3]])
    found = {operator.name for operator in graph.parse(content).operators}
    expected = {
        "efld": {"CONV_2D", "DEPTHWISE_CONV_2D", "CONCATENATION"},
        "mobilenet_v2": {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD"},
        "mobilenet_v3_large":
            {"CONV_2D", "DEPTHWISE_CONV_2D", "ADD", "MUL", "MEAN", "HARD_SWISH"},
    }
    assert found == expected.get(name, {"CONV_2D", "ADD", "PAD", "MAX_POOL_2D"})


def test_channels_of_squeeze_excites() -> None:
    """As in `tf_keras.applications`: the nearest multiples of 8 of a quarter, not far below."""
    model = network("mobilenet_v3_large")
    middle = [la.filters for la in model.layers if la.name.endswith("_squeeze_down")]
    assert middle == [24, 32, 32, 120, 168, 168, 240, 240]
    assert len(mobilenet.V3_LARGE) == 15
