"""Points that are annotated as hidden weigh in training what the recipe says."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from efld_tf.data import pack, pipeline, shards
from efld_tf.data.manifest import MANIFEST, read_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from efld_tf.training import losses, recipe, run, task
from tests.errors import refuses
from tests.faces import mean_shape

HEAD = "ibug68"
FLIP = list(schemas.get(HEAD).known_flip)
STORAGE = PackOptions(size=48, margin=1.5)


def write(folder: Path, count: int, *, told: bool = True) -> str:
    """A source of noise, of whose faces the first hides five points, the next six, and so on."""
    rng, lines = np.random.default_rng(0), []
    folder.mkdir(parents=True)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (120, 100, 3)))
        points = mean_shape(HEAD) * rng.uniform(50, 60) + rng.uniform(20, 30, 2)
        face = {"image": f"{index}.png", "points": points.round(2).tolist()}
        if told:
            face["visible"] = [place >= 5 + index for place in range(68)]
        lines.append(json.dumps(face))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    return f"json:{folder}/faces.jsonl?schema={HEAD}"


def packed(folder: Path, source: str, fraction: float = 0.0) -> pipeline.PackedSource:
    options = SourceOptions(source, "faces", [HEAD], validation_fraction=fraction)
    manifest = pack.pack(options, folder, STORAGE, progress=False)
    return pipeline.PackedSource(folder, manifest, {HEAD: tuple(range(68))})


def test_flags_are_packed_and_counted(tmp_path: Path) -> None:
    source = packed(tmp_path / "packed", write(tmp_path / "a", 4))
    assert source.manifest.hidden == 5 + 6 + 7 + 8
    for index, face in enumerate(shards.load(source.folder, source.manifest, "train")):
        assert face["visible"].tolist() == [0] * (5 + index) + [1] * (63 - index)


def test_other_flags_are_packed_again(tmp_path: Path) -> None:
    spec = write(tmp_path / "a", 4)
    packed(tmp_path / "packed", spec)
    path = tmp_path / "a/faces.jsonl"
    first, *others = path.read_text().splitlines()
    path.write_text("\n".join([first.replace("false", "true"), *others]))
    assert packed(tmp_path / "packed", spec).manifest.hidden == 6 + 7 + 8


def test_without_flags_and_in_older_packings_every_point_is_visible(tmp_path: Path) -> None:
    source = packed(tmp_path / "packed", write(tmp_path / "a", 3, told=False))
    assert source.manifest.hidden == 0
    faces = list(shards.load(source.folder, source.manifest, "train"))
    assert all(face["visible"].tolist() == [1] * 68 for face in faces)
    path = tmp_path / "packed" / MANIFEST
    tree = json.loads(path.read_text())
    del tree["hidden"]
    path.write_text(json.dumps(tree))
    assert read_manifest(tmp_path / "packed") == source.manifest


def test_their_weight_is_mirrored_with_them_and_validation_has_none(tmp_path: Path) -> None:
    source = packed(tmp_path / "packed", write(tmp_path / "a", 1))
    options = pipeline.BatchOptions((HEAD,), 32, 16, pairs=True, hidden={HEAD: 0.25})
    batch = next(pipeline.training_batches([source], options).as_numpy_iterator())
    weights = np.array([0.25] * 5 + [1.0] * 63, np.float32)
    mirrored = batch["mirrored"]
    assert mirrored.any() and not mirrored.all()
    for mask, turned in zip(batch["mask"][HEAD], mirrored, strict=True):
        np.testing.assert_array_equal(mask, weights[FLIP] if turned else weights)
    others = pipeline.BatchOptions((HEAD,), 32, 16, hidden={"ibug51": 0.25})
    batch = next(pipeline.training_batches([source], others).as_numpy_iterator())
    assert (batch["mask"][HEAD] == 1).all()
    source = packed(tmp_path / "again", write(tmp_path / "b", 12), fraction=0.5)
    for batch in pipeline.validation_batches([source], options).as_numpy_iterator():
        assert (batch["mask"][HEAD] == 1).all()


@pytest.mark.parametrize(("weights", "expected"), [
    ([1, 1], 0.2 / 0.5), ([1, 0.5], (0.1 + 0.5 * 0.3) / 1.5 / 0.5), ([0.25, 0], 0.1 / 0.5),
    ([0, 0], 0.0),
])
def test_errors_are_weighted_means(weights: list[float], expected: float) -> None:
    """By hand: errors of 0.1 and 0.3 of a face whose eyes are half a side apart."""
    raw = np.array([[[0.1, 0.0], [0.0, 0.3]]], np.float32)
    found = losses.nme(raw, 0 * raw, np.array([weights], np.float32), np.float32([0.5]))
    assert float(found[0]) == pytest.approx(expected, abs=1e-5)


def recipe_of(folder: Path, source: str, hidden: float) -> recipe.Recipe:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump({
        "name": "hidden", "output_dir": str(folder / "runs"), "model": {"input_size": 32},
        "heads": {HEAD: {"hidden": hidden}},
        "data": {"cache_dir": str(folder / "packed"), "pack": {"size": 48},
                 "sources": [{"name": "faces", "source": source, "heads": [HEAD],
                              "validation_fraction": 0.25}]},
        "training": {"target_head": HEAD, "steps": 3, "batch_size": 4, "validation_interval": 3},
    }))
    return recipe.load(path)


def test_a_recipe_weighs_them_in_training_alone(tmp_path: Path) -> None:
    asked = recipe_of(tmp_path, write(tmp_path / "a", 8), 0.5)
    assert run.train(asked, progress=False).folder.is_dir()
    made = task.LandmarkTask(task.experiment(asked, 0).task)
    for training, weights in ((True, {0.5, 1.0}), (False, {1.0})):
        config = task.cfg.DataConfig(is_training=training, global_batch_size=4)
        _, labels = next(iter(made.build_inputs(config)))
        assert set(np.unique(labels["mask"][HEAD])) == weights


def test_a_source_has_to_tell(tmp_path: Path) -> None:
    asked = recipe_of(tmp_path, write(tmp_path / "a", 8, told=False), 0.5)
    with refuses(f"heads.{HEAD}.hidden"):
        run.train(asked, progress=False)
    with refuses(f"heads.{HEAD}.hidden", "1.5"):
        recipe_of(tmp_path, "json:none", 1.5)
