"""Draws the implicit prior: inputs of every kind with the model's predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from efld_tf import text
from efld_tf.evaluation.presence import FACE, PATCH
from efld_tf.evaluation.prior import BLACK, CLOUDS, NOISE, Look, Prior
from efld_tf.files import atomic_path
from efld_tf.landmarks.schema import LandmarkSchema

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

EXAMPLES = 6
INCHES, HEAD_INCHES, DPI = 1.35, 1.1, 150  # inches of a tile, and of title and legend
LONGEST = 60  # letters of the reference's origin in the legend
TITLES = {FACE: "Faces", BLACK: "Black image", NOISE: "Noise", CLOUDS: "Smooth noise",
          PATCH: "Patches of photos\nwithout a face"}
ORANGE, GREEN, GREY = "#ff6e14", "#1a9e33", "#8c8c8c"
# Without a dark edge, orange cannot be seen on noise and on skin.
_EDGE = [withStroke(linewidth=2.4, foreground="black")]


def prior_sheet(path: Path, prior: Prior) -> None:
    """Draws a row for each kind as PNG: its numbers, all predictions, and inputs with theirs.

    All predictions are grey, their mean is orange and the reference green. Examples are chosen in
    even steps; their titles show the confidence, if the model has one.
    """
    rows, schema = len(prior.looks), prior.reference.schema
    figure, grid = plt.subplots(
        rows, EXAMPLES + 2, figsize=((EXAMPLES + 2) * INCHES, rows * 1.1 * INCHES + HEAD_INCHES),
        dpi=DPI, squeeze=False, layout="constrained",
    )
    for (numbers, overlay, *examples), look in zip(grid, prior.looks, strict=True):
        _write(numbers, look, prior)
        _draw_all(overlay, look, prior)
        chosen = np.linspace(0, len(look.crops) - 1, min(EXAMPLES, len(look.crops))).astype(int)
        for axes, index in zip(examples, chosen, strict=False):
            _draw_example(axes, look, index, schema)
        for axes in examples[len(chosen):]:
            axes.set_axis_off()
    figure.suptitle("Implicit prior: what the model predicts where no face is", fontsize=11)
    figure.legend(handles=_legend(prior), loc="outside lower center", ncols=3, fontsize=8,
                  frameon=False, title=_explanation(prior), title_fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _write(axes: Axes, look: Look, prior: Prior) -> None:
    """Writes the kind and its numbers, named as in the table of `efld-eval --prior`."""
    summary = look.summary(prior.reference)
    shape = summary[f"residual_{prior.reference.schema.normaliser.name}_percent"]
    lines = [f"{summary['inputs']} input{'s' if summary['inputs'] > 1 else ''}"]
    if "variation_crop_percent" in summary:
        lines.append(f"variation {summary['variation_crop_percent']:.1f}%")
    lines += [f"place {summary['from_reference_crop_percent']:.1f}%", f"shape {shape:.1f}%"]
    if "confidence_percent" in summary:
        lines.append(f"confidence {summary['confidence_percent']:.0f}%")
    axes.set_axis_off()
    title = TITLES[look.kind]
    below = 0.95 - 0.13 * (1 + title.count("\n"))
    axes.text(0, 0.97, title, fontsize=8.5, fontweight="bold", va="top")
    axes.text(0, below, "\n".join(lines), fontsize=8, va="top", linespacing=1.35)


def _draw_all(axes: Axes, look: Look, prior: Prior) -> None:
    """Draws every prediction, their mean and the reference in the crop's square."""
    schema, count = prior.reference.schema, len(look.predicted)
    for points in look.predicted:
        _draw_face(axes, points, schema, GREY, 0.5, alpha=max(0.12, 1 / count))
    _draw_face(axes, prior.reference.place, schema, GREEN, 1.3)
    _draw_face(axes, look.mean, schema, ORANGE, 1.3)
    _as_crop(axes)
    axes.set_title("all" if count > 1 else "prediction", fontsize=7, pad=2)


def _draw_example(axes: Axes, look: Look, index: int, schema: LandmarkSchema) -> None:
    axes.imshow(look.crops[index], extent=(0, 1, 1, 0))
    _draw_face(axes, look.predicted[index], schema, ORANGE, 1.0, path_effects=_EDGE)
    _as_crop(axes)
    if look.confidence is not None:
        axes.set_title(f"confidence {100 * look.confidence[index]:.0f}%", fontsize=7, pad=2)


def _draw_face(
    axes: Axes, points: np.ndarray, schema: LandmarkSchema, colour: str, width: float,
    **style: Any,
) -> None:
    """Draws points [N, 2] in the unit square as lines of the parts, or as dots; NaN is left out."""
    lines = [list(part.polyline) for part in schema.parts if len(part.polyline) > 1]
    for line in lines:
        axes.plot(*points[line].T, color=colour, linewidth=width, **style)
    alone = sorted(set(range(schema.num_points)).difference(*lines))
    axes.plot(*points[alone].T, "o", color=colour, markersize=1 + width, markeredgewidth=0, **style)


def _as_crop(axes: Axes) -> None:
    axes.set(xlim=(0, 1), ylim=(1, 0), aspect="equal", xticks=[], yticks=[])


def _legend(prior: Prior) -> list[Line2D]:
    # The end of a long path tells more than its beginning.
    origin = "/".join(prior.reference.origin.split("/")[-2:])[-LONGEST:]
    return [
        Line2D([], [], color=ORANGE, label="prediction; under \"all\", their mean"),
        Line2D([], [], color=GREY, label="every prediction"),
        Line2D([], [], color=GREEN, label=f"reference: mean face ({text.label(origin)})"),
    ]


def _explanation(prior: Prior) -> str:
    """The meaning of the numbers."""
    schema, without_shape = prior.reference.schema, 100 * prior.reference.without_shape
    return (
        "variation: mean distance of the points to their mean over the inputs, % of the crop's "
        "side;  place: distance of that mean to the reference, % of the crop's side\n"
        f"shape: residual to the mean face after a similarity, % of its {schema.normaliser.name} "
        f"distance ({without_shape:.0f}% for points that coincide)"
    )
