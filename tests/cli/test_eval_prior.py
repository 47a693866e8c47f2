"""`efld-eval --prior`, and errors by landmark of `--plots`, by the command."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.cli import common
from efld_tf.cli import data as data_command
from efld_tf.cli import eval as eval_command
from efld_tf.scoring import results
from tests.cli.test_path import run
from tests.errors import assert_error_line, assert_told
from tests.test_imports import loaded_by


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rendered faces, and two grey photos without a face."""
    folder = tmp_path_factory.mktemp("work")
    run(folder, "data", "synth", "test", "--count", 4, "--seed", 5, "--quiet")
    (folder / "scenes").mkdir()
    for name, value in (("a.png", 60), ("b.png", 160)):
        cv2.imwrite(str(folder / "scenes" / name), np.full((120, 160, 3), value, np.uint8))
    boxes = {"a.png": [[90, 20, 40, 50]], "b.png": []}
    (folder / "scenes" / "boxes.json").write_text(json.dumps(boxes))
    return folder


def test_without_a_source(folder: Path) -> None:
    out, err = run(folder, "eval", assets.INT8_MODEL, "--prior", "--output", "r.json",
                   "--boxes", "scenes/boxes.json", "--box-format", "xywh", "--plots", "plots")
    found = results.read(folder / "r.json")
    assert set(found) == {"model", "implicit_prior"}
    section = found["implicit_prior"]
    assert section["scenes"] == "scenes/boxes.json" and section["schema"] == "ibug51"
    assert list(section["kinds"]) == ["face", "black", "noise", "clouds", "patch"]
    assert "48 rendered faces" in section["reference"] and "48 rendered faces" in out
    for kind, row in section["kinds"].items():
        line = next(line for line in out.splitlines() if line.startswith(f"{kind} "))
        assert f"{row['residual_interocular_percent']:.2f}" in line
        assert f"{row['confidence_percent']:.2f}" in line
    assert err == ""  # a run so short shows no progress where there is no terminal
    assert cv2.imread(str(folder / "plots" / "prior.png")).std() > 10


def test_beside_a_source(folder: Path) -> None:
    out, err = run(folder, "eval", assets.INT8_MODEL, "--source", "ibug:test", "--prior",
                   "--output", "s.json", "--plots", "drawn", "--quiet")
    found = results.read(folder / "s.json")
    assert found["implicit_prior"]["reference"] == "truth of ibug:test"
    assert found["implicit_prior"]["kinds"]["face"]["inputs"] == 4 and not err
    evaluation = found["evaluation"]
    assert_told(out, "point_variance_percent2", f"{evaluation['point_variance_percent2']:.2f}")
    assert_told(out, "region=nose", f"{evaluation['nme_by_region_percent']['nose']:.2f}%")
    assert "drawn/points.png" in out
    for name in ("points", "prior"):
        assert cv2.imread(str(folder / "drawn" / f"{name}.png")).std() > 10


@pytest.mark.long
def test_a_trained_model_on_packed_crops(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    pack = ["pack", "ibug:test", "packed", "--crop-scale", "1.25", "--zoom", "1.3", "--quiet"]
    assert common.run(data_command.main, pack) == 0
    for words, expected in (
        (("--head", "mtfl5"), ("intereye",)),
        (("--head", "ibug68", "--source", "packed:packed", "--split", "train"),
         ("truth of packed:packed", "region=right_cheek")),
    ):
        arguments = [str(assets.FLOAT_MODEL), *words, "--prior", "--quiet"]
        assert common.run(eval_command.main, arguments) == 0
        out = capsys.readouterr().out
        assert all(text in out for text in expected)


def test_it_needs_no_tensorflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = [str(assets.INT8_MODEL), "--prior", "--quiet"]
    loaded = loaded_by(f"from efld_tf.cli import eval\neval.main({words!r})")
    assert "ai_edge_litert" in loaded and not loaded & {"tensorflow", "mediapipe", "matplotlib"}


@pytest.mark.parametrize(("words", "facts"), [
    (("--prior", "--scenes"), ["--scenes", "--min-score", "--detector"]),
    (("--source", "ibug:test", "--boxes", "scenes/boxes.json"),
     ["--boxes", "--detector", "--prior"]),
    (("--prior", "--detector", "both"), ["--source", "--boxes"]),
    (("--prior", "--robustness"), ["--robustness", "--source"]),
    (("--prior", "--split", "train"), ["--split", "--source"]),
    (("--prior", "--threshold", "8"), ["--threshold", "--source"]),
    (("--prior", "--boxes", "none.json"), ["none.json", "No such file"]),
    (("--prior", "--boxes", "scenes"), ["--boxes", "JSON", "folder"]),
    (("--prior", "--boxes", "scenes/full.json"), ["a.png", "32 px"]),
    (("--prior", "--plots", "scenes/a.png"), ["--plots", "scenes/a.png", "folder"]),
    (("--prior", "--boxes", "scenes/boxes.json"),
     ["scenes/boxes.json", "no area", "xyxy"]),
    (("--prior", "--boxes", "scenes/missing.json"), ["c.png", "missing.json"]),
    (("--prior", "--boxes", "scenes/empty.json"), ["scenes/empty.json", "no scene"]),
    (("--prior", "--source", "packed:nothing"), ["nothing/manifest.json"]),
    (("--prior", "--source", "wflw:test"), ["test", "LIST.txt", "folder"]),
])
def test_mistakes_are_one_line(
    words: tuple[str, ...], facts: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    (folder / "scenes" / "missing.json").write_text('{"c.png": []}')
    (folder / "scenes" / "empty.json").write_text("{}")
    (folder / "scenes" / "full.json").write_text('{"a.png": [[0, 20, 160, 120]]}')
    code = common.run(eval_command.main, [str(assets.INT8_MODEL), *words, "--quiet"])
    assert code == 2
    assert_error_line(capsys.readouterr().err, *facts)
