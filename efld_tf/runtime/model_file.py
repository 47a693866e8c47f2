"""Reads the bytes of a `.tflite`."""

from __future__ import annotations

from pathlib import Path

from efld_tf import files
from efld_tf.errors import DataError

# A flatbuffer's offsets are 32 bits.
MAX_BYTES = (1 << 31) - 1


def read(path: str | Path) -> bytes:
    """The content of a model's file.

    Raises:
      DataError: it cannot be read, or is larger than a model can be.
    """
    try:
        return files.read_bytes(path, MAX_BYTES)
    except DataError as error:
        raise _refused(path, error.reason) from error


def check(path: str | Path) -> None:
    """Checks a model's file before something else opens it; errors as in `read`."""
    try:
        files.open_limited(path, MAX_BYTES).close()
    except OSError as error:
        raise _refused(path, str(error.strerror or error)) from error
    except DataError as error:
        raise _refused(path, error.reason) from error


def _refused(path: str | Path, reason: str) -> DataError:
    return DataError(path, f"cannot read the model: {reason.removeprefix('cannot be read: ')}")
