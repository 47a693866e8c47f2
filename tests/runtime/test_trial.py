"""A model from a stranger cannot crash a command: it is tried in a process of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flatbuffers
import pytest
from ai_edge_litert import schema_py_generated as schema

from efld_tf import assets
from efld_tf.runtime import golden, interpreter, trial
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import assert_error_line, refuses


def changed(change: Callable[[Any], object]) -> bytes:
    """The shipped model after a change of its tree, with its metadata."""
    content = assets.INT8_MODEL.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    change(model)
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    archive = content[content.index(b"PK\x03\x04"):]
    return bytes(builder.Output()) + archive


def scaled(scale: float) -> bytes:
    """The shipped model with integers of absurd steps."""
    def change(model: Any) -> None:
        for tensor in model.subgraphs[0].tensors:
            grid = tensor.quantization
            if grid is not None and grid.scale is not None:
                grid.scale = [scale] * len(grid.scale)

    return changed(change)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for what was tried."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "efld_tf" / "tried"


# At these steps LiteRT 2.3 reads wild addresses, and ends the process in a check of its own.
@pytest.mark.parametrize(("scale", "signal"), [(0.0, "SIGSEGV"), (1e30, "SIGABRT")])
def test_a_model_that_crashes_the_runtime_is_refused(
    tmp_path: Path, cache: Path, scale: float, signal: str
) -> None:
    path = tmp_path / "evil.tflite"
    path.write_bytes(scaled(scale))
    with refuses("crashes", signal, path=path):
        LandmarkPredictor(path)
    with refuses("crashes", signal, path=path):
        golden.run(path, golden.read(assets.INT8_MODEL)[1])
    assert not cache.exists()
    code = "from efld_tf.cli import predict; predict.entry()"
    done = subprocess.run([sys.executable, "-c", code, "--model", str(path), str(path)],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert_error_line(done.stderr, path, signal)


def test_a_model_without_outputs_is_refused(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "mute.tflite"
    path.write_bytes(changed(lambda model: setattr(model.subgraphs[0], "outputs", [])))
    with refuses("output", path=path):
        interpreter.load(path)


def test_a_model_is_tried_once(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.tflite"
    shutil.copy(assets.INT8_MODEL, path)
    interpreter.load(path)
    assert len([*cache.iterdir()]) == 1
    monkeypatch.setattr(sys, "executable", "/absent/python")
    interpreter.load(path)  # which would need a process otherwise
    interpreter.load(assets.INT8_MODEL)  # it came with the package
    path.write_bytes(path.read_bytes() + b"\0")
    with refuses("/absent/python"):
        interpreter.load(path)


def test_a_bundle_whose_model_was_exchanged_is_refused(tmp_path: Path, cache: Path) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(assets.INT8_MODEL.parent, bundle)
    LandmarkPredictor(bundle)
    path = bundle / assets.INT8_MODEL.name
    path.write_bytes(assets.SHIPPED["synthetic"].int8.read_bytes())
    with refuses("SHA-256", trial.GOLDEN_FILE, path=path):
        LandmarkPredictor(bundle)
    golden = (bundle / trial.GOLDEN_FILE).read_text()
    for damaged in ("", golden[:50], "[]", "{}", golden.replace("sha256", "sha")):
        (bundle / trial.GOLDEN_FILE).write_text(damaged)
        with refuses(path.name, path=bundle / trial.GOLDEN_FILE):
            LandmarkPredictor(bundle)
    (bundle / trial.GOLDEN_FILE).unlink()
    LandmarkPredictor(bundle)
