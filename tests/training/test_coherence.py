"""The coherent loss compares the maps of one face in two crops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import tensorflow as tf
import tf_keras

from efld_tf.annotations.synthetic import render_face
from efld_tf.data import augment
from efld_tf.data.options import AugmentOptions
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.models.codecs import HeatmapCodec
from efld_tf.training import coherence

HEAD, SIZE, MAPS, STORED, MARGIN = "mtfl5", 32, 16, 48, 1.5
FLIP = schemas.get(HEAD).known_flip
MOVED = AugmentOptions(rotation=40.0, scale=0.3, translation=0.05, flip=0.5, occlusion=0.0)


def crops(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Stored crops [count, STORED, STORED, 3] of rendered faces, and their points."""
    images, points = np.empty((count, STORED, STORED, 3), np.uint8), np.empty((count, 5, 2), "f")
    for index in range(count):
        face = render_face(seed=5, index=index, size=96)
        shape = face.points["ibug68"]
        crop = CropRule("points", "ibug68", 1.25 * MARGIN).crop(
            (*shape.min(axis=0), *shape.max(axis=0)))
        images[index] = extract_crop(face.image, crop, STORED)
        eyes = [shape[36:42].mean(axis=0), shape[42:48].mean(axis=0)]
        points[index] = crop.to_unit(np.array([*eyes, shape[30], shape[48], shape[54]]))
    return images, points


def pairs(
    count: int, seed: int, options: AugmentOptions = MOVED
) -> tuple[tf.Tensor, tf.Tensor, augment.Placed]:
    """Each of so many faces twice, augmented in two ways: images, points and their places."""
    images, points = crops(count)
    image, moved, placed = augment.augment(
        np.concatenate([images, images]), {HEAD: np.concatenate([points, points])},
        flips={HEAD: FLIP}, margin=MARGIN, size=SIZE, options=options,
        seed=tf.constant([seed, 0], tf.int64))
    return image, moved[HEAD], placed


def test_true_maps_are_coherent() -> None:
    """Those of a mirrored face only with their channels exchanged."""
    # Gaussians of another zoom would have another width.
    _, points, placed = pairs(8, seed=1, options=replace(MOVED, scale=0.0))
    mask = tf.ones(points.shape[:2])
    maps = HeatmapCodec(5, MAPS, 2.0).encode(points, mask)
    found = coherence.difference(maps, placed, FLIP, mask)
    once, twice = tf.split(placed.mirrored, 2)
    turned = np.flatnonzero(tf.tile(once != twice, [2]))
    kept = np.setdiff1d(np.arange(16), turned)
    assert len(turned) > 3 < len(kept)
    assert float(tf.reduce_max(found)) < 2e-3
    unmoved = augment.Placed(placed.to_stored, tf.zeros_like(placed.mirrored))
    without = coherence.difference(maps, unmoved, FLIP, mask)
    np.testing.assert_allclose(tf.gather(without, kept), tf.gather(found, kept), atol=1e-6)
    assert float(tf.reduce_min(tf.gather(without, turned))) > 5e-3
    shuffled = augment.Placed(tf.roll(placed.to_stored, 3, axis=0), placed.mirrored)
    assert float(tf.reduce_mean(coherence.difference(maps, shuffled, FLIP, mask))) > 5e-3


def identity(count: int, mirrored: list[bool]) -> augment.Placed:
    still = np.eye(2, 3, dtype=np.float32)
    mirror = np.array([[-1, 0, 1], [0, 1, 0]], np.float32)
    return augment.Placed(
        tf.constant(np.stack([mirror if some else still for some in mirrored])),
        tf.constant(mirrored))


