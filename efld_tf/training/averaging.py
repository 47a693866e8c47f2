"""An average of the weights over the last steps, which is often better than the last of them."""

from __future__ import annotations

import tf_keras


def update(average: tf_keras.Model, model: tf_keras.Model, decay: float, updates: int) -> None:
    """Moves the weights of `average` towards those of `model`: exponential moving average.

    Batch norm's statistics are averaged like the weights that they belong to. The first updates
    move further, as in `tf.train.ExponentialMovingAverage`: a share of at least 9 / (10 + updates),
    or the start would be remembered.

    Args:
      average, model: built alike.
      decay: share of the old average, 0 to 1.
      updates: number of earlier ones.
    """
    decay = min(decay, (1 + updates) / (10 + updates))
    for old, new in zip(average.variables, model.variables, strict=True):
        old.assign(decay * old + (1 - decay) * new)
