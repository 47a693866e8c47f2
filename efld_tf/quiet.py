"""Silences libraries whose C++ code writes to stderr at every log level."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

# The process has one stderr, so threads take turns; otherwise one would undo what another has set.
_turn = threading.RLock()


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discards what is written to the process' stderr in a block; exceptions pass through."""
    with open(os.devnull, "w") as null_device, _redirected(null_device.fileno()):
        yield


@contextlib.contextmanager
def captured_stderr() -> Iterator[Callable[[], bytes]]:
    """Captures what is written to the process' stderr in a block, up to 64 kB.

    It is for libraries that report errors only there.

    Yields:
      A function that returns the bytes that were written since its last call.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)  # Text that does not fit is lost, so that no library waits.

    def read_captured() -> bytes:
        try:
            return os.read(reader, 1 << 16)
        except BlockingIOError:  # Nothing was written.
            return b""

    try:
        with _redirected(writer):
            yield read_captured
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def native_stderr_silenced(log: str | os.PathLike[str] = os.devnull) -> Iterator[None]:
    """Appends what libraries write to stderr in a block to a file, but not what Python writes.

    It is for a command in which one thread prints while others decode or compute.
    """
    original = sys.stderr
    with _turn:
        original.flush()
        stderr_copy = os.dup(2)
        target = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        os.dup2(target, 2)
        os.close(target)
    if _is_native(original):
        sys.stderr = open(  # noqa: SIM115 - the file itself is closed below
            stderr_copy, "w", buffering=1, encoding=original.encoding, errors=original.errors,
            closefd=False,
        )
    try:
        yield
    finally:
        with _turn:
            sys.stderr.flush()
            sys.stderr = original
            os.dup2(stderr_copy, 2)
            os.close(stderr_copy)


def _is_native(stream: TextIO) -> bool:
    """Whether a stream writes to the process' stderr, and not to a replacement by a test."""
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    with _turn:
        sys.stderr.flush()
        stderr_copy = os.dup(2)
        os.dup2(target, 2)
        try:
            yield
        finally:
            os.dup2(stderr_copy, 2)
            os.close(stderr_copy)


def quiet_tensorflow() -> None:
    """Imports TensorFlow without the messages that its libraries write to stderr at the start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Model Garden's cloud clients announce which Python versions they will drop one day.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    with silenced_stderr():
        import tensorflow

        tensorflow.config.list_physical_devices()  # It complains where there is no GPU.


def quiet_tensorflow_for(*sources: str) -> None:
    """Calls `quiet_tensorflow` where a source is a packed folder, which TensorFlow reads."""
    if any(source.startswith("packed:") for source in sources):
        quiet_tensorflow()
