"""Training on packed folders and from runs that are not what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efld_tf import config, runs
from efld_tf.data.manifest import read_manifest
from efld_tf.models import checkpoint
from efld_tf.training import recipe, rounds, run
from tests import faces
from tests.data.test_shard_check import put_undecodable
from tests.errors import refuses
from tests.models.test_contracts import spec_of
from tests.training.test_run import write_recipe


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    faces.write_ibug(folder / "a", 40, "ibug68")
    faces.write_five_points(folder / "b", 20)
    loaded = config.load(write_recipe(folder), recipe.Recipe)
    run.pack_sources(loaded, loaded.data.sources, progress=False)
    return folder


def recipe_of(folder: Path, packed: Path) -> recipe.Recipe:
    """A recipe of 8 steps on a copy of what is packed."""
    shutil.copytree(packed / "packed", folder / "packed", copy_function=shutil.copy2)
    path = write_recipe(packed, steps=8)
    return config.load(path, recipe.Recipe, [
        f"data.cache_dir={folder / 'packed'}", f"output_dir={folder / 'runs'}"])


def folder_of(loaded: recipe.Recipe, name: str) -> Path:
    return next(loaded.pack_folder(s) for s in loaded.data.sources if s.name == name)


def test_a_swapped_shard_is_not_trained_on(packed: Path, tmp_path: Path) -> None:
    loaded = recipe_of(tmp_path, packed)
    five, inner = (folder_of(loaded, name) for name in ("b", "a"))
    shard = five / read_manifest(five).shards["train"][0].file
    shutil.copy(inner / read_manifest(inner).shards["train"][0].file, shard)
    with refuses("SHA-256", five, path=shard):
        run.train(loaded, progress=False)
    assert not loaded.folder.exists()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_faces_that_cannot_be_decoded_end_training_in_a_line(
    packed: Path, tmp_path: Path, split: str
) -> None:
    loaded = recipe_of(tmp_path, packed)
    put_undecodable(folder_of(loaded, "a"), split=split)
    with refuses(loaded.folder, "step 8", "JPEG"):
        run.train(loaded, progress=False)


@pytest.mark.parametrize("text", ["", "{", "3", "[3]", "[" * 10**5, "9" * 10**5])
def test_damaged_rounds_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / rounds.ROUNDS
    path.write_text(text)
    with refuses("damaged", path=path):
        rounds.history(tmp_path)


@pytest.mark.parametrize("step", ["Infinity", "NaN", '"x"', "null", "[]"])
def test_damaged_validations_are_named(tmp_path: Path, step: str) -> None:
    path = tmp_path / runs.VALIDATION_LOG
    path.write_text(f'{{"step": 8, "nme_percent": {{}}}}\n{{"step": {step}}}\n')
    with refuses("damaged", path=path, line=2):
        runs.validation_history(tmp_path)


@pytest.mark.parametrize("training", [{}, {"step": 8}, {"step": 8, "validation_nme_percent": 3},
                                      {"step": [], "validation_nme_percent": {"ibug51": 3.0}}])
def test_weights_of_another_run_are_not_the_best(
    packed: Path, tmp_path: Path, training: dict
) -> None:
    loaded = recipe_of(tmp_path, packed)
    spec = spec_of("efld", "ibug51")
    spec = checkpoint.ModelSpec(spec.family, spec.input_size, {}, spec.heads, training=training)
    checkpoint.save(loaded.folder / runs.BEST_MODEL, spec, spec.build())
    with refuses("ibug51", path=loaded.folder / runs.BEST_MODEL):
        run._best(loaded)
