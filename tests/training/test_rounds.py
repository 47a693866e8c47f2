"""Self-training: rounds on pseudo-labels, which a killed run takes up where it was."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from efld_tf import runs
from efld_tf.data import pack, pipeline, shards
from efld_tf.data.manifest import read_manifest, write_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.evaluation import faces as faces_of
from efld_tf.models import checkpoint
from efld_tf.training import pseudo_labels, recipe, rounds, run, run_folder, task
from tests import faces
from tests.errors import refuses
from tests.trained import float_predictor
from tests.training.test_run import newest_checkpoint, start, weights

HEAD = "ibug51"


def write_recipe(folder: Path, **changes) -> Path:
    tree = {
        "name": "small",
        "output_dir": str(folder / "runs"),
        "model": {"family": "pipnet", "input_size": 64, "options": {"stride": 16}},
        "heads": {HEAD: {}},
        "data": {
            "cache_dir": str(folder / "packed"),
            "pack": {"size": 96},
            "sources": [{"name": "labelled", "source": f"ibug:{folder / 'labelled'}",
                         "heads": [HEAD], "validation_fraction": 0.25}],
        },
        "training": {"target_head": HEAD, "steps": 8, "batch_size": 8, "validation_interval": 8,
                     "checkpoint_interval": 4, "log_interval": 2, "learning_rate": 0.003,
                     "deterministic": True},
        "self_training": {
            "unlabelled": [{"name": "photos", "source": f"ibug:{folder / 'photos'}",
                            "heads": [HEAD]}],
            "levels": [1, 0],
            "steps": 12,
        },
        **changes,
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rounds")
    faces.write_ibug(folder / "labelled", 24)
    faces.write_ibug(folder / "photos", 12, seed=1)
    return folder


def packed_photos(photos: Path) -> Path:
    found = recipe.load(write_recipe(photos))
    return found.pack_folder(found.self_training.unlabelled[0])


@pytest.fixture(scope="module")
def whole(photos: Path) -> Path:
    process = start(write_recipe(photos), "--set", "name=whole")
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert "runs/whole: best validation NME" in out and out.count("\n") == 1
    assert "round 1 of 2: pseudo-labels by" in err and "cells x 2" in err
    return photos / "runs" / "whole"


@pytest.mark.long
def test_every_round_is_a_run_with_its_metrics(whole: Path) -> None:
    entries = rounds.history(whole)
    assert [entry["round"] for entry in entries] == ["round_0", "round_1", "round_2"]
    assert [entry.get("level") for entry in entries] == [None, 1, 0]
    for entry in entries:
        history = runs.validation_history(whole / entry["round"])
        assert history[-1]["step"] == (8 if entry["round"] == "round_0" else 12)
        best = min(history, key=lambda validation: validation["nme_percent"][HEAD])
        assert (entry["step"], entry["nme_percent"]) == (best["step"], best["nme_percent"][HEAD])
    data = json.loads((whole / "round_2" / "data.json").read_text())
    assert data["photos-ibug51"]["train"] == 12 and data["photos-ibug51"]["validation"] == 0
    last, final = weights(whole / "round_2" / "best.h5"), weights(whole / "best.h5")
    for name in last:
        np.testing.assert_array_equal(final[name], last[name])


@pytest.mark.long
def test_every_round_starts_from_new_weights(whole: Path) -> None:
    seeds = [recipe.load(whole / f"round_{k}" / "recipe.yaml").training.seed for k in range(3)]
    assert seeds == [1, 2, 3]
    assert recipe.load(whole / "round_2" / "recipe.yaml").training.init_from is None


@pytest.mark.long
def test_pseudo_labels_are_the_points_of_the_round_before(whole: Path, photos: Path) -> None:
    folder = whole / "pseudo_1" / "photos-ibug51"
    packed = packed_photos(photos)
    manifest = read_manifest(folder)
    assert manifest.schema == HEAD and manifest.crop_rule == read_manifest(packed).crop_rule
    given = faces_of.load(f"packed:{folder}", manifest.crop_rule, 64, split="train")
    predictor = float_predictor(whole / "round_0" / "best.h5")
    # Cropping and resizing are the evaluation's here and the training's there.
    difference = np.abs(predictor.predict_crops(given.crops) - given.points)
    assert np.median(difference) < 0.005
    spec = checkpoint.read_spec(whole / "best.h5")
    assert manifest.mean_shape == spec.heads[HEAD].mean_shape  # of labelled faces, in every round
    assert checkpoint.read_spec(whole / "round_0" / "best.h5").heads == spec.heads
    assert spec.training["recipe"] == "whole/round_2"
    names = [face["name"] for face in shards.load(packed, read_manifest(packed), "train")]
    assert [face["name"] for face in shards.load(folder, manifest, "train")] == names


@pytest.mark.long
def test_the_same_model_does_not_label_twice(
    whole: Path, photos: Path, tmp_path: Path
) -> None:
    folder = whole / "pseudo_1" / "photos-ibug51"
    # As if the photos had been copied, which changes their time stamps, and packed again.
    packed = shutil.copytree(packed_photos(photos), tmp_path / "packed")
    write_manifest(packed, replace(read_manifest(packed), fingerprint="another"))
    before = (folder / "manifest.json").stat().st_mtime_ns
    pseudo_labels.write(packed, folder, whole / "round_0" / "best.h5", HEAD, progress=False)
    assert (folder / "manifest.json").stat().st_mtime_ns == before
    pseudo_labels.write(packed, folder, whole / "round_1" / "best.h5", HEAD, progress=False)
    assert (folder / "manifest.json").stat().st_mtime_ns != before
    # As the run left them.
    pseudo_labels.write(packed, folder, whole / "round_0" / "best.h5", HEAD, progress=False)


@pytest.mark.long
@pytest.mark.long
def test_killed_in_a_round_it_ends_the_same(photos: Path, whole: Path) -> None:
    folder = photos / "runs" / "killed"
    words = ("--set", "name=killed", "--set", "self_training.levels=[1]")
    process = start(write_recipe(photos), *words, "--quiet")
    deadline = time.monotonic() + 300
    while newest_checkpoint(folder / "round_1") < 4:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "it does not get on"
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    first = (folder / "round_0" / "best.h5").stat().st_mtime_ns
    process = start(write_recipe(photos), *words)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (folder / "round_0" / "best.h5").stat().st_mtime_ns == first
    expected, found = weights(whole / "round_1" / "best.h5"), weights(folder / "best.h5")
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)


@pytest.mark.long
def test_pseudo_labelled_faces_train_the_coarser_scores_alone(photos: Path, whole: Path) -> None:
    """Their offsets get no gradient at level 1, and do at level 0."""
    recipe_1 = recipe.load(whole / "round_1" / "recipe.yaml")
    a_task = task.LandmarkTask(task.experiment(recipe_1, 0).task)
    model = a_task.build_model()
    assert model.output[f"{HEAD}_level1"].shape[1:] == (2, 2, 51)
    options = pipeline.BatchOptions((HEAD,), 64, 8)
    batch = next(iter(pipeline.training_batches(a_task.sources[1:], options)))
    offsets = model.get_layer(f"{HEAD}_x").trainable_weights
    scores = model.get_layer(f"{HEAD}_scores").trainable_weights

    def gradient(level: int) -> list[float]:
        labels = {**batch, "level": tf.fill([8], level)}
        with tf.GradientTape() as tape:
            loss = a_task.build_losses(labels, model(batch["image"]))
        found = tape.gradient(loss, [*offsets, *scores])
        return [float(tf.reduce_max(tf.abs(value))) for value in found]

    assert batch["level"].numpy().tolist() == [1] * 8
    assert gradient(1)[:2] == [0, 0] and min(gradient(1)[2:]) > 0
    assert min(gradient(0)) > 0


@pytest.mark.long
def test_coarser_maps_learn_what_the_maps_hold(whole: Path) -> None:
    """Log-odds of 0 cost ln 2 whatever the target; values of 0 cost the target's mean square."""
    recipe_1 = recipe.load(whole / "round_1" / "recipe.yaml")
    for maps in ("log_odds", "values"):
        model = recipe.ModelRecipe("mapnet", 64, {"channels": 8, "maps": maps})
        a_task = task.LandmarkTask(task.experiment(replace(recipe_1, model=model), 0).task)
        points = tf.constant([[[0.3, 0.6]] * 51])
        labels = {"points": {HEAD: points}, "mask": {HEAD: tf.ones([1, 51])},
                  "level": tf.constant([1])}
        outputs = {HEAD: tf.zeros([1, 16, 16, 51]), f"{HEAD}_level1": tf.zeros([1, 8, 8, 51])}
        target = a_task.spec.codec(HEAD).encode_coarse(points, 1)
        expected = math.log(2) if maps == "log_odds" else np.mean(np.square(target))
        assert float(a_task.build_losses(labels, outputs)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("family", "options", "teacher", "levels", "expected"), [
    ("pipnet", {"stride": 16}, None, None, (2, 1, 0, 0, 0)),
    ("mapnet", {"stride": 4}, None, None, (2, 1, 0, 0, 0)),
    ("efld", {}, None, None, (0, 0, 0)),
    ("efld", {}, None, [0], (0,)),
    ("efld", {}, "t.h5", None, (0,)),
    ("pipnet", {"stride": 16}, "t.h5", [1, 0], (1, 0)),
])
def test_the_schedule_is_the_family_s(
    photos: Path, family, options, teacher, levels, expected
) -> None:
    model = {"family": family, "input_size": 128, "options": options}
    data = {"pack": {"size": 192}, "sources": [
        {"name": "a", "source": "ibug:a", "heads": [HEAD], "validation_fraction": 0.25}]}
    found = recipe.load(write_recipe(photos, model=model, data=data))
    asked = recipe.SelfTrainingRecipe(found.self_training.unlabelled, teacher, levels)
    assert rounds.levels_of(found, asked) == expected


