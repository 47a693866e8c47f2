"""The common parts of all loaders of public weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.errors import DataError
from efld_tf.models.blocks import Blocks


def layers_of(
    model: tf_keras.Model, build: Callable[[tf.Tensor, Blocks], tf.Tensor]
) -> list[layers.Layer]:
    """The layers of a model with weights that belong to its backbone, from the image on.

    They are found by the names that the backbone gives them when it is built alone, since a head
    may be called anything.
    """
    image = tf_keras.Input(model.input.shape[1:])
    alone = tf_keras.Model(image, build(image, Blocks()))
    return [model.get_layer(layer.name) for layer in alone.layers if layer.weights]


def check_shape(path: Path, name: str, shape: Sequence[int], expected: Sequence[int]) -> None:
    """Refuses an array of a file that has another shape.

    Raises:
      DataError: the shape is not the expected one.
    """
    if tuple(shape) != tuple(expected):
        raise DataError(path, f"{name} has shape {tuple(shape)}, expected {tuple(expected)}")


def checked(path: Path, name: str, value: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """An array of a file, as float32.

    Raises:
      DataError: it has another shape, or is not of finite numbers.
    """
    check_shape(path, name, value.shape, shape)
    if value.dtype.kind != "f" or not np.isfinite(result := as_float32(value)).all():
        raise DataError(path, f"{name} is not an array of finite numbers")
    return result


def as_float32(value: np.ndarray) -> np.ndarray:
    """Numbers as float32; those that are too large become infinite, without a warning."""
    with np.errstate(over="ignore"):
        return value.astype(np.float32)


def assign(
    path: Path, backbone_layers: Sequence[layers.Layer], values: Mapping[str, list[np.ndarray]]
) -> None:
    """Gives layers their weights, which are in `values` by the layer's name.

    Raises:
      DataError: a weight is not finite in the network's colours, or a variance is negative; then no
        layer is changed.
    """
    for layer in backbone_layers:
        if not all(np.isfinite(value).all() for value in values[layer.name]):
            raise DataError(path, f"the weights of {layer.name} are too large")
        if isinstance(layer, layers.BatchNormalization) and (values[layer.name][-1] < 0).any():
            raise DataError(path, f"the variance of {layer.name} is negative")
    for layer in backbone_layers:
        layer.set_weights(values[layer.name])


def take_colours(
    conv: list[np.ndarray],
    norm: list[np.ndarray],
    mean: Sequence[float],
    deviation: Sequence[float],
) -> None:
    """Makes weights for normalised colours into weights for colours in [0, 1], in place.

    For a network that expects (x - mean) / deviation, the first kernel is divided by the deviation,
    and the constant that the mean adds to each channel goes into the batch norm's moving mean. The
    function is the same except at the border, where the zeros around an image are now black and
    were the mean colour.

    Args:
      conv: the kernel [H, W, 3, C] of the first convolution, which has no bias.
      norm: gamma, beta, moving mean and variance [C] of the batch norm after it.
      mean, deviation: [3].
    """
    kernel = conv[0].astype(np.float64) / np.asarray(deviation)[:, None]
    shift = (kernel * np.asarray(mean)[:, None]).sum(axis=(0, 1, 2))
    conv[0] = as_float32(kernel)
    norm[2] = as_float32(norm[2] + shift)
