"""The papers' recipes run where the data are: on drawn faces in each data set's own layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.data.manifest import open_packed
from efld_tf.models import registry
from efld_tf.training import recipe, rounds, run
from tests import native

ROOT = Path(__file__).parents[2] / "configs"
RECIPES = sorted(ROOT.glob("*/paper_*.yaml"))

# What keeps a run short; the networks are those of the papers.
SHORT = ("training.steps=2", "training.batch_size=2", "training.validation_interval=2",
         "training.log_interval=1", "training.tensorboard_faces=0", "data.pack.size=128",
         "model.input_size=64", "data.sources.0.validation_fraction=0.4")


def stem(path: Path) -> str:
    return path.stem


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return native.write(tmp_path_factory.mktemp("data"))


@pytest.fixture
def folder(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EFLD_DATA", str(data))
    return tmp_path


def short(path: Path, folder: Path, *overrides: str) -> recipe.Recipe:
    """The recipe for two steps of tiny images."""
    chosen, family = list(SHORT), recipe.load(path).model.family
    if family not in registry.FAMILIES:
        pytest.skip(f"there is no family {family} yet")
    if family == "lite_hrnet_plus":  # the paper's take a minute to compile
        chosen += ["model.options.modules=[1, 1, 1]"]
    if recipe.load(path).self_training:  # a level above 0 needs a grid of 4 x 4 cells
        chosen += ["self_training.levels=[1]", "model.input_size=128", "data.pack.size=192"]
    return recipe.load(path, [*chosen, f"output_dir={folder / 'runs'}",
                              f"data.cache_dir={folder / 'packed'}", *overrides])


@pytest.mark.parametrize("path", RECIPES, ids=stem)
def test_it_finds_its_faces(path: Path, folder: Path) -> None:
    """All faces of every source, inside their crops, and as many steps as its epochs have."""
    asked = recipe.load(path).training
    assert asked.epochs and asked.steps is None
    found = short(path, folder, f"training.epochs={asked.epochs}", "training.steps=null",
                  f"training.batch_size={asked.batch_size}")
    run.prepare(found, progress=False)
    unlabelled = found.self_training.unlabelled if found.self_training else []
    run.pack_sources(found, unlabelled, progress=False)
    for source in [*found.data.sources, *unlabelled]:
        manifest = open_packed(found.pack_folder(source))
        parts = 3 if source.name == "300w" else 1
        assert manifest.faces("train") + manifest.faces("validation") == parts * native.COUNT
        assert not manifest.skipped
        assert np.min(manifest.mean_shape) > 0 and np.max(manifest.mean_shape) < 1
    epoch = -(-found.faces() // asked.batch_size)
    assert found.in_steps().training.last_step == asked.epochs * epoch


QUICKEST = "paper_pipnet_300w"


@pytest.mark.parametrize("path", [
    pytest.param(path, id=path.stem, marks=[] if path.stem == QUICKEST else pytest.mark.long)
    for path in RECIPES
])
def test_it_trains(path: Path, folder: Path) -> None:
    found = rounds.train(short(path, folder), progress=False)
    assert found.step == 2 and 0 < found.nme_percent < 500
