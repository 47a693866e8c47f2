"""`efld-eval --robustness` on rendered faces."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pytest

from efld_tf import assets
from efld_tf.evaluation.corruptions import CORRUPTIONS
from efld_tf.scoring import results
from tests.cli.test_path import run
from tests.errors import assert_told
from tests.test_imports import loaded_by


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    run(folder, "data", "synth", "test", "--count", 3, "--seed", 5, "--quiet")
    return folder


def test_an_exported_model_on_photos(folder: Path) -> None:
    words = ["eval", assets.INT8_MODEL, "--source", "ibug:test", "--output", "r.json"]
    run(folder, *words)
    plain = results.read(folder / "r.json")
    out, err = run(folder, *words, "--robustness", "--plots", "plots")
    found = results.read(folder / "r.json")
    assert {key: found[key] for key in plain} == plain
    robustness = found["robustness"]
    assert robustness["faces"] == 3 and robustness["source"] == "ibug:test"
    assert list(robustness["corruptions"]) == [corruption.name for corruption in CORRUPTIONS]
    for curve in robustness["corruptions"].values():
        nme = curve["nme_interocular_percent"]
        assert nme[0] == plain["evaluation"]["nme_interocular_percent"]
        assert len(nme) == len(curve["levels"]) == len(curve["failure_rate_10_percent"])
        assert max(nme) > nme[0] and not curve["left_out"]
    worst = robustness["corruptions"]["box_shift"]["nme_interocular_percent"][-1]
    assert f"30: {worst:.2f}" in out and "left out" not in out
    assert err == ""  # a run so short shows no progress where there is no terminal
    for name in ("robustness_curves", "robustness_levels", "ced"):
        assert cv2.imread(str(folder / "plots" / f"{name}.png")).std() > 5
    before = (folder / "r.json").read_bytes()
    run(folder, *words, "--robustness", "--quiet")
    assert (folder / "r.json").read_bytes() == before  # the same numbers every time


def test_it_needs_no_tensorflow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    words = [str(assets.INT8_MODEL), "--source", "ibug:test", "--robustness", "--quiet"]
    loaded = loaded_by(f"from efld_tf.cli import eval\neval.main({words!r})")
    assert "ai_edge_litert" in loaded and not loaded & {"tensorflow", "mediapipe", "matplotlib"}


@pytest.mark.long
def test_a_trained_model_on_packed_crops(folder: Path) -> None:
    run(folder, "data", "pack", "ibug:test", "packed", "--crop-scale", 1.25, "--zoom", 1.3,
        "--margin", 1.35, "--quiet")
    out, err = run(folder, "eval", assets.FLOAT_MODEL, "--head", "ibug51", "--source",
                   "packed:packed", "--split", "train", "--robustness", "--output", "p.json",
                   "--quiet")
    assert_told(out, "note", "left out", 20, 30)
    assert not err
    curves = json.loads((folder / "p.json").read_text())["robustness"]["corruptions"]
    assert curves["box_shift"]["left_out"] == [20, 30]
    assert curves["box_shift"]["levels"] == [0, 2.5, 5, 10, 15]
    assert not curves["occlusion"]["left_out"]