UNLABELLED = "self_training.unlabelled"


@pytest.mark.parametrize(("override", "facts"), [
    ("model={family: efld, input_size: 64}", ["level", "'efld'"]),
    ("self_training.levels=[2]", ["level 2", "4 x 4"]),
    ("self_training.levels=[20000]", ["level 20000", "4 x 4"]),
    ("self_training.levels=[-1]", ["self_training.levels", 0, "[-1]"]),
    ("self_training.levels=[]", ["self_training.levels", 0, "[]"]),
    ("self_training.steps=0", ["self_training.steps", "positive", 0]),
    ("self_training.unlabelled=[]", [UNLABELLED, "one source"]),
    ("self_training.unlabelled.0.name=labelled", [UNLABELLED, "labelled", "data.sources"]),
    ("data.sources.0.name=photos-ibug51", [UNLABELLED, "photos", "data.sources"]),
    ("self_training.unlabelled.0.heads=[ibug51, ibug51]",
     [f"{UNLABELLED}.0.heads", "ibug51, ibug51"]),
    ("data.service={address: 'grpc://localhost:1'}", ["data.service", "training.deterministic"]),
    ("data.sources.0.level=1", ["data.sources.0.level", "held out"]),
    ("self_training.unlabelled.0.heads=[ibug68]", [UNLABELLED, "head 'ibug68'", "heads"]),
    ("self_training.unlabelled.0.level=1", [UNLABELLED, "photos", "level", "levels"]),
    ("self_training.teacher=${NO_SUCH}.h5", ["${NO_SUCH}.h5", "environment variable NO_SUCH"]),
    ("self_training.unlabelled.0.source=ibug:/nowhere", ["source ibug:/nowhere", "exist"]),
    ("data.sources.0.source=packed:/nowhere",
     ["data.sources.0.source", "packed:/nowhere", "validation_fraction"]),
    ("data.sources.0={name: a, source: 'packed:/nowhere', heads: [ibug51]}",
     ["/nowhere/manifest.json", "packed"]),
])
def test_mistakes_are_told_before_anything_is_trained(
    photos: Path, override: str, facts: list[object]
) -> None:
    with refuses(*facts):
        rounds.train(
            recipe.load(write_recipe(photos), ["name=mistaken", override]), progress=False)
    assert not (photos / "runs" / "mistaken").exists()


