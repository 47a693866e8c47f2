"""The export of one head: calibrate, convert, add metadata, audit, compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import files
from efld_tf.errors import EfldError
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import Evaluation, evaluate, percent
from efld_tf.export import audit, calibration, convert, metadata
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint
from efld_tf.models.predictor import FloatPredictor
from efld_tf.runtime import graph
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor

MODES = ("int8", "float32")


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what the mode costs.

    Attributes:
      model: the `.tflite`.
      mode: of `MODES`.
      head: its schema.
      size_bytes, macs: of the file.
      calibration_source, calibration_faces: what it was calibrated on; "" and 0 for float32.
      operators, types: how many of each the file has.
      comparison: the trained model in float against the file, see `compare`; empty for float32
        without faces to compare on.
    """

    model: str
    mode: str
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
      compare_source: faces on which the file is compared with the trained model; None for the
        calibration's.

    Raises:
      EfldError: a source cannot be read, or the result is not what an int8 model must be; then
        nothing is written.
    """
    output = Path(output)
    spec, network = checkpoint.load(model)
    head = checkpoint.chosen_head(model, spec, head)
    manifest = manifest or calibration.choose(spec.heads[head].source, faces_to_calibrate)
    rule = spec.heads[head].crop_rule
    calibrated_on = calibration.load_faces(manifest, rule, spec.input_size)
    shown = _faces_to_compare(compare_source, spec, head) or calibrated_on
    content = convert.to_int8(spec, network, head, calibrated_on.crops)
    found = _write(output, content, spec, head, audit.check_int8)
    calibration.write_manifest(output.with_suffix(".calibration.json"), manifest)
    comparison = _comparison(model, output, head, shown)
    report = _report(output, "int8", head, found, comparison, manifest.source, len(calibrated_on))
    files.write_json(output.with_suffix(".report.json"), asdict(report))
    return report


def export_float32(
    model: str | Path,
    output: str | Path,
    *,
    head: str | None = None,
    compare_source: str | None = None,
) -> ExportReport:
    """Writes one head as a float `.tflite` with a `.report.json`; arguments as in `export_int8`.

    Raises:
      EfldError: as in `export_int8`.
    """
    output = Path(output)
    spec, network = checkpoint.load(model)
    head = checkpoint.chosen_head(model, spec, head)
    shown = _faces_to_compare(compare_source, spec, head)
    content = convert.to_float32(spec, network, head)
    found = _write(output, content, spec, head, audit.check_float32)
    comparison = _comparison(model, output, head, shown) if shown else {}
    report = _report(output, "float32", head, found, comparison, "", 0)
    files.write_json(output.with_suffix(".report.json"), asdict(report))
    return report


def _write(
    output: Path,
    content: bytes,
    spec: checkpoint.ModelSpec,
    head: str,
    check: Callable[[Path], graph.Graph],
) -> graph.Graph:
    """Adds the metadata, audits, and only then gives the file its name."""
    rule = spec.heads[head].crop_rule
    about = ModelMetadata(
        spec.family, head, rule, schemas.get(head).names, spec.license,
        schemas.declared_fields(head),
    )
    with files.atomic_path(output) as temporary:
        temporary.write_bytes(metadata.add(content, about))
        return check(temporary)


def _report(
    output: Path, mode: str, head: str, found: graph.Graph, comparison: dict[str, Any],
    calibration_source: str, calibration_faces: int,
) -> ExportReport:
    return ExportReport(
        model=output.name,
        mode=mode,
        head=head,
        size_bytes=output.stat().st_size,
        macs=found.total_macs,
        calibration_source=calibration_source,
        calibration_faces=calibration_faces,
        operators=audit.operator_counts(found),
        types=audit.type_counts(found),
        comparison=comparison,
    )


def _faces_to_compare(
    source: str | None, spec: checkpoint.ModelSpec, head: str
) -> faces.EvaluationFaces | None:
    if source is None:
        return None
    return faces.load(source, spec.heads[head].crop_rule, spec.input_size, progress=False)


def _comparison(
    model: str | Path, output: Path, head: str, shown: faces.EvaluationFaces
) -> dict[str, Any]:
    """The trained model against the file on the same faces."""
    trained, exported = FloatPredictor(model, head), LandmarkPredictor(output)
    try:
        faces.common_points(head, shown.schema)
    except EfldError:  # calibrated on faces of another format: they have no truth for this head
        points = (predictor.predict_crops(shown.crops) for predictor in (trained, exported))
        return {"on": shown.source, **point_differences(*points, shown.crops.shape[1])}
    return compare(evaluate(trained, shown), evaluate(exported, shown))


def compare(trained: Evaluation, exported: Evaluation) -> dict[str, Any]:
    """The NME of both on the same faces, and how far their points lie apart."""
    return {
        "on": trained.faces.source,
        "faces": len(trained.faces),
        "normaliser": trained.normaliser,
        "trained_nme_percent": percent(trained.nme.mean()),
        "exported_nme_percent": percent(exported.nme.mean()),
        **point_differences(
            trained.predicted, exported.predicted, trained.faces.crops.shape[1]
        ),
    }


def point_differences(first: np.ndarray, second: np.ndarray, size: int) -> dict[str, float]:
    """Median and 99th percentile of the distance between points [F, N, 2], in input pixels."""
    distance = np.linalg.norm(first - second, axis=-1) * size
    return {
        "point_difference_px_median": round(float(np.median(distance)), 4),
        "point_difference_px_p99": round(float(np.percentile(distance, 99)), 4),
    }
