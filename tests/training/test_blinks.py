"""What a recipe says of closed eyes reaches the loss and the batches."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from efld_tf.landmarks import openings, schemas
from efld_tf.training import losses, recipe, run, task
from tests import faces
from tests.errors import refuses
from tests.training.test_run import write_recipe

HEAD = "ibug51"


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> dict[float, task.LandmarkTask]:
    """The same training with and without a loss of openings."""
    folder = tmp_path_factory.mktemp("blinks")
    faces.write_ibug(folder / "a", 24, "ibug68")
    faces.write_five_points(folder / "b", 12)
    found = {}
    for weight in (0.0, 0.5):
        asked = recipe.load(write_recipe(folder), [
            f"heads.{HEAD}.openings={weight}", "data.sources.0.emphasis={closed_eyes: 3}"])
        run.prepare(asked, progress=False)
        found[weight] = task.LandmarkTask(task.experiment(asked, 0).task)
    return found


def test_the_loss_of_openings_is_added(tasks: dict[float, task.LandmarkTask]) -> None:
    weight, after = 0.5, tasks[0.5]
    images, labels = next(iter(after.build_inputs(
        task.cfg.DataConfig(is_training=True, global_batch_size=8))))
    outputs = after.build_model()(images)
    found, without = (float(one.build_losses(labels, outputs)) for one in (after, tasks[0.0]))
    points, mask = labels["points"][HEAD], labels["mask"][HEAD]
    pairs = openings.pairs(schemas.get(HEAD), faces.mean_shape(HEAD))
    expected = losses.openings(after.predictions(HEAD, outputs), points, mask,
                               after.distance(HEAD, points, mask), pairs)
    assert float(tf.reduce_mean(expected)) > 0.01
    scale = weight * after.recipe.heads[HEAD].weight
    assert found - without == pytest.approx(scale * float(tf.reduce_mean(expected)), rel=1e-4)


def test_rough_labels_teach_no_openings(tasks: dict[float, task.LandmarkTask]) -> None:
    """Of a source of a level above 0 only the scores are learnt."""
    after = tasks[0.5]
    images, labels = next(iter(after.build_inputs(
        task.cfg.DataConfig(is_training=True, global_batch_size=8))))
    outputs = after.build_model()(images)
    rough = {**labels, "level": tf.ones_like(labels["level"])}
    found, without = (float(one.build_losses(rough, outputs)) for one in (after, tasks[0.0]))
    assert found == pytest.approx(without, abs=1e-6)


def test_a_decoder_that_teaches_nothing_is_refused(tmp_path: Path) -> None:
    faces.write_ibug(tmp_path / "a", 8, "ibug68")
    faces.write_five_points(tmp_path / "b", 6)
    asked = recipe.load(write_recipe(tmp_path), [
        f"heads.{HEAD}.openings=1", "model.family=mapnet", "model.options={decoder: quarter}"])
    run.prepare(asked, progress=False)
    with refuses(f"heads.{HEAD}.openings", "quarter"):
        task.LandmarkTask(task.experiment(asked, 0).task)


def test_sources_keep_what_they_emphasise(tasks: dict[float, task.LandmarkTask]) -> None:
    assert [dict(source.emphasis) for source in tasks[0.5].sources] == [{"closed_eyes": 3}, {}]
