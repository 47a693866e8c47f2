"""Stretched crops from a recipe to an exported model, and what such a model refuses."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from pathlib import Path

import numpy as np
import pytest
import yaml

import efld_tf
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_photo
from efld_tf.cli import common
from efld_tf.data import pack
from efld_tf.data.manifest import read_manifest
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, tight_box
from efld_tf.models import checkpoint
from efld_tf.runs import Run
from efld_tf.runtime import metadata
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.training import model_spec, pseudo_labels, task
from efld_tf.training import recipe as recipes
from efld_tf.training import run as training
from tests import faces
from tests.errors import assert_error_line, assert_told, refuses
from tests.trained import float_predictor

CROP = {"scale_x": 1.3, "scale_y": 2.0, "offset_y": -0.1}
RULE = CropRule("points", "ibug68", None, 0.0, -0.1, scale_x=1.3, scale_y=2.0)


def command(name: str, *arguments: object) -> int | None:
    return common.run(importlib.import_module(f"efld_tf.cli.{name}").main,
                      [str(argument) for argument in arguments])


def recipe(folder: Path, *crops: dict[str, float]) -> Path:
    """A recipe with a source of the same photos for each crop."""
    tree = {
        "name": "r", "output_dir": str(folder / "runs"), "model": {"input_size": 64},
        "heads": {"ibug68": {}},
        "data": {"cache_dir": str(folder / "packed"), "pack": {"size": 96}, "sources": [
            {"name": f"s{index}", "source": f"ibug:{folder / 'photos'}", "heads": ["ibug68"],
             "validation_fraction": 0.3, "crop": crop} for index, crop in enumerate(crops)]},
        "training": {"target_head": "ibug68", "steps": 12, "batch_size": 8,
                     "validation_interval": 12},
    }
    path = folder / f"{len(crops)}.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stretched")
    faces.write_ibug(folder / "photos", 40)
    faces.write_ibug(folder / "test", 6, seed=1)
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Run:
    return efld_tf.train(recipe(folder, CROP), progress=False)


@pytest.fixture(scope="module", params=[pytest.param("float32", marks=pytest.mark.long), "int8"])
def model(request: pytest.FixtureRequest, run: Run) -> Path:
    assert command("export", run.folder, f"--{request.param}", "--quiet",
                   *(["--calibration", 16] if request.param == "int8" else [])) == 0
    return run.folder / f"efld_ibug68_{request.param}" / f"efld_ibug68_{request.param}.tflite"


def test_an_exported_model_predicts_in_the_photo(
    folder: Path, model: Path, tmp_path: Path
) -> None:
    """What `efld-eval` says is computed once more, from points in the photos."""
    assert metadata.read(model).crop_rule == RULE
    assert_told((model.parent / "MODEL_CARD.md").read_text(), 1.3, 2, "width", "height")
    records = sources.read(f"ibug:{folder / 'test'}").records
    predictor = LandmarkPredictor(model)
    found = np.stack([
        predictor.predict(read_photo(record.image), [tight_box(record.points)])[0]
        for record in records])
    truth = np.stack([record.points for record in records])
    # It learnt little more than where a mean face is: within the photo, and not elsewhere.
    distance = np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)
    nme = np.linalg.norm(found - truth, axis=-1).mean(axis=1) / distance
    assert nme.mean() < 0.15
    assert command("eval", model, "--source", f"ibug:{folder / 'test'}", "--slices", "--report",
                   tmp_path / "report", "--output", tmp_path / "r.json", "--quiet") == 0
    section = json.loads((tmp_path / "r.json").read_text())["evaluation"]
    assert section["nme_interocular_percent"] == pytest.approx(100 * nme.mean(), abs=2e-3)
    assert section["accuracy_5px_percent"] == pytest.approx(
        100 * (np.linalg.norm(found - truth, axis=-1) <= 5).mean(), abs=0.3)
    assert (section["crop_scale_x"], section["crop_scale_y"]) == (1.3, 2.0)
    assert_told((tmp_path / "report" / "index.html").read_text(), "1.3 x 2")
    assert command("verify", model) == 0


def test_validation_is_measured_in_the_photo(run: Run, folder: Path) -> None:
    found = recipes.load(recipe(folder, CROP))
    source = found.pack_folder(found.data.sources[0])
    assert read_manifest(source).crop_rule == RULE
    assert checkpoint.read_spec(run.folder / "best.h5").heads["ibug68"].crop_rule == RULE
    evaluation = efld_tf.evaluate(run.folder, f"packed:{source}", progress=False)
    assert run.nme_percent == pytest.approx(evaluation.nme_percent, rel=0.01)
    truth, predicted = evaluation.truth, evaluation.predicted
    error = np.linalg.norm(predicted - truth, axis=-1).mean(axis=1)
    squared = 100 * (error / np.linalg.norm(truth[:, 36] - truth[:, 45], axis=-1)).mean()
    assert abs(squared / evaluation.nme_percent - 1) > 0.05  # in the square, it is another


@pytest.mark.parametrize("arguments", [
    ["--detector", "short"], ["--robustness"], ["--prior"]])
def test_what_an_evaluation_refuses(
    folder: Path, run: Run, model: Path, arguments: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert command("eval", model, "--source", f"ibug:{folder / 'test'}", *arguments) == 2
    assert_error_line(capsys.readouterr().err, arguments[0], "ibug68-points", "scale_x")


def test_what_finds_or_follows_faces_refuses(
    folder: Path, run: Run, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    with refuses("ibug68-points", "scale_x"):
        efld_tf.load(model)  # also what tracks
    photo = folder / "test" / "face_000x.png"
    assert command("predict", photo, "--model", model, "--output", tmp_path / "o") == 2
    assert_error_line(capsys.readouterr().err, "ibug68-points", "scale_x")
    assert command("export", run.folder, "--int8", "--calibration", folder / "test",
                   "--output", tmp_path / "e") == 2
    assert_error_line(capsys.readouterr().err, "calibration", "ibug68-points", "scale_x")


def test_packing_by_hand_stretches_alike(folder: Path, tmp_path: Path) -> None:
    pack = ["pack", f"ibug:{folder / 'photos'}", tmp_path / "p", "--size", 96, "--quiet"]
    assert command("data", *pack, "--crop-scale-x", 1.3, "--crop-scale-y", 2,
                   "--crop-offset-y", -0.1) == 0
    assert read_manifest(tmp_path / "p").crop_rule == RULE


@pytest.mark.parametrize(("flags", "facts"), [
    (["--crop-scale-x", 1.3], ["scale_x", "scale_y", 1.3]),
    (["--crop-scale", 1.2, "--crop-scale-x", 1.3, "--crop-scale-y", 2], ["scale", "scale_x"]),
    (["--crop-offset-y", 0.1], ["offset_y", "scale"]),
])
def test_packing_by_hand_refuses_what_recipes_do(
    folder: Path, tmp_path: Path, flags: list[object], facts: list[object],
    capsys: pytest.CaptureFixture,
) -> None:
    assert command("data", "pack", f"ibug:{folder / 'photos'}", tmp_path / "p", *flags) == 2
    assert_error_line(capsys.readouterr().err, *facts)
    assert not (tmp_path / "p").exists()


def test_pseudo_labels_of_other_stretched_crops_are_points_of_the_photo(
    run: Run, tmp_path: Path
) -> None:
    """Faces with five points, in crops of another box: the labels' eyes are where theirs are."""
    options = SourceOptions(
        f"mtfl:{faces.write_five_points(tmp_path / 'five', 12)}", "five", ["ibug68"],
        crop=CropOptions(scale_x=1.2, scale_y=1.6, box="file"))
    pack.pack(options, tmp_path / "p", PackOptions(size=96), progress=False)
    labelled = pseudo_labels.write(
        tmp_path / "p", tmp_path / "labels", run.folder / "best.h5", "ibug68", progress=False)
    assert labelled.crop_rule == read_manifest(tmp_path / "p").crop_rule
    rule = labelled.crop_rule
    found, truth = (faces_of.load(f"packed:{tmp_path / name}", rule, 64, split="train")
                    for name in ("labels", "p"))
    np.testing.assert_array_equal(found.sides, truth.sides)
    assert (abs(truth.sides[:, 1] / truth.sides[:, 0] - 1) > 0.05).all()
    predictor = float_predictor(run.folder / "best.h5")
    assert np.median(np.abs(predictor.predict_crops(found.crops) - found.points)) < 0.005
    anchors, true = (schemas.get(name).anchor_points(faces_.in_photo(faces_.points))
                     for name, faces_ in (("ibug68", found), ("mtfl5", truth)))
    distance = np.linalg.norm(true[:, 1] - true[:, 0], axis=-1)
    errors = np.linalg.norm(anchors - true, axis=-1).mean(axis=1) / distance
    assert errors.mean() < 0.2


