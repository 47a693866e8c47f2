"""Draws pictures of an evaluation: cumulative error curves and contact sheets of faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from efld_tf import text
from efld_tf.evaluation.evaluate import Evaluation
from efld_tf.files import atomic_path
from efld_tf.landmarks import drawing, metrics

matplotlib.use("agg")
import matplotlib.pyplot as plt

TILE = 256


def ced_plot(path: Path, curves: Mapping[str, Evaluation], threshold: float = 0.10) -> None:
    """Draws cumulative error distributions up to an NME threshold (a fraction) as PNG."""
    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    for label, evaluation in curves.items():
        errors, shares = metrics.ced_curve(evaluation.nme, threshold, 200)
        nme, auc = evaluation.nme.mean(), metrics.ced_auc(evaluation.nme, threshold)
        axes.plot(
            100 * errors, 100 * shares,
            label=f"{text.label(label)}: NME {100 * nme:.2f}%, "
            f"AUC@{100 * threshold:g} {100 * auc:.1f}%",
        )
        normaliser = evaluation.normaliser
    axes.set(
        xlabel=f"NME ({normaliser}), %", ylabel="faces, %", title="Cumulative error distribution",
        xlim=(0, 100 * threshold), ylim=(0, 100),
    )
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize="small")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def reliability_plot(path: Path, label: str, expected: np.ndarray, true: np.ndarray) -> None:
    """Draws the mean NME [F] by the expected one [F], in tenths of the faces, as PNG."""
    bins = metrics.reliability(expected, true)
    means = 100 * np.array([mean for *mean, _ in bins])
    least, most = 0.8 * means.min(), 1.25 * means.max()
    figure, axes = plt.subplots(figsize=(6, 4), dpi=120)
    axes.plot([least, most], [least, most], color="grey", linewidth=0.8, label="as expected")
    axes.plot(*means.T, "o-", markersize=4, label=text.label(label))
    axes.set(xlabel="expected NME, %", ylabel="NME, %", title="Expected errors",
             xlim=(least, most), ylim=(least, most))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize="small")
    figure.tight_layout()
    with atomic_path(path) as temporary:
        figure.savefig(temporary)
    plt.close(figure)


def predictions_sheet(
    path: Path, evaluation: Evaluation, indices: Sequence[int], columns: int = 4
) -> None:
    """Draws predictions and truth of chosen faces on one sheet, captioned with their NME."""
    tiles = [comparison(evaluation, index, TILE) for index in indices]
    captions = [f"{100 * evaluation.nme[index]:.1f}%  {evaluation.faces.names[index]}"
                for index in indices]
    sheet = drawing.contact_sheet(tiles, columns, TILE, captions)
    with atomic_path(path) as temporary:
        cv2.imwrite(str(temporary), sheet[..., ::-1])


def comparison(evaluation: Evaluation, index: int, size: int) -> np.ndarray:
    """A face's crop [size, size, 3] uint8 RGB with its truth and its prediction."""
    picture = evaluation.faces.picture(index, size)
    truth, predicted = (
        points[index] * size - 0.5 for points in (evaluation.truth, evaluation.predicted)
    )
    return drawing.draw_comparison(picture, truth, predicted, evaluation.schema)


def worst(evaluation: Evaluation, count: int = 16) -> list[int]:
    """The faces with the largest error, worst first."""
    return np.argsort(-evaluation.nme)[:count].tolist()


def spread(evaluation: Evaluation, count: int = 16) -> list[int]:
    """A fair sample: faces from best to worst in equal steps of rank."""
    order = np.argsort(evaluation.nme)
    return order[np.linspace(0, len(order) - 1, min(count, len(order))).astype(int)].tolist()