def test_a_teacher_that_is_not_there(photos: Path) -> None:
    changes = ["name=mistaken", "self_training.teacher=/nowhere.h5"]
    with refuses("research", "synthetic", path="/nowhere.h5"):
        rounds.train(recipe.load(write_recipe(photos), changes), progress=False)
    assert not (photos / "runs" / "mistaken").exists()


def test_a_service_cannot_feed_rounds(photos: Path) -> None:
    changes = ["data.service={address: 'grpc://localhost:1'}", "training.deterministic=false"]
    with refuses("data.service", "self_training", path=photos / "recipe.yaml"):
        recipe.load(write_recipe(photos), changes)


@pytest.mark.long
def test_faces_held_out_are_not_trained_on_as_unlabelled_ones(
    photos: Path, whole: Path
) -> None:
    source = f"self_training.unlabelled.0.source=ibug:{photos / 'labelled'}"
    path = write_recipe(photos)
    with refuses("validation_fraction", f"ibug:{photos / 'labelled'}", 0.25, 0, path=path):
        recipe.load(path, [source])
    same = "self_training.unlabelled.0.validation_fraction=0.25"
    found = recipe.load(write_recipe(photos), [source, same, "name=again"])
    run.pack_sources(found, found.self_training.unlabelled, progress=False)
    labelled, again = (read_manifest(found.pack_folder(source)) for source in (
        found.data.sources[0], found.self_training.unlabelled[0]))
    assert labelled.faces("validation") == again.faces("validation") > 0
    assert labelled.content_sha256 == again.content_sha256
    made = pseudo_labels.write(found.pack_folder(found.self_training.unlabelled[0]),
                               photos / "again", whole / "best.h5", HEAD, progress=False)
    assert made.faces("train") == labelled.faces("train") and made.faces("validation") == 0


