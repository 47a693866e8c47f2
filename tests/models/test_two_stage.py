"""The two-stage model has the paper's sizes, and its regions hold what they should."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from hypothesis import given, settings
from hypothesis import strategies as st
from tf_keras import layers

from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, costs, registry, two_stage
from efld_tf.models.rebuild import copied
from efld_tf.models.roi import RegionConvolution, RoiAlign, RoiOrigins, expected_places
from efld_tf.training import losses
from tests import faces
from tests.errors import refuses

FAMILY = "two_stage"


def build(options: dict, size: int = 160, points: int = 65) -> tf_keras.Model:
    return registry.architecture(FAMILY, options, size).build({"makeup65": points})


def test_the_demo_has_the_paper_s_sizes() -> None:
    """Table 3, by torchstat's rules: 158,091 parameters, 173.69 M MAdd, 90.75 M Flops."""
    model = build(two_stage.VARIANTS["demo"])
    found = costs.total(model)
    assert (found.parameters, found.macs) == (158_186, 81_525_760)
    assert found.parameters == pytest.approx(158_091, rel=1e-3)
    assert torchstat_flops(model) == 90_216_420 == pytest.approx(90.75e6, rel=0.01)
    assert torchstat_madd(model) == 174_712_320 == pytest.approx(173.69e6, rel=0.01)
    shapes = {name: tuple(x.shape[1:]) for name, x in model.output["makeup65"].items()}
    assert shapes == {"first": (10, 10, 65), "origin": (65, 2), "second": (8, 8, 65)}


def torchstat_flops(model: tf_keras.Model) -> int:
    """Those of `costs`, and one for each bias of a convolution."""
    biased = [layer.output.shape[1:] for layer in model.layers if getattr(layer, "use_bias", False)]
    return costs.total(model).flops + sum(map(math.prod, biased))


def torchstat_madd(model: tf_keras.Model) -> int:
    """K multiplications and K - 1 additions an output of K inputs, 4 a value of a batch norm."""
    total, of_layers = 0, costs.by_layer(model)
    for layer in model.layers:
        macs = of_layers[layer.name].macs
        outputs = math.prod(tf.nest.flatten(layer.output)[0].shape[1:])
        if macs:
            total += 2 * macs - (0 if layer.use_bias else outputs)
        elif isinstance(layer, layers.BatchNormalization):
            total += 4 * outputs
        elif isinstance(layer, layers.ReLU):
            total += outputs
    return total


def test_the_paper_s_larger_variants() -> None:
    """Table 2: 6.6 MB for alpha = 1 with 68 points, and half of the channels."""
    full, half = (build(two_stage.VARIANTS[name], 64, 68) for name in ("full", "half"))
    assert 4 * costs.total(full).parameters / 1e6 == pytest.approx(6.6, rel=0.01)
    for layer in full.layers:
        if layer.name.endswith("_conv") and "expand" not in layer.name:
            narrow = half.get_layer(layer.name)
            if hasattr(layer, "filters"):
                assert abs(narrow.filters - layer.filters / 2) <= 2, layer.name  # to multiples of 4


def test_one_stage_has_neither_regions_nor_their_features() -> None:
    model = build({"stages": 1}, 64)
    assert set(model.output["makeup65"]) == {"first"}
    assert not any(layer.name.startswith("fine") for layer in model.layers)
    assert two_stage.features(model).shape[1:] == (48,)
    assert two_stage.features(build({}, 64)).shape[1:] == (48 + 24,)


# -- Regions --------------------------------------------------------------------------------------


def test_expected_places_by_hand() -> None:
    """Weights 1/2 and 3/4 at (1, 0) and (3, 2), nothing elsewhere: 0.4 and 0.6 of the way."""
    odds = np.full((1, 4, 4, 2), -60.0, np.float32)
    odds[0, 0, 1, 0], odds[0, 2, 3, 0] = 0.0, math.log(3)
    odds[0, :, :, 1] = -25.0  # an even map, of weights that are next to nothing
    np.testing.assert_allclose(expected_places(odds)[0], [[2.2, 1.2], [1.5, 1.5]], atol=1e-5)


@settings(max_examples=30, deadline=None)
@given(
    cells=st.integers(9, 14), side=st.integers(2, 8), seed=st.integers(0, 99),
    places=st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=1, max_size=3),
)  # fmt: skip
def test_regions_are_interpolated(
    cells: int, side: int, seed: int, places: list[tuple[float, float]]
) -> None:
    """Each sample is the bilinear mean of four cells; none lies outside."""
    features = np.random.default_rng(seed).normal(size=(1, cells, cells, 2)).astype(np.float32)
    origins = np.array(places, np.float32)[None] * (cells - side)
    found = RoiAlign(side)([features, origins]).numpy()[0].reshape(side, side, len(places), 2)
    for region, (x, y) in enumerate(origins[0]):
        for row, column in np.ndindex(side, side):
            expected = bilinear(features[0], x + column, y + row)
            np.testing.assert_allclose(found[row, column, region], expected, atol=1e-4)


