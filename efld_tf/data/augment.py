"""Augmentation of whole batches: one warp, then colour, blur, noise, occlusion.

Randomness is stateless: the same seed gives the same batch, eagerly and inside tf.data. Images and
points go through one affine, so they cannot come apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import cv2
import numpy as np
import tensorflow as tf

from efld_tf.data.options import AugmentOptions

# The luma weights of ITU-R BT.601, as in OpenCV's RGB to grey.
LUMA = (0.299, 0.587, 0.114)


class _Random:
    """Stateless random numbers: each call takes the next of a seed's streams."""

    def __init__(self, seed: tf.Tensor, batch: tf.Tensor):
        self._seed, self._batch, self._calls = seed, batch, 0

    def _next(self) -> tf.Tensor:
        self._calls += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._calls)

    def uniform(self, low: float, high: float, *shape: int) -> tf.Tensor:
        return tf.random.stateless_uniform([self._batch, *shape], self._next(), low, high)

    def normal(self, stddev: float) -> tf.Tensor:
        """A normal variable cut off at two standard deviations: [B]."""
        return tf.random.stateless_truncated_normal([self._batch], self._next(), stddev=stddev)

    def chance(self, probability: float) -> tf.Tensor:
        return self.uniform(0.0, 1.0) < probability

    def noise_tile(self, height: int, width: int) -> tf.Tensor:
        return tf.random.stateless_normal([height, width, 3], self._next())


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
) -> tuple[tf.Tensor, dict[str, tf.Tensor], tf.Tensor]:
    """Turns stored crops into training crops.

    Args:
      images: [B, P, P, 3] uint8, crops with their margin.
      points: by head, [B, N, 2] in the unit square of the stored crop.
      flips: by head, its flip permutation.
      margin: side of the stored crop / side of the crop that the model sees.
      size: side S of the result in pixels.
      options: what to change; `AugmentOptions.none()` only cuts out the crop.
      seed: [2] int32 or int64, of the stateless generators.
      portable: use TensorFlow's kernels alone, so that the graph can run in another process.

    Returns:
      Images [B, S, S, 3] float32 in [0, 1]; by head, points [B, N, 2] in their unit square; and
      [B] bool, which faces were mirrored (and so have their points reordered).
    """
    random = _Random(seed, tf.shape(images)[0])
    mirrored = random.chance(options.flip)
    to_stored = _random_affine(random, options, mirrored, margin)
    warp = _warp_by_tensorflow if portable else _warp
    crops = tf.cast(warp(images, to_stored, size), tf.float32) / 255.0
    moved = _move_points(points, to_stored, mirrored, flips)
    if options.blur:
        crops = _blur(crops, random, options)
    crops = _colour(crops, random, options)
    if options.noise:
        crops = _noise(crops, random, options, size)
    if options.occlusion:
        crops = _occlude(crops, random, options, size)
    return tf.clip_by_value(crops, 0.0, 1.0), moved, mirrored


def _random_affine(
    random: _Random, options: AugmentOptions, mirrored: tf.Tensor, margin: float
) -> tf.Tensor:
    """[B, 2, 3] affines from the unit square of the result to that of the stored crop."""
    angle = random.normal(math.radians(options.rotation))
    zoom = tf.pow(2.0, random.normal(options.scale))
    shift = tf.stack([random.normal(options.translation), random.normal(options.translation)], -1)
    side = tf.where(mirrored, -1.0, 1.0)
    cos, sin = tf.cos(angle) / (zoom * margin), tf.sin(angle) / (zoom * margin)
    linear = tf.stack([tf.stack([cos * side, -sin], -1), tf.stack([sin * side, cos], -1)], -2)
    centre = tf.constant([0.5, 0.5])
    offset = centre + shift / margin - tf.linalg.matvec(linear, centre)
    return tf.concat([linear, offset[..., None]], axis=-1)


def _warp(images: tf.Tensor, to_stored: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples [B, P, P, 3] uint8 bilinearly by unit-square affines; outside is black.

    By OpenCV, which takes a sixth of the time of TensorFlow's kernel (benchmarks/input_pipeline)
    and is what evaluation crops with. Its sampling points are rounded to 1/32 pixel.
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


def _warp_by_tensorflow(images: tf.Tensor, to_stored: tf.Tensor, size: int) -> tf.Tensor:
    """`_warp` without Python, for graphs that are sent to other processes."""
    rows = tf.reshape(_pixel_affines(to_stored, images.shape[1], size), [-1, 6])
    transforms = tf.concat([rows, tf.zeros_like(rows[:, :2])], axis=-1)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=images, transforms=transforms, output_shape=[size, size],
        interpolation="BILINEAR", fill_mode="CONSTANT", fill_value=0.0,
    )


def _pixel_affines(to_stored: tf.Tensor, stored: int, size: int) -> tf.Tensor:
    """[B, 2, 3] affines of unit squares as those of pixel indices, where u = (j + 0.5) / S."""
    linear = to_stored[..., :2] * (stored / size)
    offset = stored * to_stored[..., 2] - 0.5 + tf.reduce_sum(linear, -1) * 0.5
    return tf.concat([linear, offset[..., None]], axis=-1)


