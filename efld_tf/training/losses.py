"""Losses on what a head predicts. Each takes raw outputs and targets of one head."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from efld_tf.errors import EfldError

Loss = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]

# Keeps the gradient of the distance finite where prediction and target coincide, and a face with
# coinciding eye corners from dividing by zero; in crop sides, far below a hundredth of a pixel.
EPSILON = 1e-6


def nme(raw: tf.Tensor, target: tf.Tensor, mask: tf.Tensor, normaliser: tf.Tensor) -> tf.Tensor:
    """Normalised mean error of each face (EFLD, Section 4.1: "NME ... as our training loss").

    Args:
      raw: [B, N, 2] predicted residuals, in crop sides.
      target: [B, N, 2] true residuals.
      mask: [B, N], 1 where a point is annotated.
      normaliser: [B] the face's normalising distance, in crop sides.

    Returns:
      [B]: mean over annotated points of distance / normaliser; 0 for a face without any.
    """
    squared = tf.reduce_sum(tf.square(raw - target), axis=-1)
    distance = tf.sqrt(squared + EPSILON**2)
    points = tf.maximum(tf.reduce_sum(mask, axis=-1), 1.0)
    mean = tf.reduce_sum(distance * mask, axis=-1) / points
    return mean / tf.maximum(normaliser, EPSILON) * tf.reduce_max(mask, axis=-1)


LOSSES: dict[str, Loss] = {"nme": nme}


def get(name: str) -> Loss:
    """The loss of that name.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name not in LOSSES:
        raise EfldError(f"training.loss: unknown loss {name!r}; known: {', '.join(LOSSES)}")
    return LOSSES[name]
