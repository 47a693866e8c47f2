"""The losses on hand-computed cases, and the paper's weights of PIPNet's."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from efld_tf.landmarks import metrics, schemas
from efld_tf.models import pipnet
from efld_tf.models.codecs import PIPCodec, TwoStageCodec
from efld_tf.training import losses, task
from tests import faces
from tests.errors import refuses


def test_hand_computed() -> None:
    raw = tf.constant([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]])
    target = tf.constant([[[0.3, 0.4], [0.0, 0.1]], [[1.0, 1.0], [0.0, 0.2]]])
    mask = tf.constant([[1.0, 1.0], [0.0, 1.0]])
    found = losses.nme(raw, target, mask, tf.constant([0.5, 2.0])).numpy()
    # (0.5 + 0.1) / 2 / 0.5, and of the second face only its second point: 0.2 / 2.
    assert found == pytest.approx([0.6, 0.1], abs=1e-5)


def test_focus_by_hand() -> None:
    raw = tf.Variable([[[0.1, 0.0], [0.0, 0.4]], [[0.3, 0.0], [0.7, 0.7]]])
    mask = tf.constant([[1.0, 1.0], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = losses.nme(raw, tf.zeros([2, 2, 2]), mask, tf.constant([1.0, 0.5]), focus=2.0)
    # The points' mean errors are 0.2 and 0.4, that of all three annotated ones 0.8 / 3.
    first, second = (0.2 / (0.8 / 3)) ** 2, (0.4 / (0.8 / 3)) ** 2
    expected = [(0.1 * first + 0.4 * second) / 2, 0.3 * first / 0.5]
    assert loss.numpy() == pytest.approx(expected, rel=1e-4)
    gradient = tape.gradient(loss, raw).numpy()  # of the distance alone
    assert gradient[:, :, 0].ravel() == pytest.approx([first / 2, 0, first / 0.5, 0], rel=1e-4)


def test_depths_by_hand() -> None:
    mean = tf.constant([0.1, 0.0, -0.1])
    raw = tf.Variable([[0.1, 0.1, -0.2], [0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])
    nan = np.nan
    # The first is 5 from its own plane, and 0.2 more at its last point; of the second, one point is
    # not annotated.
    target = tf.constant([[5.1, 5.0, 4.9 + 0.3], [0.4, nan, 0.0], [nan, nan, nan]])
    with tf.GradientTape() as tape:
        found = losses.depth(raw, target, mean, tf.constant([0.5, 1.0, 1.0]))
    # From the mean face's plane: [0, -0.1, 0.2] - 0.1 and [0.1, 0.1] - 0.1 about the mean face.
    first = np.abs([0.1 - (0.1 - 0.1), 0.1 - (0.0 - 0.1), -0.2 - (-0.1 + 0.2)]).mean() / 0.5
    second = np.abs([0.0 - 0.2, 0.0 - (-0.2)]).mean()
    assert found.numpy() == pytest.approx([first, second, 0.0], abs=1e-5)
    gradient = tape.gradient(found, raw).numpy()
    assert np.isfinite(gradient).all() and not gradient[2].any() and not gradient[1, 1]


def test_openings_by_hand() -> None:
    """What moves both of a pair is no error; the unit is the normalising distance."""
    target = tf.constant([[[0.0, 0.0], [0.0, 0.3], [0.5, 0.5], [0.5, 0.6]]] * 3)
    moved = tf.constant([
        [[0.2, 0.1], [0.2, 0.1], [0.0, 0.0], [0.0, 0.2]],
        [[0.0, 0.0], [0.3, 0.4], [9.0, 9.0], [0.0, 0.0]],
        [[1.0, 0.0], [0.0, 0.0], [0.0, 0.0], [0.0, 1.0]]])
    points = tf.Variable(target + moved)
    mask = tf.constant([[1.0, 1, 1, 1], [1, 1, 0, 1], [0, 1, 1, 0]])
    with tf.GradientTape() as tape:
        found = losses.openings(
            points, target, mask, tf.constant([1.0, 0.5, 1.0]), [(0, 1), (3, 2)])
    assert found.numpy() == pytest.approx([(0 + 0.2) / 2, 0.5 / 0.5, 0], abs=1e-5)
    gradient = tape.gradient(found, points).numpy()
    assert np.isfinite(gradient).all() and not gradient[2].any() and gradient[0, 2:].any()


@pytest.mark.parametrize("focus", [0.0, 1.0])
def test_a_face_without_annotation_has_no_loss_and_no_gradient(focus: float) -> None:
    raw = tf.Variable(tf.ones([2, 5, 2]))
    mask = tf.constant([[0.0] * 5, [1.0] * 5])
    with tf.GradientTape() as tape:
        loss = losses.nme(
            raw, tf.zeros([2, 5, 2]), mask, tf.constant([0.0, 1.0]), focus=focus
        )
        total = tf.reduce_sum(loss)
    gradient = tape.gradient(total, raw).numpy()
    assert loss[0] == 0 and not gradient[0].any()
    assert np.isfinite(gradient).all() and gradient[1].any()


def test_the_gradient_is_finite_at_a_perfect_prediction() -> None:
    raw = tf.Variable(tf.zeros([1, 5, 2]))
    with tf.GradientTape() as tape:
        loss = losses.nme(raw, tf.zeros([1, 5, 2]), tf.ones([1, 5]), tf.constant([1.0]))
    assert np.isfinite(tape.gradient(loss, raw).numpy()).all()


@pytest.mark.parametrize("head", schemas.names())
def test_it_is_the_metric(head: str) -> None:
    rng = np.random.default_rng(5)
    truth = np.stack([faces.mean_shape(head)] * 3) + rng.normal(0, 0.02, (3, 1, 2))
    predicted = truth + rng.normal(0, 0.03, truth.shape)
    points, mask = tf.constant(truth, tf.float32), tf.ones(truth.shape[:2])
    found = losses.nme(
        tf.constant(predicted, tf.float32), points, mask,
        task.normalising_distance(points, mask, schemas.get(head).normaliser, usual=0.0),
    )
    schema = schemas.get(head)
    expected = metrics.nme(predicted, truth, schema, schema.normaliser.name)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_a_face_without_an_eye_corner_is_normalised_by_the_usual_distance() -> None:
    points = np.tile(faces.mean_shape("ibug68"), (3, 1, 1)).astype(np.float32)
    mask = np.ones((3, 68), np.float32)
    mask[1, 36] = mask[2, 0] = 0
    points[mask == 0] = 0  # as batches have it
    normaliser = schemas.get("ibug68").normaliser
    found = task.normalising_distance(points, mask, normaliser, usual=0.123).numpy()
    true = normaliser.distance(points[0])
    np.testing.assert_allclose(found, [true, 0.123, true], rtol=1e-5)


def test_wing_by_hand() -> None:
    raw = tf.Variable([[[0.02, 0.0], [0.0, -0.4]], [[0.0, 0.0], [0.0, 0.0]]])
    mask, normaliser = tf.constant([[1.0, 1.0], [0.0, 0.0]]), tf.constant([0.5, 0.5])
    with tf.GradientTape() as tape:
        loss = losses.wing(raw, tf.zeros([2, 2, 2]), mask, normaliser, width=0.2, curvature=0.1)
    # Normalised: 0.04 is below the width, 0.8 above it: 0.8 - C, C = 0.2 - 0.2 ln(1 + 0.2 / 0.1).
    below, above = 0.2 * np.log(1.4), 0.8 - 0.2 + 0.2 * np.log(3)
    assert loss.numpy() == pytest.approx([(below + above) / 4, 0.0], rel=1e-5)
    gradient = tape.gradient(loss, raw).numpy()
    # d/dx of w ln(1 + x / (n e)) is w / (n e + x), of x / n it is 1 / n; each counts a quarter.
    assert gradient[0, 0, 0] == pytest.approx(0.2 / (0.05 + 0.02) / 4, rel=1e-5)
    assert gradient[0, 1, 1] == pytest.approx(-2.0 / 4, rel=1e-5)
    assert not gradient[1].any()


# The other losses do not read the normalising distance.
UNUSED = tf.constant([np.nan])


def test_l1_by_hand() -> None:
    raw = tf.constant([[[0.1, -0.2], [0.0, 0.5]]])
    target = tf.constant([[[0.3, 0.2], [0.0, 0.1]]])
    # Points: (0.2 + 0.4) / 2 and (0 + 0.4) / 2.
    for mask, expected in (([1, 1], 0.25), ([1, 0], 0.3), ([0, 1], 0.2), ([0, 0], 0.0)):
        found = losses.l1(raw, target, tf.constant([mask], tf.float32), UNUSED)
        assert found.numpy() == pytest.approx([expected])


def test_heatmap_by_hand() -> None:
    """2 x 2 pixels of two points; faces of a batch do not mix."""
    raw = np.zeros((2, 2, 2, 2), np.float32)
    raw[0, ..., 0] = [[0.5, 0.0], [0.0, -1.0]]
    raw[0, ..., 1] = [[1.0, 0.0], [2.0, 0.0]]
    target = np.zeros((2, 2, 2, 2), np.float32)
    target[:, 0, 0, 0] = target[:, 0, 1, 1] = 1
    # Points of the first face: (0.25 + 1) / 4 and (1 + 1 + 4) / 4; of the second: 1 / 4 each.
    for mask, expected in (([1, 1], (0.3125 + 1.5) / 2), ([1, 0], 0.3125), ([0, 1], 1.5)):
        masks = tf.constant([mask, [1, 1]], tf.float32)
        found = losses.heatmap(raw, target, masks, UNUSED)
        assert found.numpy() == pytest.approx([expected, 0.25])
    assert losses.heatmap(raw, target, tf.zeros([2, 2]), UNUSED).numpy().tolist() == [0, 0]


def test_heatmap_bce_by_hand() -> None:
    """Of log-odds 0 it is ln 2, whatever the target; of the target's own its entropy."""
    target = np.full((1, 2, 2, 2), 0.25, np.float32)
    raw = np.zeros_like(target)
    raw[..., 1] = np.log(0.25 / 0.75)
    entropy = -0.25 * np.log(0.25) - 0.75 * np.log(0.75)
    for mask, expected in (([1, 1], (np.log(2) + entropy) / 2), ([1, 0], np.log(2)), ([0, 0], 0)):
        found = losses.heatmap_bce(raw, target, tf.constant([mask], tf.float32), UNUSED)
        assert found.numpy() == pytest.approx([expected], abs=1e-6)