def bilinear(features: np.ndarray, x: float, y: float) -> np.ndarray:
    left, top = min(int(x), features.shape[1] - 2), min(int(y), features.shape[0] - 2)
    right, bottom = x - left, y - top
    rows = features[top : top + 2, left : left + 2]
    return ((1 - bottom) * ((1 - right) * rows[0, 0] + right * rows[0, 1])
            + bottom * ((1 - right) * rows[1, 0] + right * rows[1, 1]))


def test_both_forms_are_one_at_whole_cells() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 16, 16, 3)).astype(np.float32)
    origins = rng.integers(0, 16 - 8 + 1, (2, 5, 2)).astype(np.int32)
    origins[0, 0], origins[0, 1] = 0, 8
    whole = RoiAlign(8, whole=True)([features, origins])
    np.testing.assert_allclose(RoiAlign(8)([features, origins.astype(np.float32)]), whole,
                               atol=1e-5)
    x, y = origins[1, 4]
    np.testing.assert_array_equal(whole[1, ..., 12:], features[1, y : y + 8, x : x + 8])


def test_regions_lie_around_expected_places_and_inside() -> None:
    """A point in the middle of the crop is in the middle of its region; others are moved in."""
    odds = np.full((1, 4, 4, 3), -30.0, np.float32)
    odds[0, 1:3, 1:3, 0] = odds[0, 0, 0, 1] = odds[0, 3, 2, 2] = 5.0
    layer = RoiOrigins(16, 8)
    # Pixels of 4 cells: (1.5, 1.5) is at cell 7.5, whose region of 8 begins at 4.
    np.testing.assert_allclose(layer(odds)[0], [[4, 4], [0, 0], [6, 8]], atol=1e-4)
    whole = copied(layer, whole=True)(odds)
    assert whole.dtype == tf.int32 and whole.numpy().tolist() == [[[4, 4], [0, 0], [6, 8]]]


def test_regions_are_moved_in_training_alone() -> None:
    odds = tf.zeros([8, 4, 4, 6])
    layer = RoiOrigins(16, 8, jitter=0.5)
    assert np.ptp(layer(odds)) == 0
    moved = layer(odds, training=True).numpy() - 4
    assert 0.3 < np.abs(moved).max() <= 0.5 and np.unique(moved).size > 90


def test_the_same_maps_move_their_regions_alike() -> None:
    """So a run that is resumed is what it would have been."""
    odds = tf.random.normal([4, 4, 4, 6], seed=0)
    layer = RoiOrigins(16, 8, jitter=0.5, rounded=0.5)
    first, again, other = (layer(maps, training=True).numpy() for maps in (odds, odds, odds + 0.1))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1


@pytest.mark.parametrize("whole", [False, True])
def test_maps_that_are_not_numbers_crash_nothing(whole: bool) -> None:
    """Training and exports then say that its numbers are not finite."""
    odds = tf.fill([1, 4, 4, 2], np.float32("nan"))
    features = tf.ones([1, 16, 16, 3])
    origins = RoiOrigins(16, 8, whole=whole)(odds)
    assert RoiAlign(8, whole)([features, origins]).shape == (1, 8, 8, 6)


def test_a_share_of_regions_is_rounded_in_training() -> None:
    odds = tf.random.normal([16, 4, 4, 64], stddev=4.0, seed=0)
    layer = RoiOrigins(16, 8, rounded=0.25)
    origins, moved = layer(odds).numpy(), layer(odds, training=True).numpy()
    rounded = (moved == np.round(origins)).all(axis=-1)
    np.testing.assert_array_equal(moved[~rounded], origins[~rounded])
    assert 0.2 < rounded.mean() < 0.3
    assert (RoiOrigins(16, 8, rounded=1.0)(odds, training=True).numpy() % 1 == 0).all()


def test_where_a_region_lies_is_not_learnt_from_what_it_holds() -> None:
    odds = tf.Variable(tf.random.normal([1, 4, 4, 2]))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(RoiOrigins(16, 8)(odds))
    assert tape.gradient(total, odds) is None


def test_the_convolution_of_regions_is_one_of_groups() -> None:
    x = tf.random.normal([2, 8, 8, 5 * 4])
    fast = RegionConvolution(5, 3, padding="same", groups=5, bias_initializer="ones")
    plain = layers.Conv2D(5, 3, padding="same", groups=5)
    plain(x)
    expected = fast(x)
    plain.set_weights(fast.get_weights())
    np.testing.assert_allclose(plain(x), expected, atol=1e-5)


# -- Training and exports -------------------------------------------------------------------------


def trained_briefly(options: dict) -> tuple[tf_keras.Model, registry.Codec, np.ndarray]:
    """A small model whose weights have been changed, its codec and images."""
    spec = checkpoint.ModelSpec(FAMILY, 64, options, {
        "ibug51": checkpoint.HeadSpec(faces.mean_shape("ibug51").tolist(),
                                      CropRule("points", "ibug51", 1.2))})
    model, rng = spec.build(), np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign_add(rng.normal(0, 0.1, weight.shape))
    return model, spec.codec("ibug51"), rng.uniform(0, 1, (4, 64, 64, 3)).astype(np.float32)


