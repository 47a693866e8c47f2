"""Bar charts of the error of each landmark, grouped by region of the face.

They are like those of PIPNet (Jin et al., "Pixel-in-Pixel Net", IJCV 2021, Figure 6), which show
one face; these can show many as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np

from efld_tf import text
from efld_tf.errors import EfldError
from efld_tf.evaluation.evaluate import Evaluation
from efld_tf.files import atomic_path
from efld_tf.landmarks.regions import CHIN, REGIONS, regions

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

# The percentiles at the ends of the whiskers.
LOW, HIGH = 10, 90

# Widths in bars: the longest line of the chart, a gap between regions, and a letter of a region's
# name.
LINE, GAP, LETTER = 64, 1.0, 0.5
INCHES = 0.165  # for a bar
PANEL_INCHES, HEAD_INCHES = 1.95, 0.65

_COLOURS = dict(zip(
    (*REGIONS, CHIN),
    ("#1f77b4", "#7fb8e6", "#2ca02c", "#8fd68a", "#9467bd", "#c5aede", "#d62728", "#e8923a",
     "#17a2b0"),
    strict=True,
))
_OTHER_COLOURS = ("#8c6d53", "#c2a58f", "#6e6e6e", "#adadad")


@dataclass(frozen=True)
class _Slot:
    """A region's place on a line of the chart.

    Attributes:
      name, points: the region's name and points.
      first: where its first bar stands.
      left, right: the ends of the place, which may be wider than the bars because of the name.
    """

    name: str
    points: tuple[int, ...]
    first: float
    left: float
    right: float


def points_plot(
    path: Path, evaluations: Mapping[str, Evaluation], face: int | None = None
) -> None:
    """Draws a bar for each landmark as PNG, coloured and grouped by region, in a chart a model.

    A bar is the mean over the faces, a whisker goes from the 10th to the 90th percentile, and a
    line over a region is the mean of the region. Charts stand one below the other and have one
    scale, and a landmark has the same place in all of them. Landmarks that no face has get no bar.

    Args:
      evaluations: evaluations of one schema, by the label of their chart.
      face: the only face of each to draw, without whiskers; None for all.

    Raises:
      EfldError: there is no evaluation, the schemas differ, or `face` is not the same face in all.
    """
    _check(evaluations, face)
    first = next(iter(evaluations.values()))
    lines = _lines(regions(first.schema))
    width = max(slots[-1].right for slots in lines)
    top = 1.06 * max(_top(evaluation, face) for evaluation in evaluations.values()) or 1.0
    rows = len(lines) * len(evaluations)
    figure, grid = plt.subplots(
        rows, 1, figsize=(max(5.5, width * INCHES + 0.8), rows * PANEL_INCHES + HEAD_INCHES),
        dpi=150, squeeze=False, layout="constrained",
    )
    panels = iter(grid[:, 0])
    for label, evaluation in evaluations.items():
        for slots in lines:
            axes = next(panels)
            _draw(axes, slots, evaluation, face)
            axes.set(xlim=(-0.8, width + 0.5), ylim=(0, top))
            if slots is lines[0]:
                nme = evaluation.nme.mean() if face is None else evaluation.nme[face]
                axes.set_title(f"{text.label(label)}: NME {100 * nme:.2f}%", fontsize=8.5,
                               fontweight="bold", loc="left", pad=36)
    subtitle = f"face: {text.label(first.faces.names[face])}; bar: error" if face is not None else (
        f"{len(first.faces)} faces; bar: mean; whisker: {LOW}th to {HIGH}th percentile")
    figure.suptitle(f"Error by landmark and region, {text.label(first.schema.title)}\n"
                    f"{subtitle}; black line: mean of the region", fontsize=9)
    figure.supylabel(f"error ({first.normaliser}), %", fontsize=8)
    figure.supxlabel("index of the landmark", fontsize=8)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _check(evaluations: Mapping[str, Evaluation], face: int | None) -> None:
    listed = list(evaluations.values())
    if not listed:
        raise EfldError("a chart of landmarks needs an evaluation")
    names = sorted({evaluation.schema.name for evaluation in listed})
    if len(names) > 1:
        raise EfldError(f"landmarks of {' and '.join(names)} cannot be compared in one chart")
    if face is not None:
        if not all(0 <= face < len(evaluation.faces) for evaluation in listed):
            raise EfldError(f"there is no face {face} in every evaluation")
        found = {evaluation.faces.names[face]: label for label, evaluation in evaluations.items()}
        if len(found) > 1:
            raise EfldError(f"face {face} is not the same one in every evaluation: "
                            f"{', '.join(f'{name} in {label}' for name, label in found.items())}")


def _lines(points_by_region: Mapping[str, Sequence[int]]) -> list[list[_Slot]]:
    """The regions one after the other, on as few lines of `LINE` bars as possible, evenly long.

    A region that is longer than a line is broken into several pieces.
    """
    pieces = [
        _Slot(name, tuple(points[at : at + LINE]), 0.0, 0.0, _width(name, points[at : at + LINE]))
        for name, points in points_by_region.items() for at in range(0, len(points), LINE)
    ]
    longest = float(LINE)
    broken = _broken(pieces, longest)
    # Lines are made as short as they can be without adding another one.
    while len(shorter := _broken(pieces, longest - 1)) == len(broken) and longest > 1:
        broken, longest = shorter, longest - 1
    return broken


def _broken(pieces: Sequence[_Slot], longest: float) -> list[list[_Slot]]:
    """Puts pieces on lines of at most `longest` bars, or of a single piece."""
    lines: list[list[_Slot]] = []
    left = 0.0
    for piece in pieces:
        width = piece.right - piece.left
        if not lines or left + width > longest:
            lines.append([])
            left = 0.0
        first = left + (width - len(piece.points)) / 2
        lines[-1].append(_Slot(piece.name, piece.points, first, left, left + width))
        left += width + GAP
    return lines


def _width(name: str, points: Sequence[int]) -> float:
    """The width of a region's place in bars: its bars, or the longest line of its name."""
    return max(len(points), LETTER * max(map(len, [*_title(name).split("\n"), "00.0%"])))


