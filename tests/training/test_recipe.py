"""What a recipe says of the learning rate, first weights and the loss, and its mistakes.

Recipes as a whole are in `tests/test_config.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from official.modeling import optimization
from safetensors.numpy import save_file

from efld_tf.training import devices, learning, losses, recipe, run, task
from tests.errors import refuses
from tests.training.test_run import write_recipe

STEPS = 6000


def rates(path: Path, steps: list[int]) -> list[float]:
    """The learning rate of a recipe's run after so many of `STEPS` steps."""
    found = recipe.load(path, [f"training.steps={STEPS}"])
    config = task.experiment(found, 0).trainer.optimizer_config
    schedule = optimization.OptimizerFactory(config).build_learning_rate()
    return [float(schedule(step)) for step in steps]


def test_the_rate_falls_to_a_tenth_at_every_drop(tmp_path: Path) -> None:
    """PIPNet's schedule: 1e-4, divided by 10 after 30 and 50 of 60 epochs."""
    path = write_recipe(tmp_path, learning_rate=1e-4, learning_rate_drops=[1 / 2, 5 / 6])
    found = rates(path, [0, 1500, 2999, 3001, 4000, 4999, 5001, STEPS - 1])
    np.testing.assert_allclose(found, [1e-4] * 3 + [1e-5] * 3 + [1e-6] * 2, rtol=1e-5)


def test_one_drop(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, learning_rate=0.02, learning_rate_drops=[0.9])
    found = rates(path, [0, 5399, 5401, STEPS])
    np.testing.assert_allclose(found, [0.02, 0.02, 0.002, 0.002], rtol=1e-5)


def test_drops_to_another_share(tmp_path: Path) -> None:
    """Lite-HRNet Plus: 0.002, and "by 0.01" after 170 and 200 of 210 epochs."""
    path = write_recipe(tmp_path, learning_rate=0.002, learning_rate_drop_factor=0.01,
                        learning_rate_drops=[170 / 210, 200 / 210])
    found = rates(path, [0, 4856, 4858, 5713, 5715])
    np.testing.assert_allclose(found, [2e-3, 2e-3, 2e-5, 2e-5, 2e-7], rtol=1e-5)


