"""The export of one head: calibrate, convert, add metadata, audit, compare, bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras

from efld_tf import files
from efld_tf.errors import EfldError, UnsupportedMode
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import Evaluation, evaluate, percent
from efld_tf.exporting import audit, bundle, calibration, convert, layers, metadata, qat, ranges
from efld_tf.exporting.layers import LayerError
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint
from efld_tf.models.blocks import HardSwish
from efld_tf.models.predictor import FloatPredictor
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor

QAT = "qat"
MODES = (*convert.MODES, QAT)
CALIBRATED = (*sorted(convert.CALIBRATED), QAT)
# An input of a concatenation that uses fewer of its grid's 255 levels is worth a word.
FEW_LEVELS = 64
DEBUG_FACES = 32
# Tiles a side of a crop that is cut up and shuffled, so that it shows no face.
TILES = 4


@dataclass(frozen=True)
class ExportReport:
    """What was written, and what the mode costs.

    Attributes:
      model: the `.tflite`.
      mode: of `MODES`.
      numbers: of `convert.MODES`: the mode whose types the file has.
      head: its schema.
      size_bytes, macs: of the file.
      calibration_source, calibration_faces: what it was calibrated on; "" and 0 where it was not.
      minimum_runtime: the oldest TensorFlow Lite with all its operators, see `versions`.
      operators, types: how many of each the file has.
      comparison: the trained model in float against the file, see `compare`; empty without faces
        to compare on.
      compared_on_calibration: whether that is on the faces of the calibration, which are training
        faces: it tells what the export costs, not how accurate the model is.
      concatenations: how well the inputs of each fill its int8 grid, see
        `ranges.spread_at_concatenations`; of integer modes.
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


def export(
    model: str | Path,
    folder: str | Path,
    mode: str,
    *,
    head: str | None = None,
    manifest: calibration.CalibrationManifest | None = None,
    faces_to_calibrate: int | None = calibration.DEFAULT_FACES,
    compare_source: str | None = None,
    steps: convert.Steps = convert.ALL_STEPS,
    epochs: int = qat.EPOCHS,
) -> ExportReport:
    """Writes one head as a bundle: `.tflite`, card, schema, golden files, report, calibration.

    Args:
      model: a trained model file.
      folder: the bundle to write; a bundle that is there is replaced.
      mode: of `MODES`.
      head: which head to keep; None for the model's first.
      manifest: photos to calibrate on; None to choose them from the head's training source.
      faces_to_calibrate: how many to choose then; None for all.
      compare_source: faces on which the file is compared with the trained model; None for the
        calibration's.
      steps: what to leave out, for comparisons.
      epochs: of quantisation-aware training.

    Raises:
      UnsupportedMode: the model cannot have the mode.
      EfldError: a source cannot be read, or the result is not what its mode promises; then nothing
        is written.
    """
    folder = Path(folder).absolute()
    bundle.check_replaceable(folder)
    spec, network = checkpoint.load(model)
    head = checkpoint.chosen_head(model, spec, head)
    rule = spec.heads[head].crop_rule
    calibrated_on = None
    if mode in CALIBRATED:
        _check_integers(network)
        chosen = manifest or _training_faces(spec.heads[head], faces_to_calibrate)
        calibrated_on = calibration.load_faces(
            chosen, rule, spec.input_size, strict=manifest is not None)
        manifest = calibration.used(chosen, calibrated_on)
    shown = calibrated_on
    if compare_source is not None:
        shown = faces.load(
            compare_source, rule, spec.input_size, on_error="skip", progress=False)
        faces.common_points(head, shown.schema)  # refuses faces of another format
    crops = calibrated_on.crops if calibrated_on else None
    numbers = "int8" if mode == QAT else mode
    single = convert.single(network, head)
    if mode == QAT:
        everything = _training_faces(spec.heads[head], None)
        training = calibration.load_faces(everything, rule, spec.input_size, strict=False).crops
        single = qat.fine_tuned(single, training, epochs)
    single = convert.rewritten(single, numbers, crops, steps)
    content, observed = convert.lowered(spec, single, head, numbers, crops, steps)
    with bundle.new_folder(folder) as temporary:
        path = temporary / f"{spec.family}_{head}_{mode}.tflite"
        path.write_bytes(metadata.add(content, _about(spec, head)))
        found = audit.check(path, numbers)
        report = ExportReport(
            model=path.name,
            mode=mode,
            numbers=numbers,
            head=head,
            size_bytes=path.stat().st_size,
            macs=found.total_macs,
            calibration_source=manifest.source if calibrated_on else "",
            calibration_faces=len(calibrated_on) if calibrated_on else 0,
            minimum_runtime=found.minimum_runtime,
            operators=audit.operator_counts(found),
            types=audit.type_counts(found),
            comparison=_comparison(model, path, head, shown) if shown else {},
            compared_on_calibration=shown is calibrated_on and shown is not None,
            concatenations=ranges.spread_at_concatenations(observed) if observed else [],
        )
        if calibrated_on:
            calibration.write_manifest(temporary / bundle.CALIBRATION, manifest)
        bundle.complete(path, spec, asdict(report))
    return report


def _check_integers(network: tf_keras.Model) -> None:
    """Refuses a network with activations that no integer kernels are for.

    Raises:
      UnsupportedMode: it has such a layer.
    """
    if any(isinstance(layer, HardSwish) for layer in network.layers):
        raise UnsupportedMode(
            "hard-swish, as MobileNetV3 has it, has no integer kernel in XNNPACK: train with "
            "model.options.activation=relu6, or export as --dynamic, --float16 or --float32"
        )


