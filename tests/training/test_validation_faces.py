"""The held-out faces that TensorBoard shows: which, when, and that training is none the wiser."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from efld_tf import runs
from efld_tf.landmarks import drawing, schemas
from efld_tf.training import recipe, run, task
from efld_tf.training.validation_faces import TILE, ValidationFaces
from tests import faces
from tests.training.test_run import weights, write_recipe

STEPS, SHOWN = 6, 5


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same training with pictures of faces and without."""
    folder = tmp_path_factory.mktemp("faces")
    faces.write_ibug(folder / "a", 40, "ibug68")
    faces.write_five_points(folder / "b", 20)
    path = write_recipe(folder, steps=STEPS, validation_interval=3, log_interval=1)
    for name, count in (("shown", SHOWN), ("plain", 0)):
        asked = recipe.load(path, [f"name={name}", f"training.tensorboard_faces={count}"])
        run.train(asked, progress=False)
    return folder


def events(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder / "checkpoints" / "validation"), {"tensors": 0})
    return found.Reload()


def test_every_validation_is_shown(trained: Path) -> None:
    tags = events(trained / "runs" / "shown")
    shown = tags.Tensors(run.TENSORBOARD_FACES)
    assert [event.step for event in shown] == [3, 6]
    pictures = []
    for event in shown:
        width, height, content = event.tensor_proto.string_val
        pictures.append(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
        assert (int(height), int(width)) == pictures[-1].shape[:2]
        # Two rows of four, a caption below each face.
        assert pictures[-1].shape[1] == 4 * TILE and 2 * TILE < pictures[-1].shape[0] < 2.3 * TILE
    assert (pictures[0] != pictures[1]).any()  # the weights have changed
    errors = [event.step for event in tags.Tensors("nme_ibug51")]
    assert errors == [3, 6]  # one curve beside them, of the same steps


def test_training_does_not_change(trained: Path) -> None:
    shown, plain = trained / "runs" / "shown", trained / "runs" / "plain"
    assert run.TENSORBOARD_FACES not in events(plain).Tags()["tensors"]
    assert runs.validation_history(shown) == runs.validation_history(plain)
    expected, found = weights(plain / "best.h5"), weights(shown / "best.h5")
    assert expected.keys() == found.keys() and len(found) > 10
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


def test_a_model_that_knows_the_truth_is_shown_so(trained: Path) -> None:
    asked = recipe.load(trained / "runs" / "shown" / "recipe.yaml")
    landmark_task = task.LandmarkTask(task.experiment(asked, 0).task)
    (batch,) = landmark_task.build_inputs(  # all nine held-out faces
        task.cfg.DataConfig(is_training=False, global_batch_size=100)).as_numpy_iterator()
    images, labels = batch
    places = [0, 2, 4, 6, 8]
    points, mask = (labels[part]["ibug51"][places] for part in ("points", "mask"))
    codec = landmark_task.spec.codec("ibug51")

    def perfect(seen: np.ndarray, training: bool) -> dict[str, object]:
        assert not training
        np.testing.assert_array_equal(seen, images[places])
        return {"ibug51": codec.encode(points, mask)}

    sheet = ValidationFaces(landmark_task).sheet(perfect)
    for number, place in enumerate(places):
        picture = cv2.resize(np.rint(255 * images[place]).astype(np.uint8), (TILE, TILE))
        truth = points[number] * TILE - 0.5
        expected = drawing.draw_comparison(picture, truth, truth, schemas.get("ibug51"))
        top, left = number // 4 * (len(sheet) // 2), number % 4 * TILE
        tile = sheet[top : top + TILE, left : left + TILE]
        # The codec rounds a point by less than 1/16 pixel.
        assert np.abs(tile.astype(int) - expected).mean() < 0.5
