"""Heads whose sources crop them otherwise, since their points are of a part of the face."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from efld_tf.data.manifest import read_manifest
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint
from efld_tf.training import model_spec, pseudo_labels, recipe, rounds, run, task
from tests.errors import refuses
from tests.parts import EYES, Part

# The 51 inner points, among which are the twelve of the eyes: crops of them are fitted.
INNER = Part(tuple(range(17, 68)), {
    "name": "inner51", "title": "Inner points", "flip": "infer",
    "parts": {"rest": {"points": "0-18"}, "right_eye": {"points": "19-24"},
              "left_eye": {"points": "25-30"}, "mouth": {"points": "31-50"}},
    "normalisers": {"width": {"right": 19, "left": 28}},
    "anchors": {"right_eye": "19,22", "left_eye": "25,28", "mouth_right": 31, "mouth_left": 37},
    "subsets": {"eyes12": "19-30"},
})


@pytest.fixture
def folder(tmp_path: Path, shared_data: Path) -> Path:
    helen = shared_data / "ibug/helen/testset"
    tree = {
        "name": "mixed",
        "output_dir": str(tmp_path / "runs"),
        "model": {"input_size": 32},
        "heads": {"eyes12": {}},
        "data": {
            "cache_dir": str(tmp_path / "packed"),
            "pack": {"size": 48},
            "sources": [
                {"name": part.name, "source": part.write(tmp_path, helen, 12), "heads": ["eyes12"],
                 "validation_fraction": 0.25} for part in (EYES, INNER)
            ],
        },
        "training": {"target_head": "eyes12", "steps": 2, "batch_size": 2},
    }
    (tmp_path / "mixed.yaml").write_text(yaml.safe_dump(tree))
    return tmp_path


def spec_of(folder: Path, *changes: str):
    found = recipe.load(folder / "mixed.yaml", changes)
    run.prepare(found, progress=False)
    return model_spec.of(found, task.packed_sources(found))


def test_one_head_is_not_learnt_at_two_sizes(folder: Path) -> None:
    with refuses("eyes12", "crop.scale"):
        spec_of(folder)
    # The eyes of the reference crop take about 1/1.7 of what they take of their own.
    spec = spec_of(folder, "data.sources.0.crop.scale=2.1")
    assert spec.heads["eyes12"].crop_rule == CropRule("points", "eyes12", 2.1)


def test_labels_come_from_crops_of_the_same_part(folder: Path) -> None:
    found = recipe.load(folder / "mixed.yaml")
    run.prepare(found, progress=False)
    own, whole = (found.pack_folder(source) for source in found.data.sources)
    spec = spec_of(folder, "data.sources.0.crop.scale=2.1").heads["eyes12"]

    def check(packed: Path, schema: str, scale: float) -> None:
        rule = CropRule("points", schema, scale)
        pseudo_labels.check_crops(packed, "eyes12", replace(spec, crop_rule=rule))

    check(own, "eyes12", 2.0)
    check(whole, "ibug68", 1.25)
    for packed, schema, other in ((whole, "eyes12", "inner51"), (own, "ibug68", "eyes12")):
        with refuses("other parts", schema, other, path=packed):
            check(packed, schema, 1.25)


def test_labels_of_stretched_parts_come_from_crops_of_the_same_box(folder: Path) -> None:
    """Nothing tells how large eyes look that have no mouth below them."""
    found = recipe.load(folder / "mixed.yaml",
                        ["data.sources.0.crop={scale_x: 2.0, scale_y: 3.0}"])
    run.pack_sources(found, found.data.sources[:1], progress=False)
    packed = found.pack_folder(found.data.sources[0])
    manifest = read_manifest(packed)
    rule = CropRule("points", "eyes12", None, scale_x=2.0, scale_y=3.0)
    assert manifest.crop_rule == rule
    spec = checkpoint.HeadSpec(manifest.mean_shape, rule)
    pseudo_labels.check_crops(packed, "eyes12", spec)
    with refuses("eyes12-points", "eyes12-file", path=packed):
        pseudo_labels.check_crops(
            packed, "eyes12", replace(spec, crop_rule=replace(rule, box="file")))


def test_unlabelled_faces_of_other_crops_stop_before_training(folder: Path) -> None:
    tree = yaml.safe_load((folder / "mixed.yaml").read_text())
    eyes, inner = tree["data"]["sources"]
    tree["data"]["sources"] = [eyes]
    inner = {key: value for key, value in inner.items() if key != "validation_fraction"}
    tree["self_training"] = {"unlabelled": [inner], "levels": [0]}
    (folder / "mixed.yaml").write_text(yaml.safe_dump(tree))
    found = recipe.load(folder / "mixed.yaml")
    with refuses("other parts", "eyes12", "inner51",
                 path=found.pack_folder(found.self_training.unlabelled[0])):
        rounds.train(found, progress=False)
    assert not (folder / "runs" / "mixed" / "round_0").exists()