def _move_points(
    points: Mapping[str, tf.Tensor],
    to_stored: tf.Tensor,
    mirrored: tf.Tensor,
    flips: Mapping[str, tuple[int, ...]],
) -> dict[str, tf.Tensor]:
    """The points in the unit square of the result, their order mirrored where the face is."""
    inverse = tf.linalg.inv(to_stored[..., :2])
    moved = {}
    for head, value in points.items():
        value = tf.einsum("bij,bnj->bni", inverse, value - to_stored[:, None, :, 2])
        flipped = tf.gather(value, flips[head], axis=1)
        moved[head] = tf.where(mirrored[:, None, None], flipped, value)
    return moved


def _colour(crops: tf.Tensor, random: _Random, options: AugmentOptions) -> tf.Tensor:
    """Saturation (grey where drawn), channel gains, contrast and brightness as one 3x3 affine."""
    saturation = 1 + random.uniform(-options.saturation, options.saturation)
    saturation = tf.where(random.chance(options.grey), 0.0, saturation)[:, None, None]
    gain = 1 + random.uniform(-options.channel_gain, options.channel_gain, 3)
    contrast = 1 + random.uniform(-options.contrast, options.contrast)[:, None]
    brightness = random.uniform(-options.brightness, options.brightness)[:, None]
    luma = tf.tile(tf.constant(LUMA)[None, :, None], [1, 1, 3])  # column c of every output channel
    matrix = saturation * tf.eye(3)[None] + (1 - saturation) * luma
    matrix = matrix * (gain * contrast)[:, None, :]
    # Contrast turns about mid-grey, so that it does not change the mean brightness much.
    offset = 0.5 * (1 - contrast) + brightness
    shape = tf.shape(crops)
    pixels = tf.reshape(crops, [shape[0], -1, 3])
    return tf.reshape(tf.matmul(pixels, matrix) + offset[..., None], shape)


def _blur(crops: tf.Tensor, random: _Random, options: AugmentOptions) -> tf.Tensor:
    """Gaussian blur with up to `blur_sigma` pixels on a share `blur` of the faces.

    All faces of a batch share one kernel, each mixes it in by a share of its own: a depthwise
    convolution with a kernel a face would cost more than the training step.
    """
    radius = math.ceil(2 * options.blur_sigma)
    offsets = tf.range(-radius, radius + 1, dtype=tf.float32)
    kernel = tf.exp(-(offsets**2) / (2 * options.blur_sigma**2))
    kernel = tf.tile((kernel / tf.reduce_sum(kernel))[:, None, None, None], [1, 1, 3, 1])
    # A fixed number of faces, at least one: some kernels mishandle an empty batch.
    batch = tf.cast(tf.shape(crops)[0], tf.float32)
    count = tf.cast(tf.maximum(tf.round(options.blur * batch), 1.0), tf.int32)
    chosen = tf.argsort(random.uniform(0.0, 1.0))[:count]
    picked = tf.gather(crops, chosen)
    padded = tf.pad(picked, [[0, 0], [radius, radius], [radius, radius], [0, 0]], "SYMMETRIC")
    blurred = tf.nn.depthwise_conv2d(padded, kernel, [1, 1, 1, 1], "VALID")
    blurred = tf.nn.depthwise_conv2d(
        blurred, tf.transpose(kernel, [1, 0, 2, 3]), [1, 1, 1, 1], "VALID"
    )
    weight = random.uniform(0.0, 1.0)[:count, None, None, None]
    return tf.tensor_scatter_nd_update(
        crops, chosen[:, None], picked + weight * (blurred - picked)
    )


def _noise(crops: tf.Tensor, random: _Random, options: AugmentOptions, size: int) -> tf.Tensor:
    """Pixel noise of a strength of its own on each face.

    One tile of noise serves the batch, each face reads it from a place of its own: drawing every
    value anew would take longer than all the other augmentation.
    """
    tile = random.noise_tile(2 * size, 2 * size)
    strength = random.uniform(0.0, options.noise)[:, None, None, None]
    corner = tf.cast(random.uniform(0.0, float(size), 2), tf.int32)
    noise = tf.map_fn(
        lambda yx: tf.slice(tile, [yx[0], yx[1], 0], [size, size, 3]),
        corner, fn_output_signature=tf.TensorSpec([size, size, 3], tf.float32),
    )
    return crops + strength * noise


def _occlude(crops: tf.Tensor, random: _Random, options: AugmentOptions, size: int) -> tf.Tensor:
    """A rectangle of one random colour over some faces."""
    centre = random.uniform(0.0, 1.0, 2)
    half = random.uniform(0.1, 1.0, 2) * options.occlusion_size / 2
    chosen = tf.where(random.chance(options.occlusion))[:, 0]  # the others are not touched
    colour = tf.gather(random.uniform(0.0, 1.0, 3), chosen)[:, None, None, :]
    place = (tf.range(size, dtype=tf.float32) + 0.5) / size
    inside = tf.abs(place[None, None] - centre[..., None]) < half[..., None]  # [B, 2, S]
    inside = tf.gather(inside, chosen)
    mask = inside[:, 1, :, None, None] & inside[:, 0, None, :, None]
    covered = tf.where(mask, colour, tf.gather(crops, chosen))
    return tf.tensor_scatter_nd_update(crops, chosen[:, None], covered)
