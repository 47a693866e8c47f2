"""Training for PIPNet's comparisons: neighbours by correlation, and black images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from efld_tf.data import shards
from efld_tf.data.correlation import most_correlated
from efld_tf.data.manifest import open_packed
from efld_tf.models import checkpoint, codecs
from efld_tf.models.trained import TrainedModel
from efld_tf.training import recipe, run, task
from tests import faces
from tests.errors import refuses
from tests.training.test_run import write_recipe

HEAD = "ibug51"
CHANGES = ["name=c", "model.family=pipnet", "model.options.stride=16", "model.options.neighbours=3",
           "model.options.neighbours_by=correlation", "training.steps=2", "data.black=true",
           "training.validation_interval=2", "training.tensorboard_faces=2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rows")
    faces.write_ibug(folder / "a", 24, "ibug68")
    faces.write_five_points(folder / "b", 12)
    asked = recipe.load(write_recipe(folder), CHANGES)
    run.train(asked, progress=False)
    return folder


def test_neighbours_are_those_of_the_training_faces(trained: Path) -> None:
    model = TrainedModel.load(trained / "runs" / "c" / "best.h5", HEAD)
    asked = recipe.load(trained / "runs" / "c" / "recipe.yaml")
    folder = asked.pack_folder(asked.data.sources[0])
    stored = shards.load(folder, open_packed(folder), "train")
    points = np.stack([face["points"][17:] for face in stored])
    expected = most_correlated(points)
    np.testing.assert_array_equal(model.head_spec.order, expected)
    np.testing.assert_array_equal(model.codec.neighbours, expected[:, :3])
    nearest = codecs.nearest_points(np.array(model.head_spec.mean_shape), 3)
    assert (model.codec.neighbours != nearest).any()
    crops = np.zeros((2, 32, 32, 3), np.float32)
    assert np.isfinite(model.decoded(crops)["points"]).all()


def test_all_images_are_black_and_points_are_not(trained: Path) -> None:
    asked = recipe.load(trained / "runs" / "c" / "recipe.yaml")
    landmark_task = task.LandmarkTask(task.experiment(asked, 0).task)
    for training in (True, False):
        params = task.cfg.DataConfig(is_training=training, global_batch_size=4)
        batches = landmark_task.build_inputs(params).take(2).as_numpy_iterator()
        for images, labels in batches:
            assert images.shape[1:] == (32, 32, 3) and not images.any()
            assert labels["points"][HEAD].any()


def test_an_order_has_each_other_point_once() -> None:
    shape, rule = [[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]], checkpoint.CropRule("file", "mtfl5", 1.0)
    good = [[1, 2], [2, 0], [0, 1]]
    assert checkpoint.HeadSpec(shape, rule, order=good).order == good
    for bad, place in (([[1, 2], [2, 1], [0, 1]], "order.1"), ([[1, 2], [2, 0]], "order"),
                       ([[1], [2, 0], [0, 1]], "order.0")):
        with refuses(place, 3):
            checkpoint.HeadSpec(shape, rule, order=bad)


def test_a_model_without_its_order_is_refused() -> None:
    head = checkpoint.HeadSpec(faces.mean_shape("mtfl5").tolist(),
                               checkpoint.CropRule("file", "mtfl5", 1.0))
    options = {"neighbours_by": "correlation"}
    with refuses("neighbours_by", "correlation"):
        checkpoint.ModelSpec("pipnet", 64, options, {"mtfl5": head}).codec("mtfl5")
