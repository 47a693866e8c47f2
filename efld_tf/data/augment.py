"""Augments whole batches: one warp, then blur, colour, noise and occlusion.

Randomness is stateless: the same seed gives the same batch, eagerly and inside tf.data. Images and
points go through one affine, so that they cannot come apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import cv2
import numpy as np
import tensorflow as tf

from efld_tf.data.options import AugmentOptions

# The luma weights of ITU-R BT.601, as in OpenCV's RGB to grey.
LUMA = (0.299, 0.587, 0.114)


class _Random:
    """Stateless random numbers; each call takes the next of a seed's streams."""

    def __init__(self, seed: tf.Tensor, batch: tf.Tensor):
        self._seed, self.batch, self._calls = seed, batch, 0

    def _next(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)

    def uniform(self, low: float, high: float, *shape: int) -> tf.Tensor:
        return tf.random.stateless_uniform([self.batch, *shape], self._next(), low, high)

    def normal(self, stddev: float) -> tf.Tensor:
        """A normal variable cut off at two standard deviations: [B]."""
        return tf.random.stateless_truncated_normal([self.batch], self._next(), stddev=stddev)

    def chance(self, probability: float) -> tf.Tensor:
        return self.uniform(0.0, 1.0) < probability

    def tile(self, *shape: int) -> tf.Tensor:
        """Standard normal numbers of this shape, for the whole batch."""
        return tf.random.stateless_normal(shape, self._next())


class Placed(NamedTuple):
    """How faces lie in their augmented crops.

    Attributes:
      to_stored: [B, 2, 3], affines from the unit square of the crop to that of the stored one.
      mirrored: [B] bool, whether it is mirrored, and so its points are reordered.
    """

    to_stored: tf.Tensor
    mirrored: tf.Tensor


def augment(
    images: tf.Tensor,
    points: Mapping[str, tf.Tensor],
    *,
    flips: Mapping[str, tuple[int, ...]],
    margin: float,
    size: int,
    options: AugmentOptions,
    seed: tf.Tensor,
    portable: bool = False,
) -> tuple[tf.Tensor, dict[str, tf.Tensor], Placed]:
    """Turns stored crops into training crops.

    Args:
      images: [B, P, P, 3] uint8, crops with their margin, in random order: the first are blurred.
      points: the points [B, N, 2] of each head in the unit square of the stored crop.
      flips: the flip permutation of each head.
      margin: side of the stored crop, divided by the side of the crop that the model sees.
      size: side S of the result in pixels.
      options: what to change; `AugmentOptions.none()` only cuts out the crop.
      seed: [2] int32 or int64, the seed of the stateless generators.
      portable: whether to do without Python, so that the graph can run in another process.

    Returns:
      Images [B, S, S, 3] float32 in [0, 1]; the points [B, N, 2] of each head in their unit square;
      and how the faces lie in them.
    """
    random = _Random(seed, tf.shape(images)[0])
    mirrored = random.chance(options.flip)
    to_stored = _random_affine(random, options, mirrored, margin)
    warp = warp_by_tensorflow if portable else _warp
    crops = warp(images, to_stored, size)
    moved = _move_points(points, to_stored, mirrored, flips)
    placed = Placed(to_stored, mirrored)
    if options == AugmentOptions.none():
        return tf.cast(crops, tf.float32) / 255.0, moved, placed
    return _looking(crops, _drawn_look(crops, random, options)), moved, placed


def _random_affine(
    random: _Random, options: AugmentOptions, mirrored: tf.Tensor, margin: float
) -> tf.Tensor:
    """Affines [B, 2, 3] from the unit square of the result to that of the stored crop."""
    (angle,) = _moves("rotation", math.radians(options.rotation), 1, random, options)
    (log_zoom,) = _moves("scale", options.scale, 1, random, options)
    shift = tf.stack(_moves("translation", options.translation, 2, random, options), -1)
    zoom = tf.pow(2.0, log_zoom)
    side = tf.where(mirrored, -1.0, 1.0)
    cos, sin = tf.cos(angle) / (zoom * margin), tf.sin(angle) / (zoom * margin)
    linear = tf.stack([tf.stack([cos * side, -sin], -1), tf.stack([sin * side, cos], -1)], -2)
    centre = tf.constant([0.5, 0.5])
    offset = centre + shift / margin - tf.linalg.matvec(linear, centre)
    return tf.concat([linear, offset[..., None]], axis=-1)