@pytest.mark.long
@pytest.mark.long
def test_a_teacher_stands_in_for_the_first_round(photos: Path, whole: Path) -> None:
    """The one that round 1 has learnt from anyway: everything ends the same without round 0."""
    spec, model = checkpoint.load(whole / "round_0" / "best.h5")
    teacher = photos / "teacher.h5"
    checkpoint.save(teacher, replace(spec, license="research only"), model)
    path = write_recipe(photos, name="taught")
    words = ("--set", f"self_training.teacher={teacher}", "--set", "self_training.levels=[1]")
    _, err = start(path, *words).communicate(timeout=300)
    folder = photos / "runs" / "taught"
    assert f"round 1 of 1: pseudo-labels by {teacher}" in err
    assert [entry["round"] for entry in rounds.history(folder)] == ["round_1"]
    assert not (folder / "round_0").exists()
    expected, found = weights(whole / "round_1" / "best.h5"), weights(folder / "best.h5")
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    made = checkpoint.read_spec(folder / "best.h5")
    assert made.license == "taught by weights under: research only"


@pytest.mark.long
def test_a_teacher_must_know_the_heads_and_see_the_same_crops(photos: Path, whole: Path) -> None:
    teacher = f"self_training.teacher={whole / 'best.h5'}"
    heads = ["heads={ibug51: {}, mtfl5: {}}", "self_training.unlabelled.0.heads=[mtfl5]",
             "data.sources.0.heads=[ibug51, mtfl5]"]
    for words, facts in (
        (["data.pack.size=64", "model.input_size=32", "self_training.levels=[0]"],
         ["64 pixels", "data.pack.size", 96, 64]),
        (["data.pack.zoom=1.3"], ["data.pack.zoom", 1, 1.3]),
        (heads, ["head 'mtfl5'", "ibug51"]),
    ):
        with refuses(*facts, path=whole / "best.h5"):
            rounds.train(recipe.load(write_recipe(photos), ["name=wrong", teacher, *words]),
                         progress=False)
    assert not (photos / "runs" / "wrong").exists()


def test_rough_labels_alone_cannot_train_a_head(photos: Path) -> None:
    source = {"name": "rough", "source": "ibug:rough", "heads": ["ibug68"], "level": 1}
    path = write_recipe(photos, heads={HEAD: {}, "ibug68": {}})
    tree = yaml.safe_load(path.read_text())
    tree["data"]["sources"].append(source)
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    with refuses("heads.ibug68", "level", path=path):
        recipe.load(path)


