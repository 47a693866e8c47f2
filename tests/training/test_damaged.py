"""Training on packed folders that are not what they say."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from efld_tf import config
from efld_tf.data.manifest import read_manifest
from efld_tf.training import recipe, run
from tests import faces
from tests.data.test_shard_check import put_undecodable
from tests.errors import refuses
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
