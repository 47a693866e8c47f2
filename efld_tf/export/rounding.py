"""Weights on their int8 grid with the least effect on what a layer computes.

Rounding each weight to the nearest step leaves errors that add up over a kernel, and a mean error
that shifts every face alike. Here the weights of a channel are rounded one after the other, and the
rest takes back what each rounding does to the layer's output on the calibration crops; the bias,
which stays exact, takes back what is left. (E. Frantar et al., "GPTQ: Accurate Post-Training
Quantization for Generative Pre-trained Transformers", ICLR 2023, Section 3, on convolutions as
matrices of patches; the bias is the bias correction of M. Nagel et al., ICCV 2019, Section 4.2.)
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.export.equalise import BATCH, batches_of, copied, is_split
from efld_tf.models.registry import PRESENCE

LEVELS = 127
# Rows of patches that a layer is fitted to, and the ridge in parts of the patches' mean power.
ROWS = 20_000
RIDGE = 1e-3


def round_weights(model: tf_keras.Model, crops: np.ndarray) -> tf_keras.Model:
    """A copy whose kernels are on the int8 grid that `quantise` will find for them.

    Layers are rounded in order, each on what the rounded ones before it give; all but that of a
    presence output.

    Args:
      model: without batch norms; every layer called once.
      crops: [F, S, S, 3] uint8, the calibration crops.
    """
    rounded = copied(model)
    random = np.random.default_rng(0)
    for layer in rounded.layers:
        if not isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
            continue
        # Calibration crops are faces: they do not say what a presence output gives without one.
        if not layer.use_bias or layer.name == PRESENCE:
            continue
        kernel, bias = layer.get_weights()
        depthwise = isinstance(layer, layers.DepthwiseConv2D)
        patches = _patches(rounded, layer, crops, random)  # [R, taps, C]
        if depthwise:
            patches = patches.transpose(2, 0, 1)  # a problem of its own for each channel
            columns = kernel[..., 0].reshape(-1, kernel.shape[2]).T[..., None]
        else:
            patches = patches.reshape(1, len(patches), -1)
            columns = kernel.reshape(1, -1, kernel.shape[-1])
        step = np.abs(columns).max(axis=1, keepdims=True) / LEVELS
        if is_split(layer):  # one scale for the kernel, see `quantise`
            step = np.full_like(step, step.max())
        columns, bias = round_columns(patches, columns, bias.reshape(len(columns), -1), step)
        if depthwise:
            columns = columns[..., 0].T
        layer.set_weights([columns.reshape(kernel.shape), bias.reshape(-1)])
    return rounded


def round_columns(
    patches: np.ndarray, columns: np.ndarray, bias: np.ndarray, step: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rounds kernels so that `patches @ columns + bias` changes least.

    Args:
      patches: [G, R, K] inputs of G independent problems.
      columns: [G, K, N] kernels.
      bias: [G, N].
      step: [G, 1, N], the grid's; a column whose largest weight is 127 steps keeps it there, so
        that its grid can be found again.

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
        whole = np.clip(np.round(values[:, tap] / step[:, 0]), -LEVELS, LEVELS)
        whole = np.where((largest == tap) & (np.abs(peak) > LEVELS - 0.5), np.round(peak), whole)
        error = (values[:, tap] - whole * step[:, 0]) / factor[:, tap, tap, None]
        values[:, tap + 1 :] -= factor[:, tap, tap + 1 :, None] * error[:, None]
        values[:, tap] = whole * step[:, 0]
    return values[:, :taps].astype(np.float32), values[:, taps].astype(np.float32)


def _patches(
    model: tf_keras.Model, layer: layers.Layer, crops: np.ndarray, random: np.random.Generator
) -> np.ndarray:
    """Samples of what a layer's kernel is applied to: [rows, taps, input channels]."""
    found = []
    each = max(1, ROWS * BATCH // len(crops))
    before = layer.inbound_nodes[0].inbound_layers
    for (x,) in batches_of(model, [before], crops):
        if isinstance(layer, layers.Dense):
            x = x.reshape(-1, 1, x.shape[-1])
        else:
            height, width = layer.kernel_size
            sizes, strides = [1, height, width, 1], [1, *layer.strides, 1]
            patches = tf.image.extract_patches(
                x, sizes, strides, [1, 1, 1, 1], layer.padding.upper()
            )
            x = patches.numpy().reshape(-1, height * width, x.shape[-1])
        found.append(x if len(x) <= each else x[random.choice(len(x), each, replace=False)])
    return np.concatenate(found)