def pip_case() -> tuple[PIPCodec, tf.Tensor, dict[str, tf.Tensor]]:
    """2 x 2 cells and two points, each the other's neighbour: codec, points and raw maps.

    In cells, the points are (0.3, 0.8) and (1.8, 1.4), so that each is at (1.8, 1.4) and
    (-0.7, -0.2) of the other's cell. In the true cells all offsets are said to be 0.
    """
    codec = PIPCodec(np.array([[0.2, 0.2], [0.8, 0.8]]), 2, 1)
    points = tf.constant([[[0.15, 0.4], [0.9, 0.7]]])
    scores = np.full((1, 2, 2, 2), 0.5, np.float32)
    scores[..., 0] = [[1, 0], [0, 0]]  # the first point is found, the second is not
    offsets = np.full((1, 2, 2, 2), 9, np.float32)
    offsets[0, 0, 0, 0] = offsets[0, 1, 1, 1] = 0
    raw = {name: offsets for name in ("x", "y", "neighbour_x", "neighbour_y")}
    return codec, points, {"scores": scores, **raw}


# Of `pip_case`, by points: of the scores, own offsets and those of the neighbours.
SCORES, OWN = (0.0, 0.25), ((0.3 + 0.8) / 2, (0.8 + 0.4) / 2)
NEIGHBOURS = ((1.8 + 1.4) / 2, (0.7 + 0.2) / 2)


