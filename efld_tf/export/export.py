"""The export of one head: calibrate, convert, add metadata, audit, measure against float."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import files
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import Evaluation, evaluate
from efld_tf.export import audit, calibration, convert, metadata
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint
from efld_tf.models.predictor import FloatPredictor
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what int8 costs.

    Attributes:
      model: the `.tflite`.
      head: its schema.
      size_bytes, macs: of the file.
      calibration_source, calibration_faces: what it was calibrated on.
      operators, types: how many of each the file has.
      comparison: float against int8, see `compare`; empty where no faces were given.
    """

    model: str
    head: str
    size_bytes: int
    macs: int
    calibration_source: str
    calibration_faces: int
    operators: dict[str, int]
    types: dict[str, int]
    comparison: dict[str, Any]


def export_int8(
    model: str | Path,
    output: str | Path,
    *,
    head: str | None = None,
    manifest: calibration.CalibrationManifest | None = None,
    faces_to_calibrate: int | None = calibration.DEFAULT_FACES,
    compare_source: str | None = None,
) -> ExportReport:
    """Writes one head as an int8 `.tflite`, with `.calibration.json` and `.report.json` beside it.

    Args:
      model: a trained model file.
      output: the `.tflite` to write.
      head: which head to keep; None for the model's first.
      manifest: photos to calibrate on; None to choose them from the head's training source.
      faces_to_calibrate: how many to choose then; None for all.
      compare_source: faces on which float and int8 are compared; None for the calibration's.

    Raises:
      EfldError: a source cannot be read, or the result is not what an int8 model must be; then
        nothing is written.
    """
    output = Path(output)
    spec, network = checkpoint.load(model)
    head = checkpoint.chosen_head(model, spec, head)
    rule = spec.heads[head].crop_rule
    manifest = manifest or calibration.choose(spec.heads[head].source, faces_to_calibrate)
    crops = calibration.crops(manifest, rule, spec.input_size)
    about = ModelMetadata(spec.family, head, rule, schemas.get(head).names)
    content = metadata.add(convert.to_int8(spec, network, head, crops), about)
    with files.atomic_path(output) as temporary:
        temporary.write_bytes(content)
        found = audit.check_int8(temporary)
    float_model = FloatPredictor(model, head)
    int8_model = LandmarkPredictor(output)
    if compare_source is None:
        comparison = {"on": "calibration", **point_differences(
            float_model.predict_crops(crops), int8_model.predict_crops(crops), spec.input_size
        )}
    else:
        shown = faces.load(compare_source, rule, spec.input_size, on_error="skip", progress=False)
        comparison = compare(evaluate(float_model, shown), evaluate(int8_model, shown))
    report = ExportReport(
        model=output.name,
        head=head,
        size_bytes=len(content),
        macs=found.total_macs,
        calibration_source=manifest.source,
        calibration_faces=len(crops),
        operators=audit.operator_counts(found),
        types=audit.type_counts(found),
        comparison=comparison,
    )
    calibration.write_manifest(output.with_suffix(".calibration.json"), manifest)
    files.write_json(output.with_suffix(".report.json"), asdict(report))
    return report


def compare(float_result: Evaluation, int8_result: Evaluation) -> dict[str, Any]:
    """The NME of both on the same faces, in percent, and how far their points lie apart."""
    size = float_result.faces.crops.shape[1]
    return {
        "on": float_result.faces.source,
        "faces": len(float_result.faces),
        "normaliser": float_result.normaliser,
        "float_nme_percent": round(100 * float(float_result.nme.mean()), 4),
        "int8_nme_percent": round(100 * float(int8_result.nme.mean()), 4),
        **point_differences(float_result.predicted, int8_result.predicted, size),
    }


def point_differences(first: np.ndarray, second: np.ndarray, size: int) -> dict[str, float]:
    """Median and 99th percentile of the distance between points [F, N, 2], in input pixels."""
    distance = np.linalg.norm(first - second, axis=-1) * size
    return {
        "point_difference_px_median": round(float(np.median(distance)), 4),
        "point_difference_px_p99": round(float(np.percentile(distance, 99)), 4),
    }
