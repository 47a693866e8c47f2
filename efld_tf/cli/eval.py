"""`efld-eval`: a trained or exported model measured on annotated faces."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from efld_tf import runs
from efld_tf.cli import common, eval_detector, eval_prior, eval_slices
from efld_tf.errors import EfldError
from efld_tf.scoring import results


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, evaluates, prints a table and merges it into the results file."""
    arguments = _parser().parse_args(argv)
    exported = runs.is_exported(arguments.model)
    find = runs.exported_model if exported else runs.trained_model
    model = find(arguments.model)
    _check(arguments, exported)
    if exported:
        common.quiet_tensorflow_for(arguments.source or "")
    else:
        common.quiet_tensorflow()
    predictor = _load(model, exported, arguments)
    about = results.describe_model(model, schema=predictor.schema)
    if arguments.output:
        results.existing(arguments.output, about)  # refuse another model's file before the work
    scenes = eval_prior.scenes(arguments)
    evaluation = None
    if arguments.source:
        evaluation = _evaluate(arguments, predictor, about)
        if arguments.slices:
            eval_slices.measure(arguments, evaluation, about)
        if arguments.robustness:
            _measure_robustness(arguments, predictor, evaluation, about)
    if arguments.prior:
        eval_prior.measure(arguments, predictor, evaluation, scenes, about)
    if arguments.detector:
        eval_detector.measure(arguments, predictor, about)
    return None


def _check(arguments: argparse.Namespace, exported: bool) -> None:
    """Refuses arguments that do not go together."""
    eval_detector.check(arguments, exported)
    if arguments.plots and arguments.plots.exists() and not arguments.plots.is_dir():
        raise EfldError(f"--plots {arguments.plots}: expected a folder, got a file")
    if arguments.plots:  # that matplotlib is not installed is told before the work
        from efld_tf.evaluation import plots  # noqa: F401
    if arguments.source is None:
        if not arguments.prior and not arguments.detector:
            raise EfldError("--source: expected READER:PATH of annotated faces")
        if arguments.slices or arguments.robustness or arguments.split or arguments.threshold:
            raise EfldError("--slices, --robustness, --split and --threshold go with --source")
        if arguments.plots and not arguments.prior:
            raise EfldError("--plots goes with --source or --prior")


def _evaluate(arguments: argparse.Namespace, predictor: Any, about: dict[str, Any]) -> Any:
    """Measures with the boxes of the annotation; prints, merges and draws."""
    from efld_tf.evaluation import evaluate, faces

    found = faces.load(
        arguments.source, predictor.crop_rule, predictor.input_size,
        on_error=arguments.on_error, split=arguments.split, progress=not arguments.quiet,
    )
    for reason in found.skipped:
        print(f"skipped: {reason}")
    evaluation = evaluate.evaluate(predictor, found)
    summary = evaluation.summary(tuple(sorted({10.0, *arguments.threshold})))
    common.print_summary(summary)
    if summary["crop_rule_from"] != "model":
        print(f"note: the faces are cropped by a rule {summary['crop_rule_from']}, not the model's")
    if arguments.output:
        results.merge(
            arguments.output,
            model=about,
            section="evaluation",
            details=summary,
            factors={"accuracy_percent": summary["accuracy_5px_percent"]},
        )
        print(f"merged into {arguments.output}")
    if arguments.plots:
        _draw(arguments.plots, evaluation)
    return evaluation


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
    eval_slices.add_arguments(parser)
    parser.add_argument(
        "--robustness", action="store_true",
        help="measure also with shifted, scaled and turned crops, blur, noise, JPEG, darkness, "
        "occlusion and low resolution (about 0.1 s a face)",
    )
    eval_prior.add_arguments(parser)
    eval_detector.add_arguments(parser)
    parser.add_argument(
        "--threshold", type=_percent, nargs="+", default=[], metavar="PERCENT",
        help="further NME thresholds of failure rate and CED-AUC, beside 10",
    )
    parser.add_argument(
        "--split", choices=("train", "validation"),
        help="of a packed source (default: validation)",
    )
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a positive number, got {text!r}")
    return value


def _load(model: Path, exported: bool, arguments: argparse.Namespace) -> Any:
    """The predictor; TensorFlow is only imported for a trained model."""
    if exported:
        if arguments.head:
            raise EfldError(f"--head: {model} has one head only; it goes with a trained model")
        from efld_tf.runtime.predictor import LandmarkPredictor

        return LandmarkPredictor(model)
    from efld_tf.models.predictor import FloatPredictor

    return FloatPredictor(model, arguments.head)


def _draw(folder: Path, evaluation: Any) -> None:
    from efld_tf.evaluation import plots, point_plots

    label = "/".join(evaluation.faces.source.split("/")[-2:])
    plots.ced_plot(folder / "ced.png", {label: evaluation})
    point_plots.points_plot(folder / "points.png", {label: evaluation})
    plots.predictions_sheet(folder / "worst.png", evaluation, plots.worst(evaluation))
    plots.predictions_sheet(folder / "sample.png", evaluation, plots.spread(evaluation))
    drawn = ", ".join(f"{folder}/{name}.png" for name in ("ced", "points", "worst", "sample"))
    print(f"drawn: {drawn}")


def _measure_robustness(
    arguments: argparse.Namespace, predictor: Any, evaluation: Any, about: dict[str, Any]
) -> None:
    """Measures corrupted faces, prints a line a corruption, merges and draws."""
    from efld_tf.evaluation import robustness

    found = robustness.measure(predictor, evaluation, progress=not arguments.quiet)
    summary = found.summary()
    print(f"robustness: level: NME {summary['normaliser']} in % (faces above 10%, in %)")
    for name, curve in summary["corruptions"].items():
        levels = zip(
            curve["levels"], curve[f"nme_{summary['normaliser']}_percent"],
            curve["failure_rate_10_percent"], strict=True,
        )
        shown = ", ".join(
            f"{f'{level:g}' if place else 'clean'}: {nme:.2f} ({failed:.1f})"
            for place, (level, nme, failed) in enumerate(levels)
        )
        print(f"{name + ', ' + curve['unit']}\n    {shown}")
        if curve["left_out"]:
            levels = ", ".join(f"{level:g}" for level in curve["left_out"])
            print(f"    note: left out, because the packed crops end before: {levels}")
    if arguments.output:
        results.merge(
            arguments.output, model=about, section="robustness", details=summary, factors={}
        )
        print(f"robustness merged into {arguments.output}")
    if arguments.plots:
        from efld_tf.evaluation import robustness_plots

        curves = arguments.plots / "robustness_curves.png"
        sheet = arguments.plots / "robustness_levels.png"
        robustness_plots.curves_plot(curves, found)
        robustness_plots.levels_sheet(sheet, found)
        print(f"drawn: {curves}, {sheet}")


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
