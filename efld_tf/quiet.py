"""Silencing libraries whose C++ writes to stderr whatever the log level."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import TextIO

# The process has one stderr: threads take turns, or one would restore what another had put there.
_turn = threading.RLock()


@contextlib.contextmanager
def silenced_stderr() -> Iterator[None]:
    """Closes the process' stderr for the time of a block. Exceptions still come through."""
    with open(os.devnull, "w") as nothing, _redirected(nothing.fileno()):
        yield


@contextlib.contextmanager
def captured_stderr() -> Iterator[Callable[[], bytes]]:
    """Keeps what is written to the process' stderr in a block; yields what tells it, up to 64 kB.

    For libraries that say there, and nowhere else, what is wrong.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)  # what does not fit is lost instead of waited for

    def said() -> bytes:
        try:
            return os.read(reader, 1 << 16)
        except BlockingIOError:  # nothing
            return b""

    try:
        with _redirected(writer):
            yield said
    finally:
        os.close(reader)
        os.close(writer)


@contextlib.contextmanager
def native_stderr_silenced() -> Iterator[None]:
    """Closes stderr to libraries for the time of a block, while Python's own goes on.

    For a command of which one thread tells things while others decode.
    """
    original = sys.stderr
    with _turn:
        original.flush()
        kept = os.dup(2)
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        os.close(nothing)
    if _is_native(original):
        sys.stderr = open(  # noqa: SIM115 - the file itself is closed below, as `kept`
            kept, "w", buffering=1, encoding=original.encoding, errors=original.errors,
            closefd=False,
        )
    try:
        yield
    finally:
        with _turn:
            sys.stderr.flush()
            sys.stderr = original
            os.dup2(kept, 2)
            os.close(kept)


def _is_native(stream: TextIO) -> bool:
    """Whether a stream writes to the process' stderr, rather than to what a test puts there."""
    try:
        return stream.fileno() == 2
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _redirected(target: int) -> Iterator[None]:
    with _turn:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(target, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


def quiet_tensorflow() -> None:
    """Imports TensorFlow without the flood that its libraries write to stderr at start."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Model Garden's cloud clients announce which Python versions they will drop one day.
    warnings.filterwarnings("ignore", category=FutureWarning, module="google")
    with silenced_stderr():
        import tensorflow

        tensorflow.config.list_physical_devices()  # complains where there is no GPU


def quiet_tensorflow_for(*sources: str) -> None:
    """`quiet_tensorflow` where one of the sources is a packed folder, which TensorFlow reads."""
    if any(source.startswith("packed:") for source in sources):
        quiet_tensorflow()
