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


def test_only_what_killed_commands_left_is_removed(killed: Path) -> None:
    pid = next(killed.parent.glob("*.tmp")).name.split(".")[2]
    others = [".made.2023.bak", f".made.{pid}", f".made.{pid}.bak", f".made.{pid}.tmp.gz",
              f".made.{pid}.old.1", ".made.old.tmp", ".made.0.tmp", f".made.x.{pid}.tmp",
              f".made2.{pid}.tmp", f"made.{pid}.tmp", ".made.٣.tmp"]
    for name in others:
        (killed.parent / name).mkdir()
        (killed.parent / name / "mine.txt").write_text("mine")
    (killed.parent / f".made.0{pid}.tmp").write_text("a file")
    (killed.parent / ".made.999999.old").symlink_to(killed.parent / others[0])
    with files.new_folder(killed) as temporary:
        (temporary / "a.txt").write_text("new")
    left = {path.name for path in killed.parent.iterdir()}
    assert left == {*others, "made", f".made.0{pid}.tmp", ".made.999999.old"}
    assert all((killed.parent / name / "mine.txt").read_text() == "mine" for name in others)
