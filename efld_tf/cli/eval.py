"""The command `efld-eval`, which measures a trained or exported model on annotated faces."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import api, runs
from efld_tf.cli import common
from efld_tf.errors import DataError, EfldError
from efld_tf.scoring import results
from efld_tf.text import say, say_lines

if TYPE_CHECKING:
    import numpy as np

    from efld_tf.evaluation.measured import Measured
    from efld_tf.runtime.predictor import Predictor

Scenes = list[tuple[Path, "np.ndarray"]]


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, evaluates, prints tables and merges them into the results file."""
    arguments = _parser().parse_args(argv)
    exported = runs.is_exported(arguments.model)
    if not exported:
        runs.trained_model(arguments.model)
    _check(arguments, exported)
    predictor = api.predictor(arguments.model, head=arguments.head)
    for option in ("detector", "robustness", "prior"):
        if getattr(arguments, option):
            predictor.crop_rule.need_scale(f"--{option}")
    if arguments.output:  # Another model's file is refused before the work.
        results.existing(arguments.output, results.describe_model(predictor.model))
    if arguments.report:  # So is a damaged history of the run.
        run = arguments.run or runs.run_of(predictor.model)
    done = []
    for measured in _measured(arguments, predictor, _scenes(arguments)):
        _tell(arguments, measured)
        done.append(measured)
    if arguments.report:
        from efld_tf.evaluation import report

        say(f"report: {report.write(arguments.report, done, run)}")
    return None


def _measured(
    arguments: argparse.Namespace, predictor: Predictor, scenes: Scenes
) -> Iterator[Measured]:
    """Makes the measurements that the arguments ask for, one after the other."""
    evaluation, progress = None, not arguments.quiet
    if arguments.source:
        evaluation = api.evaluate(
            predictor, arguments.source, split=arguments.split, on_error=arguments.on_error,
            thresholds_percent=arguments.threshold, normaliser=arguments.normaliser,
            progress=progress,
        )
        yield evaluation
        if arguments.slices:
            from efld_tf.evaluation import slices

            yield slices.measure(evaluation)
        if arguments.robustness:
            from efld_tf.evaluation import robustness

            yield robustness.measure(predictor, evaluation, progress=progress)
    if arguments.prior:
        from efld_tf.evaluation import prior

        yield prior.measure(
            predictor, evaluation, scenes, scenes_from=str(arguments.boxes) if scenes else "",
            on_error=arguments.on_error, progress=progress,
        )
    if arguments.detector:
        yield from _detected(arguments, predictor)


def _detected(arguments: argparse.Namespace, predictor: Predictor) -> Iterator[Measured]:
    """Makes the measurements in which a detector has to find the faces."""
    from efld_tf.evaluation import detected
    from efld_tf.runtime.any_angle import open_detector
    from efld_tf.runtime.boxes import read_boxes
    from efld_tf.runtime.landmarker import FaceLandmarker

    finder = open_detector(arguments.detector, min_score=arguments.min_score)
    landmarker, name = FaceLandmarker(predictor, finder), Path(arguments.detector).name
    progress = not arguments.quiet
    if arguments.source:
        yield detected.measure_landmarks(
            landmarker, arguments.source, detector=name, scenes=arguments.scenes,
            on_error=arguments.on_error, progress=progress,
        )
    if arguments.boxes:
        boxes = read_boxes(arguments.boxes, arguments.box_format or "xyxy")
        if not boxes:
            raise DataError(arguments.boxes, "no image")
        yield detected.measure_boxes(
            landmarker, arguments.boxes.parent, boxes, boxes_from=str(arguments.boxes),
            detector=name, on_error=arguments.on_error, progress=progress,
        )


def _scenes(arguments: argparse.Namespace) -> Scenes:
    """Reads the photos and the boxes of their faces for `--prior`; empty without `--boxes`."""
    if not arguments.prior or arguments.boxes is None:
        return []
    from efld_tf.evaluation import presence

    path = arguments.boxes
    if path.is_dir():
        raise EfldError(f"--boxes {path}: expected the JSON file of the boxes, got a folder")
    return presence.read_scenes(str(path.parent), str(path), form=arguments.box_format or "xyxy")


def _tell(arguments: argparse.Namespace, measured: Measured) -> None:
    """Prints a measurement, merges it into the results file and draws it."""
    for reason in measured.skipped:
        say(f"skipped: {reason}")
    say_lines(measured.report())
    if arguments.output:
        measured.save(arguments.output)
        say(f"{measured.section} merged into {arguments.output}")
    if arguments.plots and (drawn := measured.draw(arguments.plots)):
        say(f"drawn: {', '.join(map(str, drawn))}")


def _check(arguments: argparse.Namespace, exported: bool) -> None:
    """Refuses arguments that do not go together."""
    _check_detector(arguments, exported)
    _check_report(arguments)
    common.need_folder("--plots", arguments.plots)
    if arguments.plots:  # A missing matplotlib is reported before the work.
        from efld_tf.evaluation import plots  # noqa: F401
    if arguments.source is None:
        if not arguments.prior and not arguments.detector:
            raise EfldError("--source: expected READER:PATH of annotated faces")
        if arguments.slices or arguments.robustness or arguments.split or arguments.threshold \
                or arguments.normaliser:
            raise EfldError("--slices, --robustness, --split, --threshold and --normaliser go with "
                            "--source")
        if arguments.plots and not arguments.prior:
            raise EfldError("--plots goes with --source or --prior")


