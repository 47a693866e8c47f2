"""HDF5 files that crash their library, or on which it never ends, are refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest

from efld_tf import assets, hdf5
from efld_tf.models import checkpoint
from tests.errors import refuses
from tests.fuzz.targets import CORPUS

NEVER_ENDS = CORPUS / "h5" / "never_ends"


def test_a_file_on_which_hdf5_never_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "TRIAL_SECONDS", 2.0)
    with refuses("HDF5", 2, path=NEVER_ENDS):
        checkpoint.read_spec(NEVER_ENDS)


def test_a_file_on_which_hdf5_crashes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program that ends by the signal stands for the library, whose crashes are mended."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["a"] = np.arange(3)
    crashing = tmp_path / "python"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    monkeypatch.setattr(hdf5.sys, "executable", str(crashing))
    with refuses("HDF5", signal.SIGSEGV.name, path=tmp_path / "a.h5"):
        checkpoint.read_spec(tmp_path / "a.h5")


def test_a_file_is_tried_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, tried = tmp_path / "a.h5", []
    real = hdf5.subprocess.run
    monkeypatch.setattr(hdf5.subprocess, "run",
                        lambda command, **options: tried.append(command[-1]) or
                        real(command, **options))
    for value in (1, 2):
        with h5py.File(path, "w") as file:
            file["a"] = np.full(3, value)
        os.utime(path, ns=(value, value))
        for _ in range(2):
            with hdf5.opened(path) as file:
                assert file["a"][()].tolist() == [value] * 3
    assert tried == [path, path]


def test_shipped_files_are_not_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hdf5, "_try", lambda *_: pytest.fail("it is tried"))
    for path in Path(assets.__file__).parent.rglob("*.h5"):
        hdf5.opened(path).close()


def test_all_of_a_file_is_read_whatever_is_in_it(tmp_path: Path) -> None:
    """Links in circles, references, and what leads elsewhere, which is not followed."""
    os.mkfifo(tmp_path / "pipe")
    with h5py.File(tmp_path / "a.h5", "w") as file:
        group = file.create_group("group")
        group["up"] = file["/"]
        group["soft"] = h5py.SoftLink("/group/soft")
        group["external"] = h5py.ExternalLink(str(tmp_path / "pipe"), "x")
        file["values"] = np.arange(6).reshape(2, 3)
        file["references"] = np.array([file["values"].ref, group.ref], h5py.ref_dtype)
        file.create_dataset("outside", (3,), "f8", external=[(str(tmp_path / "pipe"), 0, 24)])
        file["empty"] = h5py.Empty("f8")
        file.attrs["text"] = "text"
    hdf5.read_all(tmp_path / "a.h5")
    with hdf5.opened(tmp_path / "a.h5") as file:
        assert hdf5.find(file, "values")[()].sum() == 15
