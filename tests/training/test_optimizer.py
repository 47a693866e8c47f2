"""The optimizer that a recipe asks for: what it decays and clips."""

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
