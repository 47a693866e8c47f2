"""Draws a robustness measurement: a curve for each corruption, and one face under all of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import matplotlib
import numpy as np

from efld_tf.evaluation.robustness import FAILURE, Curve, Robustness, Subject
from efld_tf.files import atomic_path
from efld_tf.landmarks import drawing

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import NullFormatter, NullLocator

COLUMNS = 3
TILE = 144
TICKS = (0.5, 1, 2, 3, 5, 10, 20, 50, 100, 200)


def curves_plot(path: Path, robustness: Robustness) -> None:
    """Draws NME by level as PNG, in panels of one logarithmic scale with the clean level marked."""
    curves = [curve for curve in robustness.curves if len(curve.levels) > 1]
    rows = -(-len(curves) // COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(9.5, 2.6 * rows + 0.4), dpi=110, sharey=True, squeeze=False,
        layout="constrained",
    )
    for axes, curve in zip(grid.flat, curves, strict=False):
        _draw_curve(axes, curve)
    for axes in grid.flat[len(curves):]:
        axes.set_axis_off()
    # A perfect model has no place on a logarithmic scale.
    drawn = np.maximum(np.concatenate([100 * c.nme.mean(axis=1) for c in curves]), 0.1)
    low, high = drawn.min() / 1.15, drawn.max() * 1.15
    ticks = [tick for tick in TICKS if low <= tick <= high]
    grid.flat[0].set(ylim=(low, high), yticks=ticks, yticklabels=[f"{tick:g}" for tick in ticks])
    for axes in grid[:, 0]:
        axes.set_ylabel("NME, %")
    evaluation = robustness.evaluation
    figure.suptitle(
        f"{len(evaluation.faces)} faces, NME {evaluation.normaliser}, mean; "
        f"circle and dotted line: clean; dashed: {100 * FAILURE:g}%", fontsize=10,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def levels_sheet(path: Path, robustness: Robustness, index: int | None = None) -> None:
    """Draws one face under every corruption and level, with its NME, in a row for each corruption.

    Args:
      path: a `.jpg` or `.png`.
      index: the index of the face; None for the one whose plain error is the median.
    """
    evaluation = robustness.evaluation
    if index is None:
        index = int(np.argsort(evaluation.nme)[len(evaluation.nme) // 2])
    subject = Subject(evaluation.faces, index)
    columns = max(len(curve.levels) for curve in robustness.curves)
    tiles, captions = [], []
    for curve in robustness.curves:
        tiles.append(np.full((TILE, TILE, 3), drawing.BACKGROUND, np.uint8))
        for row, line in enumerate(_wrapped(curve)):
            cv2.putText(tiles[-1], line, (6, 24 + 18 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.4,
                        drawing.WHITE, 1, cv2.LINE_AA)
        captions.append("")
        for position in _order(curve):
            tiles.append(subject.under(curve.corruption, curve.levels[position], TILE)[0])
            nme = 100 * curve.nme[position, index]
            captions.append(f"{_label(curve, position)}: NME {nme:.1f}%")
        for _ in range(columns - len(curve.levels)):
            tiles.append(np.full((TILE, TILE, 3), drawing.BACKGROUND, np.uint8))
            captions.append("")
    sheet = drawing.contact_sheet(tiles, columns + 1, TILE, captions)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])


def _order(curve: Curve) -> list[int]:
    """Positions in `levels` as they are drawn: the clean level comes after negative ones."""
    return sorted(range(len(curve.levels)), key=lambda i: (curve.levels[i] or 0) >= 0)


def _label(curve: Curve, position: int) -> str:
    return "clean" if position == 0 else f"{curve.levels[position]:g}"


def _wrapped(curve: Curve, width: int = 18) -> list[str]:
    lines = [curve.corruption.title.upper()]
    for word in curve.corruption.unit.split():
        if len(lines) == 1 or len(lines[-1]) + len(word) >= width:
            lines.append(word)
        else:
            lines[-1] += f" {word}"
    return lines


def _draw_curve(axes: Axes, curve: Curve) -> None:
    order = _order(curve)
    nme = np.maximum(100 * curve.nme.mean(axis=1), 0.1)
    axes.plot(range(len(order)), nme[order], "o-", markersize=4)
    axes.plot(order.index(0), nme[0], "o", markersize=10, fillstyle="none", color="black")
    axes.axhline(nme[0], linestyle=":", linewidth=1, color="black")
    axes.axhline(100 * FAILURE, linestyle="--", linewidth=0.8, color="tab:red")
    axes.set_yscale("log")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(range(len(order)), [_label(curve, i) for i in order])
    axes.set_title(curve.corruption.title, fontsize=10)
    axes.set_xlabel(curve.corruption.unit, fontsize=8)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.3)
