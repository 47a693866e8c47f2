"""Short forms of what tests do with a trained model's file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from efld_tf.exporting import export, modes
from efld_tf.exporting.report import Bundle
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel


def float_predictor(model: Path, head: str | None = None) -> FloatPredictor:
    """Predicts one head of a model file in float."""
    return FloatPredictor(TrainedModel.load(model, head))


def export_as(
    model: Path, folder: Path, mode: str, head: str | None = "ibug51", **options: Any
) -> Bundle:
    """Exports one head of a model file; options as `export.export` takes them."""
    return export.export(TrainedModel.load(model, head), folder, modes.get(mode), **options)
