"""PIPNet and its baselines: the paper's Table 9, their grids, layers, first weights and options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.models import backbones, blocks, costs, mapnet, pipnet, registry
from tests import faces
from tests.errors import refuses

HEAD, POINTS = "ibug68", 68


@dataclass(frozen=True)
class Row:
    """One of Table 9, 68 points at 256 pixels, and what its architecture comes to.

    Attributes:
      parameters: trainable ones, in millions.
      macs: in thousands of millions, of all layers.
      untransposed: the same without the transposed convolutions, which the paper left out.
      published: the table's millions of parameters, and its "GFLOPs", which are MACs.
      options: of the family, beside the backbone.
      digits: how exactly the MACs are known.
    """

    family: str
    backbone: str
    parameters: float
    macs: float
    untransposed: float
    published: tuple[float, float]
    options: dict[str, Any] = field(default_factory=dict)
    digits: int = 3

    def build(self) -> tf_keras.Model:
        """The model."""
        options = {"backbone": self.backbone, **self.options}
        return registry.architecture(self.family, options, 256).build({HEAD: POINTS})


STRIDE2 = {"stride": 2}
TABLE_9 = [
    Row("pipnet", "resnet18", 11.979, 2.420, 2.420, (12.0, 2.4)),
    Row("pipnet", "resnet50", 26.713, 5.543, 5.543, (26.7, 5.6)),
    Row("pipnet", "resnet101", 45.705, 10.392, 10.392, (45.7, 10.5)),
    Row("pipnet", "mobilenet_v2", 4.227, 0.519, 0.519, (4.2, 0.5)),
    Row("pipnet", "mobilenet_v3_large", 4.475, 0.375, 0.375, (4.5, 0.4)),
    Row("coordnet", "resnet18", 28.287, 2.386, 2.386, (28.3, 2.4)),
    Row("coordnet", "resnet50", 90.950, 5.406, 5.406, (91.0, 5.5)),
    Row("mapnet", "resnet18", 27.993, 25.76, 2.94, (28.0, 3.0), STRIDE2, 2),
    Row("mapnet", "resnet50", 52.907, 29.53, 5.91, (52.9, 6.0), STRIDE2, 2),
]


def untransposed_macs(model: tf_keras.Model) -> int:
    """MACs without those of the transposed convolutions."""
    return costs.total(model).macs - sum(
        costs.by_layer(model)[layer.name].macs for layer in model.layers
        if isinstance(layer, layers.Conv2DTranspose))


@pytest.mark.parametrize("row", TABLE_9, ids=lambda row: f"{row.family}-{row.backbone}")
def test_table_9(row: Row) -> None:
    model = row.build()
    cost = costs.total(model)
    parameters, untransposed = 1e-6 * cost.parameters, 1e-9 * untransposed_macs(model)
    assert round(parameters, 3) == row.parameters
    assert round(untransposed, row.digits) == row.untransposed
    assert round(1e-9 * cost.macs, row.digits) == row.macs
    assert abs(parameters - row.published[0]) < 0.051
    # Published MACs lie up to 0.11 above those of convolutions and dense layers alone; half of
    # that is rounding.
    assert -0.05 < row.published[1] - untransposed < 0.11


def added(model: tf_keras.Model) -> list[tuple[str, Any]]:
    """Kind and kernel of the layers between backbone and heads, in order."""
    return [
        (type(la).__name__, tuple(la.kernel.shape) if hasattr(la, "kernel") else None)
        for la in model.layers if la.name.startswith(("stride", "up"))
    ]


def conv(inputs: int, outputs: int) -> list[tuple[str, Any]]:
    return [("Conv2D", (3, 3, inputs, outputs)), ("BatchNormalization", None), ("ReLU", None)]


def deconv(inputs: int, outputs: int) -> list[tuple[str, Any]]:
    kernel = (4, 4, outputs, inputs)
    return [("Conv2DTranspose", kernel), ("BatchNormalization", None), ("ReLU", None)]


@pytest.mark.parametrize(
    ("backbone", "stride", "grid", "between"),
    [
        ("resnet18", None, 8, []),
        ("resnet18", 16, 16, deconv(512, 512)),
        ("resnet18", 32, 8, []),
        ("resnet18", 64, 4, conv(512, 512)),
        ("resnet18", 128, 2, conv(512, 512) + conv(512, 512)),
        ("efld", None, 16, []),
        ("efld", 16, 16, []),
        ("efld", 32, 8, conv(80, 512)),
        ("efld", 128, 2, conv(80, 512) + conv(512, 512) + conv(512, 512)),
    ],
)
def test_strides_of_pipnet(
    backbone: str, stride: int | None, grid: int, between: list[tuple[str, Any]]
) -> None:
    """Section 4.2.1."""
    options = pipnet.PIPNetOptions(backbone, stride=stride)
    model = pipnet.build(options, 256, {"mtfl5": 5})
    assert added(model) == between
    maps = model.output["mtfl5"]
    assert {name: tuple(value.shape[1:]) for name, value in maps.items()} == {
        "scores": (grid, grid, 5), "x": (grid, grid, 5), "y": (grid, grid, 5),
        "neighbour_x": (grid, grid, 20), "neighbour_y": (grid, grid, 20),
    }
    codec = pipnet.codec(options, 256, faces.mean_shape("mtfl5"))
    assert pipnet.grid(options, 256) == codec.grid == grid


@pytest.mark.parametrize(
    ("backbone", "stride", "steps"),
    [("resnet18", 4, 3), ("resnet18", 2, 4), ("efld", 4, 2), ("efld", 2, 3), ("efld", 1, 4)],
)
def test_strides_of_mapnet(backbone: str, stride: int, steps: int) -> None:
    """Section 4.3.1: deconvolutions of 512 channels up to the maps; sigma grows with them."""
    options = mapnet.MapNetOptions(backbone, stride=stride)
    model = mapnet.build(options, 256, {HEAD: POINTS})
    first = 512 if backbone == "resnet18" else 80
    assert added(model) == deconv(first, 512) + (steps - 1) * deconv(512, 512)
    assert model.output[HEAD].shape[1:] == (256 // stride, 256 // stride, POINTS)
    codec = mapnet.codec(options, 256, faces.mean_shape(HEAD))
    assert (codec.size, codec.sigma) == (256 // stride, {4: 1.0, 2: 2.0, 1: 4.0}[stride])


def test_layers_of_coordnet() -> None:
    model = registry.architecture("coordnet", {}, 64).build({HEAD: POINTS, "mtfl5": 5})
    dense = {la.name: la.kernel.shape for la in model.layers if isinstance(la, layers.Dense)}
    assert model.get_layer("flatten").output_shape == (None, 4 * 4 * 80)
    assert dense == {
        "ibug68_dense1": (1280, 512), "ibug68_dense2": (512, 512), "ibug68_points": (512, 136),
        "mtfl5_dense1": (1280, 512), "mtfl5_dense2": (512, 512), "mtfl5_points": (512, 10),
    }
    assert model.output[HEAD].shape[1:] == (68, 2)


def test_channels_can_be_fewer() -> None:
    few = pipnet.build(pipnet.PIPNetOptions(stride=32, channels=24), 64, {"mtfl5": 5})
    assert added(few) == conv(80, 24)
    few = mapnet.build(mapnet.MapNetOptions(channels=24), 64, {"mtfl5": 5})
    assert added(few) == deconv(80, 24) + deconv(24, 24)


def heads_of(model: tf_keras.Model) -> list[layers.Layer]:
    """The last layers of a model with weights, one for each raw output."""
    return [la for la in model.layers if la.name.startswith(f"{HEAD}_") and la.weights
            and not la.name.startswith(f"{HEAD}_dense")]


@pytest.mark.parametrize(("family", "count"), [("pipnet", 5), ("coordnet", 1), ("mapnet", 1)])
def test_heads_start_near_zero(family: str, count: int) -> None:
    """Linear, with a bias of 0 and kernels from N(0, 0.001)."""
    tf_keras.utils.set_random_seed(0)
    heads = heads_of(registry.architecture(family, {}, 64).build({HEAD: POINTS}))
    assert len(heads) == count
    for head in heads:
        assert isinstance(head, layers.Dense) or head.kernel_size == (1, 1)
        assert head.activation is tf_keras.activations.linear
        kernel, bias = head.get_weights()
        assert not bias.any()
        assert np.abs(kernel.mean()) < 5e-3 / kernel.size**0.5
        assert kernel.std() == pytest.approx(1e-3, rel=0.05)
        # A normal distribution, not cut off: what lies beyond one and three spreads.
        assert (np.abs(kernel) > 1e-3).mean() == pytest.approx(0.317, abs=0.03)
        assert (np.abs(kernel) > 3e-3).any()
    assert len({float(head.get_weights()[0].flat[0]) for head in heads}) == count


def test_without_neighbours_there_are_no_maps_of_them() -> None:
    shape = faces.mean_shape(HEAD)
    counts = {}
    for neighbours in (0, 3, 10):
        options = pipnet.PIPNetOptions(neighbours=neighbours)
        model = pipnet.build(options, 64, {HEAD: POINTS})
        codec = pipnet.codec(options, 64, shape)
        targets = codec.encode(tf.constant(shape[None], tf.float32), tf.ones([1, POINTS]))
        maps = {"scores", "x", "y"} | ({"neighbour_x", "neighbour_y"} if neighbours else set())
        assert set(targets) - {"neighbours_known"} == set(model.output[HEAD]) == maps
        assert codec.neighbours.shape == (POINTS, neighbours)
        assert codec.decode(model(tf.zeros([1, 64, 64, 3]))[HEAD]).shape == (1, POINTS, 2)
        counts[neighbours] = costs.total(model).parameters
    # Two maps a neighbour, each from 80 channels and a bias.
    assert counts[3] - counts[0] == 3 * 2 * 81 * POINTS
    assert counts[10] - counts[0] == 10 * 2 * 81 * POINTS


@pytest.mark.parametrize(("points", "neighbours"), [(5, 4), (2, 1), (1, 0)])
def test_there_are_no_more_neighbours_than_other_points(points: int, neighbours: int) -> None:
    model = pipnet.build(pipnet.PIPNetOptions(), 64, {"few": points})
    maps = model.output["few"]
    assert maps["scores"].shape[1:] == (4, 4, points)
    if neighbours:
        assert maps["neighbour_x"].shape[1:] == (4, 4, points * neighbours)
    else:
        assert set(maps) == {"scores", "x", "y"}
    shape = np.linspace(0.1, 0.9, 2 * points).reshape(points, 2)
    codec = pipnet.codec(pipnet.PIPNetOptions(), 64, shape)
    assert codec.decode(model(tf.zeros([2, 64, 64, 3]))["few"]).shape == (2, points, 2)


@pytest.mark.parametrize("family", ["pipnet", "mapnet"])
def test_coarse_scores_are_the_same_convolution_after_pooling(family: str) -> None:
    """Figure 8: the tasks of self-training with curriculum share the weights of the scores."""
    tf_keras.utils.set_random_seed(0)
    architecture = registry.architecture(family, {"channels": 8}, 128)
    model = architecture.build({"mtfl5": 5})
    layer = model.get_layer("mtfl5_scores")
    levels = (architecture.coarse_scores(model, "mtfl5", level) for level in range(3))
    outputs = [layer.input, *levels]
    read, *scores = tf_keras.Model(model.input, outputs)(tf.random.uniform([2, 128, 128, 3]))
    kernel, bias = layer.get_weights()
    for level, found in enumerate(scores):
        side, step = read.shape[1] >> level, 2**level
        blocks = read.numpy().reshape(2, side, step, side, step, -1).max(axis=(2, 4))
        np.testing.assert_allclose(found, blocks @ kernel[0, 0] + bias, atol=1e-6)


@pytest.mark.parametrize(
    ("family", "options", "facts"),
    [
        ("pipnet", {"stride": 8}, ["stride", 16, 32, 64, 128, "null", 8]),
        ("pipnet", {"stride": 0}, ["stride", 16, 32, 64, 128, "null", 0]),
        ("pipnet", {"neighbours_by": "size"}, ["neighbours_by", "distance", "correlation", "size"]),
        ("pipnet", {"neighbours": -1}, ["neighbours", 0, -1]),
        ("pipnet", {"channels": 0}, ["channels", 1, 0]),
        ("pipnet", {"neighbors": 5}, ["neighbors", "backbone", "stride", "neighbours"]),
        ("mapnet", {"stride": 8}, ["stride", 4, 2, 1, 8]),
        ("mapnet", {"channels": 0}, ["channels", 1, 0]),
        ("coordnet", {"stride": 32}, ["stride", "backbone", "activation"]),
    ],
)
def test_wrong_options_are_told(
    family: str, options: dict[str, Any], facts: list[object]
) -> None:
    key, *others = facts
    with refuses(f"model.options.{key}", *others):
        build(family, options, 256)


@pytest.mark.parametrize("family", ["pipnet", "coordnet", "mapnet"])
@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"backbone": "resnet34"}, ["model.options.backbone", "'resnet34'", *backbones.BACKBONES]),
        ({"activation": "gelu"}, ["model.options.activation", blocks.ACTIVATIONS, "'gelu'"]),
        ({"batch_norm_momentum": 1.0}, ["model.options.batch_norm_momentum", 0, 1, 1.0]),
        ({"batch_norm_momentum": 0.0}, ["model.options.batch_norm_momentum", 0, 1, 0.0]),
    ],
)
def test_wrong_options_of_the_backbone_are_told(
    family: str, options: dict[str, Any], facts: list[object]
) -> None:
    with refuses(*facts):
        build(family, options, 256)


@pytest.mark.parametrize("family", ["pipnet", "coordnet", "mapnet"])
@pytest.mark.parametrize("size", [0, -32, 48])
def test_sizes_that_the_backbone_does_not_divide_are_told(family: str, size: int) -> None:
    with refuses("model.input_size", 32, "resnet18", size):
        build(family, {"backbone": "resnet18"}, size)


def test_sizes_that_the_grid_does_not_divide_are_told() -> None:
    with refuses("model.input_size", 128, 192):
        registry.architecture("pipnet", {"stride": 128}, 192)


@pytest.mark.parametrize("family", ["pipnet", "coordnet", "mapnet"])
def test_a_model_without_heads_is_refused(family: str) -> None:
    with refuses("heads"):
        registry.architecture(family, {}, 64).build({})


def build(family: str, options: dict[str, Any], size: int) -> None:
    registry.architecture(family, options, size).build({"mtfl5": 5})
