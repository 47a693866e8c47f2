"""Finding runs and models: what a command means by RUN."""

from __future__ import annotations

import os
from pathlib import Path

from efld_tf import assets
from efld_tf.errors import DataError, EfldError

BEST_MODEL = "best.h5"
RUNS = Path("runs")


def newest_run(folder: Path = RUNS) -> Path:
    """The newest folder below `runs` that has a best model.

    Raises:
      EfldError: there is none.
    """
    models = sorted(folder.glob(f"*/{BEST_MODEL}"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise EfldError(f"no trained run below {folder}/: train one with efld-train, or name a RUN")
    return models[-1].parent


def trained_model(path: str | os.PathLike[str]) -> Path:
    """The float model that is meant: a run's best, a shipped one by its name, or the file itself.

    Raises:
      EfldError: there is none.
    """
    path = Path(path)
    if (shipped := _shipped(path)) is not None:
        return shipped.float
    if path.is_dir():
        path = path / BEST_MODEL
    if not path.is_file():
        raise EfldError(f"{path}: no trained model there; expected a run's folder or a .h5 file")
    return path


def exported_model(path: str | os.PathLike[str]) -> Path:
    """The `.tflite` that is meant: a bundle's, a shipped model's by its name, or the file itself.

    Raises:
      DataError: a folder without one, or with several.
    """
    path = Path(path)
    if (shipped := _shipped(path)) is not None:
        return shipped.int8
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.tflite"))
    if len(found) != 1:
        raise DataError(path, f"expected one .tflite in the folder, found {len(found)}")
    return found[0]


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether an exported model is meant, where trained ones are possible too."""
    path = Path(path)
    bundle = path.is_dir() and not (path / BEST_MODEL).exists() and any(path.glob("*.tflite"))
    return bundle or path.suffix == ".tflite" or _shipped(path) is not None


def _shipped(path: Path) -> assets.Shipped | None:
    """The shipped model of that name, unless a file or folder is called so."""
    return None if path.exists() else assets.SHIPPED.get(str(path))
