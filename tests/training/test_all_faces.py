"""Training on all faces: nothing is validated, and the last weights are kept."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import efld_tf
from efld_tf import runs
from efld_tf.cli import common
from efld_tf.cli import eval as eval_command
from efld_tf.models import checkpoint
from efld_tf.training import recipe, rounds, run
from tests import faces
from tests.errors import assert_told, refuses
from tests.training import test_rounds
from tests.training.test_run import start, wait_for_checkpoint, weights, write_recipe

ALL = "data.sources.0.validation_fraction=0"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("all")
    faces.write_ibug(folder / "a", 24, "ibug68")
    faces.write_five_points(folder / "b", 12)
    return folder


@pytest.fixture(scope="module")
def whole(photos: Path) -> Path:
    process = start(write_recipe(photos), "--set", "name=whole", "--set", ALL)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    folder = photos / "runs" / "whole"
    assert_told(out, folder, "step 48", "held out")
    assert_told(err, "validation_fraction", "last")
    assert "NME" not in err
    return folder


def test_its_best_weights_are_the_last_average(whole: Path) -> None:
    history = runs.validation_history(whole)
    assert [entry["step"] for entry in history] == [8, 16, 24, 32, 40, 48]
    assert {str(entry["nme_percent"]) for entry in history} == {"{}"}
    assert all(entry["training_loss"] > 0 for entry in history)
    spec, _ = checkpoint.load(whole / "best.h5")
    assert spec.training["step"] == 48 and spec.heads["ibug51"].validation_fraction == 0
    reader = tf.train.load_checkpoint(str(whole / "checkpoints"))
    average = [reader.get_tensor(name) for name in reader.get_variable_to_shape_map()
               if name.startswith("average/")]
    kept = weights(whole / "best.h5")
    floats = [value for value in kept.values() if getattr(value, "dtype", None) == np.float32]
    assert len(floats) > 10
    for value in floats:
        assert any(np.array_equal(value, other) for other in average)
    data = json.loads((whole / "data.json").read_text())
    assert {(name, row["train"], row["validation"]) for name, row in data.items()} \
        == {("a", 24, 0), ("b", 12, 0)}


@pytest.mark.long
def test_killed_it_resumes_to_the_same_weights(photos: Path, whole: Path) -> None:
    path = write_recipe(photos)
    words = ("--set", "name=killed", "--set", ALL, "--quiet")
    process = start(path, *words)
    wait_for_checkpoint(process, photos / "runs" / "killed", 12)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    process = start(path, *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert_told(err, "resuming")
    expected, found = weights(whole / "best.h5"), weights(photos / "runs" / "killed" / "best.h5")
    assert expected.keys() == found.keys()
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert [entry["step"] for entry in runs.validation_history(photos / "runs" / "killed")] \
        == [8, 16, 24, 32, 40, 48]


def test_later_commands_take_it(photos: Path, whole: Path, tmp_path: Path) -> None:
    found = run.train(recipe.load(write_recipe(photos), ["name=whole", ALL]), progress=False)
    assert (found.folder, found.step, found.nme_percent, found.normaliser) == (whole, 48, None, "")
    assert common.run(eval_command.main, [
        str(whole), "--source", f"ibug:{photos / 'a'}", "--report", str(tmp_path / "report"),
        "--run", str(whole), "--head", "ibug51", "--quiet"]) == 0
    page = (tmp_path / "report" / "index.html").read_text()
    assert "Run whole, no validation;" in page
    bundle = efld_tf.export(
        found, head="ibug51", calibration=8, output=tmp_path / "e", progress=False)
    assert efld_tf.evaluate(bundle, f"ibug:{photos / 'a'}", progress=False).nme_percent > 0


@pytest.mark.long
def test_rounds_hand_on_the_last_weights(photos: Path, tmp_path: Path) -> None:
    faces.write_ibug(tmp_path / "labelled", 10)
    faces.write_ibug(tmp_path / "photos", 6, seed=1)
    short = [ALL, "training.steps=4", "training.batch_size=4", "training.validation_interval=2",
             "self_training.steps=4", "self_training.levels=[0]"]
    result = rounds.train(recipe.load(test_rounds.write_recipe(tmp_path), short), progress=False)
    assert (result.step, result.nme_percent) == (4, None)
    assert [(entry["round"], entry["nme_percent"]) for entry in rounds.history(result.folder)] \
        == [("round_0", None), ("round_1", None)]
    assert len(result.history) == 4


def test_some_held_out_is_not_none(photos: Path) -> None:
    path = write_recipe(photos)
    with refuses("training.target_head", "validation_fraction", path=path):
        recipe.load(path, [ALL, "data.sources.1.validation_fraction=0.5"])
