"""Depths of annotated faces reach the batches and the model, however crops are cut and turned."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from efld_tf import runs
from efld_tf.data import pack, pipeline, shards
from efld_tf.data.manifest import MANIFEST, read_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.evaluation import evaluate
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, schemas
from efld_tf.models import checkpoint, registry
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.training import model_spec, pseudo_labels, recipe, run, task
from tests.errors import refuses
from tests.faces import mean_shape

HEAD = "ibug68_3d"
FLIP = list(schemas.get(HEAD).known_flip)
STORAGE = PackOptions(size=48, margin=1.5)


def write(folder: Path, count: int, *, known: bool = True, seed: int = 0) -> str:
    """A source of noise with faces whose depths are of no pattern."""
    rng, lines = np.random.default_rng(seed), []
    folder.mkdir(parents=True)
    for index in range(count):
        image = rng.integers(0, 256, (120, 100, 3)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{index}.png"), image)
        points = mean_shape("ibug68") * rng.uniform(50, 60) + rng.uniform(20, 30, 2)
        face = {"image": f"{index}.png", "points": points.round(2).tolist()}
        if known:
            face["depth"] = (200 + rng.normal(0, 12, 68)).round(2).tolist()
        lines.append(json.dumps(face))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    return f"json:{folder}/faces.jsonl?schema={HEAD}"


def options(source: str, **changes: object) -> SourceOptions:
    return SourceOptions(source, "faces", [HEAD], **changes)


def annotated(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "faces.jsonl").read_text().splitlines()]


def test_depths_are_packed_in_sides_of_the_crop(tmp_path: Path) -> None:
    manifest = pack.pack(options(write(tmp_path / "a", 4)), tmp_path / "packed", STORAGE,
                         progress=False)
    faces = list(shards.load(tmp_path / "packed", manifest, "train"))
    depths = [np.array(face["depth"]) for face in annotated(tmp_path / "a")]
    for depth, face in zip(depths, faces, strict=True):
        np.testing.assert_allclose(face["depth"] * face["side"], depth - depth.mean(), atol=1e-3)
    expected = np.mean([face["depth"] * STORAGE.margin for face in faces], axis=0)
    np.testing.assert_allclose(manifest.mean_depth, expected, atol=1e-5)
    assert abs(np.mean(manifest.mean_depth)) < 1e-5


def test_other_depths_are_packed_again(tmp_path: Path) -> None:
    source = options(write(tmp_path / "a", 4))
    first = pack.pack(source, tmp_path / "packed", STORAGE, progress=False)
    lines = annotated(tmp_path / "a")
    lines[2]["depth"][7] += 5
    (tmp_path / "a/faces.jsonl").write_text("\n".join(map(json.dumps, lines)))
    again = pack.pack(source, tmp_path / "packed", STORAGE, progress=False)
    assert again.mean_depth[7] != first.mean_depth[7]


def test_faces_without_depths_and_older_packings_have_none(tmp_path: Path) -> None:
    source = options(write(tmp_path / "a", 4, known=False))
    manifest = pack.pack(source, tmp_path / "packed", STORAGE, progress=False)
    assert manifest.mean_depth is None
    (face, *_) = shards.load(tmp_path / "packed", manifest, "train")
    assert np.isnan(face["depth"]).all()
    path = tmp_path / "packed" / MANIFEST
    tree = json.loads(path.read_text())
    del tree["mean_depth"]
    path.write_text(json.dumps(tree))
    assert read_manifest(tmp_path / "packed") == manifest


def test_depths_turn_shrink_and_mirror_with_their_points(tmp_path: Path) -> None:
    source = options(write(tmp_path / "a", 1))
    manifest = pack.pack(source, tmp_path / "packed", STORAGE, progress=False)
    packed = pipeline.PackedSource(tmp_path / "packed", manifest, {HEAD: tuple(range(68))})
    batch = next(pipeline.training_batches([packed], pipeline.BatchOptions(
        (HEAD,), 32, 32, pairs=True, depths=(HEAD,))).as_numpy_iterator())
    truth = annotated(tmp_path / "a")[0]
    depth, points = np.array(truth["depth"]), np.array(truth["points"])
    depth -= depth.mean()
    mirrored = batch["mirrored"]
    assert mirrored.any() and not mirrored.all()
    for index, found in enumerate(batch["depth"][HEAD]):
        # The crop's pixels in one of the photo, by the spread of the points.
        turned = np.linalg.norm(batch["points"][HEAD][index] - batch["points"][HEAD][index].mean(0))
        scale = turned / np.linalg.norm(points - points.mean(axis=0))
        expected = scale * (depth[FLIP] if mirrored[index] else depth)
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_batches_have_depths_where_they_are_asked_for(tmp_path: Path) -> None:
    manifest = pack.pack(options(write(tmp_path / "a", 3)), tmp_path / "packed", STORAGE,
                         progress=False)
    packed = pipeline.PackedSource(tmp_path / "packed", manifest, {"ibug51": tuple(range(17, 68))})
    asked = pipeline.BatchOptions(("ibug51", HEAD), 32, 3, depths=("ibug51", HEAD))
    batch = pipeline.sample_batch([packed], asked, "train")
    assert np.isfinite(batch["depth"]["ibug51"]).all() and batch["depth"]["ibug51"].shape == (3, 51)
    assert np.isnan(batch["depth"][HEAD]).all() and batch["depth"][HEAD].shape == (3, 68)
    plain = pipeline.BatchOptions(("ibug51",), 32, 3)
    assert "depth" not in pipeline.sample_batch([packed], plain, "train")


def recipe_of(tmp_path: Path, source: str, **head: object) -> recipe.Recipe:
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump({
        "name": "depth", "output_dir": str(tmp_path / "runs"),
        "model": {"input_size": 32}, "heads": {HEAD: head},
        "data": {"cache_dir": str(tmp_path / "packed"), "pack": {"size": 48},
                 "sources": [{"name": "faces", "source": source, "heads": [HEAD],
                              "validation_fraction": 0.25}]},
        "training": {"target_head": HEAD, "steps": 3, "batch_size": 4, "validation_interval": 3},
    }))
    return recipe.load(path)


def test_a_head_learns_depths_from_those_of_the_mean_face(tmp_path: Path) -> None:
    found = recipe_of(tmp_path, write(tmp_path / "a", 16), depth=2.0)
    result = run.train(found, progress=False)
    spec, model = checkpoint.load(result.folder / "best.h5")
    mean = spec.heads[HEAD].mean_depth
    manifest = read_manifest(found.pack_folder(found.data.sources[0]))
    np.testing.assert_allclose(mean, manifest.mean_depth, atol=1e-5)
    kernel, bias = model.get_layer(registry.depth_output(HEAD)).get_weights()
    assert np.abs(bias - mean).max() > 1e-5 and kernel.shape[1] == 68
    assert spec.build().output[registry.depth_output(HEAD)].shape == (None, 68)


def test_validation_and_evaluation_measure_the_same_errors(tmp_path: Path, capsys) -> None:
    """Of crops that are stretched, too; and by hand."""
    write(tmp_path / "a", 16)
    found = recipe_of(tmp_path, f"json:{tmp_path}/a/faces.jsonl?schema={HEAD}", depth=1.0)
    crop = replace(found.data.sources[0].crop, scale_x=1.6, scale_y=1.1)
    stretched = replace(found, data=replace(
        found.data, sources=[replace(found.data.sources[0], crop=crop)]))
    trained = run.train(stretched, progress=True)
    (entry,) = runs.validation_history(trained.folder)
    assert f"{entry['depth_percent'][HEAD]:.2f}%" in capsys.readouterr().err
    packed = stretched.pack_folder(stretched.data.sources[0])
    predictor = FloatPredictor(TrainedModel.load(trained.folder / "best.h5"))
    faces = faces_of.load(f"packed:{packed}", predictor.crop_rule, 32, progress=False)
    result = evaluate.evaluate(predictor, faces)
    summary = result.summary()
    assert summary["nme_box_size_percent"] == pytest.approx(entry["nme_percent"][HEAD], rel=0.02)
    # The plane of a face is where its depths, less those of the mean face, are 0 in the mean.
    assert summary["depth_error_box_size_percent"] == pytest.approx(
        entry["depth_percent"][HEAD], rel=0.02)
    assert summary["depth_faces"] == len(faces) > 1
    by_name = {Path(face["image"]).name: face for face in annotated(tmp_path / "a")}
    for name, found_depth, error, distance in zip(
            faces.names, result.predicted_depth, metrics.depth_errors(*map(
                faces.depths_in_photo, (result.predicted_depth, result.true_depth))),
            result.distances(), strict=True):
        truth = by_name[Path(name).name]
        width, height = np.ptp(np.array(truth["points"]), axis=0)
        assert distance == pytest.approx(np.sqrt(width * height), rel=1e-3)
        side = np.sqrt(1.6 * width * 1.1 * height)
        off = side * found_depth - np.array(truth["depth"])
        np.testing.assert_allclose(error, np.abs(off - off.mean()), rtol=0.05, atol=0.05)


@pytest.mark.parametrize(("known", "depth", "facts"), [
    (False, 1.0, (f"heads.{HEAD}.depth", "annotated")),
    (True, -1.0, (f"heads.{HEAD}.depth", "-1.0")),
])
def test_depths_that_cannot_be_learnt(
    tmp_path: Path, known: bool, depth: float, facts: tuple[str, ...]
) -> None:
    source = write(tmp_path / "a", 6, known=known)
    with refuses(*facts):
        found = recipe_of(tmp_path, source, depth=depth)
        run.prepare(found, progress=False)
        model_spec.of(found, task.packed_sources(found))


def test_pseudo_labels_have_no_depths(tmp_path: Path) -> None:
    """Whatever the faces were annotated with that a model labels."""
    source = write(tmp_path / "a", 16)
    trained = run.train(recipe_of(tmp_path, source, depth=1.0), progress=False)
    packed = next((tmp_path / "packed").iterdir())
    made = pseudo_labels.write(
        packed, tmp_path / "labels", trained.folder / "best.h5", HEAD, progress=False)
    assert made.mean_depth is None and read_manifest(packed).mean_depth is not None
    (face, *_) = shards.load(tmp_path / "labels", made, "train")
    assert np.isnan(face["depth"]).all() and np.isfinite(face["points"]).all()


@pytest.mark.long
def test_what_starts_anew_is_told_of_depths(tmp_path: Path, capsys) -> None:
    plain = recipe_of(tmp_path, write(tmp_path / "a", 16))
    start = run.train(plain, progress=False).folder / "best.h5"
    found = recipe_of(tmp_path, f"json:{tmp_path}/a/faces.jsonl?schema={HEAD}", depth=1.0)
    found = replace(found, name="deep", training=replace(found.training, init_from=str(start)))
    run.train(found, progress=True)
    assert f"the depths of {HEAD}" in capsys.readouterr().err


def test_a_head_of_the_name_of_depths_is_refused() -> None:
    model = registry.architecture("efld", {}, 32).build({"x": 5, "x_depth": 5})
    with refuses("heads.x.depth", "x_depth"):
        registry.architecture("efld", {}, 32).with_depth(model, "x", [0.0] * 5)