@pytest.mark.long
def test_changed_photos_are_noticed_when_rounds_go_on(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(whole, photos / "runs" / "changing")
    source = f"self_training.unlabelled.0.source=ibug:{faces.write_ibug(tmp_path / 'a', 5)}"
    before = sorted(path.name for path in (folder / "pseudo_1").iterdir())
    stated = (folder / "recipe.yaml").read_text().replace("name: whole", "name: changing")
    stated = stated.replace(f"ibug:{photos / 'photos'}", f"ibug:{tmp_path / 'a'}")
    (folder / "recipe.yaml").write_text(stated)
    with refuses(folder, "changed", "photos"):
        rounds.train(recipe.load(write_recipe(photos), ["name=changing", source]), progress=False)
    assert sorted(path.name for path in (folder / "pseudo_1").iterdir()) == before
    shutil.rmtree(folder)


def test_one_run_cannot_be_the_rounds(photos: Path) -> None:
    with refuses("self_training", "rounds.train"):
        run.train(recipe.load(write_recipe(photos)), progress=False)


@pytest.mark.long
def test_faces_of_another_format_get_the_head_s_points(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    """Their own five points only say where the crops are."""
    listed = faces.write_five_points(tmp_path / "five", 6)
    source = SourceOptions(source=f"mtfl:{listed}", name="five", heads=[HEAD])
    own = pack.pack(source, tmp_path / "packed", PackOptions(size=96), progress=False)
    model = whole / "best.h5"
    made = pseudo_labels.write(tmp_path / "packed", tmp_path / "new", model, HEAD, progress=False)
    assert (own.schema, made.schema, made.faces("train")) == ("mtfl5", HEAD, 6)
    given = faces_of.load(f"packed:{tmp_path / 'new'}", made.crop_rule, 64, split="train")
    expected = float_predictor(model).predict_crops(given.crops)
    assert given.points.shape == (6, 51, 2)
    assert np.median(np.abs(expected - given.points)) < 0.005


@pytest.mark.long
def test_a_damaged_shard_of_unlabelled_faces_is_named(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    packed = shutil.copytree(packed_photos(photos), tmp_path / "packed")
    shard = next(packed.glob("train-*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-40])
    with refuses("SHA-256", packed, path=shard):
        pseudo_labels.write(packed, tmp_path / "new", whole / "best.h5", HEAD, progress=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.long
def test_what_a_killed_labelling_left_is_removed(
    photos: Path, whole: Path, tmp_path: Path
) -> None:
    packed = packed_photos(photos)
    left = tmp_path / ".new.0123abcd.tmp"
    left.mkdir()
    (left / "train-00000.tfrecord").write_bytes(b"half")
    pseudo_labels.write(packed, tmp_path / "new", whole / "best.h5", HEAD, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    assert read_manifest(tmp_path / "new").faces("train") == 12


@pytest.mark.long
def test_packed_faces_of_another_size_are_refused(photos: Path, whole: Path) -> None:
    packed = packed_photos(photos)
    source = f"self_training.unlabelled.0.source=packed:{packed}"
    assert recipe.load(write_recipe(photos), [source]).self_training.unlabelled[0].packed == packed
    path = write_recipe(photos)
    for asked, facts in (
        ("{size: 128}", ["data.pack.size", 96, 128]),
        ("{size: 96, margin: 1.25}", ["data.pack.margin", 1.5, 1.25]),
        ("{size: 96, zoom: 1.3}", ["data.pack.zoom", 1, 1.3]),
    ):
        with refuses(f"packed:{packed}", *facts, path=path):
            recipe.load(path, [source, f"data.pack={asked}"])


@pytest.mark.long
def test_packed_faces_are_a_source_of_a_recipe(photos: Path, whole: Path) -> None:
    packed = next((photos / "packed").glob("labelled-*"))
    source = {"name": "packed", "source": f"packed:{packed}", "heads": [HEAD]}
    changes = {"data": {"pack": {"size": 96}, "sources": [source]}, "self_training": None}
    path = write_recipe(photos, name="from_packed", **changes)
    # Determinism would be switched on for the whole process.
    result = run.train(recipe.load(path, ["training.deterministic=false"]), progress=False)
    faces, of_photos = (json.loads((folder / run_folder.DATA_FILE).read_text())
                        for folder in (result.folder, whole / "round_0"))
    assert faces["packed"] == of_photos["labelled"]
    # Sums are not made in the same order, and eight steps are far from having settled.
    assert result.nme_percent == pytest.approx(rounds.history(whole)[0]["nme_percent"], rel=0.05)
    with refuses("data.sources.0.source", f"packed:{packed}", "validation_fraction", path=path):
        recipe.load(write_recipe(photos, **{**changes, "data": {
            "pack": {"size": 96}, "sources": [{**source, "validation_fraction": 0.5}]}}))
