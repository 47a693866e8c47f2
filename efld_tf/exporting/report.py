"""An export and the report on its file, which is the content of `report.json`."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it imports LiteRT
    from efld_tf.exporting.layers import LayerError

# What a bundle holds beside its model and the golden files.
REPORT, CALIBRATION, CARD, SCHEMA, LAYERS = (
    "report.json", "calibration.json", "MODEL_CARD.md", "schema.yaml", "layers.json"
)


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what the mode costs.

    Attributes:
      model: the name of the `.tflite`.
      mode: the name of the mode, see `modes`.
      numbers: the mode whose types the file has, `Mode.stored_as`.
      head: the name of the head's schema.
      size_bytes, macs: the size of the file, and its multiply-accumulates.
      calibration_source, calibration_faces: the source and the number of the faces of the
        calibration; "" and 0 if there was none.
      calibration_photos: for plain photos, the fields of `calibration.PhotoCounts`; empty for
        others.
      minimum_runtime: the oldest TensorFlow Lite with all its operators, see `runtime.versions`.
      operators, types: how many of each the file has.
      comparison: the trained model in float against the file, see `comparison`; empty without faces
        to compare on.
      compared_on_calibration: whether that is on the faces of the calibration. These are training
        faces, so that it tells what the export costs, not how accurate the model is.
      concatenations: for integer modes, how well the inputs of each concatenation fill its int8
        grid, see `ranges.spread_at_concatenations`.
      widened_for: the processors for which convolutions were widened, see `widen`; empty if none
        were.
      micro: for an export for microcontrollers, what TensorFlow Lite Micro did: its `runtime`, the
        `arena_bytes` that it took, and how far its points are from LiteRT's on `faces` of the
        calibration; empty for others.
    """

    model: str
    mode: str
    numbers: str
    head: str
    size_bytes: int
    macs: int
    calibration_source: str
    calibration_faces: int
    minimum_runtime: str
    operators: dict[str, int]
    types: dict[str, int]
    comparison: dict[str, Any]
    compared_on_calibration: bool = False
    concatenations: list[dict[str, Any]] = field(default_factory=list)
    calibration_photos: dict[str, Any] = field(default_factory=dict)
    micro: dict[str, Any] = field(default_factory=dict)
    widened_for: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Bundle(os.PathLike[str]):
    """An export on disk; it stands for its folder wherever a path to a model is taken.

    Attributes:
      folder: the folder of the `.tflite`, its card, schema, golden files, report and calibration.
      report: what was written and what the mode costs.
      layers: what each layer lost, if that was asked for.
    """

    folder: Path
    report: ExportReport
    layers: list[LayerError] = field(default_factory=list, repr=False)

    @property
    def model(self) -> Path:
        """The path of the `.tflite`."""
        return self.folder / self.report.model

    def __fspath__(self) -> str:
        return str(self.folder)
