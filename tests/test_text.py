"""Texts of strangers."""

from __future__ import annotations

import sys
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


@given(st.text(st.characters(exclude_categories=()), max_size=300), st.integers(20, 100))
def test_long_texts_are_shown_by_their_start_and_end(value: str, longest: int) -> None:
    line, whole = text.shown(value, longest), text.printable(value)
    assert line.isprintable() and len(line) <= longest
    start, left_out, end = line.partition(" [...] ")
    if len(whole) <= longest:
        assert line == whole
    else:
        assert left_out and whole.startswith(start) and whole.endswith(end)
        assert len(start) > len(end) > 0


def test_a_huge_text_is_shortened() -> None:
    line = text.shown("start" + "\x1b" * 10**7 + "end")
    assert line.startswith("start\\x1b") and line.endswith("\\x1bend") and len(line) == 1000


def test_what_is_said_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    text.say("a\nerror: \x1b[31mb\u202e")
    assert capsys.readouterr() == ("a\\nerror: \\x1b[31mb\\u202e\n", "")
    text.say("c", sys.stderr)
    text.say_lines("a\n\x1b", sys.stderr)
    assert capsys.readouterr() == ("", "c\na\n\\x1b\n")


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
