"""The learning curve has every validation where it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from efld_tf.evaluation import history_plot


def drawn(path: Path, history: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> Figure:
    monkeypatch.setattr(history_plot.plt, "close", lambda figure: None)
    history_plot.learning_curve(path, history)
    figure = history_plot.plt.gcf()
    monkeypatch.undo()
    history_plot.plt.close(figure)
    assert cv2.imread(str(path)).std() > 5
    return figure


def entry(step: int, loss: float | None, **more: Any) -> dict[str, Any]:
    return {"step": step, "training_loss": loss, "nme_percent": {}, **more}


def test_heads_and_loss_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [entry(8, 0.5, nme_percent={"ibug51": 4.0, "$x$": 9.0}),
               entry(16, None, nme_percent={"ibug51": 2.5}),
               entry(24, 0.25, nme_percent={"ibug51": 3.0, "$x$": float("nan")})]
    errors, losses = drawn(tmp_path / "a.png", history, monkeypatch).axes
    curve, best, other, _ = errors.lines
    np.testing.assert_array_equal(curve.get_xydata(), [[8, 4], [16, 2.5], [24, 3]])
    np.testing.assert_array_equal(best.get_xydata(), [[16, 2.5]])
    np.testing.assert_array_equal(other.get_xydata(), [[8, 9], [16, np.nan], [24, np.nan]])
    labels = [text.get_text() for text in errors.get_legend().texts]
    assert labels == ["ibug51: best 2.50%", r"\$x\$: best 9.00%"]
    np.testing.assert_array_equal(
        losses.lines[0].get_xydata(), [[8, 0.5], [16, np.nan], [24, 0.25]])


def test_rounds_follow_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = [entry(step, None, round=name, nme_percent={"ibug51": 3.0})
               for name, step in (("round_0", 8), ("round_0", 16), ("round_1", 8), ("round_2", 8))]
    (axes,) = drawn(tmp_path / "a.png", history, monkeypatch).axes
    assert axes.lines[0].get_xdata().tolist() == [8, 16, 24, 32]
    starts = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == ":"]
    assert starts == [16, 24]


def test_without_a_number_there_is_an_empty_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = [entry(8, float("nan"), nme_percent={"ibug51": float("inf")})]
    (axes,) = drawn(tmp_path / "a.png", history, monkeypatch).axes
    assert not axes.lines
