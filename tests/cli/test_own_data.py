"""A user's own table of points with a schema of their own: what its page says, as it says it."""

from __future__ import annotations

import csv
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.training import recipe
from tests import faces
from tests.cli.test_path import run
from tests.errors import assert_error_line, assert_told

PAGE = (Path(sources.__file__).parent / "README.md").read_text()
OWN = PAGE.split("\n## Bring your own data")[1].split("\n## ")[0]
SCHEMA, RECIPE = re.findall(r"```yaml\n(.*?)```", OWN, re.S)
COMMANDS = re.search(r"```sh\n(.*?)```", OWN, re.S)[1].splitlines()
SOURCE = "csv:photos/faces.csv?schema=nine.yaml"

# The points of the page's schema as iBUG's 68 has them.
POINTS = [45, 36, 42, 39, 30, 48, 54, 57, 51]

MODEL = "runs/mine/efld_nine_int8/efld_nine_int8.tflite"

# What keeps the training of a test short.
SHORT = (
    "model.input_size=64", "data.pack.size=96", "training.steps=40", "training.batch_size=8",
    "training.log_interval=10", "training.validation_interval=20",
    "training.checkpoint_interval=20",
)  # fmt: skip


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
    """A folder in which the page's commands were run."""
    folder = tmp_path_factory.mktemp("own")
    write_table(folder / "photos", 40, 0)
    write_table(folder / "test", 10, 1)
    (folder / "nine.yaml").write_text(SCHEMA)
    (folder / "mine.yaml").write_text(RECIPE)
    for line in COMMANDS:
        program, *arguments = shlex.split(line, comments=True)
        if program == "efld-train":
            arguments += ["--quiet", *(word for value in SHORT for word in ("--set", value))]
        if program == "efld-export":
            arguments += ["--calibration", "16"]
        out, _ = run(folder, program.removeprefix("efld-"), *arguments)
        (folder / f"{program}_{arguments[0]}.txt".replace("/", "_")).write_text(out)
    return folder


def test_every_step_leaves_what_the_page_says(folder: Path) -> None:
    assert cv2.imread(str(folder / "faces.jpg")).std() > 10
    report = json.loads((folder / "report" / "report.json").read_text())
    assert report["sources"][0]["faces"] == 40
    assert (folder / "report" / "exclude.json").is_file()
    bundle = folder / "runs" / "mine" / "efld_nine_int8"
    assert (bundle / "efld_nine_int8.tflite").stat().st_size > 10_000


def test_the_recipe_needs_nothing_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)  # its schema is relative to it
    found = recipe.load("mine.yaml")
    assert found.training.steps > 100 and found.training.target_head == "nine"


def test_what_a_calibration_s_own_faces_tell_is_said(folder: Path) -> None:
    out = (folder / "efld-export_runs_mine.txt").read_text()
    assert_told(out, "calibration's own faces")


def test_the_page_names_every_reader() -> None:
    table = PAGE.split("\n## Readers")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = re.findall(r"`(\w+)`", " ".join(rows))
    assert sorted(named) == sorted([*sources.FORMATS, "packed"])


def test_the_page_tells_the_options_of_every_program_s_format() -> None:
    table = PAGE.split("\n## Readers")[1].split("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
            if line.startswith("| `") and line.count("|") == 6]
    written = {output.source.partition(":")[0]: name for name, output in OUTPUTS.items()}
    assert {*written} <= {cells[0].strip("`") for cells in rows}
    for name, _, _, options, output in rows:
        reader = name.strip("`")
        told = options.strip("`").split()
        if reader in sources.FORMATS:
            assert told == [*sources.FORMATS[reader].options], reader
        assert output.strip("`") == written.get(reader, ""), reader


def test_the_flip_is_inferred_and_said(folder: Path) -> None:
    out, _ = run(folder, "data", "pack", SOURCE, "packed_nine", "--size", 96, "--quiet")
    assert_told(out, "schema nine", "flip", "40 faces", [1, 0, 3, 2, 4, 6, 5, 7, 8], "3 pairs")
    carried = json.loads((folder / "packed_nine/manifest.json").read_text())["schema_fields"]
    assert carried["flip"] == [1, 0, 3, 2, 4, 6, 5, 7, 8]


def test_the_check_infers_the_flip_too(folder: Path) -> None:
    assert_told((folder / "efld-data_check.txt").read_text(), "flip", "40 faces")


def test_the_model_carries_the_schema(folder: Path) -> None:
    """Everything behind training works where the schema's file does not exist."""
    (folder / "nine.yaml").rename(folder / "elsewhere.yaml")
    try:
        run(folder, "data", "stats", "packed:packed_nine")
        code = (
            "import efld_tf; from efld_tf.landmarks import schemas; "
            f"schema = schemas.get(efld_tf.load('{MODEL}').schema); "
            "print(schema.flip, schema.num_points)"
        )
        out = subprocess.run([sys.executable, "-c", code], cwd=folder, check=True, text=True,
                             capture_output=True).stdout
        assert out.strip() == "(1, 0, 3, 2, 4, 6, 5, 7, 8) 9"
    finally:
        (folder / "elsewhere.yaml").rename(folder / "nine.yaml")
    test = "csv:test/faces.csv?schema=nine.yaml"
    for index, model in enumerate(("runs/mine", MODEL)):
        out, _ = run(folder, "eval", model, "--source", test, "--output", f"{index}.json")
        assert_told(out, "faces", 10)


def test_a_name_that_means_two_things_is_refused(folder: Path) -> None:
    (folder / "other.yaml").write_text(SCHEMA.replace("nose_tip: 4", "nose_tip: 3"))
    _, err = run(folder, "eval", "runs/mine", "--source",
                 "csv:test/faces.csv?schema=other.yaml", code=2)
    assert_error_line(err, "schema", "'nine'")
