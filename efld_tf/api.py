"""The verbs of the package, which the commands call too; see `help(efld_tf)`.

Modules that need TensorFlow, OpenCV or LiteRT are imported where they are used.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efld_tf import quiet
from efld_tf.arguments import check_number, numbers_of
from efld_tf.errors import DataError, EfldError
from efld_tf.runs import exported_model, is_exported, path_of, trained_model

if TYPE_CHECKING:
    from efld_tf.benchmarking.latency import Benchmark
    from efld_tf.benchmarking.mode_table import ModeTable
    from efld_tf.evaluation.evaluate import Evaluation
    from efld_tf.exporting.calibration import CalibrationChoice
    from efld_tf.exporting.report import Bundle
    from efld_tf.runs import Run
    from efld_tf.runtime.landmarker import FaceLandmarker
    from efld_tf.runtime.predictor import Predictor
    from efld_tf.scoring.score import PairScore
    from efld_tf.scoring.section import Section
    from efld_tf.training.recipe import Recipe

# A path, a `Run`, a `Bundle` or the name of a shipped model.
Model = str | os.PathLike[str]

PACKAGE = Path(__file__).resolve().parent


def load(
    model: Model = "research",
    *,
    head: str | None = None,
    detector: str | os.PathLike[str] | None = "both",
    min_face: float | None = None,
    min_score: float | None = None,
    min_confidence: float | None = None,
    threads: int | None = None,
) -> FaceLandmarker:
    """Loads a landmarker, which finds faces and their landmarks in photos and videos.

    Args:
      model: `research` (not for commercial use), `synthetic` (free, less accurate), a `.tflite` of
        `export`, its folder, or a run (with TensorFlow).
      head: the landmark format of a run; None for its first.
      detector: the face detector: `both`, `short` (the fastest, for large faces), `full`, or a
        model file of one of them; None where boxes are always given.
      min_face: side in pixels of the smallest face to look for; None for 40 or 1/50 of a photo's
        longer side, whichever is more, and 1/10 of a video's shorter side; with `short` for 1/6 of
        the longer side of both.
      min_score: least score of a detection, between 0 and 1; None for the detector's own.
      min_confidence: how sure it must be that the points lie on a face, from 0 to 1; None for 0.5.
        With 0.1, faces such as profiles are found, too, whose points mostly do not.
      threads: number of threads of each model; None for one of the landmark model, which is small,
        and as many of the detector as there are cores, up to four.

    Raises:
      EfldError: there is no such model or detector, or a value is out of range.
    """
    limits = {"min_face": (min_face, 8, math.inf), "min_score": (min_score, 0, 1),
              "min_confidence": (min_confidence, 0, 1)}
    for name, (value, low, high) in limits.items():
        if value is not None:
            check_number(value, name, low, high)
    if threads is not None:
        check_number(threads, "threads", 1, whole=True)
    loaded_predictor = predictor(model, head=head, threads=threads or 1)
    from efld_tf.runtime.any_angle import open_detector
    from efld_tf.runtime.landmarker import MIN_CONFIDENCE, FaceLandmarker

    finder = None
    if detector is not None:
        detector_name = detector if isinstance(detector, str) else Path(detector)
        finder = open_detector(
            detector_name, threads=threads, min_score=min_score, min_face=min_face)
    confidence_limit = MIN_CONFIDENCE if min_confidence is None else min_confidence
    return FaceLandmarker(loaded_predictor, finder, min_confidence=confidence_limit)


def predictor(model: Model, *, head: str | None = None, threads: int = 1) -> Predictor:
    """Loads a model without a detector; it predicts the points of crops.

    Arguments and errors are those of `load`. TensorFlow is only imported for a trained model.
    """
    if is_exported(model):
        path = exported_model(model)
        if head:
            raise EfldError(f"head: {path} has one head only; it goes with a trained model")
        from efld_tf.runtime.predictor import LandmarkPredictor

        return LandmarkPredictor(path, threads)
    path = trained_model(model)
    try:
        quiet.quiet_tensorflow()
    except ModuleNotFoundError as error:
        raise EfldError(
            f"{path}: a trained model needs {error.name}, which is not installed: give what "
            "efld-export makes of it, or 'pip install .' in the project's folder") from error
    from efld_tf.models.predictor import FloatPredictor
    from efld_tf.models.trained import TrainedModel

    return FloatPredictor(TrainedModel.load(path, head))


def train(
    recipe: str | os.PathLike[str] | Recipe,
    *,
    steps: int | None = None,
    init_from: Model | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    progress: bool = True,
) -> Run:
    """Trains a recipe, or resumes an earlier run of it that was killed.

    Photos are read by worker processes, which import the script that calls this: its own work
    belongs under `if __name__ == "__main__":`.

    Args:
      recipe: its YAML file, or what `training.recipe.load` makes of one.
      steps: the number of steps; None for that of the recipe.
      init_from: the model whose weights the training starts from.
      overrides: other values for a recipe's file, by their dotted keys, such as
        `{"training.batch_size": 64}`, or as texts `training.batch_size=64`.
      progress: whether to show how far it is.

    Raises:
      EfldError: the recipe has a mistake, its data cannot be read, or the run's folder holds
        another run.
    """
    from efld_tf.training import recipe as recipes

    if not isinstance(overrides, Iterable) or isinstance(overrides, str | bytes):
        raise EfldError(f"overrides: expected a mapping or texts KEY=VALUE, got {overrides!r:.60}")
    override_values = dict(overrides) if isinstance(overrides, Mapping) else {}
    texts = [] if override_values else list(overrides)
    override_values |= {} if steps is None else {"training.steps": steps}
    override_values |= {} if init_from is None else {
        "training.init_from": os.fspath(path_of(init_from, "init_from"))}
    texts += [f"{key}={json.dumps(value)}" for key, value in override_values.items()]
    path = None
    if not isinstance(recipe, recipes.Recipe):
        path = path_of(recipe, "recipe")
        recipe = recipes.load(path, texts)
    elif texts:
        raise EfldError("overrides: only of a recipe's file; use dataclasses.replace")
    quiet.quiet_tensorflow()
    from efld_tf.training import checks, rounds

    if path is not None:
        try:
            checks.check_options(recipe)
        except EfldError as error:  # It names the key; the file is not known there.
            raise DataError(path, str(error)) from error
    return rounds.train(recipe, progress=progress)


def export(
    model: Model,
    mode: str = "int8",
    *,
    head: str | None = None,
    calibration: CalibrationChoice = None,
    faces: str | None = None,
    output: str | os.PathLike[str] | None = None,
    processors: Sequence[str] | None = None,
    debug: bool = False,
    progress: bool = True,
) -> Bundle:
    """Writes one head of a trained model as a file for apps, with what belongs to it.

    Args:
      model: a run or its folder, a trained `.h5`, or the name of a shipped model.
      mode: `int8` for phones; `qat`, `dynamic`, `float16`, `float32` or `int16x8`; for other
        runtimes `onnx`, `onnx-int8`, `coreml` or `micro`.
      head: the landmark format to keep; None for the model's first.
      calibration: photos for the integer ranges: plain ones, as a photo, a folder, a pattern or a
        list of these, whose faces are found as `load` finds them; a manifest or its path; how
        many of the head's training faces, or `"all"` of them; or another source as
        `reader:path`. At most 1000 faces are used unless more are asked for; None for so many of
        the head's training. Only for modes that are calibrated.
      faces: measure the loss on the faces of this `reader:path`; None for those of the calibration.
      output: the folder to write; None for one beside the model, by head and mode.
      processors: for an int8 export, those of `kernels.KERNELS` that it should be fast on: there
        convolutions of few channels are computed for several pixels at once, with zeros among their
        products and some bytes more. None for all, an empty list to leave them as they are.
      debug: for an int8 export, find out what each layer loses.
      progress: whether to show how far it is.

    Raises:
      UnsupportedMode: the model cannot be exported in the mode.
      EfldError: an argument is wrong, a source cannot be read, or the result is not what its mode
        promises; then nothing is written.
    """
    from efld_tf.exporting import kernels, modes

    export_mode = modes.get(mode)
    if calibration is not None and not export_mode.calibrated:
        raise EfldError(f"calibration: {mode} exports are not calibrated")
    if debug and not export_mode.debuggable:
        raise EfldError("debug: only of an int8 export")
    if processors is not None:
        if not export_mode.steps.widen:
            raise EfldError(f"processors: {mode} exports are the same for all")
        steps = replace(export_mode.steps, widen=kernels.check(processors))
        export_mode = replace(export_mode, steps=steps)
    path = trained_model(model)
    folder = None if output is None else path_of(output, "output")
    quiet.quiet_tensorflow()
    from efld_tf.exporting import export as exporting
    from efld_tf.models.trained import TrainedModel

    trained = TrainedModel.load(path, head)
    folder = folder or beside(path) / f"{trained.spec.family}_{trained.head}_{mode}"
    return exporting.export(
        trained, folder, export_mode, calibrate_on=calibration, compare_on=faces, debug=debug,
        progress=progress)


def compare_modes(
    model: Model,
    *,
    head: str | None = None,
    calibration: CalibrationChoice = None,
    faces: str | None = None,
    output: str | os.PathLike[str] | None = None,
    notify: Callable[[str], None] = print,
    progress: bool = True,
) -> ModeTable:
    """Exports one head in every mode and compares size, latency and accuracy.

    Args:
      model, head, calibration, faces: as in `export`; all modes have the same faces.
      output: the folder for the table and a bundle of each mode; None for one beside the model.
      notify: is called with a line for each mode that is begun.
      progress: whether to show how far each of them is.

    Raises:
      EfldError: as in `export`.
    """
    path = trained_model(model)
    quiet.quiet_tensorflow()
    from efld_tf.benchmarking import mode_table
    from efld_tf.models.trained import TrainedModel

    trained = TrainedModel.load(path, head)
    folder = output or beside(path) / f"{trained.spec.family}_{trained.head}_compare"
    return mode_table.export_all(
        trained, Path(folder), calibrate_on=calibration, compare_on=faces, notify=notify,
        progress=progress)


def evaluate(
    model: Model | Predictor,
    source: str,
    *,
    head: str | None = None,
    split: str | None = None,
    on_error: str = "stop",
    thresholds_percent: Iterable[float] = (),
    normaliser: str | None = None,
    progress: bool = True,
) -> Evaluation:
    """Measures a model on annotated faces, which are cropped by the boxes of their annotation.

    Args:
      model: as in `load`, or what `predictor` gives.
      source: `reader:path`, such as `ibug:FOLDER` or `packed:FOLDER`.
      head: the landmark format of a run; None for its first.
      split: the part of a packed source: `train` or `validation`, the default.
      on_error: `stop` at a face that cannot be used, or `skip` it.
      thresholds_percent: NME thresholds of failure rates and CED-AUCs, beside 10.
      normaliser: what errors are divided by: a distance of the schema's (None for its first), or
        `box_diagonal` or `box_size` of the box of all annotated points, or `image_size`, the
        longest side of the box in the annotation's file.
      progress: whether to show how far it is.

    Raises:
      EfldError: there is no such model, or the source cannot be read or compared with the model.
    """
    if not isinstance(source, str):
        raise EfldError(f"source: expected READER:PATH, got {source!r:.60}")
    thresholds_percent = numbers_of(thresholds_percent, "thresholds_percent", 0)
    quiet.quiet_tensorflow_for(source)
    loaded_predictor = \
        predictor(model, head=head) if isinstance(model, str | os.PathLike) else model
    if not hasattr(loaded_predictor, "predict_crops"):
        raise EfldError(f"model: expected a path or the name of a shipped model, got {model!r:.60}")
    from efld_tf.evaluation import evaluate as evaluating
    from efld_tf.evaluation import faces

    evaluation_faces = faces.load(
        source, loaded_predictor.crop_rule, loaded_predictor.input_size, on_error=on_error,
        split=split, predicted=loaded_predictor.schema, normaliser=normaliser, progress=progress)
    return evaluating.evaluate(
        loaded_predictor, evaluation_faces, thresholds_percent, normaliser=normaliser,
        progress=progress)


def benchmark(
    model: Model, *, threads: int | Iterable[int] = 1, runs: int = 200, warmup: int = 20
) -> Benchmark:
    """Measures latency, memory and size of an exported model on this machine.

    Args:
      model: a `.tflite`, its folder, or the name of a shipped model.
      threads: number of threads of the interpreter, or several numbers.
      runs: number of timed runs for each of them, with XNNPACK and without.
      warmup: number of runs before them.

    Raises:
      EfldError: there is no such model, or it cannot be run.
    """
    path = exported_model(model)
    from efld_tf.benchmarking import latency

    several = threads if isinstance(threads, Iterable) else (threads,)
    counts = numbers_of(several, "threads", 1, whole=True)
    check_number(runs, "runs", 1, whole=True)
    check_number(warmup, "warmup", 0, whole=True)
    return latency.measure(path, counts, runs, warmup)


def score(
    *results: str | os.PathLike[str] | Mapping[str, Any] | Section, power_w: float | None = None
) -> PairScore:
    """Computes the PAIR score of results: accuracy / (time x complexity x power x size).

    Args:
      results: what `evaluate` and `benchmark` give, `results.json` files, or their factors. With an
        evaluation of an exported model and nothing else, the model is benchmarked here.
      power_w: measured power in watts; without it there is no score, only the product of the other
        factors.

    Raises:
      EfldError: a file or a factor is not valid, or results of different models were given.
    """
    from efld_tf.scoring import results as result_files
    from efld_tf.scoring.score import pair_score
    from efld_tf.scoring.section import Section

    if power_w is not None:
        check_number(power_w, "power_w", 0)
    factors: dict[str, float] = {}
    models: dict[str, Section] = {}
    for result in results:
        if isinstance(result, Section):
            factors |= result.factors
            models.setdefault(result.model_section()["sha256"], result)
        elif isinstance(result, Mapping):
            result_files.validate(result, "results")
            factors |= {name: result[name] for name in result_files.FACTORS if name in result}
        else:
            content = result_files.read(path_of(result, "results"))
            factors |= {name: content[name] for name in result_files.FACTORS if name in content}
    if not results:
        raise EfldError("results: expected at least one")
    if len(models) > 1:
        names = ", ".join(str(section.file) for section in models.values())
        raise EfldError(f"results: of different models ({names}); a score is of one")
    factors |= {} if power_w is None else {"power_w": power_w}
    for section in models.values():
        if "time_ms" not in factors and section.file.suffix == ".tflite":
            factors |= benchmark(section.file).factors
    return pair_score(factors)


def beside(model: Path) -> Path:
    """The folder for exports of a model: the model's own, unless that is inside the package."""
    return Path() if model.resolve().is_relative_to(PACKAGE) else model.parent
