"""The tiny models as files."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmark import tiny_models


@pytest.fixture(scope="session")
def int8_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny_int8.tflite"
    path.write_bytes(tiny_models.tiny_int8())
    return path


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "tiny_float.tflite"
    path.write_bytes(tiny_models.tiny_float())
    return path
