"""Programs of others that a measurement needs, installed below the user's cache when asked for."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from efld_tf.errors import EfldError
from efld_tf.text import say


def once(folder: Path, what: str, make: Callable[[Path], None]) -> Path:
    """The folder, which is made if it is missing, and appears when it is complete.

    Args:
      what: what messages call its content.
      make: fills a temporary folder, which is renamed.

    Raises:
      EfldError: `make` does, or the folder cannot be written.
    """
    if folder.exists():
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
        try:
            say(f"installing {what} into {folder} ...", sys.stderr)
            make(temporary)
            temporary.rename(folder)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        if not folder.exists():  # unless another process was quicker
            raise EfldError(f"{what}: {folder}: {error.strerror}") from error
    return folder


def run(
    what: str, command: Sequence[str], *, folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:  # fmt: skip
    """What a step of an installation prints.

    Args:
      what: what messages call that which is installed.
      folder: where it runs.
      environment: all of its variables; None for those of this process.

    Raises:
      EfldError: the step fails. The message has its first line of an error, or its last.
    """
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=folder,
                              env=environment, stdin=subprocess.DEVNULL).stdout
    except OSError as error:
        raise EfldError(f"{what}: {command[0]}: {error.strerror}") from error
    except subprocess.CalledProcessError as error:
        # pip first lists all the releases for other Pythons, if there are such.
        lines = [line for line in error.stderr.splitlines() if line.startswith(("ERROR", "E:"))
                 and not line.startswith("ERROR: Ignored")]
        lines += (error.stderr + error.stdout).strip().splitlines()[-1:]
        reason = lines[0].removeprefix("ERROR: ") if lines else f"exit code {error.returncode}"
        raise EfldError(
            f"{what}: cannot be installed by {command[0]}: {reason}") from error
