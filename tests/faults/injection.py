"""Commands of which one write, sync or rename fails, in forks of a process with their imports."""

from __future__ import annotations

import atexit
import ctypes
import errno
import json
import mmap
import os
import shutil
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("failing.c")
ERRORS = (errno.ENOSPC, errno.EIO)


class _Control(ctypes.Structure):
    """The same as in failing.c."""

    _fields_ = (("fail_at", ctypes.c_long), ("error", ctypes.c_long), ("count", ctypes.c_long),
                ("logged", ctypes.c_long), ("folder", ctypes.c_char * 4096),
                ("log", ctypes.c_char * (1 << 20)))


@dataclass(frozen=True)
class Done:
    """A command that has ended.

    Attributes:
      code: its exit code.
      out, err: what it printed.
      calls: its writes, syncs and renames below the folder: `sync packed/manifest.json`.
    """

    code: int
    out: str
    err: str
    calls: tuple[str, ...]


class Commands:
    """Runs commands, each in a fork of one process that has imported what they need."""

    def __init__(self, process: subprocess.Popen[str], control: _Control, folder: Path):
        self._process, self._control, self._folder = process, control, folder

    def run(self, folder: Path, arguments: Sequence[object], fail_at: int = 0,
            error: int = errno.ENOSPC) -> Done:
        """Runs `PROGRAM ARGUMENTS...` in a folder.

        Args:
          fail_at: the number of the call on a file of the folder that fails, from 1 on.
          error: its errno.
        """
        control = self._control
        control.count, control.logged = 0, 0
        ctypes.memset(ctypes.addressof(control) + _Control.log.offset, 0, _Control.log.size)
        control.fail_at, control.error = fail_at, error
        control.folder = os.fsencode(folder.resolve())
        out, err = self._folder / "out", self._folder / "err"
        job = {"folder": str(folder), "arguments": [str(argument) for argument in arguments],
               "out": str(out), "err": str(err)}
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        control.folder = b""
        calls = tuple(control.log.decode().splitlines())
        return Done(code, out.read_text(), err.read_text(), calls)


@contextmanager
def commands(folder: Path, modules: Sequence[str]) -> Iterator[Commands]:
    """Starts the process of which commands are forks.

    Args:
      folder: an own one, for what is compiled, and for what commands print.
      modules: what is imported before.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("there is no C compiler")
        pytest.skip("there is no C compiler")
    library, shared = folder / "failing.so", folder / "control"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    shared.write_bytes(bytes(ctypes.sizeof(_Control)))
    with open(shared, "r+b") as file:
        control = _Control.from_buffer(mmap.mmap(file.fileno(), 0))
    environment = {"LD_PRELOAD": str(library), "EFLD_FAULTS": str(shared),
                   "XDG_CACHE_HOME": str(folder / "cache")}
    process = subprocess.Popen(
        [sys.executable, __file__, *modules], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True, env=os.environ | environment)
    with process:
        yield Commands(process, control, folder)
        assert process.stdin
        process.stdin.close()


def _serve(modules: Sequence[str]) -> None:
    """Runs the jobs of standard input in forks; writes their exit codes to standard output."""
    import importlib

    answers = os.dup(1)
    os.dup2(2, 1)  # libraries write there
    for module in modules:
        importlib.import_module(module)
    for line in sys.stdin:
        job = json.loads(line)
        child = os.fork()
        if not child:
            _run(job)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os.write(answers, f"{code}\n".encode())


def _run(job: dict[str, object]) -> None:
    """Becomes the command of a job."""
    import importlib

    os.chdir(str(job["folder"]))
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(str(job[name]), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - the process's own
    arguments = job["arguments"]
    assert isinstance(arguments, list)
    program, *sys.argv[1:] = arguments
    sys.argv[0] = program
    code = 1
    try:
        importlib.import_module(f"efld_tf.cli.{program.removeprefix('efld-')}").entry()
    except SystemExit as end:
        code = int(end.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # Native libraries take seconds to end in a fork.


if __name__ == "__main__":
    _serve(sys.argv[1:])
