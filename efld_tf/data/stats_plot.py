"""Draws the results of `stats.measure`: mean shapes, and distributions of several sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Ellipse

from efld_tf import text
from efld_tf.data.stats import MEASURES, SourceStats
from efld_tf.files import atomic_path
from efld_tf.landmarks import schemas

matplotlib.use("agg")
import matplotlib.pyplot as plt

Colour = tuple[float, float, float, float]

# The fewest and the most edges of a histogram; between them, it is twice the root of the faces.
BINS = (10, 40)
SIGMAS = 2

# The percentiles between which distributions are shown: single mistakes must not squeeze them.
SHOWN = (0.5, 99.5)


def draw(path: Path, all_stats: Sequence[SourceStats]) -> None:
    """Draws mean shapes and distributions as an image in the format of the suffix.

    Each source's mean shape has ellipses of two standard deviations. Below are the distributions of
    `MEASURES`.
    """
    columns = max(3, len(all_stats))
    figure = plt.figure(figsize=(4.2 * columns, 12.5), dpi=100, layout="constrained")
    top, below = figure.subfigures(2, 1, height_ratios=(5, 7.5))
    axes = top.subplots(1, len(all_stats), squeeze=False, sharex=True, sharey=True)[0]
    for place, stats, colour in zip(axes, all_stats, _colours(all_stats), strict=True):
        _draw_shape(place, stats, colour)
    axes[0].invert_yaxis()
    for place, name in zip(below.subplots(2, 3).ravel(), MEASURES, strict=True):
        _draw_histogram(place, name, all_stats)
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def _draw_shape(axes: Axes, stats: SourceStats, colour: Colour) -> None:
    for part in schemas.get(stats.schema).parts:
        order = list(part.polyline)
        axes.plot(*stats.mean[order].T, "-", color="0.6", linewidth=1)
    axes.plot(*stats.mean.T, "o", color=colour, markersize=2)
    for mean, covariance in zip(stats.mean, stats.covariance, strict=True):
        if not np.isfinite(covariance).all():
            continue
        lengths, directions = np.linalg.eigh(covariance)
        width, height = 2 * SIGMAS * np.sqrt(np.maximum(lengths, 0))
        angle = np.degrees(np.arctan2(directions[1, 0], directions[0, 0]))
        axes.add_patch(Ellipse(mean, width, height, angle=angle, color=colour, alpha=0.25, lw=0))
    people = "" if stats.identities is None else f", {stats.identities:,} people or photos"
    axes.set_title(f"{_name(stats)}\n{stats.faces:,} faces{people}, {stats.schema}", fontsize=10,
                   color=colour)
    axes.set(aspect="equal", xlabel=f"face sizes; ellipses: {SIGMAS} standard deviations")
    axes.margins(0.15)
    axes.locator_params(nbins=5)


def _colours(all_stats: Sequence[SourceStats]) -> list[Colour]:
    palette = plt.get_cmap("tab10")
    return [palette(index % palette.N) for index in range(len(all_stats))]


def _draw_histogram(axes: Axes, name: str, all_stats: Sequence[SourceStats]) -> None:
    axes.set(title=MEASURES[name], ylabel="share of faces")
    measured = [stats.values[name] for stats in all_stats if len(stats.values[name])]
    if not measured:
        axes.text(0.5, 0.5, "not known of these points", ha="center", transform=axes.transAxes)
        return
    low = min(np.percentile(values, SHOWN[0]) for values in measured)
    high = max(np.percentile(values, SHOWN[1]) for values in measured)
    high = high if high > low else low + 1
    logarithmic = name == "size" and low > 0 and high / low > 8
    count = int(np.clip(2 * np.sqrt(min(map(len, measured))), *BINS))
    edges = np.geomspace(low, high, count) if logarithmic else np.linspace(low, high, count)
    for stats, colour in zip(all_stats, _colours(all_stats), strict=True):
        values = stats.values[name]
        if len(values):
            axes.hist(values, edges.tolist(), weights=np.full(len(values), 1 / len(values)),
                      alpha=0.8, histtype="step", linewidth=1.6, color=colour)
    if logarithmic:
        axes.set_xscale("log")


def _name(stats: SourceStats) -> str:
    """The end of a source, short enough for a title."""
    path, _, options = stats.source.partition("?")
    reader, _, path = path.partition(":")
    short = "/".join(Path(path).parts[-2:])
    return text.label(f"{reader}:{short}" + (f"?{options}" if options else ""))
