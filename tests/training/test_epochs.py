"""Lengths in epochs: how many steps they are, and that a run goes on as it was begun."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from efld_tf.training import recipe, rounds, run, run_folder
from efld_tf.training.learning import TrainingRecipe
from tests import faces
from tests.errors import assert_told, refuses
from tests.training.test_run import weights, write_recipe


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("epochs")
    faces.write_ibug(folder / "a", 20, "ibug68")
    faces.write_five_points(folder / "b", 10)
    return folder


def in_epochs(folder: Path, epochs: int, *overrides: str, **training: object) -> recipe.Recipe:
    """A recipe of 20 and 10 faces, of which the first source holds some out."""
    path = write_recipe(folder, **{
        "steps": None, "epochs": epochs, "validation_interval": 4, "tensorboard_faces": 0,
        **training})
    return recipe.load(path, overrides)


@pytest.mark.parametrize(("faces_", "batch", "epochs", "steps"), [
    (3148, 16, 60, 60 * 197), (16, 8, 3, 6), (17, 8, 3, 9), (3, 8, 5, 5),
    (10 * 0.1 + 7, 8, 1, 1), (sum([0.1] * 10) + 7.0000001, 8, 1, 1),
])
def test_an_epoch_is_rounded_up(faces_: float, batch: int, epochs: int, steps: int) -> None:
    found = TrainingRecipe(target_head="a", epochs=epochs, batch_size=batch).in_steps(faces_)
    assert (found.steps, found.epochs, found.last_step) == (steps, None, steps)
    assert found.in_steps(99) == found


def test_an_epoch_of_pairs_is_twice_as_long() -> None:
    paired = TrainingRecipe(target_head="a", epochs=3, batch_size=8, coherence=0.1)
    assert paired.in_steps(20).steps == 3 * 5
    for batch, devices, multiple in ((7, None, 2), (6, 2, 4)):
        with refuses("batch_size", "pairs", multiple, batch):
            TrainingRecipe(target_head="a", epochs=3, batch_size=batch, devices=devices,
                           coherence=0.1)


def test_all_training_faces_count_as_often_as_they_are_drawn(photos: Path) -> None:
    found = in_epochs(photos, 2, "data.sources.1.repeat=0.5")
    run.prepare(found, progress=False)
    held_out = found.data.sources[0]
    trained = 20 - sum(
        shard["faces"] for shard in yaml.safe_load(
            (found.pack_folder(held_out) / "manifest.json").read_text())["shards"]["validation"])
    assert 12 < trained < 20 and found.faces() == trained + 5
    assert found.in_steps().training.steps == 2 * -(-(trained + 5) // 8)


def test_a_run_says_its_steps_and_goes_on_with_more(
    photos: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    short = in_epochs(photos, 2, "name=grown")
    run.train(short)
    steps, told = short.in_steps().training.steps, capfd.readouterr().err
    assert_told(told, "2 epochs", f"{short.faces():g} faces", f"{steps} steps")
    assert f"{steps}/{steps}" in told  # of the progress line
    written = recipe.load(short.folder / "recipe.yaml")
    assert (written.training.steps, written.training.epochs) == (steps, None)
    run.train(written)
    assert_told(capfd.readouterr().err, f"step {steps}", "training.steps", "training.epochs")
    longer = in_epochs(photos, 3, "name=grown")
    run_folder.check(longer)
    run_folder.check(longer.in_steps())
    with refuses("training.batch_size"):
        run_folder.check(in_epochs(photos, 2, "name=grown", "training.batch_size=4"))


def test_other_faces_do_not_change_a_run(photos: Path, tmp_path: Path) -> None:
    """Its cosine and drops would be other ones."""
    for name in ("a", "b"):
        shutil.copytree(photos / name, tmp_path / name)
    found = in_epochs(tmp_path, 1)
    run.prepare(found, progress=False)
    run_folder.claim(found.in_steps(), found.data.sources)
    faces.write_ibug(tmp_path / "a", 36, "ibug68")
    with refuses("data", "changed", "a"):
        run.train(in_epochs(tmp_path, 1), progress=False)


@pytest.mark.long
@pytest.mark.parametrize("optimizer", ["nadam", "adam", "sgd"])
def test_every_optimizer_goes_on_to_the_same_weights(photos: Path, optimizer: str) -> None:
    """As a killed run does: `test_run.py` kills those of AdamW."""
    found = recipe.load(write_recipe(
        photos, optimizer=optimizer, weight_decay=0.0, steps=12, learning_rate_drops=[0.8],
        validation_interval=12, checkpoint_interval=6, tensorboard_faces=0,
    ), [f"name={optimizer}"])
    whole = run.train(found, progress=False)
    first = weights(whole.folder / "best.h5")
    for name in ("checkpoints/ckpt-12*", "best.h5", "validation.jsonl"):
        for path in whole.folder.glob(name):
            path.unlink()
    assert 0 < run_folder.newest_checkpoint(whole.folder)[0] < 12
    again = run.train(found, progress=False)
    assert (again.step, again.nme_percent) == (whole.step, whole.nme_percent) and again.step == 12
    second = weights(again.folder / "best.h5")
    assert all((first[name] == second[name]).all() for name in first)


@pytest.mark.long
def test_rounds_have_epochs_of_their_own_faces(photos: Path) -> None:
    path = write_recipe(photos, steps=None, epochs=1, validation_interval=100,
                        tensorboard_faces=0)
    tree = yaml.safe_load(path.read_text())
    labelled, other = tree["data"]["sources"]
    tree["heads"], tree["data"]["sources"] = {"ibug51": {}}, [labelled]
    tree["self_training"] = {"levels": [0], "unlabelled": [
        {"name": "more", "source": other["source"], "heads": ["ibug51"]}]}
    path.write_text(yaml.safe_dump(tree))
    found = recipe.load(path, ["name=rounds"])
    rounds.train(found, progress=False)
    batches = [-(-faces_ // 8) for faces_ in (found.faces(), found.faces() + 10)]
    steps = [recipe.load(found.folder / name / "recipe.yaml").training.steps
             for name in ("round_0", "round_1")]
    assert steps == batches and steps[0] < steps[1]
    again = recipe.load(path, ["name=rounds", "training.epochs=2"])
    with refuses("training.epochs", 1, 2):
        rounds.train(again, progress=False)
    longer = recipe.load(path, ["self_training.epochs=3"])
    assert longer.self_training.length(longer.training).epochs == 3
    shorter = recipe.load(path, ["self_training.epochs=3", "self_training.steps=7"][1:])
    assert shorter.self_training.length(shorter.training).steps == 7


@pytest.mark.parametrize(("given", "override", "steps", "epochs"), [
    ({"steps": 5}, "training.epochs=7", None, 7),
    ({"epochs": 5}, "training.steps=7", 7, None),
    ({"epochs": 5}, "training.epochs=7", None, 7),
    ({"epochs": 5}, "training.steps=null", None, 5),
])
def test_an_override_replaces_the_other_length(
    tmp_path: Path, given: dict[str, int], override: str, steps: int | None, epochs: int | None
) -> None:
    path = write_recipe(tmp_path, **{"steps": None, **given})
    found = recipe.load(path, [override]).training
    assert (found.steps, found.epochs) == (steps, epochs)


@pytest.mark.parametrize(("overrides", "facts"), [
    (["training.steps=3", "training.epochs=3"], ["training.steps", "epochs", "both"]),
    (["training.steps=null"], ["training.steps", "epochs", "neither"]),
    (["training.epochs=0"], ["training.epochs", "positive", 0]),
    (["training.epochs=1.5"], ["training.epochs", "whole", 1.5]),
    (["training.epochs=3", "training.warmup_steps=-1"], ["training.warmup_steps", 0, -1]),
    (["self_training={unlabelled: [{name: x, source: 'ibug:x', heads: [ibug51]}], steps: 2, "
      "epochs: 3}"], ["self_training.steps", "epochs", "both"]),
    (["self_training={unlabelled: [{name: x, source: 'ibug:x', heads: [ibug51]}], epochs: -3}"],
     ["self_training.epochs", "positive", -3]),
])
def test_lengths_are_checked(tmp_path: Path, overrides: list[str], facts: list[object]) -> None:
    path = write_recipe(tmp_path)
    with refuses(*facts, path=path):
        recipe.load(path, overrides)


def test_epochs_shorter_than_the_warm_up_are_told_before_training(photos: Path) -> None:
    found = in_epochs(photos, 1, "name=warm", "training.warmup_steps=50")
    with refuses("training.warmup_steps", 50):
        run.train(found, progress=False)
    assert not found.folder.exists()
