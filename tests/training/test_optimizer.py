"""The optimizer that a recipe asks for: what is decayed, and that nothing is clipped unasked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from efld_tf.data.options import SourceOptions
from efld_tf.training import task
from efld_tf.training.recipe import DataRecipe, HeadRecipe, Recipe, TrainingRecipe

TRAINING = TrainingRecipe(
    target_head="ibug51", steps=100, learning_rate=0.1, warmup_steps=0, weight_decay=0.5,
)


def optimizer(training: TrainingRecipe) -> tf_keras.optimizers.Optimizer:
    source = SourceOptions(source="ibug:nowhere", name="a", heads=["ibug51"],
                           validation_fraction=0.1)
    recipe = Recipe(name="a", heads={"ibug51": HeadRecipe()}, data=DataRecipe(sources=[source]),
                    training=training)
    config = task.experiment(recipe, 0).trainer.optimizer_config
    return task.LandmarkTask.create_optimizer(config)


def block() -> tf_keras.Sequential:
    return tf_keras.Sequential([
        tf_keras.layers.Conv2D(2, 3, input_shape=(4, 4, 1)),
        tf_keras.layers.BatchNormalization(),
        tf_keras.layers.DepthwiseConv2D(2),
        tf_keras.layers.Dense(3),
    ])


def test_kernels_decay_and_nothing_else() -> None:
    model = block()
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    zeros = [tf.zeros_like(variable) for variable in model.trainable_variables]
    optimizer(TRAINING).apply_gradients(zip(zeros, model.trainable_variables, strict=True))
    for variable in model.trainable_variables:
        expected = 1 - 0.1 * 0.5 if "kernel" in variable.name else 1.0
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=variable.name)


@pytest.mark.parametrize(("norm", "expected"), [(None, [30.0, 40.0]), (5.0, [3.0, 4.0])])
def test_adam_by_hand(norm: float | None, expected: list[float]) -> None:
    """Two steps, so that a clipped gradient tells: Adam's first step is the same for all."""
    variable = tf.Variable([0.0, 0.0], name="bias")
    training = replace(TRAINING, gradient_clip_norm=norm, steps=10**9)
    applied = optimizer(training)
    moment, second, value = np.zeros(2), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate([expected, [0.3, 0.4]], start=1):
        given = [30.0, 40.0] if step == 1 else gradient
        applied.apply_gradients([(tf.constant(given), variable)])
        moment = 0.9 * moment + 0.1 * np.array(gradient)
        second = 0.999 * second + 0.001 * np.array(gradient) ** 2
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value -= rate * moment / (np.sqrt(second) + 1e-7)
    np.testing.assert_allclose(variable, value, rtol=1e-4)
