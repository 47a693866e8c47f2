"""`efld-bench`: what it prints, what it writes, and its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from efld_tf.cli import bench, common
from efld_tf.scoring import results
from tests import tiny_models
from tests.errors import assert_error_line, assert_told

QUICK = ["--runs", "3", "--warmup", "1"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "tiny.tflite"
    path.write_bytes(tiny_models.tiny_int8())
    return path


def _run(*arguments: object) -> int:
    return common.run(bench.main, [str(argument) for argument in arguments])


def test_it_prints_a_table(model, capsys):
    assert _run(model, "--threads", 1, 2, *QUICK) == 0
    lines = capsys.readouterr().out.splitlines()
    assert f"{model.stat().st_size:,} bytes, {tiny_models.TINY_MACS:,} MACs" in lines[0]
    assert [line.split()[:2] for line in lines[3:]] == [
        ["1", "on"], ["1", "off"], ["2", "on"], ["2", "off"],
    ]  # fmt: skip


def test_it_lists_operators(model, capsys):
    assert _run(model, *QUICK, "--operators") == 0
    assert_told(capsys.readouterr().out, "CONV_2D", "6,912", "int8[1,8,8,4]")


def test_it_merges_into_the_results(model, tmp_path, capsys):
    output = tmp_path / "results.json"
    output.write_text('{"name": "mine", "power_w": 2, "accuracy_percent": 30}')
    assert _run(model, *QUICK, "--output", output) == 0
    written = results.read(output)
    section = written["benchmark"]
    assert written["name"] == "mine" and written["power_w"] == 2
    assert written["time_ms"] == section["latency_ms_p50"] > 0
    assert written["complexity_gflops"] == 2 * section["macs"] / 1e9
    assert written["size_mb"] == section["size_bytes"] / 1e6 == model.stat().st_size / 1e6
    assert written["model"] == results.describe_model(model)
    assert (section["threads"], section["runs"], section["warmup_runs"]) == (1, 3, 1)


def test_the_section_says_when_the_time_is_not_that_of_one_thread(model, tmp_path):
    output = tmp_path / "results.json"
    assert _run(model, *QUICK, "--threads", 2, "--output", output) == 0
    assert results.read(output)["benchmark"]["threads"] == 2


def test_json_is_the_section(model, capsys):
    assert _run(model, *QUICK, "--json", "--operators") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["macs"] == tiny_models.TINY_MACS
    assert sum(operator["macs"] for operator in printed["operators"]) == printed["macs"]


def test_results_of_another_model_are_refused(model, tmp_path, capsys):
    output = tmp_path / "results.json"
    output.write_text(json.dumps({"model": {"file": "other.tflite", "sha256": "f" * 64}}))
    before = output.read_bytes()
    assert _run(model, *QUICK, "--output", output) == 2
    assert_error_line(capsys.readouterr().err, output, "other.tflite", "tiny.tflite")
    assert output.read_bytes() == before


def test_bad_models_exit_2_with_one_line(model, tmp_path, capsys):
    bad = tmp_path / "bad.tflite"
    for content in (b"", b"text", model.read_bytes()[:3000]):
        bad.write_bytes(content)
        assert _run(bad, *QUICK) == 2
        assert_error_line(capsys.readouterr().err, bad)
    assert _run(tmp_path / "none.tflite") == 2
    assert_error_line(capsys.readouterr().err, tmp_path / "none.tflite", "research", "synthetic")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ([], ["model"]),
        (["m", "--runs", "0"], ["--runs", "'0'"]),
        (["m", "--threads", "x"], ["--threads", "'x'"]),
        (["m", "--warmup", "-1"], ["--warmup", "'-1'"]),
        (["m", "--threads", "257"], ["--threads", "'257'"]),
        (["m", "--runs", "9" * 20], ["--runs", "'" + "9" * 20 + "'"]),
        (["m", "--power", "4"], ["--power", "'4'"]),
    ],
)
def test_wrong_usage_exits_2(arguments, facts, capsys):
    with pytest.raises(SystemExit) as caught:
        bench.main(arguments)
    assert caught.value.code == 2
    assert_error_line(capsys.readouterr().err, *facts)


def test_the_command_loads_neither_tensorflow_nor_mediapipe(model, tmp_path):
    code = (
        "import sys; from efld_tf.cli import bench, common; "
        "code = common.run(bench.main, sys.argv[1:]); "
        "assert not {'tensorflow', 'mediapipe', 'jax', 'cv2'} & set(sys.modules); sys.exit(code)"
    )
    for path, expected in ((model, 0), (tmp_path / "none.tflite", 2)):
        process = subprocess.run(
            [sys.executable, "-c", code, str(path), *QUICK],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert process.returncode == expected, process.stderr
        assert "Traceback" not in process.stderr