@pytest.mark.parametrize("stages", [1, 2])
@pytest.mark.parametrize("loss", [{}, {"heatmaps": 0.0}, {"coordinates": 0.0}])
def test_table_1_s_rows_take_a_step(stages: int, loss: dict[str, float]) -> None:
    model, codec, images = trained_briefly({"stages": stages})
    points = np.repeat(faces.mean_shape("ibug51")[None], 4, axis=0)
    mask, compute = tf.ones([4, 51]), losses.get("two_stage", loss)
    with tf.GradientTape() as tape:
        raw = model(images, training=True)["ibug51"]
        total = compute(raw, codec.encode(tf.constant(points, tf.float32), mask), mask, None)
    gradients = tape.gradient(total, model.trainable_weights)
    assert total.shape == (4,) and np.isfinite(total).all()
    assert all(np.abs(gradient).max() > 0 for gradient in gradients
               if gradient is not None and gradient.shape.rank == 4)
    assert all(gradient is not None for gradient in gradients)


def test_points_that_are_not_annotated_do_not_matter() -> None:
    model, codec, images = trained_briefly({"jitter": 0.0, "rounded": 0.0})
    raw = model(images, training=True)["ibug51"]
    points = np.repeat(faces.mean_shape("ibug51")[None], 4, axis=0).astype(np.float32)
    mask = (np.arange(51) < np.array([[51], [20], [1], [0]])).astype(np.float32)
    compute = losses.get("two_stage", {})
    found = compute(raw, codec.encode(tf.constant(points), mask), mask, None).numpy()
    for face, count in enumerate((51, 20, 1)):
        few = {name: maps[face : face + 1, ..., :count] if name != "origin"
               else maps[face : face + 1, :count] for name, maps in raw.items()}
        target = codec.encode(tf.constant(points[face : face + 1, :count]), tf.ones([1, count]))
        np.testing.assert_allclose(
            found[face], compute(few, target, tf.ones([1, count]), None)[0], rtol=1e-5)
    assert found[3] == 0


def test_the_form_for_integers_takes_whole_cells_and_finds_nearly_the_same() -> None:
    model, codec, images = trained_briefly({})
    whole = two_stage.for_integers(model)
    kinds = {layer.whole for layer in whole.layers if isinstance(layer, RoiAlign | RoiOrigins)}
    assert kinds == {True}
    found, expected = (network(images)["ibug51"] for network in (whole, model))
    np.testing.assert_array_equal(found["first"], expected["first"])
    assert found["origin"].dtype == tf.int32
    assert np.abs(tf.cast(found["origin"], tf.float32) - expected["origin"]).max() <= 0.5 + 1e-5
    difference = np.abs(codec.decode(found) - codec.decode(expected))
    assert 0 < difference.max() < 1 / 16  # a cell


def test_the_form_for_phones_computes_the_same() -> None:
    model, _, images = trained_briefly({})
    plain = two_stage.deploy(model, images[:0])
    assert not any(isinstance(layer, RegionConvolution) for layer in plain.layers)
    tf.nest.map_structure(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), plain(images), model(images))


def test_points_are_exact_but_at_the_border() -> None:
    codec = registry.architecture(FAMILY, {}, 160).codec(np.zeros((100, 2)))
    points = np.random.default_rng(0).uniform(0.08, 0.92, (1, 100, 2)).astype(np.float32)
    targets = codec.encode(tf.constant(points), tf.ones([1, 100]))
    np.testing.assert_allclose(codec.decode(targets), points, atol=2e-4)
    assert targets["origin"].numpy().min() >= 0 and targets["origin"].numpy().max() <= 32


@pytest.mark.parametrize(("options", "size", "facts"), [
    ({"stages": 3}, 160, ("model.options.stages", "3")),
    ({"roi": "nearest"}, 160, ("model.options.roi", "nearest")),
    ({"sigma": 0.4}, 160, ("model.options.sigma", "0.4")),
    ({"sigma": 8.5}, 160, ("model.options.sigma", "8.5")),
    ({"jitter": 5.0}, 160, ("model.options.jitter", "5.0")),
    ({"rounded": 1.5}, 160, ("model.options.rounded", "1.5")),
    ({"width": 0.0}, 160, ("model.options.width", "0.0")),
    ({"activation": "hard_swish"}, 160, ("model.options.activation", "hard_swish")),
    ({}, 100, ("model.input_size", "16", "100")),
    ({}, 32, ("model.input_size", "32")),
])  # fmt: skip
def test_mistakes_are_named(options: dict, size: int, facts: tuple[str, ...]) -> None:
    with refuses(*facts):
        registry.architecture(FAMILY, options, size)