@pytest.mark.parametrize(
    ("mask", "scores", "own", "neighbours"),
    [
        ((1, 1), np.mean(SCORES), np.mean(OWN), np.mean(NEIGHBOURS)),
        # The neighbour that is not annotated does not count either.
        ((1, 0), SCORES[0], OWN[0], 0),
        ((0, 1), SCORES[1], OWN[1], 0),
        ((0, 0), 0, 0, 0),
    ],
)
@pytest.mark.parametrize(
    ("options", "alpha", "beta"),
    [
        ({}, 0.25, 0.25),  # the paper's for 2 x 2 cells
        ({"alpha": 2.0}, 2.0, 0.25),
        ({"beta": 3.0}, 0.25, 3.0),
        ({"alpha": 0.0, "beta": 0.0}, 0.0, 0.0),
        ({"alpha": 0.2, "beta": 0.1}, 0.2, 0.1),
    ],
)
def test_pip_by_hand(mask, scores, own, neighbours, options, alpha, beta) -> None:
    codec, points, raw = pip_case()
    annotated = tf.constant([mask], tf.float32)
    loss = losses.get("pip", options)
    expected = scores + alpha * own + beta * neighbours
    found = loss(raw, codec.encode(points, annotated), annotated, UNUSED)
    assert found.numpy() == pytest.approx([expected], abs=1e-6)


