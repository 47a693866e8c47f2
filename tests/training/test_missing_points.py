"""A head whose sources are each annotated with some of its points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

from efld_tf.data.manifest import open_packed
from efld_tf.landmarks import schemas
from efld_tf.training import model_spec, recipe, rounds, run, task
from tests import native
from tests.errors import refuses

HEAD = "makeup65"
IBUG, HELEN = (schemas.get(name).conversions[HEAD].points for name in ("ibug68", "helen194"))
ABSENT = [index for index, group in enumerate(IBUG) if not group]


@pytest.fixture
def found(tmp_path: Path) -> recipe.Recipe:
    data = native.write(tmp_path / "data")
    tree = {
        "name": "missing", "output_dir": str(tmp_path / "runs"),
        "model": {"family": "efld", "input_size": 64}, "heads": {HEAD: {}},
        "data": {"cache_dir": str(tmp_path / "packed"), "pack": {"size": 128}, "sources": [
            {"name": "ibug", "source": f"ibug:{data}/300w/ibug?convert={HEAD}", "heads": [HEAD],
             "crop": {"scale": 1.25}, "validation_fraction": 0.4},
            {"name": "helen", "source": f"helen194:{data}/helen194?convert={HEAD}",
             "heads": [HEAD], "crop": {"scale": 1.25}, "validation_fraction": 0.4},
        ]},
        "training": {"target_head": HEAD, "steps": 2, "batch_size": 2, "validation_interval": 2,
                     "tensorboard_faces": 0},
    }
    path = tmp_path / "missing.yaml"
    path.write_text(yaml.safe_dump(tree))
    return recipe.load(path)


def test_its_mean_face_has_every_point_of_those_that_have_it(found: recipe.Recipe) -> None:
    run.prepare(found, progress=False)
    ibug, helen = (open_packed(found.pack_folder(source)) for source in found.data.sources)
    assert np.flatnonzero(np.isnan(ibug.mean_points).any(axis=1)).tolist() == ABSENT
    assert np.flatnonzero(np.isnan(helen.mean_points).any(axis=1)).tolist() == [32, 33, 34]
    mean = np.array(model_spec.of(found, task.packed_sources(found)).heads[HEAD].mean_shape)
    np.testing.assert_allclose(mean[ABSENT], helen.mean_points[ABSENT], atol=1e-6)
    np.testing.assert_allclose(mean[32:35], ibug.mean_points[32:35], atol=1e-6)
    first, second = ibug.faces("train"), helen.faces("train")
    both = (first * ibug.mean_points[62] + second * helen.mean_points[62]) / (first + second)
    np.testing.assert_allclose(mean[62], both, atol=1e-6)


def test_it_trains_and_is_validated(found: recipe.Recipe) -> None:
    trained = rounds.train(found, progress=False)
    assert trained.step == 2 and 0 < trained.nme_percent < 500


def test_sizes_of_faces_without_common_points_are_not_compared() -> None:
    """By two points they are, and by one they cannot be."""
    shape = np.random.default_rng(0).uniform(0, 1, (65, 2))
    halves = [np.full_like(shape, np.nan) for _ in range(2)]
    halves[0][:34], halves[1][32:] = shape[:34], shape[32:] / 2
    assert model_spec._times_as_large(HEAD, *halves) == pytest.approx(2)
    halves[1][32] = np.nan
    assert model_spec._times_as_large(HEAD, *halves) is None


def test_points_that_no_source_has_are_named(found: recipe.Recipe) -> None:
    found.data.sources.pop()
    with refuses(HEAD, str(ABSENT)):
        rounds.train(found, progress=False)
    assert not (Path(found.output_dir) / "missing" / "best.h5").exists()
