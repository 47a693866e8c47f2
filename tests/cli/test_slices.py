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


def test_errors_by_a_size_of_the_box(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, "data", "synth", "test", "--count", 4, "--seed", 5, "--quiet")
    words = ["eval", assets.INT8_MODEL, "--source", "ibug:test", "--quiet", "--normaliser"]
    run(tmp_path, *words, "box_size", "--slices", "--output", "r.json", "--report", "page")
    found = results.read(tmp_path / "r.json")
    for section in ("evaluation", "slices"):
        assert found[section]["normaliser"] == "box_size"
    assert found["evaluation"]["nme_box_size_percent"] \
        < found["evaluation"]["nme_interocular_percent"]
    page = (tmp_path / "page" / "index.html").read_text()
    assert found["evaluation"]["normaliser_is"].split(" (")[0] in page and "box_size" in page
    for arguments, facts in (
        (["--source", f"ibug:{tmp_path / 'test'}", "--normaliser", "eyes"],
         ["eyes", "interocular", "box_diagonal"]),
        (["--prior", "--normaliser", "box_size"], ["--normaliser", "--source"]),
        (["--source", "ibug:test", "--normaliser", "box_size", "--detector", "short"],
         ["--normaliser", "--detector"]),
    ):
        words = [str(assets.INT8_MODEL), *arguments, "--quiet"]
        assert common.run(eval.main, words) == common.EXIT_BAD_INPUT
        assert_error_line(capsys.readouterr().err.splitlines()[-1] + "\n", *facts)