def test_without_drops_it_is_a_cosine(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, learning_rate=0.02)
    found = rates(path, [0, STEPS // 3, STEPS // 2, STEPS])
    np.testing.assert_allclose(found, [0.02, 0.015, 0.01, 0.0], atol=1e-7)


def test_a_warm_up_comes_before_the_drops(tmp_path: Path) -> None:
    path = write_recipe(
        tmp_path, learning_rate=0.01, warmup_steps=100, learning_rate_drops=[0.5]
    )
    found = rates(path, [0, 25, 75, 100, 2999, 3001])
    np.testing.assert_allclose(found, [0, 0.0025, 0.0075, 0.01, 0.01, 0.001], atol=1e-8)


@pytest.mark.parametrize(
    ("setting", "facts"),
    [
        *((f"learning_rate_drops={drops}", [0, 1, drops])
          for drops in ("[0.0, 0.5]", "[0.5, 1.0]", "[-0.5]", "[30.0, 50.0]", "[0.8, 0.5]",
                        "[0.5, 0.5]")),
        ("learning_rate_drops=0.5", ["list", 0.5]),
        ("weight_average=1", [0, 1, 1.0]),
        ("learning_rate_drop_factor=1", [0, 1, 1.0]),
        ("optimizer=adamax", [*map(repr, learning.OPTIMIZERS), "'adamax'"]),
        ("weight_decay=-0.1", [0, -0.1]),
        ("tensorboard_faces=65", [0, 64, 65]),
        ("tensorboard_faces=-1", [0, 64, -1]),
        ("weight_average=-0.1", [0, 1, -0.1]),
        ("precision=int8", [*map(repr, learning.PRECISIONS), "'int8'"]),
        ("devices=0", ["batch_size", 8, 0]),
        ("devices=3", ["batch_size", 8, 3]),
        ("coherence=-0.1", [0, -0.1]),
    ],
)
def test_how_it_is_trained_is_checked(
    tmp_path: Path, setting: str, facts: list[object]
) -> None:
    path = write_recipe(tmp_path)
    key = f"training.{setting.partition('=')[0]}"
    with refuses(key, *facts, path=path):
        recipe.load(path, [f"training.{setting}"])


@pytest.mark.parametrize("name", ["adam", "nadam", "sgd"])
def test_what_has_no_decay_is_not_given_one(tmp_path: Path, name: str) -> None:
    path = write_recipe(tmp_path)
    with refuses("training.weight_decay", name, 0, 0.0001, path=path):
        recipe.load(path, [f"training.optimizer={name}"])
    recipe.load(path, [f"training.optimizer={name}", "training.weight_decay=0"])


def test_all_gpus_must_share_a_batch_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run without GPUs, so these are made up."""
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda kind: [kind] * 3)
    devices.claim(None, batch_size=96)
    devices.claim(2, batch_size=64)
    with refuses("training.devices", "3 GPUs", 64, "training.batch_size"):
        devices.claim(None, batch_size=64)


def test_there_is_one_place_to_start_from(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, init_from="a.h5", backbone_weights="b.h5")
    with refuses("training.init_from", "backbone_weights", path=path):
        recipe.load(path)


RESNET = ("model.family=coordnet", "model.options.backbone=resnet18")


@pytest.mark.parametrize(
    ("overrides", "facts"),
    [
        (["training.backbone_weights=w.h5"], ["training.backbone_weights", "family 'efld'"]),
        (["training.backbone_weights=w.h5", "model.family=pipnet"],
         ["training.backbone_weights", "backbone 'efld'"]),
        (["training.backbone_weights=/nowhere.safetensors", *RESNET],
         ["training.backbone_weights", "/nowhere.safetensors", "No such file", "null"]),
        (["training.backbone_weights=${NO_SUCH}/w.h5", *RESNET],
         ["${NO_SUCH}/w.h5", "environment variable NO_SUCH"]),
        (["training.loss=wingg"], ["training.loss", "'wingg'", *losses.LOSSES]),
        (["training.loss_options={alpha: 0.1}"], ["training.loss_options.alpha", "nme", "focus"]),
        (["training.loss_options={gamma: 0.1}", "model.family=pipnet"],
         ["training.loss_options.gamma", "pip", "alpha", "beta"]),
        (["training.loss_options={alpha: -1}", "model.family=pipnet"],
         ["training.loss_options.alpha", 0, -1.0]),
        (["training.loss=pip"], ["training.loss", "efld", "nme", "l1", "wing", "pip"]),
        (["training.coherence=0.001"], ["training.coherence", "efld", "map", 0]),
        (["heads.mtfl5.openings=1"], ["heads.mtfl5.openings", "outlines", 0]),
        (["heads.ibug51.openings=-1"], ["heads.ibug51.openings", -1.0]),
        (["data.sources.0.emphasis={closed_eyes: 2}", "training.deterministic=false",
          "data.service={address: 'grpc://localhost:1'}"], ["data.service", "emphasis"]),
        (["training.coherence=0.001", "model.family=mapnet",
          "data.service={address: 'grpc://localhost:1'}", "training.deterministic=false"],
         ["training.coherence", "data.service", "pairs", 0]),
        (["training.loss=nme", "model.family=pipnet"], ["training.loss", "pipnet", "pip", "nme"]),
    ],
)
def test_mistakes_are_told_before_the_data_are_read(
    tmp_path: Path, overrides: list[str], facts: list[object]
) -> None:
    """There are no photos here: a run that read them would say so instead."""
    path = write_recipe(tmp_path)
    with refuses(*facts):
        run.train(recipe.load(path, ["model.input_size=32", *overrides]), progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_file_that_is_not_the_backbone_s_is_told(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, weights)
    path = write_recipe(tmp_path, backbone_weights=str(weights))
    with refuses("training.backbone_weights", weights, "bn1.weight", "missing"):
        run.train(recipe.load(path, RESNET), progress=False)


@pytest.mark.parametrize(("value", "told"), [("much", "'much'"), (".nan", "nan"), ("null", "null")])
def test_loss_options_are_numbers(tmp_path: Path, value: str, told: str) -> None:
    path = write_recipe(tmp_path)
    with refuses("training.loss_options.alpha", "number", told, path=path):
        recipe.load(path, [f"training.loss_options={{alpha: {value}}}"])
