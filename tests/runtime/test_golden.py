"""Golden files of a stranger are read within bounds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from efld_tf.runtime import golden, trial
from tests.errors import refuses
from tests.fuzz import seeds, targets


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A model with golden files, which are whole."""
    seeds.write_bundle(tmp_path)
    content = (targets.CORPUS / "golden" / "seed").read_bytes()
    (tmp_path / golden.FILE).write_bytes(content)
    model = tmp_path / seeds.MODEL
    assert golden.read(model)[2].shape == (1, 5, 2)
    return model


@pytest.mark.parametrize("name", [golden.INPUT_FILE, golden.OUTPUT_FILE])
@pytest.mark.parametrize("change", [-1, 1])
def test_an_array_of_another_length_is_refused(bundle: Path, name: str, change: int) -> None:
    """Also of a part of a number."""
    path = bundle.with_name(name)
    content = path.read_bytes()
    path.write_bytes((content + b"\0")[: len(content) + change])
    with refuses("uint8" if name == golden.INPUT_FILE else "float32", path=path):
        golden.read(bundle)


def test_a_longer_file_than_models_have_is_refused(bundle: Path) -> None:
    path = bundle.with_name(golden.FILE)
    path.write_text(json.dumps(json.loads(path.read_text())) + " " * trial.MOST_GOLDEN_BYTES)
    with refuses(trial.MOST_GOLDEN_BYTES, path=path):
        golden.read(bundle)
