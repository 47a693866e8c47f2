"""Runs and models on disk: what is meant where one is named."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efld_tf import assets
from efld_tf.errors import DataError, EfldError

BEST_MODEL = "best.h5"
RUNS = Path("runs")
VALIDATION_LOG = "validation.jsonl"
ROUND = "round_*"


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """A training run; it stands for its folder wherever a path to a model is taken.

    Attributes:
      folder: with the recipe, checkpoints, best weights, validation history and log.
      head: whose validation NME decided which weights are best.
      step: of the best weights.
      nme_percent: their validation NME of that head.
    """

    folder: Path
    head: str
    step: int
    nme_percent: float

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The validations in order: step, training loss and NME of every head, in percent.

        Of a run with self-training, those of all its rounds, each with its `round`.
        """
        rounds = sorted(self.folder.glob(ROUND), key=lambda path: int(path.name.split("_")[1]))
        return validation_history(self.folder) or [
            {"round": path.name, **entry}
            for path in rounds for entry in validation_history(path)
        ]


def validation_history(folder: Path) -> list[dict[str, Any]]:
    """What a run's folder says of its validations, see `Run.history`; empty before the first."""
    path = folder / VALIDATION_LOG
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines()]


def path_of(value: object, name: str) -> Path:
    """A path, from what may be one.

    Raises:
      EfldError: it is neither a text nor a path; `name` says what was expected.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise EfldError(f"{name}: expected a path, got {value!r:.60}")
    return Path(value)


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
    path = path_of(path, "model")
    if (shipped := _shipped(path)) is not None:
        return shipped.float
    _check_there(path)
    model = path / BEST_MODEL if path.is_dir() else path
    if not model.is_file():
        raise DataError(path, "no trained model there; expected a run's folder or a .h5 file")
    return model


def exported_model(path: str | os.PathLike[str]) -> Path:
    """The `.tflite` that is meant: a bundle's, a shipped model's by its name, or the file itself.

    Raises:
      DataError: there is none, or a folder without one, or with several.
    """
    path = path_of(path, "model")
    if (shipped := _shipped(path)) is not None:
        return shipped.int8
    _check_there(path)
    if not path.is_dir():
        return path
    found = sorted(path.glob("*.tflite"))
    if len(found) != 1:
        raise DataError(path, f"expected one .tflite in the folder, found {len(found)}")
    return found[0]


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether an exported model is meant, where trained ones are possible too.

    Raises:
      EfldError: not a path.
    """
    path = path_of(path, "model")
    bundle = path.is_dir() and not (path / BEST_MODEL).exists() and any(path.glob("*.tflite"))
    return bundle or path.suffix == ".tflite" or _shipped(path) is not None


def _shipped(path: Path) -> assets.Shipped | None:
    """The shipped model of that name, unless a file or folder is called so."""
    return None if path.exists() else assets.SHIPPED.get(str(path))


def _check_there(path: Path) -> None:
    if not path.exists():
        known = ", ".join(assets.SHIPPED)
        raise DataError(path, f"no such file or folder, nor a shipped model ({known})")
