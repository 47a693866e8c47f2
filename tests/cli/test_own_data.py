"""A user's own table of points with a schema of their own, from annotation to predictions."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from tests import faces
from tests.cli.test_path import run

# Eyes' centres and corners, nose tip and mouth corners of the 68 points, in an order of its own.
POINTS = [45, 36, 42, 39, 30, 48, 54, 57, 51]
SCHEMA = """\
name: nine
title: Nine points
parts:
  left_eye: {points: "0,2"}
  right_eye: {points: "1,3"}
  nose: {points: 4}
  mouth: {points: "5,8,6,7", closed: true}
flip: infer
normalisers:
  interocular: {right: 1, left: 0}
anchors: {right_eye: "1,3", left_eye: "0,2", mouth_right: 5, mouth_left: 6}
nose_tip: 4
"""
SOURCE = "csv:train/faces.csv?schema=nine.yaml"


def write_table(folder: Path, count: int, seed: int) -> None:
    """Drawn faces and a table with their nine points, one of them missing here and there."""
    rng = np.random.default_rng(seed)
    folder.mkdir()
    with open(folder / "faces.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["image", *(f"{axis}{i}" for i in range(len(POINTS)) for axis in "xy")])
        for index in range(count):
            image, points = faces.draw_face("ibug68", rng)
            cv2.imwrite(str(folder / f"{index}.png"), image[..., ::-1])
            cells = [f"{value:.3f}" for value in points[POINTS].ravel()]
            if index % 5 == 0:
                cells[14:16] = ["", ""]
            table.writerow([f"{index}.png", *cells])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model trained on the table, and the schema's file gone."""
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "train", 40, 0)
    write_table(folder / "test", 10, 1)
    (folder / "nine.yaml").write_text(SCHEMA)
    recipe = {
        "name": "nine",
        "model": {"input_size": 64},
        "heads": {"nine": {}},
        "data": {
            "pack": {"size": 96},
            "sources": [{"name": "own", "source": SOURCE, "heads": ["nine"],
                         "validation_fraction": 0.2}],
        },
        "training": {"target_head": "nine", "steps": 40, "batch_size": 8, "log_interval": 10,
                     "validation_interval": 20, "checkpoint_interval": 20},
    }  # fmt: skip
    (folder / "nine_recipe.yaml").write_text(yaml.safe_dump(recipe))
    run(folder, "train", "nine_recipe.yaml", "--quiet")
    return folder


def test_the_flip_is_inferred_and_said(folder: Path) -> None:
    out, _ = run(folder, "data", "pack", SOURCE, "packed_nine", "--size", 96, "--quiet")
    assert "schema nine: flip inferred from 40 faces: [1, 0, 3, 2, 4, 6, 5, 7, 8]: 3 pairs" in out
    carried = json.loads((folder / "packed_nine/manifest.json").read_text())["schema_fields"]
    assert carried["flip"] == [1, 0, 3, 2, 4, 6, 5, 7, 8]


def test_the_check_infers_the_flip_too(folder: Path) -> None:
    out, _ = run(folder, "data", "check", SOURCE, "--output", "report", "--quiet")
    assert "flip inferred from 40 faces" in out


def test_the_model_carries_the_schema(folder: Path) -> None:
    """Everything behind training works where the schema's file does not exist."""
    out, _ = run(folder, "export", "runs/nine", "--int8", "--calibration", 16)
    assert "M MACs" in out
    (folder / "nine.yaml").rename(folder / "elsewhere.yaml")
    try:
        run(folder, "data", "stats", "packed:packed_nine")
        code = (
            "from efld_tf.landmarks import schemas; from efld_tf.runtime import metadata; "
            "about = metadata.read('runs/nine/efld_nine_int8.tflite'); "
            "schema = schemas.get(about.schema); print(schema.flip, schema.num_points)"
        )
        out = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, text=True,
                             capture_output=True).stdout
        assert out.strip() == "(1, 0, 3, 2, 4, 6, 5, 7, 8) 9"
    finally:
        (folder / "elsewhere.yaml").rename(folder / "nine.yaml")
    test = "csv:test/faces.csv?schema=nine.yaml"
    for index, model in enumerate(("runs/nine", "runs/nine/efld_nine_int8.tflite")):
        out, _ = run(folder, "eval", model, "--source", test, "--output", f"{index}.json")
        assert "faces                        10" in out


def test_a_name_that_means_two_things_is_refused(folder: Path) -> None:
    (folder / "other.yaml").write_text(SCHEMA.replace("nose_tip: 4", "nose_tip: 3"))
    _, err = run(folder, "eval", "runs/nine", "--source",
                 "csv:test/faces.csv?schema=other.yaml", code=2)
    assert err == "error: there is another schema named 'nine': choose another name\n"
