"""The branches of Lite-HRNet Plus in its form for phones, and kernels that are written anew."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tf_keras import layers

from efld_tf.models.rebuild import call

# The largest sigmoid in int8, and its log-odds.
KEPT = 255 / 256
KEPT_LOG_ODDS = math.log(255)


@dataclass(frozen=True)
class Branch:
    """One resolution.

    Attributes:
      x: [B, S, S, C].
      places: [C], where each channel of the trained network lies in it.
      scale: [C], what the channels of `x` are multiplied by.
    """

    x: tf.Tensor
    places: np.ndarray
    scale: np.ndarray

    @classmethod
    def as_trained(cls, x: tf.Tensor) -> Branch:
        """One whose channels are as in the trained network."""
        return cls(x, np.arange(x.shape[-1]), np.ones(x.shape[-1]))

    @property
    def changed(self) -> np.ndarray:
        """[C / 2], where the channels lie that a block changes."""
        return self.places[len(self.places) // 2 :]

    def rows(self, kernel: np.ndarray) -> np.ndarray:
        """A kernel [C, outputs] of the trained network for the channels of `x`."""
        return (kernel[np.argsort(self.places)].T / self.scale).T


@dataclass(frozen=True)
class Branches:
    """All branches, from the highest resolution down.

    Attributes:
      each: the branches, of C_i channels.
      pooled: [B, S, S, T], all of them at the lowest resolution, side by side; T is the sum of C_i.
      weights: [B, 1, 1, T], by which all this is still to be multiplied; None for 1.
    """

    each: list[Branch]
    pooled: tf.Tensor
    weights: tf.Tensor | None = None

    @property
    def starts(self) -> np.ndarray:
        """Where each branch starts among the channels of all."""
        return np.cumsum([0, *(len(branch.places) for branch in self.each)])

    @property
    def scale(self) -> np.ndarray:
        """[T], of all branches."""
        return np.concatenate([branch.scale for branch in self.each])

    def changed(self) -> list[np.ndarray]:
        """Where the half of each branch that a block changes lies among the channels of all."""
        return [start + branch.changed
                for start, branch in zip(self.starts, self.each, strict=False)]


def pointwise(x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, name: str) -> tf.Tensor:
    """A point-wise convolution by a kernel [inputs, outputs]."""
    return call(layers.Conv2D(len(bias), 1, name=name), x, [kernel[None, None], bias])


def placed(kernel: np.ndarray, inputs: int, rows: np.ndarray) -> np.ndarray:
    """A kernel [R, outputs] for more inputs, of which it reads those at `rows` [R]."""
    result = np.zeros((inputs, kernel.shape[1]), np.float32)
    result[rows] = kernel
    return result


def log_odds(
    x: tf.Tensor, kernel: np.ndarray, bias: np.ndarray, places: np.ndarray, total: int, name: str
) -> tf.Tensor:
    """Log-odds of `total` weights: a kernel's at some places, those of KEPT at the others."""
    all_biases = np.full(total, KEPT_LOG_ODDS, np.float32)
    all_biases[places] = bias
    return pointwise(x, placed(kernel.T, total, places).T, all_biases, name)


def diagonal(kernels: list[np.ndarray]) -> np.ndarray:
    """One kernel with these along its diagonal."""
    result = np.zeros(np.sum([kernel.shape for kernel in kernels], axis=0), np.float32)
    row = column = 0
    for kernel in kernels:
        rows, columns = kernel.shape
        result[row : row + rows, column : column + columns] = kernel
        row, column = row + rows, column + columns
    return result


def mean(branch: Branch, name: str, step: int = 1) -> tf.Tensor:
    """The mean of the channels, [B, S / step, S / step, 1], and of so many rows and columns."""
    convolution = layers.Conv2D(1, step, step, use_bias=False, name=name)
    kernel = np.ones((step, step, len(branch.scale), 1)) / branch.scale[:, None]
    return call(convolution, branch.x, [kernel / kernel[..., 0].size])


def side_by_side(each: list[Branch], name: str) -> tf.Tensor:
    """All branches at the lowest resolution, side by side: [B, S, S, T]."""
    tensors = [branch.x for branch in each]
    lowest = tensors[-1].shape[1]
    pooled = [
        layers.AveragePooling2D(x.shape[1] // lowest, name=f"{name}{index + 1}")(x)
        if x.shape[1] > lowest else x for index, x in enumerate(tensors)
    ]
    return layers.Concatenate(name=name)(pooled)


def shuffled(places: np.ndarray) -> np.ndarray:
    """The places after a shuffle of the channels."""
    return places.reshape(2, -1).T.ravel()


def in_order(branch: Branch, name: str) -> tf.Tensor:
    """The channels as they are in the trained network."""
    channels = len(branch.places)
    return pointwise(branch.x, branch.rows(np.eye(channels)), np.zeros(channels), name)
