"""What validation divides by: the same as `efld-eval --normaliser`; losses do not ask for it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

import efld_tf
from efld_tf import runs
from efld_tf.evaluation import evaluate
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, schemas
from efld_tf.training import recipe, run, run_folder, task
from tests import faces
from tests.errors import assert_told, refuses

STRETCHED = {"box": "file", "scale_x": 1.2, "scale_y": 1.6, "offset_y": 0.1}
WRONG = np.array([0.02, 0.05], np.float32)  # what predictions are wrong by, in sides of the crop


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("normalisers")
    faces.write_ibug(folder / "a", 12)
    faces.write_five_points(folder / "b", 12)
    return folder


def write_recipe(folder: Path, head: str, normaliser: str | None, crop: dict) -> Path:
    source = f"ibug:{folder / 'a'}" if head == "ibug51" else f"mtfl:{folder / 'b' / 'list.txt'}"
    options = {} if normaliser is None else {"normaliser": normaliser}
    tree = {
        "name": "r", "output_dir": str(folder / "runs"), "model": {"input_size": 32},
        "heads": {head: options},
        "data": {"cache_dir": str(folder / "packed"), "pack": {"size": 48}, "sources": [
            {"name": "s", "source": source, "heads": [head], "validation_fraction": 0.5,
             "crop": crop}]},
        "training": {"target_head": head, "steps": 2, "batch_size": 4, "log_interval": 1,
                     "validation_interval": 2},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def task_of(photos: Path, *what) -> tuple[task.LandmarkTask, Path]:
    found = recipe.load(write_recipe(photos, *what))
    run.prepare(found, progress=False)
    return (task.LandmarkTask(task.experiment(found, 0).task),
            found.pack_folder(found.data.sources[0]))


def validation(landmark_task: task.LandmarkTask) -> dict:
    batches = landmark_task.build_inputs(
        task.cfg.DataConfig(is_training=False, global_batch_size=100))
    _, labels = next(iter(batches))
    return labels


@pytest.mark.parametrize(("head", "normaliser", "crop"), [
    ("ibug51", "box_diagonal", {}),  # of the box of all 68 points
    ("ibug51", "box_size", {"scale_x": 1.3, "scale_y": 2.0}),
    ("mtfl5", "image_size", {}),
    ("mtfl5", "image_size", STRETCHED),
    ("mtfl5", "box_diagonal", STRETCHED),
    ("mtfl5", "intereye", STRETCHED),
])
def test_it_is_what_an_evaluation_divides_by(
    photos: Path, head: str, normaliser: str, crop: dict
) -> None:
    landmark_task, packed = task_of(photos, head, normaliser, crop)
    labels = validation(landmark_task)
    predicted = labels["points"][head] + WRONG
    nme = landmark_task.nme(head, predicted, labels).numpy()
    found = faces_of.load(f"packed:{packed}", landmark_task.spec.heads[head].crop_rule, 32)
    own = schemas.get(found.schema).subset_indices(head)
    truth = found.points[:, list(own)]
    schema = schemas.get(head)
    expected = metrics.nme(
        found.in_photo(truth + WRONG), found.in_photo(truth), schema, normaliser,
        boxes=evaluate.true_boxes(found, schema, normaliser))
    assert len(nme) > 2
    of_file = landmark_task.spec.heads[head].crop_rule.box == "file"
    assert np.isfinite(labels["boxes"]["file"]).all() == of_file
    assert np.isfinite(labels["boxes"]["points"]).all()
    np.testing.assert_allclose(nme, expected, rtol=1e-4)


def test_a_face_without_a_box_of_its_own_has_the_mean_face_s(photos: Path) -> None:
    """One point has no diagonal; an evaluation leaves such a face out."""
    landmark_task, _ = task_of(photos, "mtfl5", "box_diagonal", {})
    labels = validation(landmark_task)
    mean_shape = np.array(landmark_task.spec.heads["mtfl5"].mean_shape)
    for size in (0.0, np.nan):
        labels["boxes"]["points"] = tf.fill(labels["boxes"]["points"].shape, np.float32(size))
        nme = landmark_task.nme("mtfl5", labels["points"]["mtfl5"] + WRONG, labels).numpy()
        expected = np.linalg.norm(WRONG) / np.linalg.norm(np.ptp(mean_shape, axis=0))
        np.testing.assert_allclose(nme, expected, rtol=1e-4)


def test_losses_do_not_ask_for_it(photos: Path) -> None:
    found = []
    for normaliser in (None, "intereye", "box_diagonal"):
        landmark_task, _ = task_of(photos, "mtfl5", normaliser, STRETCHED)
        labels = validation(landmark_task)
        points, mask = (labels[part]["mtfl5"] for part in ("points", "mask"))
        outputs = {"mtfl5": landmark_task.spec.codec("mtfl5").encode(points, mask) + 0.1}
        found.append(float(landmark_task.build_losses(labels, outputs)))
    assert found[0] > 0 and len(set(found)) == 1


def test_a_run_says_what_it_is_measured_in(
    photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(photos, "ibug51", "box_diagonal", {})
    result = efld_tf.train(path, overrides={"name": "told"}, progress=False)
    assert_told(capsys.readouterr().err, "step 2", "ibug51", "box_diagonal")
    [entry] = result.history
    assert entry["normaliser"] == {"ibug51": "box_diagonal"} and result.normaliser == "box_diagonal"
    found = recipe.load(path, ["name=told"])
    packed = found.pack_folder(found.data.sources[0])
    nme = {name: efld_tf.evaluate(result, f"packed:{packed}", normaliser=name, progress=False)
           .nme_percent for name in ("box_diagonal", "interocular")}
    assert result.nme_percent == pytest.approx(nme["box_diagonal"], rel=0.02)
    assert nme["interocular"] > 1.5 * nme["box_diagonal"]
    with refuses("heads.ibug51.normaliser", result.folder):  # no other figures in one history
        run.train(recipe.load(path, ["name=told", "heads.ibug51.normaliser=box_size"]))


@pytest.mark.long
def test_older_runs_are_read(photos: Path) -> None:
    found = recipe.load(write_recipe(photos, "ibug51", None, {}), ["name=older"])
    result = run.train(found, progress=False)
    assert result.normaliser == "interocular"
    saved = result.folder / run_folder.RECIPE_FILE
    tree = yaml.safe_load(saved.read_text())
    del tree["heads"]["ibug51"]["normaliser"]
    saved.write_text(yaml.safe_dump(tree))
    history = result.folder / runs.VALIDATION_LOG
    entry = json.loads(history.read_text())
    del entry["normaliser"]
    history.write_text(json.dumps(entry) + "\n")
    longer = replace(found, training=replace(found.training, steps=4))
    assert [bool(entry["normaliser"]) for entry in run.train(longer, progress=False).history] \
        == [False, True]


def test_unknown_ones_are_told_at_once(photos: Path) -> None:
    path = write_recipe(photos, "ibug51", "intereye", {})
    with refuses("heads.ibug51.normaliser", "intereye", "interocular", "box_diagonal", path=path):
        recipe.load(path)


@pytest.mark.parametrize("crop", [{}, {"scale_x": 1.3, "scale_y": 2.0}])
def test_crops_of_points_do_not_tell_the_file_s_box(photos: Path, crop: dict) -> None:
    path = write_recipe(photos, "mtfl5", "image_size", {**crop, "box": "points"})
    with refuses("heads.mtfl5.normaliser", "image_size", "crop.box: file", "efld-eval"):
        run.train(recipe.load(path, ["name=wrong"]), progress=False)
    assert not (photos / "runs" / "wrong").exists()
