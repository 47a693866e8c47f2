"""Files are replaced in one step, and errors say which file they are about."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from efld_tf import files, runs
from efld_tf.annotations import sources
from efld_tf.data.check import exclusions
from efld_tf.landmarks import schemas
from efld_tf.runtime import golden, graph, interpreter, metadata, model_license
from efld_tf.scoring import results
from efld_tf.training import recipe
from tests.errors import refuses


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), files.atomic_path(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [other.name for other in tmp_path.iterdir()] == ["a.txt"]


def test_temporary_names_cannot_be_foreseen_and_keep_the_suffix(tmp_path: Path) -> None:
    names = {files.temporary_beside(tmp_path / "a.png").name for _ in range(100)}
    assert len(names) == 100
    assert all(name.startswith(".a.") and name.endswith(".tmp.png") for name in names)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's full device")
def test_a_full_disk_is_an_error_with_the_path(tmp_path: Path) -> None:
    with pytest.raises(OSError) as error, files.atomic_path(tmp_path / "a.txt"), \
            open("/dev/full", "wb", buffering=0) as full:
        full.write(b"x")
    assert error.value.errno == errno.ENOSPC
    assert error.value.filename == str(tmp_path / "a.txt")
    assert not [*tmp_path.iterdir()]


def test_where_a_relative_path_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) in files.whence(Path("runs/x")) and files.whence(tmp_path / "x") == ""
    with refuses("nowhere/x", tmp_path):
        sources.read("ibug:nowhere/x")
    with refuses(tmp_path, path="runs/x.h5"):
        runs.trained_model("runs/x.h5")


READERS = {
    "recipe": recipe.load, "schema": schemas.load, "results": results.read,
    "metadata": metadata.read, "graph": graph.read, "licence": model_license.read,
    "model": interpreter.load, "exclusions": lambda path: exclusions.read(path, "ibug:a"),
    "golden": lambda path: golden.read(path.with_name("a.tflite")),
}


@pytest.mark.parametrize("reader", READERS)
def test_pipes_and_files_without_an_end_are_refused(reader: str, tmp_path: Path) -> None:
    """A pipe would be waited for, and 16 GB, which take no room on the disk, fill the memory."""
    path = tmp_path / (golden.FILE if reader == "golden" else "a")
    os.mkfifo(path)
    with refuses("a pipe", path=path):
        READERS[reader](path)
    path.unlink()
    path.touch()
    os.truncate(path, 1 << 34)
    with refuses(str(1 << 34), path=path):
        READERS[reader](path)