def _training_faces(
    head: checkpoint.HeadSpec, count: int | None
) -> calibration.CalibrationManifest:
    """So many of the faces that a head was trained on first of all; None for all of them."""
    try:
        return calibration.choose(head.source, count, excluded=head.excluded,
                                  validation_fraction=head.validation_fraction)
    except EfldError as error:
        raise EfldError(
            f"the faces of the training, by paths that start where it ran: {error}") from error


def _about(spec: checkpoint.ModelSpec, head: str) -> ModelMetadata:
    """What the file says about itself."""
    schema = schemas.get(head)
    rule = spec.heads[head].crop_rule
    declared = schemas.declared_fields(head)
    return ModelMetadata(spec.family, head, rule, schema.names, spec.license, declared)


def debug(model: str | Path, folder: str | Path, report: ExportReport) -> list[LayerError]:
    """What each layer of an int8 export lost on its calibration faces; writes `layers.json`.

    Args:
      model: the trained model.
      folder: the bundle of it.
      report: what `export` returned.
    """
    folder = Path(folder)
    spec, network = checkpoint.load(model)
    manifest = calibration.read_manifest(folder / bundle.CALIBRATION)
    rule = spec.heads[report.head].crop_rule
    crops = calibration.load_faces(manifest, rule, spec.input_size).crops
    network = convert.single(network, report.head)
    network = convert.rewritten(network, "int8", crops, convert.Steps(round=False))
    reference = convert.to_float(spec, network, report.head)
    rows = layers.compare(reference, (folder / report.model).read_bytes(), crops[:DEBUG_FACES])
    files.write_json(folder / bundle.LAYERS, [asdict(row) for row in rows])
    return rows


def training_source(model: str | Path, head: str) -> str:
    """The `reader:path` that a head was trained on first of all."""
    return checkpoint.read_spec(model).heads[head].source


def _comparison(
    model: str | Path, path: Path, head: str, shown: faces.EvaluationFaces
) -> dict[str, Any]:
    """The trained model against the file on the same faces; errors are of those with eyes."""
    trained, exported = FloatPredictor(model, head), LandmarkPredictor(path)
    confidence = compare_confidence(trained, exported, shown.crops)
    distance = schemas.get(shown.schema).normaliser.distance(shown.points)
    measured = np.flatnonzero(np.isfinite(distance)).tolist()
    try:
        faces.common_points(head, shown.schema)
    except EfldError:  # calibrated on faces of another format: they have no truth for this head
        measured = []
    if not measured:
        points = (predictor.predict_crops(shown.crops) for predictor in (trained, exported))
        differences = point_differences(*points, shown.crops.shape[1])
        return {"on": shown.source, **differences, **confidence}
    shown = shown.ordered(measured)
    return {**compare(evaluate(trained, shown), evaluate(exported, shown)), **confidence}


def compare(trained: Evaluation, exported: Evaluation) -> dict[str, Any]:
    """The NME of both on the same faces, and how far their points lie apart."""
    return {
        "on": trained.faces.source,
        "faces": len(trained.faces),
        "skipped": len(trained.faces.skipped),
        "normaliser": trained.normaliser,
        "trained_nme_percent": percent(trained.nme.mean()),
        "exported_nme_percent": percent(exported.nme.mean()),
        **point_differences(
            trained.predicted, exported.predicted, trained.faces.crops.shape[1]
        ),
    }


def compare_confidence(
    trained: FloatPredictor, exported: LandmarkPredictor, crops: np.ndarray
) -> dict[str, float]:
    """How far the confidences lie apart; empty for a model without.

    It is seen on faces [F, S, S, 3] uint8 and, because int8 was calibrated on faces alone, on the
    same crops cut into shuffled tiles.
    """
    if not exported.has_confidence:
        return {}
    both = np.concatenate([crops, shuffled(crops)])
    first, second = (p.predict_with_confidence(both)[1] for p in (trained, exported))
    return {
        "confidence_difference_median": round(float(np.median(np.abs(first - second))), 4),
        "confidence_difference_p99": round(float(np.percentile(np.abs(first - second), 99)), 4),
        "confident_percent": percent((second[: len(crops)] >= bundle.CONFIDENT).mean()),
    }


def shuffled(crops: np.ndarray) -> np.ndarray:
    """Crops [F, S, S, 3] cut into `TILES` a side, which change places; S is divisible by it."""
    count, size, _, channels = crops.shape
    side = size // TILES
    tiles = crops.reshape(count, TILES, side, TILES, side, channels).swapaxes(2, 3)
    order = np.random.default_rng(0).permutation(TILES**2)
    tiles = tiles.reshape(count, TILES**2, side, side, channels)[:, order]
    tiles = tiles.reshape(count, TILES, TILES, side, side, channels).swapaxes(2, 3)
    return tiles.reshape(crops.shape)


def point_differences(first: np.ndarray, second: np.ndarray, size: int) -> dict[str, float]:
    """Median and 99th percentile of the distance between points [F, N, 2], in input pixels."""
    distance = np.linalg.norm(first - second, axis=-1) * size
    return {
        "point_difference_px_median": round(float(np.median(distance)), 4),
        "point_difference_px_p99": round(float(np.percentile(distance, 99)), 4),
    }