def _check_report(arguments: argparse.Namespace) -> None:
    if arguments.report is None:
        if arguments.run:
            raise EfldError("--run goes with --report")
        return
    from efld_tf.evaluation import report  # A missing package is reported before the work.

    report.check_replaceable(arguments.report)
    for name in ("output", "plots"):
        place = getattr(arguments, name)
        if place and place.resolve().is_relative_to(arguments.report.resolve()):
            raise EfldError(f"--{name} {place}: expected a place outside of --report "
                            f"{arguments.report}, which is replaced as a whole")
    if arguments.run and not runs.history(arguments.run):
        raise DataError(arguments.run, f"no run: it has no validations ({runs.VALIDATION_LOG})")


def _check_detector(arguments: argparse.Namespace, exported: bool) -> None:
    if arguments.box_format and not arguments.boxes:
        raise EfldError("--box-format goes with --boxes")
    if arguments.detector is None:
        if arguments.scenes or arguments.min_score is not None:
            raise EfldError("--scenes and --min-score go with --detector")
        if arguments.boxes and not arguments.prior:
            raise EfldError("--boxes goes with --detector or --prior")
        return
    if arguments.normaliser:
        raise EfldError(f"--normaliser {arguments.normaliser}: --detector measures by the schema's "
                        "own first normaliser alone; leave out one of the two")
    if not exported:
        raise EfldError("--detector goes with an exported model (.tflite)")
    if arguments.source is None and arguments.boxes is None:
        raise EfldError("--detector: expected annotated faces, by --source or --boxes")
    if arguments.source is None and arguments.scenes:
        raise EfldError("--scenes goes with --source")
    if (arguments.source or "").startswith("packed:"):
        raise EfldError("--detector: packed crops have no photos to find faces in")


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "efld-eval",
        "Measure a model on annotated faces: NME, failure rate, CED-AUC, accuracy at 5 pixels,\n"
        "Point-Var, tables by point, by region of the face and by attribute.",
        "example: efld-eval model.tflite --source ibug:helen/testset --output results.json",
    )
    parser.add_argument("model", help="a .tflite of efld-export, a run's folder, a "
                        "trained .h5, or a shipped model: research or synthetic")
    parser.add_argument(
        "--source", metavar="READER:PATH",
        help="annotated faces, e.g. ibug:FOLDER, wflw:LIST.txt, packed:FOLDER",
    )
    parser.add_argument("--head", help="of a trained model (default: its first)")
    parser.add_argument("--output", type=Path, help="the results.json to merge into")
    parser.add_argument("--plots", type=Path, metavar="FOLDER",
                        help="where to draw CED, errors by landmark, faces, and what else is asked "
                        "for")
    parser.add_argument("--report", type=Path, metavar="FOLDER",
                        help="write a page of all that is measured, with its plots, the worst "
                        "faces and the learning curve: FOLDER/index.html, to open and print")
    parser.add_argument("--run", type=Path, metavar="RUN",
                        help="whose learning curve the report has (default: the run in whose "
                        "folder the model is)")
    parser.add_argument(
        "--slices", action="store_true",
        help="divide the faces by pose, opening of eyes and mouth, size, sharpness, brightness and "
        "apparent skin tone, as far as their points tell them",
    )
    parser.add_argument(
        "--robustness", action="store_true",
        help="measure also with shifted, scaled and turned crops, blur, noise, JPEG, darkness, "
        "occlusion and low resolution (about 0.1 s a face)",
    )
    parser.add_argument(
        "--prior", action="store_true",
        help="measure what is predicted where no face is: on black, noise and, with --boxes, on "
        "patches of photos; compared with the faces of --source, or with rendered ones without it",
    )
    _add_detector(parser)
    parser.add_argument(
        "--threshold", type=_percent, nargs="+", default=[], metavar="PERCENT",
        help="further NME thresholds of failure rate and CED-AUC, beside 10",
    )
    parser.add_argument(
        "--normaliser", metavar="NAME",
        help="what errors are divided by: a normaliser of the schema (default: its first), "
        "box_diagonal or box_size (sqrt of width x height) of the tight box of all annotated "
        "points, or image_size, the longest side of the box in the annotation's file",
    )
    parser.add_argument(
        "--split", choices=("train", "validation"),
        help="of a packed source (default: validation)",
    )
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def _add_detector(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of evaluation with a detector."""
    parser.add_argument(
        "--detector", metavar="both|short|full|FILE",
        help="measure also with detected faces: missed ones, NME of those found, and accuracy over "
        "all (both is the default of efld-predict)",
    )
    parser.add_argument(
        "--scenes", action="store_true",
        help="with --detector: each face is pasted into a larger scene at a random place and size",
    )
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE.json",
        help="the photos beside this file of all their faces' boxes, {IMAGE: [[x0, y0, x1, y1], "
        "...]}: with --detector recall and precision on them, with --prior patches of them",
    )
    parser.add_argument("--box-format", choices=("xyxy", "xywh"),
                        help="of --boxes: two corners, or one and the size "
                        "(default: xyxy)")
    parser.add_argument("--min-score", type=common.number_within(0, 1, ends=False),
                        metavar="SCORE",
                        help="of the detector (default: its own)")


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
