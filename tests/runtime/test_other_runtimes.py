"""Golden files by runtimes of other environments; old ones are tried in tests/exporting."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets, files
from efld_tf.cli import common, verify
from efld_tf.runtime import golden, other_runtimes
from tests.errors import assert_error_line, assert_told, refuses
from tests.tiny_models import edited


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The shipped bundle's model, to be changed."""
    folder = shutil.copytree(assets.INT8_MODEL.parent, tmp_path / "bundle")
    return folder / assets.INT8_MODEL.name


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "efld_tf" / "runtimes"


def test_this_runtime_gives_the_golden_output() -> None:
    (outcomes,) = other_runtimes.check(Path(sys.executable), [assets.INT8_MODEL])
    assert [outcome.kernels for outcome in outcomes] == ["default", "built-in"]
    assert all(outcome.passed and outcome.largest_difference < 0.004 for outcome in outcomes)
    assert all(outcome.confidence_difference < 0.05 for outcome in outcomes)


def test_another_result_does_not_pass(copy: Path) -> None:
    output = np.frombuffer(copy.with_name(golden.OUTPUT_FILE).read_bytes(), "<f4") + 0.01
    copy.with_name(golden.OUTPUT_FILE).write_bytes(output.astype("<f4").tobytes())
    stated = json.loads(copy.with_name(golden.FILE).read_text())
    stated["output"]["points"] = output.reshape(-1, 2).tolist()
    copy.with_name(golden.FILE).write_text(json.dumps(stated))
    (outcomes,) = other_runtimes.check(Path(sys.executable), [copy])
    assert not any(outcome.passed or outcome.refused or outcome.crashed for outcome in outcomes)
    assert all(outcome.largest_difference == pytest.approx(0.01, abs=0.003) for outcome in outcomes)


def test_a_model_of_a_newer_runtime_is_refused(copy: Path) -> None:
    def grow_newer(tree) -> None:
        tree.operatorCodes[0].version = 99

    copy.write_bytes(edited(copy.read_bytes(), grow_newer))
    stated = json.loads(copy.with_name(golden.FILE).read_text())
    stated["model"]["sha256"] = files.sha256(copy)
    copy.with_name(golden.FILE).write_text(json.dumps(stated))
    (outcomes,) = other_runtimes.check(Path(sys.executable), [copy])
    assert all("version '99'" in outcome.refused and not outcome.passed for outcome in outcomes)


def test_a_runtime_that_dies_fails_the_model_alone(tmp_path: Path) -> None:
    """An interpreter that kills its process, as native code may."""
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(
        "import os\nclass Interpreter:\n    def __init__(self, **options):\n        os.abort()\n")
    python = tmp_path / "python"
    program = (f"import runpy, sys; sys.path.insert(0, '{tmp_path}'); "
               f"runpy.run_path('{other_runtimes.WORKER}', run_name='__main__')")
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{program}"\n')
    python.chmod(0o755)
    models = [shipped.int8 for shipped in assets.SHIPPED.values()]
    for outcomes in other_runtimes.check(python, models):
        # Without a switch for its kernels there is one way to run it.
        assert [(outcome.kernels, outcome.crashed, outcome.passed) for outcome in outcomes] == [
            ("default", True, False)]


def test_an_environment_without_a_runtime_is_told() -> None:
    with refuses("/bin/false", "runtime"):
        other_runtimes.check(Path("/bin/false"), [assets.INT8_MODEL])


@pytest.mark.parametrize("text", [
    "tflite-runtime", "tflite-runtime==", "tflite-runtime>=2.14.0", "numpy==1.26.4", "",
    "--index-url==1.0", "tensorflow==2.15.1 evil==1.0", "../../tensorflow==2.15.1",
    "tensorflow==../2.0", "tensorflow==2.15.1\n",
])
def test_what_is_no_runtime_is_refused(text: str, cache: Path) -> None:
    with refuses(f"runtime {text!r}", "tflite-runtime", "ai-edge-litert", other_runtimes.EXAMPLE):
        other_runtimes.environment(text)
    assert not cache.exists()


@pytest.mark.parametrize("python", ["/bin/false", "/absent/python"])
def test_a_python_that_is_none_is_told(python: str, cache: Path) -> None:
    with refuses(f"runtime {other_runtimes.EXAMPLE}", python):
        other_runtimes.environment(other_runtimes.EXAMPLE, python)
    with refuses(python, "runtime"):
        other_runtimes.check(Path(python), [assets.INT8_MODEL])


def test_what_is_on_the_python_path_is_no_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "ai_edge_litert"
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('another runtime')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (outcomes,) = other_runtimes.check(Path(sys.executable), [assets.INT8_MODEL])
    assert all(outcome.passed for outcome in outcomes)


def test_a_runtime_that_cannot_be_had_leaves_nothing(cache: Path) -> None:
    with refuses("runtime tflite-runtime==99.0", "installed"):
        other_runtimes.environment("tflite-runtime==99.0")
    assert not list(cache.iterdir())


def test_the_command_says_what_is_no_runtime(capsys: pytest.CaptureFixture[str]) -> None:
    assert common.run(verify.main, ["research", "--runtime", "tflite==2"]) == 2
    assert_error_line(capsys.readouterr().err, "'tflite==2'", other_runtimes.EXAMPLE)


def test_the_command_says_for_which_runtimes_a_model_is(capsys) -> None:
    assert verify.main(["research"]) is None
    assert_told(capsys.readouterr().out, "TensorFlow Lite 2.4.0")
