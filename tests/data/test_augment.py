"""Images and points must stay together under every augmentation, eagerly and inside tf.data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from efld_tf.data.augment import augment
from efld_tf.data.options import AugmentOptions
from efld_tf.landmarks import schemas

STORED, SIZE, MARGIN, BATCH = 96, 64, 1.5, 16
NONE = AugmentOptions.none()
GEOMETRY = {"flip": 0.5, "rotation": 20.0, "scale": 0.2, "translation": 0.08}
COLOUR = {"brightness": 0.2, "contrast": 0.3, "saturation": 0.4, "channel_gain": 0.1, "grey": 0.5,
          "blur": 0.5, "noise": 0.05, "occlusion": 0.5}


def markers(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Black crops with five Gaussian dots each, and the dots' unit-square points [B, 5, 2]."""
    points = rng.uniform(0.35, 0.65, (BATCH, 5, 2))
    points[:, :, 0] = np.array([0.36, 0.43, 0.5, 0.57, 0.64])  # so far apart that none overlap
    y, x = np.mgrid[:STORED, :STORED]
    images = np.zeros((BATCH, STORED, STORED, 3), np.float32)
    for image, face in zip(images, points, strict=True):
        for channel, (u, v) in enumerate(face):
            dot = np.exp(-((x + 0.5 - u * STORED) ** 2 + (y + 0.5 - v * STORED) ** 2) / 4)
            image[..., channel % 3] += 255 * dot
    return images.clip(0, 255).astype(np.uint8), points.astype(np.float32)


def run(options: AugmentOptions, inside_dataset: bool, seed: int = 3):
    images, points = markers(np.random.default_rng(seed))

    def work(images, points):
        result, moved, _ = augment(
            images, {"mtfl5": points}, flips={"mtfl5": schemas.get("mtfl5").flip}, margin=MARGIN,
            size=SIZE, options=options, seed=tf.constant([seed, 7], tf.int64),
        )
        return result, moved["mtfl5"]

    if not inside_dataset:
        return tuple(t.numpy() for t in work(tf.constant(images), tf.constant(points)))
    dataset = tf.data.Dataset.from_tensors((images, points)).map(work)
    return tuple(t.numpy() for t in next(iter(dataset)))


def dot_centre(image: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Brightness-weighted centre of the dot next to a point, both in the unit square."""
    y, x = np.mgrid[:SIZE, :SIZE]
    weight = image.max(axis=-1) * (np.hypot(x + 0.5 - near[0] * SIZE, y + 0.5 - near[1] * SIZE) < 4)
    return np.array([(weight * (x + 0.5)).sum(), (weight * (y + 0.5)).sum()]) / weight.sum() / SIZE


@pytest.mark.parametrize("inside_dataset", [False, True])
@pytest.mark.parametrize("name", GEOMETRY)
def test_a_drawn_marker_moves_with_its_point(name: str, inside_dataset: bool) -> None:
    images, points = run(replace(NONE, **{name: GEOMETRY[name]}), inside_dataset)
    _, unmoved = run(NONE, inside_dataset)
    assert not np.allclose(points, unmoved, atol=1e-3)
    for image, face in zip(images, points, strict=True):
        for point in face:
            assert np.abs(dot_centre(image, point) - point).max() * SIZE < 0.3


def test_flip_reorders_the_points() -> None:
    _, flipped = run(replace(NONE, flip=1.0), False)
    _, plain = run(NONE, False)
    expected = plain[:, list(schemas.get("mtfl5").flip)] * [-1, 1] + [1, 0]
    np.testing.assert_allclose(flipped, expected, atol=1e-5)


def test_without_changes_the_crop_is_the_middle_of_the_stored_one() -> None:
    images, points = run(NONE, False)
    stored, stored_points = markers(np.random.default_rng(3))
    border = (STORED - SIZE) // 2
    middle = stored[:, border : border + SIZE, border : border + SIZE] / 255.0
    np.testing.assert_allclose(images, middle, atol=1e-6)
    np.testing.assert_allclose(points, (stored_points - 0.5) * MARGIN + 0.5, atol=1e-6)


@pytest.mark.parametrize("inside_dataset", [False, True])
@pytest.mark.parametrize("name", COLOUR)
def test_colour_changes_images_and_leaves_points(name: str, inside_dataset: bool) -> None:
    options = replace(NONE, **{name: COLOUR[name]}, blur_sigma=1.5, occlusion_size=0.4)
    images, points = run(options, inside_dataset)
    plain, unmoved = run(NONE, inside_dataset)
    np.testing.assert_array_equal(points, unmoved)
    assert np.abs(images - plain).max() > 0.02
    assert images.min() >= 0 and images.max() <= 1


def test_grey_images_have_equal_channels() -> None:
    images, _ = run(replace(NONE, grey=1.0), False)
    np.testing.assert_allclose(images[..., 0], images[..., 1], atol=1e-5)
    np.testing.assert_allclose(images[..., 0], images[..., 2], atol=1e-5)


def test_blur_keeps_the_mean_and_lowers_the_peaks() -> None:
    images, _ = run(replace(NONE, blur=1.0, blur_sigma=2.0), False)
    plain, _ = run(NONE, False)
    np.testing.assert_allclose(images.mean((1, 2)), plain.mean((1, 2)), rtol=1e-2, atol=1e-4)
    assert (images.max((1, 2, 3)) < plain.max((1, 2, 3))).all()


@pytest.mark.parametrize("inside_dataset", [False, True])
def test_the_seed_decides(inside_dataset: bool) -> None:
    options = AugmentOptions()
    first, again = run(options, inside_dataset), run(options, inside_dataset)
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    other = run(options, inside_dataset, seed=4)
    assert np.abs(first[1] - other[1]).max() > 0.01


def test_eager_and_dataset_agree() -> None:
    eager, mapped = run(AugmentOptions(), False), run(AugmentOptions(), True)
    np.testing.assert_allclose(eager[0], mapped[0], atol=1e-5)
    np.testing.assert_allclose(eager[1], mapped[1], atol=1e-5)


def test_the_portable_warp_gives_the_same_crops() -> None:
    options = replace(NONE, **GEOMETRY)
    images, points = markers(np.random.default_rng(5))
    images = np.maximum(images, np.random.default_rng(0).integers(0, 60, images.shape)).astype("u1")
    (fast, fast_points), (portable, portable_points) = (
        augment(
            tf.constant(images), {"mtfl5": tf.constant(points)},
            flips={"mtfl5": schemas.get("mtfl5").flip}, margin=MARGIN, size=SIZE, options=options,
            seed=tf.constant([1, 2], tf.int64), portable=how,
        )[:2]
        for how in (False, True)
    )
    np.testing.assert_array_equal(fast_points["mtfl5"], portable_points["mtfl5"])
    # One rounds, the other cuts off; and OpenCV samples at 1/32 pixel.
    difference = np.abs(fast.numpy() - portable.numpy()) * 255
    assert difference.mean() < 1 and difference.max() < 10
