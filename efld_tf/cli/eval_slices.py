"""`efld-eval --slices`: for which faces a model is better and worse."""

from __future__ import annotations

import argparse
from typing import Any

from efld_tf.scoring import results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the argument of slices."""
    parser.add_argument(
        "--slices", action="store_true",
        help="divide the faces by pose, opening of eyes and mouth, size, sharpness, brightness and "
        "apparent skin tone, as far as their points tell them",
    )


def measure(arguments: argparse.Namespace, evaluation: Any, about: dict[str, Any]) -> None:
    """Divides the faces, prints a line a group, merges and draws."""
    from efld_tf.evaluation import slices

    found = slices.measure(evaluation)
    summary = found.summary()
    nme = f"nme_{summary['normaliser']}_percent"
    print(f"slices: NME {summary['normaliser']} ± its standard error in % "
          "(faces; those above 10%, in %)")
    for attribute in found.attributes:
        print(f"{attribute.name}, {attribute.unit}")
        for group in summary["attributes"][attribute.name]["groups"]:
            error = group["standard_error_percent"]
            spread = "" if error is None else f" ± {error:.2f}"
            print(f"    {group['group']:18} {group[nme]:.2f}{spread} "
                  f"({group['faces']}; {group['failure_rate_10_percent']:.1f})")
    if arguments.output:
        results.merge(arguments.output, model=about, section="slices", details=summary, factors={})
        print(f"slices merged into {arguments.output}")
    if arguments.plots:
        from efld_tf.evaluation import slices_plot

        path = arguments.plots / "slices.png"
        slices_plot.slices_plot(path, found)
        print(f"drawn: {path}")