def test_pip_counts_the_neighbours_that_are_annotated() -> None:
    """Three points with two neighbours each; of them three pairs are known."""
    points = tf.constant([[[0.25, 0.25], [0.5, 0.25], [0.75, 0.25]]])
    codec = PIPCodec(points[0], 1, 2)
    mask = tf.constant([[1.0, 1.0, 0.0]])
    target = codec.encode(points, mask)
    raw = {name: tf.zeros([1, 1, 1, 6 if name.startswith("n") else 3])
           for name in ("scores", "x", "y", "neighbour_x", "neighbour_y")}
    # One cell: offsets are coordinates. Point 0 knows of 1, and 1 of 0.
    found = losses.pip(raw, target, mask, UNUSED, alpha=0.0, beta=1.0)
    assert found.numpy() == pytest.approx([1 + ((0.5 + 0.25) / 2 + (0.25 + 0.25) / 2) / 2])


def test_pip_without_neighbours() -> None:
    _, points, raw = pip_case()
    codec = PIPCodec(np.array([[0.2, 0.2], [0.8, 0.8]]), 2, 0)
    raw = {name: raw[name] for name in ("scores", "x", "y")}
    target = codec.encode(points, tf.ones([1, 2]))
    for beta in (None, 5.0):
        found = losses.pip(raw, target, tf.ones([1, 2]), UNUSED, beta=beta)
        assert found.numpy() == pytest.approx([np.mean(SCORES) + 0.25 * np.mean(OWN)])


def test_pip_of_a_batch_is_that_of_its_faces() -> None:
    codec, points, raw = pip_case()
    mask = tf.constant([[1.0, 1.0], [0.0, 0.0], [0.0, 1.0]])
    three = {name: np.concatenate([values, values, values]) for name, values in raw.items()}
    together = losses.pip(three, codec.encode(tf.tile(points, [3, 1, 1]), mask), mask, UNUSED)
    alone = [losses.pip(raw, codec.encode(points, m[None]), m[None], UNUSED)[0] for m in mask]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_faces_without_annotation_have_no_gradient(name: str) -> None:
    """Two faces, one of them without an annotated point: 0 for it, and nothing to learn."""
    rng = np.random.default_rng(0)
    mask = tf.constant([[0.0, 0.0], [1.0, 1.0]])
    points = tf.constant(rng.random((2, 2, 2)), tf.float32) * mask[..., None]
    if name == "pip":
        codec, _, raw = pip_case()
        target = codec.encode(points, mask)
        raw = {key: tf.Variable(rng.random((2, 2, 2, 2)), dtype=tf.float32) for key in raw}
    elif name == "two_stage":
        target = TwoStageCodec(3, 12, 8, 1.0, 1).encode(points, mask)
        raw = {"first": tf.Variable(rng.random((2, 3, 3, 2)), dtype=tf.float32)}
    else:
        shape = (2, 3, 3, 2) if name.startswith("heatmap") else (2, 2, 2)
        target = tf.zeros(shape)
        raw = tf.Variable(rng.random(shape), dtype=tf.float32)
    with tf.GradientTape() as tape:
        loss = losses.get(name)(raw, target, mask, tf.constant([0.0, 1.0]))
    assert loss[0] == 0 and loss[1] > 0
    for gradient in tf.nest.flatten(tape.gradient(loss, raw)):
        assert np.isfinite(gradient).all()
        assert not gradient[0].numpy().any() and gradient[1].numpy().any()


@pytest.mark.parametrize("points", [[[0.15, 0.4], [0.9, 0.7]], [[-0.3, 1.2], [0.5, 1.0]]])
def test_pip_is_0_for_a_head_that_predicts_its_targets(points) -> None:
    codec, mask = pip_case()[0], tf.ones([1, 2])
    target = codec.encode(tf.constant([points]), mask)
    raw = {name: tf.Variable(tf.broadcast_to(target[name], [1, 2, 2, 2]))
           for name in target if name != "neighbours_known"}
    with tf.GradientTape() as tape:
        loss = losses.pip(raw, target, mask, UNUSED)
    assert loss.numpy().tolist() == [0.0]
    for gradient in tf.nest.flatten(tape.gradient(loss, raw)):
        assert not gradient.numpy().any()


