"""Draws the instructions of models on emulated cores."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf import text
from efld_tf.benchmarking.instructions import Instructions, shares
from efld_tf.files import atomic_path

COLOURS = ("#0072b2", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#cc79a7", "0.6")


def chart(path: Path, measured: Sequence[Instructions]) -> None:
    """Draws a bar for each model and core, divided by kind, as PNG.

    Args:
      measured: models on the same cores.
    """
    import matplotlib  # which measuring alone does not load

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = _names([one.model.resolve() for one in measured])
    bars = [(f"{text.label(name)}\n{core}", shares(one.cores[core].counts))
            for core in measured[0].cores for name, one in zip(names, measured, strict=True)]
    figure, axes = plt.subplots(figsize=(9, 1.2 + 0.45 * len(bars)), dpi=120, layout="constrained")
    places, left = np.arange(len(bars)), np.zeros(len(bars))
    for kind, colour in zip(bars[0][1], COLOURS, strict=True):
        lengths = np.array([parts[kind] for _, parts in bars]) / 1e6
        axes.barh(places, lengths, 0.7, left, color=colour, label=kind)
        left += lengths
    for place, total in zip(places, left, strict=True):
        axes.text(total, place, f" {total:.2f}", va="center", fontsize="small")
    axes.set_yticks(places, [title for title, _ in bars], fontsize="small")
    axes.margins(y=0.02)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.1 * left.max())
    axes.set(xlabel="millions of instructions an inference")
    axes.legend(fontsize="small", ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    axes.grid(axis="x", alpha=0.3)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _names(models: Sequence[Path]) -> list[str]:
    """What tells models apart: their names, or the first folders that differ."""
    names = [model.stem for model in models]
    if len(set(names)) == len(names):
        return names
    common = os.path.commonpath([model.parent for model in models])
    return [model.relative_to(common).parts[0] for model in models]
