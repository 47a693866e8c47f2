"""The optimizer that a recipe asks for: how it moves, what it decays and clips."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from official.core import config_definitions as cfg

from efld_tf.data.options import SourceOptions
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint
from efld_tf.training import task
from efld_tf.training.recipe import DataRecipe, HeadRecipe, Recipe, TrainingRecipe
from tests import faces

TRAINING = TrainingRecipe(
    target_head="ibug51", steps=100, learning_rate=0.1, warmup_steps=0, weight_decay=0.5,
)


def optimizer(training: TrainingRecipe, scaled: bool = False) -> tf_keras.optimizers.Optimizer:
    source = SourceOptions(source="ibug:nowhere", name="a", heads=["ibug51"],
                           validation_fraction=0.1)
    recipe = Recipe(name="a", heads={"ibug51": HeadRecipe()}, data=DataRecipe(sources=[source]),
                    training=training)
    config = task.experiment(recipe, 0).trainer.optimizer_config
    runtime = cfg.RuntimeConfig(mixed_precision_dtype="float16") if scaled else None
    return task.LandmarkTask.create_optimizer(config, runtime)


@pytest.mark.parametrize(("family", "options"), [
    ("efld", {}), ("efld", {"head": "pfld"}), ("pipnet", {}), ("coordnet", {}),
    ("mapnet", {"backbone": "mobilenet_v3_large"}),
])
def test_kernels_decay_and_nothing_else(family: str, options: dict[str, str]) -> None:
    head = checkpoint.HeadSpec(faces.mean_shape("ibug51").tolist(), CropRule("points", "ibug51", 1))
    model = checkpoint.ModelSpec(family, 64, options, {"ibug51": head}).build()
    for variable in model.trainable_variables:
        variable.assign(tf.ones_like(variable))
    zeros = [tf.zeros_like(variable) for variable in model.trainable_variables]
    optimizer(TRAINING).apply_gradients(zip(zeros, model.trainable_variables, strict=True))
    for variable in model.trainable_variables:
        expected = 1 - 0.1 * 0.5 if "kernel" in variable.name else 1.0
        np.testing.assert_allclose(variable, expected, rtol=1e-6, err_msg=variable.name)


@pytest.mark.parametrize("scaled", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("norm", [None, 5.0])
def test_adam_by_hand(norm: float | None, scaled: bool) -> None:
    """Two steps, so that a clipped gradient tells: Adam's first step is the same for all."""
    variable = tf.Variable([0.0, 0.0], name="a/bias")  # does not decay
    applied = optimizer(replace(TRAINING, gradient_clip_norm=norm, steps=10**9), scaled)
    moment, second, value = np.zeros(2), np.zeros(2), np.zeros(2)
    for step, raw in enumerate([[30.0, 40.0], [0.3, 0.4]], start=1):
        applied.apply_gradients([(tf.constant(raw), variable)])
        clipped = np.array(raw) / (10.0 if norm and step == 1 else 1.0)
        moment = 0.9 * moment + 0.1 * clipped
        second = 0.999 * second + 0.001 * clipped**2
        rate = 0.1 * np.sqrt(1 - 0.999**step) / (1 - 0.9**step)
        value -= rate * moment / (np.sqrt(second) + 1e-7)
    np.testing.assert_allclose(variable, value, rtol=1e-4)


def moved(name: str, gradients: list[np.ndarray], rate: float) -> np.ndarray:
    """Where an optimizer without decay brings a variable that was 0, by its paper's formulas."""
    mean, square, value, product = np.zeros(2), np.zeros(2), np.zeros(2), 1.0
    for step, gradient in enumerate(gradients, start=1):
        mean = 0.9 * mean + (1.0 if name == "sgd" else 0.1) * gradient
        square = 0.999 * square + 0.001 * gradient**2
        momentum, following = (0.9 * (1 - 0.5 * 0.96**t) for t in (step, step + 1))
        product *= momentum
        ahead = {
            "sgd": mean,
            "adam": mean / (1 - 0.9**step),
            "nadam": following * mean / (1 - product * following)
            + (1 - momentum) * gradient / (1 - product),
        }[name]
        width = 1.0 if name == "sgd" else np.sqrt(square / (1 - 0.999**step)) + 1e-7
        value = value - rate * ahead / width
    return value


@pytest.mark.parametrize("scaled", [False, True], ids=["float32", "float16"])
@pytest.mark.parametrize("norm", [None, 5.0])
@pytest.mark.parametrize("name", ["sgd", "adam", "nadam"])
def test_other_optimizers_by_hand(name: str, norm: float | None, scaled: bool) -> None:
    """Kernels do not decay, and variables of one compiled step do not disturb each other."""
    variables = [tf.Variable([0.0, 0.0], name=f"{layer}/kernel") for layer in "ab"]
    applied = optimizer(replace(TRAINING, optimizer=name, weight_decay=0.0, steps=10**9,
                                gradient_clip_norm=norm), scaled)

    @tf.function
    def step(gradient: tf.Tensor) -> None:
        applied.apply_gradients([(gradient, variable) for variable in variables])

    raw = [np.array(pair) for pair in ([30.0, 40.0], [0.3, -0.4], [0.2, 0.1])]
    for gradient in raw:
        step(tf.constant(gradient, tf.float32))
    clipped = [g / max(1.0, np.sqrt(2) * np.linalg.norm(g) / norm) if norm else g for g in raw]
    for variable in variables:
        np.testing.assert_allclose(variable, moved(name, clipped, 0.1), rtol=1e-4)


def test_nadam_after_many_steps() -> None:
    variable = tf.Variable([0.0, 0.0], name="a/kernel")
    applied = optimizer(replace(TRAINING, optimizer="nadam", weight_decay=0.0, steps=10**9))
    gradient = tf.constant([0.5, -0.1])
    step = tf.function(lambda: applied.apply_gradients([(gradient, variable)]))
    for _ in range(1100):
        step()
    expected = moved("nadam", [gradient.numpy().astype(float)] * 1100, 0.1)
    np.testing.assert_allclose(variable, expected, rtol=1e-4)


@pytest.mark.parametrize("norm", [None, 1.0])
def test_replicas_are_clipped_together(norm: float | None) -> None:
    """In a process of its own, which must not have computed yet: its first moment, by hand."""
    program = f"""
import tensorflow as tf
from efld_tf.training import devices
devices.claim(2, 2)
from dataclasses import replace
from tests.training import test_optimizer as here
strategy = devices.strategy(2)
with strategy.scope():
    variable = tf.Variable([0.0, 0.0], name="a/bias")
    applied = here.optimizer(replace(here.TRAINING, gradient_clip_norm={norm}))
@tf.function
def step():
    def replica():
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        applied.apply_gradients([(tf.where(first, [3.0, 0.0], [0.0, 4.0]), variable)])
    strategy.run(replica)
step()
print(*applied.get_slot(variable, "m").values[0].numpy())
"""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=300,
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "0"}, cwd=Path(__file__).parents[2],
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    expected = np.array([0.3, 0.4]) / (5.0 if norm else 1.0)
    np.testing.assert_allclose([float(v) for v in ran.stdout.split()[-2:]], expected, rtol=1e-5)