def _title(name: str) -> str:
    return name.replace("_", "\n", 1).replace("_", " ")


def _top(evaluation: Evaluation, face: int | None) -> float:
    """The highest value that is drawn, in percent."""
    errors = 100 * evaluation.point_errors()
    if face is not None:
        return float(np.nanmax(errors[face]))
    annotated = errors[:, np.isfinite(errors).any(axis=0)]
    highest_whisker = np.nanpercentile(annotated, HIGH, axis=0).max()
    return float(max(highest_whisker, np.nanmean(annotated, axis=0).max()))


def _draw(axes: Axes, slots: Sequence[_Slot], evaluation: Evaluation, face: int | None) -> None:
    errors = 100 * evaluation.point_errors()
    by_region = evaluation.nme_by_region()
    others = [name for name in regions(evaluation.schema) if name not in _COLOURS]
    ticks, labels = [], []
    for slot in slots:
        colour = _COLOURS.get(slot.name)
        if colour is None:
            colour = _OTHER_COLOURS[others.index(slot.name) % len(_OTHER_COLOURS)]
        x = slot.first + np.arange(len(slot.points)) + 0.5
        region_errors = errors[:, list(slot.points)]
        if face is not None:
            region_errors = region_errors[[face]]
        annotated = np.isfinite(region_errors).any(axis=0)
        ticks += x.tolist()
        labels += list(slot.points)
        title = _title(slot.name)
        if annotated.any():
            region_errors, x = region_errors[:, annotated], x[annotated]
            mean = np.nanmean(region_errors, axis=0)
            axes.bar(x, mean, width=0.82, color=colour)
            if face is None:
                low, high = np.nanpercentile(region_errors, (LOW, HIGH), axis=0)
                axes.vlines(x, low, high, color="#333333", linewidth=0.8)
            region = by_region[slot.name] if face is None else by_region[slot.name][[face]]
            level = 100 * float(np.nanmean(region))
            axes.hlines(level, slot.left - 0.3, slot.right + 0.3, color="black", linewidth=1.1)
            title += f"\n{level:.1f}%"
        axes.text((slot.left + slot.right) / 2, 1.02, title, fontsize=7, ha="center", va="bottom",
                  linespacing=1.15, transform=axes.get_xaxis_transform())
    axes.set_xticks(ticks, map(str, labels), rotation=90, fontsize=6.5)
    axes.tick_params(axis="x", length=0, pad=2)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
