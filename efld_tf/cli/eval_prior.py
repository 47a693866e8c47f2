"""`efld-eval --prior`: what a model predicts where no face is."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from efld_tf.errors import EfldError
from efld_tf.scoring import results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of the implicit prior; `--boxes` is the detector's, too."""
    parser.add_argument(
        "--prior", action="store_true",
        help="measure what is predicted where no face is: on black, noise and, with --boxes, on "
        "patches of photos; compared with the faces of --source, or with rendered ones without it",
    )


def scenes(arguments: argparse.Namespace) -> list[tuple[Path, Any]]:
    """The scenes of `--boxes`: photos and the boxes of their faces; empty without it.

    Raises:
      EfldError: the file is not of the form that `--box-format` says, or a photo is missing.
    """
    if not arguments.prior or arguments.boxes is None:
        return []
    from efld_tf.evaluation import presence

    path, form = arguments.boxes, arguments.box_format or "xyxy"
    if path.is_dir():
        raise EfldError(f"--boxes {path}: expected the JSON file of the boxes, got a folder")
    try:
        return presence.read_scenes(str(path.parent), str(path), form=form)
    except EfldError as error:
        if "has no area" in str(error):
            raise EfldError(f"{error}; read as --box-format {form}") from error
        raise


def measure(
    arguments: argparse.Namespace,
    predictor: Any,
    evaluation: Any,
    photos: list[tuple[Path, Any]],
    about: dict[str, Any],
) -> None:
    """Measures, prints a line a kind of inputs, merges and draws.

    Args:
      evaluation: of the source; None without one.
      photos: of `scenes`.

    Raises:
      EfldError: a photo cannot be read, or there is no mean face to compare with.
    """
    from efld_tf.evaluation import prior

    found = prior.measure(
        predictor, evaluation, photos, on_error=arguments.on_error, progress=not arguments.quiet
    )
    for error in found.skipped:
        print(f"skipped: {error}")
    summary = found.summary()
    if photos:
        summary["scenes"] = str(arguments.boxes)
    _print(summary)
    if arguments.output:
        results.merge(
            arguments.output, model=about, section="implicit_prior", details=summary, factors={}
        )
        print(f"implicit_prior merged into {arguments.output}")
    if arguments.plots:
        from efld_tf.evaluation import prior_plots

        sheet = arguments.plots / "prior.png"
        prior_plots.prior_sheet(sheet, found)
        print(f"drawn: {sheet}")


def _print(summary: dict[str, Any]) -> None:
    """The table, and what its columns are."""
    normaliser = summary["normaliser"]
    without = summary["residual_without_shape_percent"]
    print(f"implicit prior; reference: mean of {summary['reference']}")
    print("  variation: points to their mean over the inputs, % of the crop's side\n"
          "  place:     mean prediction to the reference, % of the crop's side\n"
          "  shape:     residual to the mean shape after a similarity, % of its "
          f"{normaliser} distance\n             (points at one place: {without:.0f})")
    columns = {
        "variation": "variation_crop_percent",
        "place": "from_reference_crop_percent",
        "shape": f"residual_{normaliser}_percent",
        "confidence": "confidence_percent",
    }
    kinds = summary["kinds"]
    columns = {name: key for name, key in columns.items()
               if any(key in row for row in kinds.values())}
    print(f"{'kind':8} {'inputs':>6}" + "".join(f" {name:>10}" for name in columns))
    for kind, row in kinds.items():
        values = (f"{row[key]:.2f}" if key in row else "-" for key in columns.values())
        print(f"{kind:8} {row['inputs']:6}" + "".join(f" {value:>10}" for value in values))
