"""The NME loss on hand-computed cases."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from efld_tf.errors import EfldError
from efld_tf.landmarks import metrics, schemas
from efld_tf.training import losses, task
from tests import faces


def test_hand_computed() -> None:
    raw = tf.constant([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [0.0, 0.0]]])
    target = tf.constant([[[0.3, 0.4], [0.0, 0.1]], [[1.0, 1.0], [0.0, 0.2]]])
    mask = tf.constant([[1.0, 1.0], [0.0, 1.0]])
    found = losses.nme(raw, target, mask, tf.constant([0.5, 2.0])).numpy()
    # (0.5 + 0.1) / 2 / 0.5, and of the second face only its second point: 0.2 / 2.
    assert found == pytest.approx([0.6, 0.1], abs=1e-5)


def test_a_face_without_annotation_has_no_loss_and_no_gradient() -> None:
    raw = tf.Variable(tf.ones([2, 5, 2]))
    mask = tf.constant([[0.0] * 5, [1.0] * 5])
    with tf.GradientTape() as tape:
        loss = losses.nme(raw, tf.zeros([2, 5, 2]), mask, tf.constant([0.0, 1.0]))
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
    np.testing.assert_allclose(found, metrics.nme(predicted, truth, schemas.get(head)), rtol=1e-4)


def test_a_face_without_an_eye_corner_is_normalised_by_the_usual_distance() -> None:
    points = np.tile(faces.mean_shape("ibug68"), (3, 1, 1)).astype(np.float32)
    mask = np.ones((3, 68), np.float32)
    mask[1, 36] = mask[2, 0] = 0
    points[mask == 0] = 0  # as batches have it
    normaliser = schemas.get("ibug68").normaliser
    found = task.normalising_distance(points, mask, normaliser, usual=0.123).numpy()
    true = normaliser.distance(points[0])
    np.testing.assert_allclose(found, [true, 0.123, true], rtol=1e-5)


def test_an_unknown_loss_is_named() -> None:
    with pytest.raises(EfldError, match=r"unknown loss 'wings'; known: nme"):
        losses.get("wings")