@pytest.mark.parametrize(
    ("stride", "balance"), [(16, 0.02), (32, 0.1), (64, 0.125), (128, 0.25)]
)
def test_balance_of_the_paper_s_strides(stride: int, balance: float) -> None:
    """PIPNet, Section 4.1.2, at 256 pixels."""
    grid = pipnet.grid(pipnet.PIPNetOptions("resnet18", stride=stride), 256)
    assert losses.pip_balance(grid) == losses.PIP_BALANCES[grid] == balance


@pytest.mark.parametrize(
    ("grid", "balance"),
    [(1, 0.25), (3, 0.125), (5, 0.125), (6, 0.1), (7, 0.1), (11, 0.1), (12, 0.02), (64, 0.02)],
)
def test_balance_of_other_grids_is_the_nearest(grid: int, balance: float) -> None:
    assert losses.pip_balance(grid) == balance


def two_stage_case() -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """One point at pixel (1, 0) of 2 x 2, and at cell (4, 5) of a region that begins at (3, 4)."""
    odds = np.zeros((1, 2, 2, 1), np.float32)
    raw = {"first": tf.constant(odds), "second": tf.constant(odds),
           "origin": tf.constant([[[3, 4]]])}
    target = {"pixels": tf.constant([[[1.0, 0.0]]]), "cells": tf.constant([[[4.0, 5.0]]]),
              "sigma": tf.constant([1.0])}
    return raw, target


@pytest.mark.parametrize(("options", "entropy", "distance"), [
    ({}, 1.0, 4.0), ({"heatmaps": 0.0, "coordinates": 1.0}, 0.0, 1.0),
    ({"heatmaps": 2.0, "coordinates": 0.0}, 2.0, 0.0),
])  # fmt: skip
def test_two_stage_by_hand(options: dict[str, float], entropy: float, distance: float) -> None:
    """Of even odds each pixel has the cross-entropy log 2, whatever the truth."""
    raw, target = two_stage_case()
    found = losses.get("two_stage", options)(raw, target, tf.ones([1, 1]), tf.ones([1]))
    # Equation 3: squared distances 0, 1, 1 and 2, twice each, over 2^2 + 2^2.
    of_maps = np.log(2) * (0 + 1 + 1 + 2) * 2 / 8
    # The mean place is the middle of the map, half a pixel away on both axes.
    of_places = np.sqrt(0.5)
    assert found.numpy() == pytest.approx(
        [2 * (entropy * of_maps + distance * of_places)], rel=1e-5)
    no_faces = losses.get("two_stage", options)(raw, target, tf.zeros([1, 1]), tf.ones([1]))
    assert no_faces.numpy().tolist() == [0.0]


def test_two_stage_learns_gaussians() -> None:
    """The cross-entropy of a pixel at distance 1 is least where its odds are those of e^(-1/2)."""
    _, target = two_stage_case()
    value = np.exp(-0.5)
    best = np.log(value / (1 - value))
    odds = tf.Variable(tf.fill([1, 2, 2, 1], np.float32(best)))
    with tf.GradientTape() as tape:
        loss = losses.two_stage({"first": odds}, target, tf.ones([1, 1]), None, coordinates=0.0)
    gradient = tape.gradient(loss, odds).numpy()[0, ..., 0]
    np.testing.assert_allclose(gradient[[0, 1], [0, 1]], 0, atol=1e-6)  # one pixel away
    assert gradient[1, 0] > 0.01 and gradient[0, 1] == 0  # two away diagonally; the true one


def test_an_unknown_loss_is_named() -> None:
    with refuses("training.loss", "'wings'", *losses.LOSSES):
        losses.get("wings")


@pytest.mark.parametrize(
    ("name", "options", "facts"),
    [
        ("pip", {"alfa": 0.1}, ["training.loss_options.alfa", "pip", "alpha", "beta"]),
        ("pip", {"alpha": 0.1, "normaliser": 1.0},
         ["training.loss_options.normaliser", "pip", "alpha", "beta"]),
        ("nme", {"alpha": 0.1}, ["training.loss_options.alpha", "nme", "focus"]),
        ("heatmap", {"sigma": 2.0}, ["training.loss_options.sigma", "heatmap"]),
    ],
)
def test_unknown_options_are_named(
    name: str, options: dict[str, float], facts: list[str]
) -> None:
    with refuses(*facts):
        losses.get(name, options)