def _moves(
    name: str, size: float, count: int, random: _Random, options: AugmentOptions
) -> list[tf.Tensor]:
    """`count` random numbers [B] of that size, of one of `AugmentOptions.MOVES`."""
    even = name in options.uniform
    moves = [random.uniform(-size, size) if even else random.normal(size) for _ in range(count)]
    probability = options.probability.get(name, 1.0)
    if probability < 1:
        happens = random.chance(probability)
        moves = [tf.where(happens, move, 0.0) for move in moves]
    return moves


def _warp(images: tf.Tensor, to_stored: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples [B, P, P, 3] uint8 bilinearly by unit-square affines; outside is black.

    It uses OpenCV, which makes the pipeline twice as fast as TensorFlow's kernel
    (benchmarks/input_pipeline) and also crops for evaluation. OpenCV rounds sampling points to 1/32
    pixel.
    """

    def resample(images: np.ndarray, matrices: np.ndarray) -> np.ndarray:
        crops = np.empty((len(images), size, size, 3), np.uint8)
        for image, matrix, crop in zip(images, matrices, crops, strict=True):
            cv2.warpAffine(
                image, matrix, (size, size), crop, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            )
        return crops

    matrices = _pixel_affines(to_stored, images.shape[1], size)
    crops = tf.numpy_function(resample, [images, matrices], tf.uint8, stateful=False)
    return tf.ensure_shape(crops, [images.shape[0], size, size, 3])


def warp_by_tensorflow(images: tf.Tensor, to_stored: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples square images [B, P, P, C] bilinearly by unit-square affines; outside is 0.

    It is `_warp` without Python, for graphs that are sent to other processes, and has gradients.

    Args:
      to_stored: [B, 2, 3], where each place of the result is in its image.
      size: side S of the result in pixels.

    Returns:
      [B, S, S, C] of the images' type.
    """
    rows = tf.reshape(_pixel_affines(to_stored, images.shape[1], size), [-1, 6])
    transforms = tf.concat([rows, tf.zeros_like(rows[:, :2])], axis=-1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=transforms, output_shape=[size, size],
        interpolation="BILINEAR", fill_mode="CONSTANT", fill_value=0.0,
    )


def _pixel_affines(to_stored: tf.Tensor, stored: int, size: int) -> tf.Tensor:
    """Converts affines [B, 2, 3] of unit squares to pixel indices j, where u = (j + 0.5) / S."""
    linear = to_stored[..., :2] * (stored / size)
    offset = stored * to_stored[..., 2] - 0.5 + tf.reduce_sum(linear, -1) * 0.5
    return tf.concat([linear, offset[..., None]], axis=-1)


def _move_points(
    points: Mapping[str, tf.Tensor],
    to_stored: tf.Tensor,
    mirrored: tf.Tensor,
    flips: Mapping[str, tuple[int, ...]],
) -> dict[str, tf.Tensor]:
    """The points in the unit square of the result; for mirrored faces, in mirrored order."""
    inverse = tf.linalg.inv(to_stored[..., :2])
    moved = {}
    for head, value in points.items():
        value = tf.einsum("bij,bnj->bni", inverse, value - to_stored[:, None, :, 2])
        flipped = tf.gather(value, flips[head], axis=1)
        moved[head] = tf.where(mirrored[:, None, None], flipped, value)
    return moved


def move_depth(depth: tf.Tensor, placed: Placed, flip: tuple[int, ...]) -> tf.Tensor:
    """Depths [B, N] in sides of the stored crop, as those of the augmented crop, in its sides."""
    scale = tf.sqrt(tf.abs(tf.linalg.det(placed.to_stored[..., :2])))
    flipped = tf.where(placed.mirrored[:, None], tf.gather(depth, flip, axis=1), depth)
    return flipped / scale[:, None]


class _Look(NamedTuple):
    """The random look of the pixels of B faces; None for a change that is switched off.

    Attributes:
      blur: blurred pictures of the first K faces, [K, S, S, 3] from 0 to 255, and their weights
        [K] from 0 to 1 in the result.
      colour: [B, 3, 3] and [B, 1], an affine of colours from 0 to 1.
      noise: [B, S, S, 3], standard normal, and its factors [B].
      cover: [B, 2] centres and [B, 2] half sides of rectangles in the unit square, negative where
        there is none, and their colours [B, 3] from 0 to 1.
    """

    blur: tuple[tf.Tensor, tf.Tensor] | None
    colour: tuple[tf.Tensor, tf.Tensor] | None
    noise: tuple[tf.Tensor, tf.Tensor] | None
    cover: tuple[tf.Tensor, tf.Tensor, tf.Tensor] | None


def _drawn_look(crops: tf.Tensor, random: _Random, options: AugmentOptions) -> _Look:
    """Draws a look for each crop of [B, S, S, 3] uint8.

    It is not drawn in `_looking`, where XLA would draw a face's numbers anew for each pixel.
    """
    return _Look(
        blur=_blur(crops, random, options) if options.blur and options.blur_sigma else None,
        colour=_colour(random, options) if options.colours else None,
        noise=_noise(crops.shape[1], random, options)
        if options.colours and options.noise else None,
        cover=_cover(random, options) if options.occlusion else None,
    )


@tf.function(jit_compile=True)
def _looking(crops: tf.Tensor, look: _Look) -> tf.Tensor:
    """Crops [B, S, S, 3] uint8 with their look, as float32 in [0, 1].

    XLA compiles it and goes through the pixels once, instead of once for each operation.
    """
    crops = tf.cast(crops, tf.float32)
    if look.blur:
        blurred, weight = look.blur
        sharp, others = crops[: tf.shape(weight)[0]], crops[tf.shape(weight)[0] :]
        mixed = sharp + weight[:, None, None, None] * (blurred - sharp)
        crops = tf.concat([mixed, others], axis=0)
    # Channel by channel, since a matrix product of three by three numbers takes longer.
    red, green, blue = (crops[..., i] / 255.0 for i in range(3))
    if look.colour:
        matrix, offset = (value[:, None, None] for value in look.colour)
        crops = offset + tf.stack([
            red * matrix[..., 0, o] + green * matrix[..., 1, o] + blue * matrix[..., 2, o]
            for o in range(3)
        ], axis=-1)
    else:
        crops = tf.stack([red, green, blue], axis=-1)
    if look.noise:
        noise, strength = look.noise
        crops += strength[:, None, None, None] * noise
    if look.cover:
        centre, half, colour = look.cover
        place = (tf.range(crops.shape[1], dtype=tf.float32) + 0.5) / crops.shape[1]
        inside = tf.abs(place - centre[..., None]) < half[..., None]  # [B, 2, S]
        covered = inside[:, 1, :, None, None] & inside[:, 0, None, :, None]
        crops = tf.where(covered, colour[:, None, None], crops)
    return tf.clip_by_value(crops, 0.0, 1.0)


def _blur(
    crops: tf.Tensor, random: _Random, options: AugmentOptions
) -> tuple[tf.Tensor, tf.Tensor]:
    """Gaussian blurs for the share `blur` of the faces, at least one, and the weights of the blurs.

    They are the first faces of the batch, whose order is random. All share one kernel, and each
    mixes in the blur with a weight of its own; or each has a kernel of its own, and weight 1.
    """
    batch = tf.cast(random.batch, tf.float32)
    count = tf.cast(tf.maximum(tf.round(options.blur * batch), 1.0), tf.int32)
    weight, sigma = random.uniform(0.0, 1.0)[:count], options.blur_sigma
    if "blur_sigma" not in options.uniform:
        return _smoothed(_smoothed(crops[:count], 1, sigma), 2, sigma), weight
    # A width of 0.1 pixels is none: the next pixel's share is e^-50.
    widths = tf.maximum(weight * sigma, 0.1)
    rows = _smoothed(crops[:count], 1, sigma, widths)
    return _smoothed(rows, 2, sigma, widths), tf.ones_like(weight)


@tf.function(jit_compile=True)
def _smoothed(
    crops: tf.Tensor, axis: int, sigma: float, widths: tf.Tensor | None = None
) -> tf.Tensor:
    """A Gaussian blur of [K, S, S, 3] along axis 1 or 2, as float32.

    Both axes at once take longer: XLA would compute the first anew for each tap of the second.

    Args:
      sigma: the width in pixels.
      widths: [K] widths of each picture up to `sigma`, instead of that for all.
    """
    radius = math.ceil(2 * sigma)
    squares = np.arange(-radius, radius + 1) ** 2
    borders = [[radius, radius] if i == axis else [0, 0] for i in range(4)]
    padded = tf.pad(tf.cast(crops, tf.float32), borders, "SYMMETRIC")
    ends = [slice(k, k + crops.shape[axis]) for k in range(len(squares))]
    taps = [padded[:, end] if axis == 1 else padded[:, :, end] for end in ends]
    if widths is None:
        kernel = np.exp(-squares / (2 * sigma**2))
        shares = [float(share) for share in kernel / kernel.sum()]
    else:
        kernels = tf.exp(-squares.astype(np.float32) / (2 * widths[:, None] ** 2))
        kernels /= tf.reduce_sum(kernels, axis=-1, keepdims=True)
        shares = tf.unstack(kernels[:, :, None, None, None], axis=1)
    return sum(share * tap for share, tap in zip(shares, taps, strict=True))


def _colour(random: _Random, options: AugmentOptions) -> tuple[tf.Tensor, tf.Tensor]:
    """Saturation (0 for grey faces), channel gains, contrast and brightness as one 3x3 affine."""
    saturation = 1 + random.uniform(-options.saturation, options.saturation)
    saturation = tf.where(random.chance(options.grey), 0.0, saturation)[:, None, None]
    gain = 1 + random.uniform(-options.channel_gain, options.channel_gain, 3)
    contrast = 1 + random.uniform(-options.contrast, options.contrast)[:, None]
    brightness = random.uniform(-options.brightness, options.brightness)[:, None]
    luma = tf.tile(tf.constant(LUMA)[None, :, None], [1, 1, 3])  # column c of every output channel
    matrix = saturation * tf.eye(3)[None] + (1 - saturation) * luma
    # Contrast turns about mid-grey, so that it does not change the mean brightness much.
    return matrix * (gain * contrast)[:, None, :], 0.5 * (1 - contrast) + brightness


def _noise(
    size: int, random: _Random, options: AugmentOptions
) -> tuple[tf.Tensor, tf.Tensor]:
    """Standard normal noise for each face, and its factor, which is positive or negative.

    One tile serves the whole batch, and each face reads it from a random row on: drawing every
    value would take longer than all other augmentation. The random signs keep faces that share
    rows uncorrelated.
    """
    tile = random.tile(2 * size, size, 3)
    start = tf.cast(random.uniform(0.0, float(size)), tf.int32)
    noise = tf.gather(tile, start[:, None] + tf.range(size))
    return noise, random.uniform(-options.noise, options.noise)


def _cover(
    random: _Random, options: AugmentOptions
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Rectangles of random colours over some faces: their centres, half sides, and colours."""
    half = random.uniform(0.1, 1.0, 2) * options.occlusion_size / 2
    half = tf.where(random.chance(options.occlusion)[:, None], half, -1.0)
    return random.uniform(0.0, 1.0, 2), half, random.uniform(0.0, 1.0, 3)
