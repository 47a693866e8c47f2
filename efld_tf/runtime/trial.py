"""Tries a model in a process of its own before it is loaded here, since a damaged one can crash it.

What has passed is noted by its hash in `~/.cache/efld_tf/tried`, so that each model is tried once.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from efld_tf import assets, files
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import worker
from efld_tf.runtime.onnx_interpreter import SUFFIX

# The time for loading a model and running it a few times; a damaged model may take forever.
SECONDS = 60.0
# Beside the model of a bundle, with its hash; its format is that of `golden`.
GOLDEN_FILE = "golden.json"
# More than golden files of the largest models have.
MOST_GOLDEN_BYTES = 1 << 20


def check(path: Path, content: bytes) -> None:
    """Checks that a model is the one that its bundle was written for, and that it can be run.

    Models that come with the package or with mediapipe are not tried.

    Args:
      path: its file.
      content: the bytes of the file.

    Raises:
      DataError: it has changed since its bundle was written, or the runtime cannot load or run it,
        crashes on it or takes too long.
      EfldError: the process could not be started.
    """
    digest = hashlib.sha256(content).hexdigest()
    expected = _bundled_hash(path)
    if expected is not None and digest != expected:
        raise DataError(path, f"it has changed since it was exported: its SHA-256 is not that in "
                              f"{GOLDEN_FILE}; export it again")
    if not sys.executable or _is_installed(path):
        return
    runtime = "onnxruntime" if path.suffix == SUFFIX else "ai-edge-litert"
    passed = _cache() / f"{digest}-{release(runtime)}"
    if passed.exists():
        return
    job = {"models": [str(path)], "threads": [1], "kernels": [True, False], "runs": 1, "warmup": 0,
           "seed": 0}
    ask_worker(path, job, SECONDS)
    with suppress(OSError):  # a home without room or rights
        passed.parent.mkdir(parents=True, exist_ok=True)
        passed.touch()


def release(runtime: str) -> str:
    """The version of a runtime's package.

    Raises:
      EfldError: it is not installed, which only ONNX Runtime may be.
    """
    try:
        return version(runtime)
    except PackageNotFoundError as error:
        with suppress(ImportError, AttributeError):  # a build of another name, such as for GPUs
            return str(importlib.import_module(runtime).__version__)
        raise EfldError(f"{runtime} is not installed: pip install 'efld-tf[onnx]'") from error


def _bundled_hash(path: Path) -> str | None:
    """The SHA-256 that a bundle states for its model; None outside of bundles.

    Raises:
      DataError: the bundle's file with it is damaged.
    """
    golden = path.with_name(GOLDEN_FILE)
    if not os.path.lexists(golden):
        return None
    content = files.read_bytes(golden, MOST_GOLDEN_BYTES)
    try:
        model = json.loads(content)["model"]
        return str(model["sha256"]) if model["file"] == path.name else None
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(golden, f"damaged, so that it does not say whether {path.name} is as it "
                                "was exported; export it again") from error


def _is_installed(path: Path) -> bool:
    """Whether a model lies in this package or in mediapipe's."""
    import importlib.util

    found = importlib.util.find_spec("mediapipe")
    folders = [Path(assets.__file__).parent, *map(Path, (found and found.submodule_search_locations)
                                                  or [])]
    return any(path.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _cache() -> Path:
    return files.cache("tried")


def ask_worker(path: Path, job: dict[str, Any], timeout: float | None) -> dict[str, Any]:
    """Returns the answer of `worker` to a job; `path` is named in messages.

    Raises:
      DataError: the runtime cannot load or run a model, crashes on it or takes too long.
      EfldError: the process could not be started.
    """
    try:
        process = subprocess.run(
            [sys.executable, worker.__file__],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired as error:
        raise DataError(path, f"does not run within {timeout:g} seconds") from error
    except OSError as error:
        raise EfldError(f"cannot start {sys.executable}: {error.strerror or error}") from error
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise DataError(path, f"cannot be run: {_runtime(path)} crashes on this model ({name})")
    if process.returncode > 0:
        last_line = (process.stderr.strip() or "no message").splitlines()[-1]
        raise EfldError(f"the process that tries models failed: {last_line}")
    answer: dict[str, Any] = json.loads(process.stdout.splitlines()[-1])
    if "error" in answer:
        raise DataError(path, f"{_runtime(path)} cannot run it: {answer['error']}")
    return answer


def _runtime(path: Path) -> str:
    return "ONNX Runtime" if path.suffix == SUFFIX else "LiteRT"
