"""Texts of strangers."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import text

matplotlib.use("agg")
import matplotlib.pyplot as plt


@given(st.text(st.characters(exclude_categories=()), max_size=30))
def test_any_text_is_a_line(value: str) -> None:
    line = text.printable(value)
    assert line.isprintable() and (line == value or not value.isprintable())


@pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
@given(st.text(st.characters(exclude_categories=()), max_size=12))
def test_any_text_can_be_drawn(tmp_path: Path, value: str) -> None:
    figure = plt.figure(figsize=(1, 1), dpi=20)
    figure.text(0, 0, text.label(value))
    figure.savefig(tmp_path / "a.png")
    plt.close(figure)
    assert (tmp_path / "a.png").stat().st_size


def test_dollars_begin_no_formula(tmp_path: Path) -> None:
    figure = plt.figure()
    figure.text(0, 0, text.label(r"a$\foo$b"))
    figure.savefig(tmp_path / "a.png")
    plt.close(figure)
    assert text.label("5 $") == r"5 \$"
