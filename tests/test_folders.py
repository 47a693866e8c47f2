"""Folders are replaced so that a killed command loses nothing that was finished."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from efld_tf import folders
from tests.errors import refuses


@pytest.fixture(params=["exchange", "two renamings"])
def step(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How folders are replaced, also as on a file system that cannot exchange names."""
    if request.param != "exchange":
        monkeypatch.setattr(folders, "_exchange", lambda *_: False)
    return str(request.param)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """A folder whose command was killed between its two renames, beside a half-written one."""
    for suffix, text in ((".old", "finished"), (".tmp", "half")):
        left = tmp_path / f".made.0123abcd{suffix}"
        left.mkdir()
        (left / "a.txt").write_text(text)
    return tmp_path / "made"


def test_what_was_finished_comes_back(killed: Path) -> None:
    with pytest.raises(RuntimeError), folders.new_folder(killed):
        raise RuntimeError("the next command fails, too")
    assert (killed / "a.txt").read_text() == "finished"
    assert [path.name for path in killed.parent.iterdir()] == ["made"]


def test_a_new_folder_takes_its_place(killed: Path, step: str) -> None:
    for text in ("new", "newer"):
        with folders.new_folder(killed) as temporary:
            (temporary / "a.txt").write_text(text)
        assert (killed / "a.txt").read_text() == text
        assert [path.name for path in killed.parent.iterdir()] == ["made"]


def test_a_link_leads_to_the_new_folder(tmp_path: Path, step: str) -> None:
    (tmp_path / "disk" / "real").mkdir(parents=True)
    (tmp_path / "made").symlink_to(tmp_path / "disk" / "real")
    with folders.new_folder(tmp_path / "made") as temporary:
        (temporary / "a.txt").write_text("new")
    assert (tmp_path / "made").is_symlink() and (tmp_path / "made" / "a.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["real"]


def test_a_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").write_text("mine")
    with pytest.raises(NotADirectoryError) as error, folders.new_folder(tmp_path / "made"):
        pass
    assert error.value.filename == str(tmp_path / "made")
    assert (tmp_path / "made").read_text() == "mine"


def test_only_what_killed_commands_left_is_removed(killed: Path) -> None:
    others = [".made.0123abcd.bak", ".made.0123abcd", ".made.0123ABCD.tmp", ".made.0123abcd.tmp.gz",
              ".made.0123abcd.old.1", ".made.old.tmp", ".made.0.tmp", ".made.x.0123abcd.tmp",
              ".made2.0123abcd.tmp", "made.0123abcd.tmp", ".made.٠١٢٣٤٥٦٧.tmp"]
    for name in others:
        (killed.parent / name).mkdir()
        (killed.parent / name / "mine.txt").write_text("mine")
    (killed.parent / ".made.89abcdef.tmp").write_text("a file")
    (killed.parent / ".made.99999999.old").symlink_to(killed.parent / others[0])
    with folders.new_folder(killed) as temporary:
        (temporary / "a.txt").write_text("new")
    left = {path.name for path in killed.parent.iterdir()}
    assert left == {*others, "made", ".made.89abcdef.tmp", ".made.99999999.old"}
    assert all((killed.parent / name / "mine.txt").read_text() == "mine" for name in others)


def test_the_second_command_is_told(tmp_path: Path) -> None:
    with folders.new_folder(tmp_path / "made") as temporary:
        (temporary / "a.txt").write_text("first")
        with refuses("another", str(tmp_path / "made")), folders.new_folder(tmp_path / "made"):
            pytest.fail("both write it")
    assert (tmp_path / "made" / "a.txt").read_text() == "first"
    assert [path.name for path in tmp_path.iterdir()] == ["made"]


# Dies at the K-th call of the operating system that changes names, before or after it.
_DIES = """
import os, sys
from pathlib import Path
from efld_tf import folders
folder, exchange, when, left = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
def dying(call):
    def wrapped(*arguments, **options):
        global left
        left -= 1
        if left == 0 and when == "before":
            os._exit(9)
        result = call(*arguments, **options)
        if left == 0:
            os._exit(9)
        return result
    return wrapped
if exchange == "exchange":
    folders._exchange = dying(folders._exchange)
else:
    folders._exchange = lambda *_: False
for name in ("rename", "rmdir", "unlink", "mkdir", "fsync"):
    setattr(os, name, dying(getattr(os, name)))
with folders.new_folder(folder) as temporary:
    (temporary / "a.txt").write_text("new")
    (temporary / "b.txt").write_text("new")
os._exit(7)
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_at_any_moment_leaves_a_whole_folder(tmp_path: Path, step: str, when: str) -> None:
    made = tmp_path / "made"
    for moment in range(1, 50):
        with folders.new_folder(made) as temporary:
            for name in ("a.txt", "b.txt"):
                (temporary / name).write_text("old")
        command = [sys.executable, "-c", _DIES, str(made), step, when, str(moment)]
        code = subprocess.run(command, check=False).returncode
        if step == "exchange":  # without anything that puts it back
            assert made.is_dir()
        with folders.hold(made):
            found = sorted((path.name, path.read_text()) for path in made.iterdir())
        assert found in ([("a.txt", text), ("b.txt", text)] for text in ("old", "new"))
        assert [path.name for path in tmp_path.iterdir()] == ["made"]
        if code == 7:
            assert found[0][1] == "new"
            return
        assert code == 9
    pytest.fail("it never ends")
