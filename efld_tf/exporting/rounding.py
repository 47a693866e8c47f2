"""Rounds weights to their int8 grid with the least effect on what a layer computes.

Rounding each weight to the nearest step leaves errors that add up over a kernel, and a mean error
that shifts every face alike. Here the weights of a channel are rounded one after the other, and the
remaining ones make up for the effect of each rounding on the layer's output on the calibration
crops; the bias, which stays exact, makes up for the rest. (E. Frantar et al., "GPTQ: Accurate
Post-Training Quantization for Generative Pre-trained Transformers", ICLR 2023, Section 3, on
convolutions as matrices of patches; the bias is the bias correction of M. Nagel et al., ICCV 2019,
Section 4.2.)
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting.equalise import clone, is_split
from efld_tf.exporting.walk import Walk
from efld_tf.models.probe import BATCH
from efld_tf.models.registry import tells_quality
from efld_tf.progress import Progress

LEVELS = 127
# ROWS is the number of rows of patches that a layer is fitted to; RIDGE is the ridge as a part of
# the patches' mean power.
ROWS = 20_000
RIDGE = 1e-3


def round_weights(
    model: tf_keras.Model, crops: np.ndarray, *, progress: bool = False
) -> tf_keras.Model:
    """A copy whose kernels are on the int8 grid that `quantise` will find for them.

    Layers are rounded in order, each on the outputs of the rounded ones before it. The layers of a
    presence output and of expected errors are left as they are.

    Args:
      model: a network without batch norms whose layers are called once each.
      crops: [F, S, S, 3] uint8, the calibration crops.
      progress: whether to show how far it is.
    """
    rounded = clone(model)
    walk = Walk(rounded, crops)
    random = np.random.default_rng(0)
    # Calibration crops are faces, mostly of a good fit, and say nothing about others.
    chosen = [
        layer for layer in rounded.layers
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense)
        and layer.use_bias and not tells_quality(layer.name)
    ]
    with Progress("rounding weights", len(chosen), "layer", shown=progress) as bar:
        for layer in bar.over(chosen):
            patches = _patches(walk, layer, len(crops), random)  # [R, taps, C]
            if isinstance(layer, layers.Conv2DTranspose):
                layer.set_weights(_transposed(layer, patches))
            else:
                layer.set_weights(_direct(layer, patches))
    return rounded


def round_columns(
    patches: np.ndarray, columns: np.ndarray, bias: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rounds kernels so that `patches @ columns + bias` changes least.

    Args:
      patches: [G, R, K], the inputs of G independent problems.
      columns: [G, K, N], the kernels.
      bias: [G, N].
      step: [G, 1, N], the step of the grid. A column whose largest weight is 127 steps keeps that
        weight, so that its grid can be found again.

    Returns:
      The kernels in whole steps within +-127, and the bias that goes with them.
    """
    problems, rows, taps = patches.shape
    inputs = np.concatenate([patches, np.ones((problems, rows, 1))], axis=-1)
    power = np.matmul(inputs.transpose(0, 2, 1), inputs) / rows
    diagonal = np.einsum("gkk->gk", power)
    ridge = RIDGE * diagonal[:, :taps].mean(axis=1, keepdims=True) + 1e-9
    diagonal += np.concatenate([np.tile(ridge, taps), np.full((problems, 1), 1e-9)], axis=1)
    # Row k of the upper factor says how the weights after k make up for an error of weight k.
    factor = np.linalg.cholesky(np.linalg.inv(power)).transpose(0, 2, 1)
    step = np.where(step > 0, step, 1.0)
    values = np.concatenate([columns, bias[:, None]], axis=1).astype(np.float64)
    largest = np.abs(columns).argmax(axis=1)  # [G, N]
    peak = np.take_along_axis(columns, largest[:, None], axis=1)[:, 0] / step[:, 0]
    for tap in range(taps):
        rounded = np.clip(np.round(values[:, tap] / step[:, 0]), -LEVELS, LEVELS)
        at_peak = (largest == tap) & (np.abs(peak) > LEVELS - 0.5)
        rounded = np.where(at_peak, np.round(peak), rounded)
        error = (values[:, tap] - rounded * step[:, 0]) / factor[:, tap, tap, None]
        values[:, tap + 1 :] -= factor[:, tap, tap + 1 :, None] * error[:, None]
        values[:, tap] = rounded * step[:, 0]
    return values[:, :taps].astype(np.float32), values[:, taps].astype(np.float32)


