"""Averages the weights over the last steps, which are often better than those of the last step."""

from __future__ import annotations

import tf_keras


def update(
    average: tf_keras.Model, model: tf_keras.Model, decay: float, last_step: int, step: int
) -> None:
    """Moves the weights of `average` towards those of `model`, as an exponential moving average.

    Batch norm's statistics are averaged like the weights that they belong to. Early steps s keep at
    most (1 + s) / (10 + s) of the average, as in `tf.train.ExponentialMovingAverage`; otherwise the
    initial weights would count for long.

    Args:
      average, model: two models that were built alike.
      decay: share of the old average that a step keeps, 0 to 1.
      last_step: the step of the last update, or of the start.
      step: the step of the model.
    """
    share = min(decay, (1 + last_step) / (10 + last_step)) ** (step - last_step)
    for old, new in zip(average.variables, model.variables, strict=True):
        old.assign(share * old + (1 - share) * new)
