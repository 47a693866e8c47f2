"""Exports one head: calibrates, converts, adds metadata, audits, compares and bundles it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tf_keras

from efld_tf import files, folders
from efld_tf.errors import DataError, EfldError, UnsupportedMode
from efld_tf.evaluation import faces
from efld_tf.evaluation.faces import EvaluationFaces
from efld_tf.exporting import (
    audit,
    bundle,
    calibration,
    convert,
    coreml_model,
    layers,
    metadata,
    micro,
    modes,
    onnx_model,
    photos,
    qat,
    ranges,
)
from efld_tf.exporting.calibration import Calibration, CalibrationChoice
from efld_tf.exporting.comparison import comparison
from efld_tf.exporting.layers import LayerError
from efld_tf.exporting.modes import Mode
from efld_tf.exporting.report import CALIBRATION, LAYERS, Bundle, ExportReport
from efld_tf.landmarks import schemas
from efld_tf.models.blocks import HardSwish
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.model_crops import needs_mean_shape
from efld_tf.runtime.onnx_interpreter import SUFFIX

DEBUG_FACES = 32


def export(
    trained: TrainedModel,
    folder: str | Path,
    mode: Mode,
    *,
    calibrate_on: CalibrationChoice = None,
    compare_on: str | EvaluationFaces | None = None,
    epochs: int = qat.EPOCHS,
    debug: bool = False,
    progress: bool = True,
) -> Bundle:
    """Writes one head as a bundle: model, card, schema, golden files, report, calibration.

    Args:
      folder: the bundle to write; a bundle that is there is replaced.
      calibrate_on: the photos, see `calibrated`; for modes that are calibrated.
      compare_on: faces on which the file is compared with the trained model, or their
        `reader:path`; None for the calibration's.
      epochs: epochs of quantisation-aware training.
      debug: whether to also measure, in an int8 export, what each layer loses on the calibration's
        faces: `Bundle.layers`, and `layers.json` in the bundle.
      progress: whether to show how far it is.

    Raises:
      UnsupportedMode: the model cannot be exported in the mode.
      EfldError: a source cannot be read, or the result is not what its mode promises; then nothing
        is written.
    """
    folder = Path(folder)
    bundle.check_replaceable(folder)
    if mode.suffix == bundle.COREML:
        if compare_on is not None:
            raise EfldError(f"--faces: nothing here runs a {mode.name} export, to compare it")
        return coreml_model.export(trained, folder, mode, _model_metadata(trained),
                                   progress=progress)
    _check(trained, mode)
    chosen = calibrated(trained, calibrate_on, progress=progress) if mode.calibrated else None
    comparison_faces = _comparison_faces(trained, compare_on, chosen, progress)
    crops = chosen.faces.crops if chosen else convert.NO_CROPS
    final = _fine_tuned(trained, epochs, progress) if mode.fine_tuned else trained
    final = convert.rewritten(final, mode, crops, progress=progress)
    content, observed = _content(final, mode, crops, _model_metadata(trained), progress)
    layer_errors: list[LayerError] = []
    with folders.new_folder(folder) as temporary:
        path = temporary / f"{trained.spec.family}_{trained.head}_{mode.name}{mode.suffix}"
        path.write_bytes(content)
        report = _report(trained, path, mode, chosen, comparison_faces, observed, progress)
        if chosen:
            calibration.write_manifest(temporary / CALIBRATION, chosen.manifest)
        if mode is modes.MICRO:
            report = replace(report, micro=micro.trial(path, crops, progress=progress))
        bundle.complete(path, trained, report)
        if report.micro:
            micro.write(path, trained.head, report)
        if debug:
            layer_errors = _layers(trained, path, mode, crops, progress)
    return Bundle(folder, report, layer_errors)


def _check(trained: TrainedModel, mode: Mode) -> None:
    """Refuses what cannot be exported, before the work.

    Raises:
      UnsupportedMode: the network cannot have the mode's numbers.
      EfldError: what the mode takes is not installed, or a fine-tuning would lack its photos.
    """
    if mode.suffix == SUFFIX:
        onnx_model.check_installed(mode)
    if mode is modes.MICRO:
        micro.check_installed()
    if mode.calibrated:  # first, since the way out of `qat.check`, int8, would not help
        _check_integers(trained.network)
    if mode.fine_tuned:
        qat.check(trained.network)


def _fine_tuned(trained: TrainedModel, epochs: int, progress: bool) -> TrainedModel:
    """The model after quantisation-aware training."""
    faces = calibration.load_faces(
        calibration.of_training(trained.head_spec, None), trained.crop_rule, trained.input_size,
        strict=False, progress=progress)
    network = qat.fine_tuned(trained.network, faces.crops, epochs, progress=progress)
    return replace(trained, network=network)


def _content(
    final: TrainedModel, mode: Mode, crops: np.ndarray, model_metadata: ModelMetadata,
    progress: bool,
) -> tuple[bytes, ranges.Observed | None]:  # fmt: skip
    """The file of a rewritten model, and the ranges of its tensors if they were observed."""
    if mode.suffix == SUFFIX:
        return onnx_model.converted(
            final, mode, crops, model_metadata, progress=progress), None
    content, observed = convert.lowered(final, mode, crops, progress=progress)
    return metadata.add(content, model_metadata), observed


def _report(
    trained: TrainedModel, path: Path, mode: Mode, chosen: Calibration | None,
    comparison_faces: EvaluationFaces | None, observed: ranges.Observed | None, progress: bool,
) -> ExportReport:  # fmt: skip
    """Audits the file, compares it with the trained model, and says both.

    Raises:
      EfldError: the file is not what its mode promises.
    """
    facts = _audited(path, mode)
    if mode is modes.MICRO:
        micro.check(path)  # before the comparison, which takes a while
    compared = (comparison(trained, path, comparison_faces, progress=progress)
                if comparison_faces else {})
    return ExportReport(
        model=path.name,
        mode=mode.name,
        numbers=mode.stored_as,
        head=trained.head,
        size_bytes=path.stat().st_size,
        macs=facts.macs,
        calibration_source=chosen.manifest.source if chosen else "",
        calibration_faces=len(chosen.faces) if chosen else 0,
        calibration_photos=asdict(chosen.photos) if chosen and chosen.photos else {},
        minimum_runtime=facts.minimum_runtime,
        operators=facts.operators,
        types=facts.types,
        comparison=compared,
        compared_on_calibration=chosen is not None and comparison_faces is chosen.faces,
        concatenations=ranges.spread_at_concatenations(observed) if observed else [],
        widened_for=[*mode.steps.widen],
    )


def _audited(path: Path, mode: Mode) -> audit.Facts:
    try:
        return audit.facts(path, mode)
    except DataError as error:  # The file that it names will be gone.
        raise EfldError(f"{path.name}: {error.reason}") from error


def calibrated(
    trained: TrainedModel, choice: CalibrationChoice, *, progress: bool = False
) -> Calibration:
    """The faces to calibrate a model on.

    Args:
      choice: plain photos, see `calibration.photo_names`; what `calibration.resolved` takes; or
        what this function gave before.
      progress: whether to show how far it is.

    Raises:
      UnsupportedMode: the network cannot have integers.
      EfldError: the choice is none of these, or its faces cannot be read.
    """
    _check_integers(trained.network)
    if isinstance(choice, Calibration):
        return choice
    if (names := calibration.photo_names(choice)) is not None:
        return photos.load(trained, names, progress=progress)
    manifest, strict = calibration.resolved(choice, trained.head_spec)
    if manifest.source.startswith(photos.SOURCE):
        return photos.load_again(trained, manifest, progress=progress)
    loaded_faces = calibration.load_faces(
        manifest, trained.crop_rule, trained.input_size, strict=strict, progress=progress)
    return Calibration(calibration.used(manifest, loaded_faces), loaded_faces)


def _comparison_faces(
    trained: TrainedModel, compare_on: str | EvaluationFaces | None, chosen: Calibration | None,
    progress: bool,
) -> EvaluationFaces | None:  # fmt: skip
    """The faces to compare on; None if there are none."""
    if compare_on is None:
        return chosen.faces if chosen else None
    if isinstance(compare_on, EvaluationFaces):
        return compare_on
    comparison_faces = faces.load(
        compare_on, trained.crop_rule, trained.input_size, on_error="skip",
        predicted=trained.head, progress=progress)
    faces.common_points(trained.head, comparison_faces.schema)  # refuses faces of another format
    return comparison_faces


def _check_integers(network: tf_keras.Model) -> None:
    """Refuses a network with activations that have no integer kernels.

    Raises:
      UnsupportedMode: the network has such a layer.
    """
    if any(isinstance(layer, HardSwish) for layer in network.layers):
        raise UnsupportedMode(
            "hard-swish, as MobileNetV3 has it, has no integer kernel in XNNPACK: train with "
            "model.options.activation=relu6, or export as --dynamic, --float16 or --float32"
        )


def _model_metadata(trained: TrainedModel) -> ModelMetadata:
    """The metadata of the exported file."""
    schema = schemas.get(trained.head)
    declared = schemas.declared_fields(trained.head)
    spec, mean_shape = trained.spec, trained.head_spec.mean_shape
    own_crops = needs_mean_shape(schema, trained.crop_rule, np.array(mean_shape))
    return ModelMetadata(
        spec.family, trained.head, trained.crop_rule, schema.names, spec.license, declared,
        mean_shape if own_crops else None)


def _layers(
    trained: TrainedModel, path: Path, mode: Mode, crops: np.ndarray, progress: bool
) -> list[LayerError]:
    """Measures what each layer of an int8 export lost on crops; writes `layers.json` beside it."""
    unrounded = replace(mode, steps=replace(mode.steps, round=False))
    reference = convert.to_float(convert.rewritten(trained, unrounded, crops))
    rows = layers.compare(
        reference, path.read_bytes(), crops[:DEBUG_FACES], progress=progress)
    files.write_json(path.with_name(LAYERS), [asdict(row) for row in rows])
    return rows