def test_a_head_does_not_learn_from_both(folder: Path) -> None:
    found = recipes.load(recipe(folder, CROP, {"scale": 1.4}), ["name=both"])
    training.prepare(found, progress=False)
    with refuses("ibug68", "stretched", "crop.scale_x"):
        model_spec.of(found, task.packed_sources(found))


def test_older_configurations_name_the_same_packed_folders(folder: Path) -> None:
    """The hash in a folder's name is that of the options which there were before."""
    found = recipes.load(recipe(folder, {"scale": 1.4}, CROP, {}))
    plain, stretched, fitted = (found.pack_folder(source) for source in found.data.sources)
    crop = {"scale": 1.4, "offset_x": 0.0, "offset_y": 0.0, "box": None}
    before = [f"ibug:{folder / 'photos'}", 0.3, "stop", crop, dataclasses.asdict(found.data.pack)]
    assert plain.name == f"s0-{hashlib.sha256(json.dumps(before).encode()).hexdigest()[:8]}"
    assert len({path.name.partition("-")[2] for path in (plain, stretched, fitted)}) == 3


def test_a_recipe_gives_both_scales(folder: Path) -> None:
    path = recipe(folder, {"scale_x": 1.4})
    with refuses("scale_y", path=path):
        recipes.load(path)
