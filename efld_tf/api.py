"""The verbs of the package, which the commands call too: see `help(efld_tf)`.

What needs TensorFlow, OpenCV or LiteRT is imported where it is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import quiet, runs

if TYPE_CHECKING:
    from efld_tf.benchmarking.mode_table import ModeTable
    from efld_tf.exporting.bundle import Bundle
    from efld_tf.exporting.calibration import Asked

PACKAGE = Path(__file__).resolve().parent

# A path, or what stands for one: a `Run`, a `Bundle`, the name of a shipped model.
Model = str | os.PathLike[str]


def export(
    model: Model,
    mode: str = "int8",
    *,
    head: str | None = None,
    calibration: Asked = None,
    faces: str | None = None,
    output: str | Path | None = None,
    debug: bool = False,
) -> Bundle:
    """Writes one head of a trained model as an audited `.tflite`, with what belongs to it.

    Args:
      model: a run or its folder, a trained `.h5`, or the name of a shipped model.
      mode: `int8` for phones; `qat`, `dynamic`, `float16`, `float32` or `int16x8`.
      head: the landmark format to keep; None for the model's first.
      calibration: photos for the integer ranges: a manifest or its path, how many of the head's
        training faces, `"all"` of them, or another source as `reader:path`; None for 1000 of
        them. Only for modes that are calibrated.
      faces: measure the loss on the faces of this `reader:path`; None for those of the calibration.
      output: the folder to write; None for one beside the model, by head and mode.
      debug: of an int8 export, find out what each layer loses.

    Raises:
      UnsupportedMode: the model cannot have the mode.
      EfldError: an argument is wrong, a source cannot be read, or the result is not what its mode
        promises; then nothing is written.
    """
    from efld_tf.errors import EfldError
    from efld_tf.exporting import modes

    asked = modes.get(mode)
    if calibration is not None and not asked.calibrated:
        raise EfldError(f"calibration: a {mode} export is not calibrated")
    if debug and asked is not modes.INT8:
        raise EfldError("debug: only of an int8 export")
    path = runs.trained_model(model)
    quiet.quiet_tensorflow()
    from efld_tf.exporting import export as exporting
    from efld_tf.models.trained import TrainedModel

    trained = TrainedModel.load(path, head)
    folder = output or beside(path) / f"{trained.spec.family}_{trained.head}_{mode}"
    return exporting.export(
        trained, folder, asked, calibrate_on=calibration, compare_on=faces, debug=debug)


def compare_modes(
    model: Model,
    *,
    head: str | None = None,
    calibration: Asked = None,
    faces: str | None = None,
    output: str | Path | None = None,
    told: Callable[[str], None] = print,
) -> ModeTable:
    """Exports one head in every mode and measures size, latency and accuracy side by side.

    Args:
      model, head, calibration, faces: as in `export`; the same faces for all modes.
      output: the folder for one bundle a mode and the table; None for one beside the model.
      told: takes a line for each mode that is begun.

    Raises:
      EfldError: as in `export`.
    """
    path = runs.trained_model(model)
    quiet.quiet_tensorflow()
    from efld_tf.benchmarking import mode_table
    from efld_tf.models.trained import TrainedModel

    trained = TrainedModel.load(path, head)
    folder = output or beside(path) / f"{trained.spec.family}_{trained.head}_compare"
    return mode_table.export_all(
        trained, Path(folder), calibrate_on=calibration, compare_on=faces, told=told)


def beside(model: Path) -> Path:
    """Where exports of a model go; those of the package's own do not go into the package."""
    return Path() if model.resolve().is_relative_to(PACKAGE) else model.parent
