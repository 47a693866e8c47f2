"""Draws a sliced evaluation: NME by group, with a panel for each attribute."""

from __future__ import annotations

import textwrap
from pathlib import Path

import matplotlib
import numpy as np

from efld_tf.evaluation.slices import Attribute, Slices, standard_error
from efld_tf.files import atomic_path

matplotlib.use("agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLUMNS = 3
FEWEST = 10  # faces; groups of fewer are drawn pale


def slices_plot(path: Path, slices: Slices) -> None:
    """Draws bars of the mean NME with its standard error as PNG; the dotted line is all faces."""
    rows = -(-len(slices.attributes) // COLUMNS)
    figure, grid = plt.subplots(
        rows, COLUMNS, figsize=(10.5, 2.7 * rows + 0.4), dpi=110, sharey=True, squeeze=False,
        layout="constrained",
    )
    for axes, attribute in zip(grid.flat, slices.attributes, strict=False):
        _draw(axes, slices, attribute)
    for axes in grid.flat[len(slices.attributes):]:
        axes.set_axis_off()
    evaluation = slices.evaluation
    for axes in grid[:, 0]:
        axes.set_ylabel("NME, %")
    figure.suptitle(
        f"{len(evaluation.faces)} faces, NME {evaluation.normaliser}: mean and standard error by "
        f"group, number of faces above (pale: fewer than {FEWEST}); dotted: all", fontsize=10,
    )
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _draw(axes: Axes, slices: Slices, attribute: Attribute) -> None:
    nme = 100 * slices.evaluation.nme
    people = np.array(slices.evaluation.faces.people)
    groups = slices.groups(attribute)
    for place, (_, members) in enumerate(groups):
        group_nme = nme[members]
        error = standard_error(group_nme, people[members])
        axes.bar(place, group_nme.mean(), 0.7, color="tab:blue",
                 alpha=0.85 if len(group_nme) >= FEWEST else 0.3)
        axes.errorbar(place, group_nme.mean(), error, capsize=3, color="black")  # NaN draws none
        top = group_nme.mean() + np.nan_to_num(error)
        axes.annotate(str(len(group_nme)), (place, top), ha="center", va="bottom",
                      fontsize=7, xytext=(0, 2), textcoords="offset points")
    axes.axhline(nme.mean(), linestyle=":", linewidth=1, color="black")
    labels = [textwrap.fill(name, 10, break_long_words=False) for name, _ in groups]
    axes.set_xticks(range(len(groups)), labels, fontsize=7)
    axes.set_title(attribute.title, fontsize=10)
    axes.set_xlabel(attribute.unit, fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", alpha=0.3)
    axes.margins(y=0.12)
