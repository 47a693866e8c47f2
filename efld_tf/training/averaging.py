"""An average of the weights over the last steps, which is often better than the last of them."""

from __future__ import annotations

import tf_keras


def update(
    average: tf_keras.Model, model: tf_keras.Model, decay: float, last: int, step: int
) -> None:
    """Moves the weights of `average` towards those of `model`: exponential moving average.

    Batch norm's statistics are averaged like the weights that they belong to. At first it moves
    further, or the start would be remembered: of a step s at most (1 + s) / (10 + s) is kept, as in
    `tf.train.ExponentialMovingAverage`.

    Args:
      average, model: built alike.
      decay: share of the old average that a step keeps, 0 to 1.
      last: the step of the update before, or of the start.
      step: the step of the model.
    """
    kept = min(decay, (1 + last) / (10 + last)) ** (step - last)
    for old, new in zip(average.variables, model.variables, strict=True):
        old.assign(kept * old + (1 - kept) * new)
