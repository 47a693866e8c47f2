"""Images and points must stay together under every augmentation, eagerly and inside tf.data."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import tensorflow as tf

from efld_tf.data.augment import augment
from efld_tf.data.options import AugmentOptions
from efld_tf.landmarks import schemas
from tests.errors import refuses

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


def run(options: AugmentOptions, inside_dataset: bool, seed: int = 3, portable: bool = False):
    images, points = markers(np.random.default_rng(seed))

    def work(images, points):
        result, moved, _ = augment(
            images, {"mtfl5": points}, flips={"mtfl5": schemas.get("mtfl5").flip}, margin=MARGIN,
            size=SIZE, options=options, seed=tf.constant([seed, 7], tf.int64), portable=portable,
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


def affines(options: AugmentOptions, count: int = 4000) -> tuple[np.ndarray, ...]:
    """The angle in degrees, log2 of the zoom and the shift [B, 2] of faces without a flip."""
    corners = np.broadcast_to(np.array([[0.5, 0.5], [0.6, 0.5]], np.float32), (count, 2, 2))
    _, moved, _ = augment(
        tf.zeros([count, 4, 4, 3], tf.uint8), {"a": tf.constant(corners)}, flips={"a": (0, 1)},
        margin=1.0, size=4, options=options, seed=tf.constant([1, 7], tf.int64),
    )
    centre, side = moved["a"][:, 0].numpy(), np.diff(moved["a"].numpy(), axis=1)[:, 0]
    zoom = np.hypot(*side.T) / 0.1
    angle = -np.arctan2(side[:, 1], side[:, 0])
    # The crop's centre is moved by the shift, then all is turned and enlarged about it.
    back = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shift = np.einsum("ijb,bj->bi", back, 0.5 - centre) / zoom[:, None]
    return np.degrees(angle), np.log2(zoom), shift


def moved(name: str, options: AugmentOptions) -> np.ndarray:
    angle, log_zoom, shift = affines(options)
    return {"rotation": angle, "scale": log_zoom, "translation": shift[:, 0]}[name]


@pytest.mark.parametrize(("name", "size"), [("rotation", 90.0), ("scale", 0.3),
                                            ("translation", 0.117)])
def test_moves_are_normal_or_even(name: str, size: float) -> None:
    """A normal variable that is cut off at two deviations has 0.88 of one."""
    normal = moved(name, replace(NONE, **{name: size / 2}))
    even = moved(name, replace(NONE, **{name: size}, uniform=[name]))
    for values, deviation in ((normal, 0.88 * size / 2), (even, size / np.sqrt(3))):
        assert 0.95 * size < np.abs(values).max() < 1.001 * size
        assert values.mean() == pytest.approx(0, abs=0.04 * size)
        assert values.std() == pytest.approx(deviation, rel=0.03)
    share = np.histogram(even, 4, (-size, size))[0] / len(even)
    np.testing.assert_allclose(share, 0.25, atol=0.03)


@pytest.mark.parametrize("name", AugmentOptions.MOVES)
def test_moves_happen_with_their_probability(name: str) -> None:
    options = replace(NONE, rotation=30.0, scale=0.2, translation=0.1,
                      uniform=list(AugmentOptions.MOVES), probability={name: 0.3})
    for other in AugmentOptions.MOVES:
        share = (np.abs(moved(other, options)) > 1e-4).mean()
        assert share == pytest.approx(0.3 if other == name else 1.0, abs=0.03)
    *_, shift = affines(replace(options, probability={"translation": 0.3}))
    moves = np.abs(shift) > 1e-4
    assert (moves[:, 0] == moves[:, 1]).mean() > 0.99  # in x and y or not at all


def test_the_random_stream_of_older_versions() -> None:
    """What the defaults give was computed before there were other distributions."""
    images, points = run(AugmentOptions(), False)
    np.testing.assert_allclose(points[:2, [0, 4]], [
        [[0.31821841, 0.30041918], [0.73983270, 0.37960660]],
        [[0.34298322, 0.49465939], [0.75588286, 0.35328075]],
    ], atol=1e-6)
    np.testing.assert_allclose(images.mean(axis=(1, 2, 3))[:8], [
        0.18641430, 0.00516988, 0.00216597, 0.12023342, 0.25508001, 0.16266091, 0.20057535,
        0.24994338], atol=1e-5)
    every = replace(AugmentOptions(), probability=dict.fromkeys(AugmentOptions.MOVES, 1.0))
    np.testing.assert_array_equal(run(every, False)[0], images)


def test_photos_keep_their_colours() -> None:
    options = replace(AugmentOptions(), colours=False, occlusion=0.0, blur=0.0)
    images, points = run(options, False)
    still = {name: 0.0 for name in AugmentOptions.COLOURS}
    plain, unmoved = run(replace(options, colours=True, **still), False)
    np.testing.assert_array_equal(points, unmoved)
    np.testing.assert_allclose(images, plain, atol=1e-6)
    np.testing.assert_allclose(grey_crops(replace(options, flip=0.5, rotation=0.0, scale=0.0,
                                                  translation=0.0)), 128 / 255, atol=1e-6)


@pytest.mark.parametrize(("key", "value", "facts"), [
    ("uniform", ["flip"], ["uniform", *AugmentOptions.MOVES, "blur_sigma", "'flip'"]),
    ("probability", {"flip": 0.5}, ["probability.flip", *AugmentOptions.MOVES]),
    ("probability", {"scale": 1.5}, ["probability.scale", 0, 1, 1.5]),
    ("colours", False, ["colours", "noise", 0.1]),
])
def test_mistakes_are_told(key: str, value: object, facts: list[object]) -> None:
    with refuses(*facts):
        AugmentOptions(noise=0.1, **{key: value})


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


def grey_crops(options: AugmentOptions, level: int = 128, count: int = BATCH) -> np.ndarray:
    """What becomes of crops of one colour."""
    images = tf.fill([count, STORED, STORED, 3], tf.constant(level, tf.uint8))
    return augment(
        images, {}, flips={}, margin=MARGIN, size=SIZE, options=options,
        seed=tf.constant([1, 7], tf.int64),
    )[0].numpy()


def test_colours_change_by_an_affine_of_gains_saturation_and_contrast() -> None:
    """Its matrix, found from four colours: M[i, o] = gain[o] (s [i = o] + (1 - s) luma[i])."""
    names = ("brightness", "contrast", "saturation", "channel_gain")
    options = replace(NONE, **{name: COLOUR[name] / 4 for name in names})
    found = []
    for colour in ([90, 100, 110], [130, 100, 110], [90, 140, 110], [90, 100, 150]):
        images = np.broadcast_to(np.array(colour, np.uint8), (BATCH, STORED, STORED, 3))
        changed, *_ = augment(
            tf.constant(images), {}, flips={}, margin=MARGIN, size=SIZE, options=options,
            seed=tf.constant([1, 7], tf.int64),  # the same draws for every colour
        )
        assert np.ptp(changed, axis=(1, 2)).max() < 1e-6
        found.append(changed.numpy()[:, 0, 0])
    matrix = np.stack([(step - found[0]) / (40 / 255) for step in found[1:]], axis=1)
    gain = matrix.sum(axis=1, keepdims=True)  # as the weights of luma add up to 1
    inputs, outputs = np.nonzero(~np.eye(3, dtype=bool))
    rest = (matrix / gain)[:, inputs, outputs] / np.array([0.299, 0.587, 0.114])[inputs]
    saturation = 1 - rest.mean(axis=1)
    np.testing.assert_allclose(rest, np.repeat(1 - saturation[:, None], 6, axis=1), atol=2e-4)
    assert np.ptp(saturation) > 0.05 and np.ptp(gain) > 0.05
    assert np.abs(saturation - 1).max() < 0.11 and np.abs(gain - 1).max() < 0.12


def test_blur_is_gaussian_and_of_a_share_of_the_faces() -> None:
    plain, _ = run(NONE, False)
    images, _ = run(replace(NONE, blur=0.25, blur_sigma=1.5), False)
    changed = [i for i in range(BATCH) if np.abs(images[i] - plain[i]).max() > 1e-4]
    assert len(changed) == BATCH // 4
    for i in changed:
        blurred = cv2.GaussianBlur(plain[i], (7, 7), 1.5, borderType=cv2.BORDER_REFLECT)
        difference = blurred - plain[i]
        weight = ((images[i] - plain[i]) * difference).sum() / (difference**2).sum()
        assert 0 < weight < 1
        np.testing.assert_allclose(images[i], plain[i] + weight * difference, atol=1e-5)


def test_blurs_of_any_width() -> None:
    """Of each blurred face the width is found that it must have had; they are even."""
    sigma, widths = 5.0, np.linspace(0.1, 5, 99)
    options = replace(NONE, blur=1.0, blur_sigma=sigma, uniform=["blur_sigma"])
    edges = np.zeros((200, STORED, STORED, 3), np.uint8)
    edges[:, :, STORED // 2 :] = 255
    blurred = augment(
        tf.constant(edges), {}, flips={}, margin=MARGIN, size=SIZE, options=options,
        seed=tf.constant([1, 7], tf.int64),
    )[0].numpy()[:, SIZE // 2, :, 0]
    taps = np.exp(-(np.arange(-10, 11) ** 2) / (2 * widths[:, None] ** 2))
    taps /= taps.sum(axis=1, keepdims=True)
    edge = np.pad((np.arange(SIZE) >= SIZE // 2).astype(float), 10, "symmetric")
    candidates = np.array([np.convolve(edge, tap, "valid") for tap in taps])
    apart = np.abs(candidates[None] - blurred[:, None]).max(axis=-1)
    assert apart.min(axis=1).max() < 0.02
    found = widths[apart.argmin(axis=1)]
    assert found.mean() == pytest.approx(2.5, abs=0.3) and found.std() == pytest.approx(
        5 / np.sqrt(12), abs=0.15)


def test_a_blur_of_no_width_changes_nothing() -> None:
    images, _ = run(replace(NONE, blur=0.5, blur_sigma=0.0, flip=0.0, grey=1e-9), False)
    np.testing.assert_allclose(images, run(NONE, False)[0], atol=1e-6)


def test_noise_is_normal_and_differs_between_faces() -> None:
    noise = grey_crops(replace(NONE, noise=0.05), count=64) - 128 / 255
    strength = noise.std(axis=(1, 2, 3))
    assert strength.max() < 0.052 and strength.min() < 0.01 < 0.04 < strength.max()
    flat = (noise / noise.std(axis=(1, 2, 3), keepdims=True)).reshape(64, -1)
    assert np.abs(flat.mean(1)).max() < 0.05
    assert (flat**4).mean() == pytest.approx(3, abs=0.1)
    correlation = flat @ flat.T / flat.shape[1]
    others = correlation[~np.eye(64, dtype=bool)]
    assert abs(others.mean()) < 0.05  # the few that share their rows do so with either sign


def test_rectangles_cover_some_faces_in_one_colour() -> None:
    options = replace(NONE, occlusion=0.5, occlusion_size=0.4)
    images = grey_crops(options, count=200)
    covered = np.abs(images - 128 / 255).max(axis=-1) > 1e-3
    assert 60 < covered.any(axis=(1, 2)).sum() < 140
    for image, mask in zip(images, covered, strict=True):
        rows, columns = mask.any(axis=1), mask.any(axis=0)
        assert (mask == rows[:, None] & columns).all()  # one rectangle
        assert rows.sum() <= 0.4 * SIZE + 1 and columns.sum() <= 0.4 * SIZE + 1
        assert not mask.any() or np.ptp(image[mask], axis=0).max() < 1e-6


@pytest.mark.parametrize("count", [1, 3])
def test_small_batches(count: int) -> None:
    images = grey_crops(AugmentOptions(), count=count)
    assert images.shape == (count, SIZE, SIZE, 3) and np.isfinite(images).all()


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


def test_without_python_it_looks_the_same() -> None:
    options = replace(NONE, **COLOUR, blur_sigma=1.5, occlusion_size=0.4)
    images, portable = (run(options, True, portable=how)[0] for how in (False, True))
    np.testing.assert_allclose(images, portable, atol=2.5 / 255)


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
