"""What a recipe says of the learning rate, first weights and the loss, and its mistakes.

Recipes as a whole are in `tests/test_config.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from official.modeling import optimization
from safetensors.numpy import save_file

from efld_tf.errors import DataError, EfldError
from efld_tf.training import devices, recipe, run, task
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
    ("setting", "message"),
    [
        *((f"learning_rate_drops={drops}", "learning_rate_drops: expected rising fractions between "
           f"0 and 1, got {drops}")
          for drops in ("[0.0, 0.5]", "[0.5, 1.0]", "[-0.5]", "[30.0, 50.0]", "[0.8, 0.5]",
                        "[0.5, 0.5]")),
        ("learning_rate_drops=0.5", "learning_rate_drops: expected a list, got 0.5"),
        ("weight_average=1", "weight_average: expected 0 up to, not including, 1, got 1.0"),
        ("weight_average=-0.1", "weight_average: expected 0 up to, not including, 1, got -0.1"),
        ("precision=int8", "precision: expected one of ('float32', 'bfloat16', 'float16'), "
                           "got 'int8'"),
        ("devices=0", "devices: expected a number that divides batch_size (8), got 0"),
        ("devices=3", "devices: expected a number that divides batch_size (8), got 3"),
    ],
)
def test_how_it_is_trained_is_checked(tmp_path: Path, setting: str, message: str) -> None:
    path = write_recipe(tmp_path)
    with pytest.raises(DataError) as caught:
        recipe.load(path, [f"training.{setting}"])
    assert str(caught.value) == f"{path}: training.{message}"


def test_all_gpus_must_share_a_batch_equally(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests run without GPUs, so these are made up."""
    monkeypatch.setattr(devices.tf.config, "list_physical_devices", lambda kind: [kind] * 3)
    devices.claim(None, batch_size=96)
    devices.claim(2, batch_size=64)
    with pytest.raises(EfldError, match="all 3 GPUs cannot share batches of 64 equally"):
        devices.claim(None, batch_size=64)


def test_there_is_one_place_to_start_from(tmp_path: Path) -> None:
    path = write_recipe(tmp_path, init_from="a.h5", backbone_weights="b.h5")
    with pytest.raises(DataError) as caught:
        recipe.load(path)
    expected = "training.init_from, backbone_weights: expected one of them, got both"
    assert str(caught.value) == f"{path}: {expected}"


RESNET = ("model.family=coordnet", "model.options.backbone=resnet18")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["training.backbone_weights=w.h5"],
         "the family 'efld' has no public weights to start from"),
        (["training.backbone_weights=w.h5", "model.family=pipnet"],
         "the backbone efld has no public weights to start from"),
        (["training.backbone_weights=/nowhere.safetensors", *RESNET], "/nowhere.safetensors: "),
        (["training.backbone_weights=${NO_SUCH}/w.h5", *RESNET],
         "the environment variable NO_SUCH is not set"),
        (["training.loss=wingg"], "training.loss: unknown loss 'wingg'; known: nme, wing, l1"),
        (["training.loss_options={alpha: 0.1}"],
         "training.loss_options.alpha: the loss nme has only focus"),
        (["training.loss_options={gamma: 0.1}", "model.family=pipnet"],
         "training.loss_options.gamma: the loss pip has only alpha, beta"),
        (["training.loss_options={alpha: -1}", "model.family=pipnet"],
         "training.loss_options.alpha: expected 0 or more, got -1"),
        (["training.loss=pip"],
         "what the heads of efld predict can be trained by nme or l1 or wing, not by pip"),
        (["training.loss=nme", "model.family=pipnet"],
         "what the heads of pipnet predict can be trained by pip, not by nme"),
    ],
)
def test_mistakes_are_told_before_the_data_are_read(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    """There are no photos here: a run that read them would say so instead."""
    path = write_recipe(tmp_path)
    with pytest.raises(EfldError) as caught:
        run.train(recipe.load(path, ["model.input_size=32", *overrides]), progress=False)
    assert message in str(caught.value) and "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["recipe.yaml"]


def test_a_file_that_is_not_the_backbone_s_is_told(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    save_file({"conv1.weight": np.zeros((64, 3, 7, 7), np.float32)}, weights)
    path = write_recipe(tmp_path, backbone_weights=str(weights))
    with pytest.raises(DataError, match=r"w\.safetensors: .* is missing"):
        run.train(recipe.load(path, RESNET), progress=False)


@pytest.mark.parametrize("value", ["{alpha: much}", "{alpha: .nan}", "{alpha: null}"])
def test_loss_options_are_numbers(tmp_path: Path, value: str) -> None:
    path = write_recipe(tmp_path)
    with pytest.raises(DataError, match=r"training\.loss_options\.alpha: expected a finite number"):
        recipe.load(path, [f"training.loss_options={value}"])