def _direct(layer: layers.Layer, patches: np.ndarray) -> list[np.ndarray]:
    """The rounded kernel and bias of a dense layer or a convolution, which may be depthwise."""
    kernel, bias = layer.get_weights()
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    if depthwise:
        patches = patches.transpose(2, 0, 1)  # each channel is a problem of its own
        columns = kernel[..., 0].reshape(-1, kernel.shape[2]).T[..., None]
    else:  # and so is each group
        groups = getattr(layer, "groups", 1)
        rows, taps, channels = patches.shape
        patches = patches.reshape(rows, taps, groups, channels // groups)
        patches = patches.transpose(2, 0, 1, 3).reshape(groups, rows, -1)
        columns = kernel.reshape(patches.shape[-1], groups, -1).transpose(1, 0, 2)
    step = np.abs(columns).max(axis=1, keepdims=True) / LEVELS
    if is_split(layer):  # the kernel has a single scale, see `quantise`
        step = np.full_like(step, step.max())
    columns, bias = round_columns(patches, columns, bias.reshape(len(columns), -1), step)
    columns = columns[..., 0].T if depthwise else columns.transpose(1, 0, 2)
    return [columns.reshape(kernel.shape), bias.reshape(-1)]


def _transposed(layer: layers.Conv2DTranspose, patches: np.ndarray) -> list[np.ndarray]:
    """The rounded kernel [H, W, out, in] and bias of a transposed convolution.

    At stride s it consists of s x s convolutions, one for the output pixels of each phase, with
    weights of their own. They share the scales and the bias, which is the mean of their biases.
    """
    kernel, bias = layer.get_weights()
    step = np.abs(kernel).max(axis=(0, 1, 3))[None, None] / LEVELS
    vertical, horizontal = _phases(layer)
    rows, columns = (_shifts(phases) for phases in (vertical, horizontal))
    windows = patches.reshape(len(patches), len(rows), len(columns), -1)
    biases = []
    for down in filter(None, vertical):
        for right in filter(None, horizontal):
            taps = np.ix_([tap for tap, _ in down], [tap for tap, _ in right])
            weights = kernel[taps].transpose(0, 1, 3, 2)
            inputs = windows[:, [rows.index(shift) for _, shift in down]]
            inputs = inputs[:, :, [columns.index(shift) for _, shift in right]]
            rounded, rounded_bias = round_columns(
                inputs.reshape(1, len(inputs), -1), weights.reshape(1, -1, len(bias)),
                bias[None], step,
            )
            kernel[taps] = rounded.reshape(weights.shape).transpose(0, 1, 3, 2)
            biases.append(rounded_bias[0])
    return [kernel, np.mean(biases, axis=0)]


def _phases(layer: layers.Conv2DTranspose) -> list[list[list[tuple[int, int]]]]:
    """How a transposed convolution reads its input, down and across.

    Returns:
      For each direction and phase p, the pairs (tap of the kernel, i - q) of the input pixels i
      that output pixel s * q + p sums. The output starts `before` pixels into the taps' reach.
    """
    directions = []
    for kernel, stride in zip(layer.kernel_size, layer.strides, strict=True):
        before = max(kernel - stride, 0) // 2 if layer.padding == "same" else 0
        directions.append([
            [(tap, (phase + before - tap) // stride)
             for tap in range(kernel) if (phase + before - tap) % stride == 0]
            for phase in range(stride)
        ])
    return directions


def _shifts(phases: list[list[tuple[int, int]]]) -> list[int]:
    """The range of input pixels that some phase reads, relative to an output pixel's own."""
    shifts = [shift for phase in phases for _, shift in phase]
    return list(range(min(0, *shifts), max(0, *shifts) + 1))


def _patches(
    walk: Walk, layer: layers.Layer, faces: int, random: np.random.Generator
) -> np.ndarray:
    """Samples of the patches that a layer's kernel is applied to: [rows, taps, input channels]."""
    samples = []
    per_batch = max(1, ROWS * min(BATCH, faces) // faces)
    for x in walk.inputs(layer):
        x = _windows(layer, x)
        if len(x) > per_batch:
            x = x[random.choice(len(x), per_batch, replace=False)]
        samples.append(x)
    return np.concatenate(samples)


def _windows(layer: layers.Layer, x: np.ndarray) -> np.ndarray:
    """The patches [rows, taps, C] of an input [B, ..., C] that a layer's kernel is applied to."""
    if isinstance(layer, layers.Dense):
        return x.reshape(-1, 1, x.shape[-1])
    (height, width), strides, padding = layer.kernel_size, layer.strides, layer.padding
    if isinstance(layer, layers.Conv2DTranspose):
        down, right = (_shifts(phases) for phases in _phases(layer))
        edges = [(-shifts[0], shifts[-1]) for shifts in (down, right)]
        x = np.pad(x, [(0, 0), *edges, (0, 0)])
        height, width, strides, padding = len(down), len(right), (1, 1), "valid"
    patches = tf.image.extract_patches(
        x, [1, height, width, 1], [1, *strides, 1], [1, 1, 1, 1], padding.upper()
    )
    return patches.numpy().reshape(-1, height * width, x.shape[-1])