def test_the_difference_by_hand() -> None:
    """Unmoved maps of 2 x 2 pixels; each crop has half of the mean square."""
    first, second = np.zeros((1, 2, 2, 3), "f"), np.zeros((1, 2, 2, 3), "f")
    second[0, 0, 1] = 2, 0, 4
    maps = tf.constant(np.concatenate([first, second]))
    mask = np.ones((2, 3), "f")
    found = coherence.difference(maps, identity(2, [False, False]), (0, 1, 2), mask)
    np.testing.assert_allclose(found, [20 / 12 / 2] * 2)
    mask[:, 2] = 0
    found = coherence.difference(maps, identity(2, [False, False]), (0, 1, 2), mask)
    np.testing.assert_allclose(found, [4 / 8 / 2] * 2)
    # The mirrored map of points 1 and 0 is what it is compared with.
    mirrored = np.zeros((2, 2, 2, 2), "f")
    mirrored[0, 0, 1, 0] = mirrored[1, 0, 0, 1] = 3
    found = coherence.difference(
        tf.constant(mirrored), identity(2, [False, True]), (1, 0), np.ones((2, 2), "f"))
    np.testing.assert_array_equal(found, [0, 0])


def test_both_maps_are_moved_towards_each_other() -> None:
    """The gradient is the derivative of the mean square, and none is outside of the other crop."""
    maps = tf.random.normal([2, 4, 4, 2], seed=0)
    shifted = np.stack([np.eye(2, 3), [[1, 0, 0.25], [0, 1, 0]]]).astype(np.float32)  # a pixel
    placed = augment.Placed(tf.constant(shifted), tf.constant([False, False]))
    with tf.GradientTape() as tape:
        tape.watch(maps)
        total = tf.reduce_sum(coherence.difference(maps, placed, (0, 1), np.ones((2, 2), "f")))
    first, second = tape.gradient(total, maps).numpy()
    apart = 2 * (maps[1, :, :3] - maps[0, :, 1:]) / (4 * 3 * 2)
    np.testing.assert_allclose(second[:, :3], apart, atol=1e-6)
    np.testing.assert_allclose(first[:, 1:], -apart, atol=1e-6)
    assert np.abs(first[:, 0]).max() == np.abs(second[:, 3]).max() == 0


def test_a_pair_without_points_or_overlap_says_nothing() -> None:
    maps = tf.random.normal([2, 4, 4, 1], seed=0)
    same = identity(2, [False, False])
    assert coherence.difference(maps, same, (0,), np.zeros((2, 1), "f")).numpy().tolist() == [0, 0]
    apart = np.stack([np.eye(2, 3), [[1, 0, 2], [0, 1, 0]]]).astype(np.float32)
    placed = augment.Placed(tf.constant(apart), tf.constant([False, False]))
    assert coherence.difference(maps, placed, (0,), np.ones((2, 1), "f")).numpy().tolist() == [0, 0]


def test_training_makes_maps_equivariant() -> None:
    """A network that sees where it is differs between crops, unless it is told not to."""
    apart = {weight: trained_difference(weight) for weight in (0.0, 0.1)}
    assert apart[0.1] < 0.5 * apart[0.0], apart


def trained_difference(weight: float) -> float:
    """How incoherent log-odds of other faces are after training with that weight."""
    tf_keras.utils.set_random_seed(0)
    dense = [tf_keras.layers.Flatten(), tf_keras.layers.Dense(32, "relu"),
             tf_keras.layers.Dense(MAPS * MAPS * 5, bias_initializer="zeros"),
             tf_keras.layers.Reshape((MAPS, MAPS, 5))]
    network = tf_keras.Sequential([
        tf_keras.layers.Conv2D(8, 3, 2, "same", activation="relu"),
        tf_keras.layers.AveragePooling2D(2), *dense])
    codec, mask = HeatmapCodec(5, MAPS, 2.0), tf.ones([24, 5])
    optimizer = tf_keras.optimizers.Adam(2e-3)
    image, points, placed = pairs(12, seed=2)
    target = codec.encode(points, mask)

    @tf.function
    def step() -> None:
        with tf.GradientTape() as tape:
            maps = network(image)
            loss = tf.reduce_mean(
                tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=maps))
            loss += weight * tf.reduce_mean(coherence.difference(maps, placed, FLIP, mask))
        weights = network.trainable_weights
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    network(image)
    for _ in range(150):
        step()
    other, _, elsewhere = pairs(12, seed=3)
    return float(tf.reduce_mean(coherence.difference(network(other), elsewhere, FLIP, mask)))
