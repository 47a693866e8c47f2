"""Two commands never write to one place at a time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from efld_tf import locks
from tests.errors import refuses

_HOLDER = """
import os, sys, time
from pathlib import Path
from efld_tf import locks
with locks.hold(Path("out"), Path(sys.argv[1])):
    if sys.argv[2] == "forks":
        read, write = os.pipe()
        if os.fork() == 0:  # which has closed the lock's file when it runs
            os.write(write, b"1")
            time.sleep(60)
        os.read(read, 1)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(lock: Path, forks: str = "") -> Iterator[subprocess.Popen[str]]:
    """A process that holds a lock until its standard input ends."""
    with subprocess.Popen([sys.executable, "-c", _HOLDER, str(lock), forks], text=True,
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          start_new_session=True) as process:
        try:
            assert process.stdout is not None and process.stdout.readline() == "held\n"
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def test_the_second_command_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with holder(lock) as process:
        with refuses("another", "out"), locks.hold(tmp_path / "out", lock):
            pytest.fail("both hold it")
        assert lock.exists()
        process.communicate("")
    with locks.hold(tmp_path / "out", lock):
        assert lock.exists()
    assert not lock.exists()


def test_who_waits_gets_it_when_the_other_ends(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    told: list[str] = []
    with holder(lock) as process:
        def end(text: str) -> None:
            told.append(text)
            assert process.stdin is not None
            process.stdin.close()

        with locks.hold(tmp_path / "out", lock, waiting=end):
            assert process.wait() == 0
            with refuses("another"), locks.hold(tmp_path / "out", lock):
                pytest.fail("both hold it")
    assert len(told) == 1 and str(tmp_path / "out") in told[0]
    assert not lock.exists()


@pytest.mark.parametrize("forks", ["", "forks"])
def test_a_killed_command_holds_nothing(tmp_path: Path, forks: str) -> None:
    lock = tmp_path / "lock"
    with holder(lock, forks) as process:
        process.kill()
        process.wait()
        with locks.hold(tmp_path / "out", lock):
            pass
    assert not lock.exists()


def test_a_link_in_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "mine")
    with pytest.raises(OSError, match="lock"), locks.hold(tmp_path, tmp_path / "lock"):
        pytest.fail("held")
    assert not (tmp_path / "mine").exists()
