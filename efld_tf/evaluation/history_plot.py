"""Draws the learning curve of a run: validation NME of every head and training loss by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from efld_tf import text
from efld_tf.files import atomic_path

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes


def learning_curve(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Draws the validations of a run as PNG; a circle marks the least error of each head.

    The rounds of self-training follow each other, with a dotted line where one begins.

    Args:
      history: as `runs.history` gives it, with at least one validation.
    """
    steps, starts = _steps(history)
    heads = list(dict.fromkeys(head for entry in history for head in entry["nme_percent"]))
    losses = np.array([np.nan if (loss := entry["training_loss"]) is None else loss
                       for entry in history])
    has_loss = np.isfinite(losses).any()
    figure, grid = plt.subplots(
        1, 1 + has_loss, figsize=(9 if has_loss else 6, 3.4), dpi=120, squeeze=False,
        layout="constrained",
    )
    for head in heads:
        nme = np.array([entry["nme_percent"].get(head, np.nan) for entry in history])
        names = dict.fromkeys(entry.get("normaliser", {}).get(head, "") for entry in history)
        title = text.shown(", ".join(filter(None, [head, *names])), 60)
        _draw_head(grid[0, 0], steps, nme, text.label(title))
    grid[0, 0].set(xlabel="step", ylabel="NME, %", title="Validation")
    if grid[0, 0].lines:
        grid[0, 0].legend(fontsize="small")
    if has_loss:
        grid[0, 1].plot(steps, losses, ".-", color="0.35", linewidth=1.2)
        grid[0, 1].set(xlabel="step", ylabel="loss", title="Training")
    for axes in grid[0]:
        axes.grid(alpha=0.3)
        for start in starts:
            axes.axvline(start, linestyle=":", linewidth=1, color="0.5")
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _steps(history: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[int]]:
    """The steps since the first round began [V], and those at which a further one begins."""
    steps, starts, done = list[int](), list[int](), 0
    for before, entry in zip([history[0], *history], history, strict=False):
        if entry.get("round") != before.get("round"):
            done = steps[-1]
            starts.append(done)
        steps.append(done + entry["step"])
    return steps, starts


def _draw_head(axes: Axes, steps: Sequence[int], nme: np.ndarray, label: str) -> None:
    if not np.isfinite(nme).any():
        return
    best = int(np.nanargmin(nme))
    (line,) = axes.plot(steps, nme, ".-", linewidth=1.2, label=f"{label}: best {nme[best]:.2f}%")
    axes.plot(steps[best], nme[best], "o", markersize=9, fillstyle="none", color=line.get_color())
