"""Folders are replaced so that a killed command loses nothing that was finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from efld_tf import files


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder whose command was killed between its two renames, beside a half-written one."""
    code = "import os; print(os.getpid())"
    pid = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for suffix, text in ((".old", "finished"), (".tmp", "half")):
        left = tmp_path / f".made.{pid.stdout.strip()}{suffix}"
        left.mkdir()
        (left / "a.txt").write_text(text)
    return tmp_path / "made"


def test_what_was_finished_comes_back(killed: Path) -> None:
    with pytest.raises(RuntimeError), files.new_folder(killed):
        raise RuntimeError("the next command fails, too")
    assert (killed / "a.txt").read_text() == "finished"
    assert [path.name for path in killed.parent.iterdir()] == ["made"]


def test_a_new_folder_takes_its_place(killed: Path) -> None:
    with files.new_folder(killed) as temporary:
        (temporary / "a.txt").write_text("new")
    assert (killed / "a.txt").read_text() == "new"
    assert [path.name for path in killed.parent.iterdir()] == ["made"]
