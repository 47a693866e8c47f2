"""The papers' recipes run where the data are: on drawn faces in each data set's own layout."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.data import crop_fit
from efld_tf.data.manifest import open_packed
from efld_tf.models import registry
from efld_tf.training import recipe, rounds, run, task
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
    if family == "dense_unet":
        chosen += ["model.options.width=0.03125"]
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
        mean = manifest.mean_points[np.isfinite(manifest.mean_points).all(axis=1)]
        assert mean.min() > 0 and mean.max() < 1
    epoch = -(-found.faces() // asked.batch_size)
    assert found.in_steps().training.last_step == asked.epochs * epoch


@pytest.mark.parametrize("path", RECIPES, ids=stem)
def test_what_its_head_offers_is_understood(path: Path, folder: Path) -> None:
    """Every `--set KEY=VALUE` there, each alone."""
    head = path.read_text().partition("\nname: ")[0].replace("\n# ", " ")
    offered = [(quoted or plain).rstrip(".,;:)") for quoted, plain in
               re.findall(r'--set (?:"([^"]+)"|(\S+))', head)]
    assert "data.sources.0.validation_fraction=0" in offered or path.stem == "paper_efld"
    plain = recipe.load(path)
    for setting in offered:
        assert recipe.load(path, [setting]) != plain


def test_boxes_are_stretched_as_by_the_authors(folder: Path) -> None:
    """WFLW-68: 1.2 times the file's box, but for 20% of its height that are cut off at the top."""
    found = recipe.load(ROOT / "pipnet" / "paper_pipnet_uda.yaml")
    assert found.self_training
    _, wflw = found.self_training.unlabelled
    records = sources.read(wflw.source).records
    whole = sources.read(wflw.source.replace("&box_top=0.2", "")).records
    rule = crop_fit.crop_rule(records, wflw.crop)
    for record, uncut in zip(records, whole, strict=True):
        x0, y0, x1, y1 = uncut.source_box("file")
        width, height = x1 - x0, y1 - y0
        crop = rule.crop(record.source_box("file"))
        corners = crop.from_unit(np.array([[0.0, 0.0], [1.0, 1.0]]))
        np.testing.assert_allclose(corners, [[x0 - 0.1 * width, y0 + 0.1 * height],
                                             [x1 + 0.1 * width, y1 + 0.1 * height]])
    for path in RECIPES:
        crops = [source.crop for source in recipe.load(path).data.sources]
        assert {crop.scale_x is not None for crop in crops} == {"pipnet" in path.stem}


@pytest.mark.parametrize(("name", "head", "normaliser"), [
    ("aflw", "aflw19", "image_size"), ("menpo", "ibug68", "box_diagonal"),
    ("menpo_profile", "menpo39", "box_diagonal"), ("300w", "ibug68", "interocular"),
])
def test_it_is_validated_by_the_paper_s_distance(
    folder: Path, name: str, head: str, normaliser: str
) -> None:
    found = recipe.load(ROOT / "pipnet" / f"paper_pipnet_{name}.yaml")
    assert task.normalisers_of(found)[head].name == normaliser


@pytest.mark.long
@pytest.mark.parametrize("path", RECIPES, ids=stem)
def test_it_trains(path: Path, folder: Path) -> None:
    found = rounds.train(short(path, folder), progress=False)
    assert found.step == 2 and 0 < found.nme_percent < 500
