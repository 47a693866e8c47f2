"""The whole path by its commands, from any folder."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import yaml

import efld_tf
from efld_tf.cli import common
from efld_tf.scoring import results
from tests.errors import assert_error_line, assert_told, without_progress

COMMANDS = ("data", "train", "export", "eval", "predict", "verify", "bench", "score")


def run(folder: Path, command: str, *arguments: object, code: int = 0) -> tuple[str, str]:
    """Runs `efld-COMMAND` in `folder`; returns what it printed."""
    program = Path(sys.executable).parent / f"efld-{command}"
    done = subprocess.run(
        [str(program), *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, timeout=400, check=False,
    )
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny model was trained on rendered faces."""
    folder = tmp_path_factory.mktemp("work")
    for name, schema, count in (("train", "ibug68", 48), ("other", "wflw98", 24),
                                ("test", "ibug51", 12)):
        out, _ = run(folder, "data", "synth", name, "--schema", schema, "--count", count,
                     "--seed", len(name), "--size", 96, "--quiet")
        assert_told(out, f"{count} faces")
    recipe = {
        "name": "tiny",
        "model": {"input_size": 64},
        "heads": {"ibug51": {}, "wflw98": {}},
        "data": {
            "pack": {"size": 96},
            "sources": [
                {"name": "train", "source": "ibug:train", "heads": ["ibug51"],
                 "validation_fraction": 0.2},
                {"name": "other", "source": "wflw:other/list_98pt_rect_attr.txt",
                 "heads": ["wflw98"]},
            ],
        },
        "training": {"target_head": "ibug51", "steps": 30, "batch_size": 8, "log_interval": 10,
                     "validation_interval": 30, "checkpoint_interval": 30},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    run(folder, "train", "tiny.yaml", "--quiet")
    return folder


@pytest.fixture(scope="module")
def model(folder: Path) -> Path:
    out, err = run(folder, "export", "--int8", "--head", "ibug51", "--calibration", 20,
                   "--faces", "ibug:test", "--debug")
    assert_told(out, "newest run", "runs/tiny")
    assert "exported_nme_percent" in out and "M MACs" in out
    assert not without_progress(err)
    assert_told(out, "calibrated", "20 faces", "ibug:train", 500)
    assert "lost most" in out and "(CONV_2D)" in out
    return folder / "runs" / "tiny" / "efld_ibug51_int8" / "efld_ibug51_int8.tflite"


@pytest.mark.long  # `test_extending` compares a smaller model's
def test_every_mode_in_one_table(folder: Path) -> None:
    out, _ = run(folder, "export", "runs/tiny", "--compare", "--head", "ibug51",
                 "--calibration", 8, "--faces", "ibug:test", "--output", "modes")
    rows = json.loads((folder / "modes" / "modes.json").read_text())["modes"]
    assert [row["mode"] for row in rows] == ["int8", "qat", "dynamic", "float16", "float32",
                                             "int16x8"]
    named = {row["mode"]: row for row in rows}
    assert named["int8"]["size_bytes"] < named["float16"]["size_bytes"] \
        < named["float32"]["size_bytes"]
    assert named["float32"]["point_difference_px_median"] < 1e-3
    for row in rows:
        assert f"| {row['mode']} | {row['size_bytes']:,} B | {row['latency_ms_p50']:.3f} ms" in out
        assert (folder / "modes" / row["mode"] / "golden.json").is_file()


def test_what_each_layer_lost_is_written(model: Path) -> None:
    assert json.loads(model.with_name("layers.json").read_text())


def test_version_and_help_everywhere(tmp_path: Path) -> None:
    for command in COMMANDS:
        out, _ = run(tmp_path, command, "--version")
        assert out == f"efld-{command} {efld_tf.__version__}\n"
        out, _ = run(tmp_path, command, "--help")
        assert out.startswith(f"usage: efld-{command}")


def test_pack_and_stats(folder: Path) -> None:
    out, err = run(folder, "data", "pack", "ibug:train", "p", "--validation-fraction", 0.25,
                   "--size", 96)
    assert re.search(r"48 faces.*\d faces/s", err)
    assert "ibug68" in out and "validation" in out
    out, _ = run(folder, "data", "stats", "packed:p", "ibug:train")
    assert_told(out, "crop rule", "ibug68-points")
    assert "median" in out
    run(folder, "data", "show", "packed:p", "--split", "validation")
    for name in ("stats.png", "faces.jpg"):
        assert cv2.imread(str(folder / name)).std() > 10
    packed, photos = json.loads((folder / "stats.json").read_text())
    assert 0 < packed["faces"] < photos["faces"] == 48


def test_results_of_the_commands_come_together(folder: Path, model: Path) -> None:
    out, _ = run(folder, "eval", model, "--source", "ibug:test", "--output", "r.json",
                 "--plots", "plots")
    assert "nme_interocular_percent" in out
    assert_told(out, "faces", 12)
    run(folder, "bench", model, "--runs", 20, "--warmup", 2, "--output", "r.json")
    found = results.read(folder / "r.json")
    assert set(results.FACTORS) - set(found) == {"power_w"}
    assert found["evaluation"]["faces"] == 12
    assert found["complexity_gflops"] == pytest.approx(2e-9 * found["benchmark"]["macs"])
    assert found["size_mb"] == pytest.approx(model.stat().st_size / 1e6)
    for name in ("ced", "worst", "sample"):
        assert cv2.imread(str(folder / "plots" / f"{name}.png")).std() > 5
    out, err = run(folder, "score", "r.json", code=3)
    assert "power" in out + err
    out, _ = run(folder, "score", "r.json", "--power", 2)
    assert "score" in out.lower()


def test_float_and_int8_are_evaluated_alike(folder: Path, model: Path) -> None:
    figures = {}
    for name, what in (("float", "runs/tiny"), ("int8", model)):
        run(folder, "eval", what, "--source", "ibug:test", "--output", f"{name}.json",
            "--report", f"{name}_page", "--quiet")
        page = (folder / f"{name}_page" / "index.html").read_text()
        assert page.count("Run tiny, 1 validation;") == 2  # a picture's text, and its caption
        assert ("<dt>step</dt><dd>30</dd>" in page) == (name == "float")
        evaluation = json.loads((folder / f"{name}.json").read_text())["evaluation"]
        figures[name] = evaluation["nme_interocular_percent"]
    assert figures["int8"] == pytest.approx(figures["float"], abs=0.3)


def test_a_source_cropped_otherwise_is_pointed_out(folder: Path) -> None:
    run(folder, "data", "pack", "ibug:test", "wide", "--crop-scale", 3, "--size", 96, "--quiet")
    out, _ = run(folder, "eval", "runs/tiny", "--source", "packed:wide", "--split", "train",
                 "--output", "wide.json")
    assert_told(out, "note", "cropped", "packed")
    assert json.loads((folder / "wide.json").read_text())["evaluation"]["crop_scale"] == 3


def test_results_of_another_model_are_not_mixed(folder: Path, model: Path) -> None:
    run(folder, "eval", "runs/tiny", "--source", "ibug:test", "--output", "mixed.json")
    before = (folder / "mixed.json").read_text()
    _, err = run(folder, "eval", model, "--source", "ibug:test", "--output", "mixed.json", code=2)
    assert_error_line(err, "mixed.json")
    assert (folder / "mixed.json").read_text() == before


@pytest.mark.parametrize(
    ("command", "arguments", "facts"),
    [
        ("train", ["absent.yaml"], ["absent.yaml", "No such file"]),
        ("train", ["tiny.yaml", "--set", "training.step=3"],
         ["tiny.yaml", "training.step", "steps"]),
        ("export", ["nowhere", "--int8"], ["nowhere", "research", "synthetic"]),
        ("export", ["runs/tiny", "--int8", "--head", "mtfl5"],
         ["head", "'mtfl5'", "ibug51", "wflw98"]),
        ("export", ["runs/tiny", "--int8", "--output", "train"], ["train", "exists"]),
        ("export", ["runs/tiny", "--float16", "--debug"], ["--debug", "--int8"]),
        ("export", ["runs/tiny", "--float16", "--no-widening"], ["--no-widening", "--int8"]),
        ("export", ["runs/tiny", "--float16", "--for", "avx2"], ["--for", "--int8"]),
        ("export", ["runs/tiny", "--int8", "--for", "avx2,z80"], ["--for", "'z80'", "cortex-a72"]),
        ("export", ["runs/tiny", "--onnx", "--web", "site"], ["--web", ".tflite", "--onnx"]),
        ("export", ["runs/tiny", "--coreml", "--android", "app"], ["--android", ".tflite"]),
        ("verify", ["absent.tflite"], ["absent.tflite", "research", "synthetic"]),
        ("verify", ["train"], ["train", ".tflite", 0]),
        ("export", ["runs/tiny", "--int8", "--calibration", "m.json"], ["m.json", "No such file"]),
        ("export", ["runs/tiny", "--int8", "--calibration", "0"], ["calibration", 0, 1]),
        ("eval", ["runs/tiny", "--source", "helen"], ["helen", "reader:path", "ibug"]),
        ("eval", ["runs/tiny", "--source", "ibug:absent"], ["ibug:absent", "exist"]),
        ("eval", ["tiny.tflite", "--source", "ibug:test"],
         ["tiny.tflite", "research", "synthetic"]),
        ("eval", ["tiny.yaml", "--source", "ibug:test"], ["tiny.yaml", "recipe", "run"]),
        ("data", ["pack", "ibug:train", "train"], ["train", "packed source"]),
        ("data", ["stats", "packed:train"], ["train/manifest.json", "packed folder"]),
        ("data", ["stats", "train"], ["train", "reader:path", "packed"]),
        ("data", ["stats", "ibug:train", "--output", "a.jpg"], ["a.jpg", ".png"]),
        ("data", ["stats", "ibug:train", "--split", "train"], ["ibug:train", "packed", "splits"]),
        ("data", ["show", "ibug:train", "--output", "a.gif"], ["a.gif", ".jpg", ".jpeg", ".png"]),
        ("data", ["show", "packed:train"], ["train/manifest.json", "packed folder"]),
        ("data", ["synth", "s", "--count", "0"], ["count", 1, 1000000, 0]),
        ("data", ["synth", "s", "--rare", "beard=1"], ["'beard'", "mask"]),
        ("data", ["synth", "s", "--rare", "mask=1", "--rare", "hand=1", "mask=0.5"],
         ["--rare", "mask"]),
        ("data", ["synth", "s", "--count", "9" * 20], ["count", 1000000, "9" * 20]),
        ("data", ["synth", "tiny.yaml/s"], ["tiny.yaml"]),
        ("data", ["pack", "ibug:train", "tiny.yaml/p"], ["tiny.yaml"]),
        ("data", ["pack", "ibug:train", "q", "--margin", "inf"], ["margin", 1, 8, "inf"]),
        ("data", ["pack", "ibug:train", "q", "--crop-scale", "inf"], ["scale", "inf"]),
        ("eval", ["runs/tiny", "--source", "ibug:test", "--split", "train"],
         ["ibug:test", "packed", "splits"]),
        ("eval", ["research", "--source", "ibug:test", "--head", "ibug51"], ["head", "trained"]),
        ("export", ["runs/tiny", "--float32", "--calibration", "8"], ["--calibration", "float32"]),
        ("train", ["tiny.yaml", "--set", "name=z", "--set", "output_dir=tiny.yaml/x"],
         ["tiny.yaml"]),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    folder: Path, command: str, arguments: list[str], facts: list[object],
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(folder)
    module = importlib.import_module(f"efld_tf.cli.{command}")
    assert common.run(module.main, arguments) == 2
    assert_error_line(capsys.readouterr().err, *facts)
