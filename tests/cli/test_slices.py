"""`efld-eval --slices` on rendered faces."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from efld_tf import assets
from efld_tf.cli import common, eval
from efld_tf.scoring import results
from tests.cli.test_path import run
from tests.errors import assert_error_line


def test_an_exported_model_on_photos(tmp_path: Path) -> None:
    run(tmp_path, "data", "synth", "test", "--count", 6, "--seed", 5, "--quiet")
    words = ["eval", assets.INT8_MODEL, "--source", "ibug:test", "--output", "r.json", "--quiet"]
    out, _ = run(tmp_path, *words, "--slices", "--plots", "plots")
    found = results.read(tmp_path / "r.json")
    attributes = found["slices"]["attributes"]
    assert found["slices"]["faces"] == 6
    assert {"yaw", "mouth_opening", "brightness", "skin_tone"} <= attributes.keys()
    for name, about in attributes.items():
        assert sum(group["faces"] for group in about["groups"]) + about["not_told"] == 6
        total = sum(group["faces"] * group["nme_interocular_percent"] for group in about["groups"])
        if not about["not_told"]:
            whole = found["evaluation"]["nme_interocular_percent"]
            assert total / 6 == pytest.approx(whole, abs=1e-3)
        assert f"\n{name}, {about['unit']}\n" in out
    assert cv2.imread(str(tmp_path / "plots" / "slices.png")).std() > 5


def test_they_need_a_source(capsys: pytest.CaptureFixture[str]) -> None:
    words = [str(assets.INT8_MODEL), "--prior", "--slices"]
    assert common.run(eval.main, words) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, "--slices", "--source")
