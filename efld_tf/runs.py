"""Finds the runs and models on disk that paths and names mean."""

from __future__ import annotations

import difflib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efld_tf import assets, files
from efld_tf.errors import DataError, EfldError

BEST_MODEL = "best.h5"
RUNS = Path("runs")
VALIDATION_LOG = "validation.jsonl"
MOST_BYTES = 1 << 28  # of that file
ROUND = "round_*"
# The formats of exported models that run here.
EXPORTED = (".tflite", ".onnx")


@dataclass(frozen=True)
class Run(os.PathLike[str]):
    """A training run; it can be given wherever a path to a model is expected.

    Attributes:
      folder: holds the recipe, checkpoints, best weights, validation history and log.
      head: the head whose validation NME decided which weights are best.
      step: training step of the best weights; of the last ones if nothing was held out.
      nme_percent: their validation NME for that head; None if nothing was held out.
      normaliser: the name of the distance that it is in; "" if there is none.
    """

    folder: Path
    head: str
    step: int
    nme_percent: float | None
    normaliser: str = ""

    def __fspath__(self) -> str:
        return str(self.folder)

    @property
    def history(self) -> list[dict[str, Any]]:
        """The validations in order; see `history`."""
        return history(self.folder)


def history(folder: Path) -> list[dict[str, Any]]:
    """The validations of a run in order: step, training loss and NME of every head, in percent.

    `normaliser` has the name of the distance that each NME is in, but for runs of older versions;
    heads that learn depths have their error by that distance in `depth_percent`; where nothing was
    held out, there is no NME. A run with self-training has the validations of all its rounds, each
    with its `round`; the list is empty before the first one, and for a folder that is no run.

    Raises:
      DataError: a line is damaged.
    """
    rounds = {int(match[1]): path for path in folder.glob(ROUND)
              if (match := re.fullmatch("round_([0-9]{1,9})", path.name))}
    return validation_history(folder) or [
        {"round": path.name, **entry}
        for _, path in sorted(rounds.items()) for entry in validation_history(path)
    ]


def validation_history(folder: Path) -> list[dict[str, Any]]:
    """The validations in a run's folder, as in `history`; empty before the first one.

    Raises:
      DataError: a line is damaged.
    """
    path = folder / VALIDATION_LOG
    if not path.exists():
        return []
    history = []
    for number, line in enumerate(files.read_bytes(path, MOST_BYTES).splitlines(), start=1):
        try:
            entry = json.loads(line)
            step, loss = int(entry["step"]), entry.get("training_loss")
            if not 0 <= step < 1 << 63:
                raise ValueError("no number of a step")
            history.append({
                **entry,
                "step": step,
                "training_loss": None if loss is None else float(loss),
                "nme_percent": {head: float(nme) for head, nme in entry["nme_percent"].items()},
                "normaliser": {
                    head: str(name) for head, name in entry.get("normaliser", {}).items()},
            })
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError,
                RecursionError) as error:
            raise DataError(path, "a damaged validation: delete this line and those below",
                            number) from error
    return history


def run_of(model: Path) -> Path | None:
    """The run that a model's file comes from, by its place; None if it is in none.

    That is the folder of a trained model, or the one around the bundle of an exported one.
    """
    places = model.resolve().parents[:1 if model.suffix == ".h5" else 2]
    return next((place for place in places if history(place)), None)


def path_of(value: object, name: str) -> Path:
    """Checks that a value is a path, and returns it.

    Raises:
      EfldError: it is neither a text nor a path; the message begins with `name`.
    """
    if not isinstance(value, str | os.PathLike) or not str(value):
        raise EfldError(f"{name}: expected a path, got {value!r:.60}")
    return Path(value)


def newest_run(folder: Path = RUNS) -> Path:
    """The newest folder below `runs` that has a best model.

    Raises:
      EfldError: there is no such folder.
    """
    models = sorted(folder.glob(f"*/{BEST_MODEL}"), key=lambda path: path.stat().st_mtime)
    if not models:
        raise EfldError(f"no trained run below {folder}/: train one with efld-train, or name a RUN")
    return models[-1].parent


def trained_model(path: str | os.PathLike[str]) -> Path:
    """The float model that a path means: a run's best, a shipped one by name, or the file itself.

    Raises:
      EfldError: there is no such model.
    """
    path = path_of(path, "model")
    if (shipped := _shipped(path)) is not None:
        return shipped.float
    _check_exists(path)
    model = path / BEST_MODEL if path.is_dir() else path
    if path.suffix in (".yaml", ".yml"):
        raise DataError(path, "a recipe is no model; train it, and give the folder of its run")
    if path.exists() and not path.is_dir() and not path.is_file():
        raise DataError(path, "is no regular file: expected a model's file or folder")
    if model.suffix in EXPORTED or (not model.exists() and _exported_in(path)):
        raise DataError(path, "an exported model; expected the trained one that it came from, a "
                              "run's folder or a .h5 file")
    if not model.is_file():
        raise DataError(path, "no trained model there; expected a run's folder or a .h5 file, or "
                              "the file of an exported model")
    return model


def exported_model(path: str | os.PathLike[str]) -> Path:
    """The exported model that a path means: a bundle's, a shipped one by name, or the file itself.

    Raises:
      DataError: there is no such file, or the folder has none or several.
    """
    path = path_of(path, "model")
    if (shipped := _shipped(path)) is not None:
        return shipped.int8
    _check_exists(path)
    models = _exported_in(path)
    if path.suffix == ".h5" or (not models and (path / BEST_MODEL).exists()):
        raise DataError(path, "a trained model, expected an exported one: first run efld-export, "
                              "and give the folder that it writes")
    if not path.is_dir():
        return path
    if not models and any(path.glob("*.mlpackage")):
        raise DataError(path, "a Core ML program, which runs on a Mac or an iPhone alone")
    if len(models) != 1:
        raise DataError(path, f"expected one {' or '.join(EXPORTED)} in the folder, found "
                              f"{len(models)}")
    return models[0]


def tflite(path: str | os.PathLike[str], what: str) -> Path:
    """As `exported_model`, for what takes no other format.

    Args:
      what: an option or the like, for the message.

    Raises:
      DataError: as there, or the model has another format.
    """
    model = exported_model(path)
    if model.suffix in EXPORTED and model.suffix != ".tflite":
        raise DataError(model, f"{what}: expected a .tflite")
    return model


def _exported_in(folder: Path) -> list[Path]:
    return sorted(path for suffix in EXPORTED for path in folder.glob(f"*{suffix}"))


def is_exported(path: str | os.PathLike[str]) -> bool:
    """Whether a path means an exported model, where trained ones are possible too.

    Raises:
      EfldError: it is not a path.
    """
    path = path_of(path, "model")
    bundle = path.is_dir() and not (path / BEST_MODEL).exists() and bool(_exported_in(path))
    return bundle or path.suffix in EXPORTED or _shipped(path) is not None


def _shipped(path: Path) -> assets.Shipped | None:
    """The shipped model of that name, unless there is a file or folder of that name."""
    return None if path.exists() else assets.SHIPPED.get(str(path))


def _check_exists(path: Path) -> None:
    if not path.exists():
        known = ", ".join(assets.SHIPPED)
        meant = difflib.get_close_matches(str(path), assets.SHIPPED, n=1)
        hint = f"; did you mean {meant[0]}?" if meant else ""
        raise DataError(path, f"no such file or folder, nor a shipped model ({known}){hint}"
                              f"{files.whence(path) if len(path.parts) > 1 else ''}")
