"""What commands mean by a run or a model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from efld_tf import assets, runs
from tests.errors import refuses


@pytest.mark.parametrize("name", assets.SHIPPED)
def test_shipped_models_have_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exported, trained = runs.exported_model(name), runs.trained_model(name)
    assert exported.is_file() and exported.suffix == ".tflite" and runs.is_exported(name)
    assert trained.is_file() and trained.suffix == ".h5"
    assert {exported.is_relative_to(assets.SHIPPED[name].folder),
            trained.is_relative_to(assets.SHIPPED[name].folder)} == {True}
    # One's own files come first.
    own = tmp_path / name
    own.mkdir()
    (own / "mine.tflite").touch()
    assert runs.exported_model(name) == Path(name) / "mine.tflite"
    assert runs.is_exported(name)
    with refuses("trained", ".h5", path=name):
        runs.trained_model(name)
    (own / "best.h5").touch()
    assert runs.trained_model(name) == Path(name) / "best.h5" and not runs.is_exported(name)


def test_misspelt_names_of_shipped_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for find in (runs.exported_model, runs.trained_model):
        with refuses("research", "synthetic", "mean research", path="resarch"):
            find("resarch")
        with refuses("research", "synthetic", path="runs/x"):
            find("runs/x")


def test_a_trained_model_is_to_be_exported_first(tmp_path: Path) -> None:
    (tmp_path / "best.h5").touch()
    for path in (tmp_path, tmp_path / "best.h5"):
        with refuses("trained", "efld-export", path=path):
            runs.exported_model(path)
    (tmp_path / "a.tflite").touch()
    assert runs.exported_model(tmp_path) == tmp_path / "a.tflite"


def test_an_export_is_no_trained_model(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").touch()
    for path in (tmp_path, tmp_path / "a.tflite"):
        with refuses("exported", ".h5", path=path):
            runs.trained_model(path)


def test_nothing_here_runs_a_core_ml_program(tmp_path: Path) -> None:
    (tmp_path / "a.mlpackage").mkdir()
    with refuses("Core ML", path=tmp_path):
        runs.exported_model(tmp_path)


def test_rounds_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("round_10", "round_2", "round_x", "round_²"):
        (tmp_path / name).mkdir()
        (tmp_path / name / runs.VALIDATION_LOG).write_text('{"step": 5, "nme_percent": {}}\n')
    run = runs.Run(tmp_path, "ibug68", 5, 1.0)
    assert [entry["round"] for entry in run.history] == ["round_2", "round_10"]


@pytest.mark.parametrize("entry", [
    '{"step": 5}', '{"step": 5, "nme_percent": 3}', '{"step": 5, "nme_percent": {"ibug51": "x"}}',
    '{"step": 5, "nme_percent": {}, "training_loss": []}', '{"step": -1, "nme_percent": {}}',
    '{"step": 5, "nme_percent": {}, "normaliser": 3}',
    '{"step": 1e300, "nme_percent": {}}', "[]",
])
def test_validations_are_numbers(tmp_path: Path, entry: str) -> None:
    path = tmp_path / runs.VALIDATION_LOG
    path.write_text('{"step": 4, "nme_percent": {"ibug51": 3}}\n' + entry)
    with refuses("damaged", path=path, line=2):
        runs.history(tmp_path)


def test_the_run_of_a_model_is_around_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, line = tmp_path / "run", '{"step": 5, "nme_percent": {}}\n'
    (run / "bundle" / "deeper").mkdir(parents=True)
    models = [run / "best.h5", run / "a.tflite", run / "bundle" / "a.tflite"]
    assert [runs.run_of(model) for model in models] == [None] * 3
    (run / runs.VALIDATION_LOG).write_text(line)
    assert [runs.run_of(model) for model in models] == [run] * 3
    assert runs.run_of(run / "bundle" / "best.h5") is None  # a copy may be of any run
    assert runs.run_of(run / "bundle" / "deeper" / "a.tflite") is None
    monkeypatch.chdir(run / "bundle")
    assert runs.run_of(Path("a.tflite")) == run


def test_a_folder_of_several_models_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.tflite").touch()
    assert runs.exported_model(tmp_path) == tmp_path / "a.tflite"
    (tmp_path / "b.tflite").touch()
    with refuses(".tflite", 2, path=tmp_path):
        runs.exported_model(tmp_path)


def test_a_history_that_is_no_file_is_told(tmp_path: Path) -> None:
    """And is not waited for."""
    os.mkfifo(tmp_path / runs.VALIDATION_LOG)
    with refuses("pipe", path=tmp_path / runs.VALIDATION_LOG):
        runs.validation_history(tmp_path)
