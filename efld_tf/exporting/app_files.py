"""What apps and pages take along: a model, `landmarker.json`, and the detector of faces."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
from pathlib import Path
from typing import Any

from efld_tf import files, folders, runs
from efld_tf.errors import DataError, EfldError
from efld_tf.exporting.report import CARD
from efld_tf.runtime import blazeface, golden, portable

LICENSE = "LICENSE"
DETECTOR = "detector"
# What comes along beside a model, where its bundle has it.
BESIDE = (CARD, golden.FILE, golden.INPUT_FILE, golden.OUTPUT_FILE)


def write_assets(model: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path:
    """Writes the assets of an Android app, as tools/android reads them.

        FOLDER/landmarker.json, the .tflite, its card and golden files
        FOLDER/detector/                 MediaPipe's face detector

    Args:
      model: a bundle, a `.tflite` file or the name of a shipped model.
      folder: what to write; assets that were written there before are replaced.

    Returns:
      The folder.

    Raises:
      EfldError: the model's crops do not follow from a detector's faces, or it is no exported
        model.
      DataError: the path is a file, or a folder that holds something else.
    """
    folder = Path(folder)
    check_assets(folder)
    path = runs.tflite(model, "--android")
    description = described(path, f"{DETECTOR}/{detector_file().name}")
    with folders.new_folder(folder) as new:
        copy_model(path, new, description)
        copy_detector(new / DETECTOR)
    return folder


def check_assets(folder: Path) -> None:
    """Checks that `write_assets` may write a folder.

    Raises:
      DataError: the path is a file, or a folder that holds something else.
    """
    if folder.exists() and not folder.is_dir():
        raise DataError(folder, "is a file; --android writes a folder")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
    if names and not {portable.FILE, DETECTOR} <= names:
        raise DataError(folder, "holds something else than --android writes; name a new folder in "
                                "the app's assets")


def described(model: Path, detector: str) -> dict[str, Any]:
    """The content of `landmarker.json` where a detector comes along.

    Args:
      detector: its path, as it is seen from the model's folder.
    """
    description = portable.described(model)
    description["detector"]["file"] = detector
    return description


def copy_model(model: Path, folder: Path, description: dict[str, Any]) -> None:
    """Copies a model with its card and golden files, and writes its description."""
    shutil.copyfile(model, folder / model.name)
    for name in BESIDE:
        if (model.parent / name).is_file():
            shutil.copyfile(model.parent / name, folder / name)
    files.write_json(folder / portable.FILE, description)


def detector_file() -> Path:
    """The detector's model in the installed mediapipe."""
    return blazeface.bundled(blazeface.MODELS[portable.DETECTOR].file)


def copy_detector(folder: Path) -> None:
    """Makes a folder of the detector's model and its licence."""
    folder.mkdir()
    model = detector_file()
    shutil.copyfile(model, folder / model.name)
    text = importlib.metadata.distribution("mediapipe").read_text(LICENSE)
    if text is None:
        raise EfldError("the installed mediapipe has no LICENSE: install it again")
    (folder / LICENSE).write_text(text, encoding="utf-8")
