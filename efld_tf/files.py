"""Writes files so that a kill, a power cut or a full disk leaves the old file or the new one.

It also reads files that come from anywhere, of which no more than a stated number of bytes is read.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from efld_tf.errors import DataError

# The names of `temporary_beside`.
OWN_NAME = re.compile(r"\..*\.[0-9a-f]{8}\.tmp(\.[^.]*)?", re.DOTALL)


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, because many writers choose a format by it.

    Raises:
      OSError: the file cannot be written; it has the path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = temporary_beside(path)
    try:
        with errors_name(path):
            yield temporary
            sync(temporary)
            os.replace(temporary, path)
            sync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A hidden path beside `path` that nobody can foresee, with the same suffix."""
    # Where others may write to the folder, a link could wait under a name that can be foreseen.
    return path.with_name(f".{path.stem}.{secrets.token_hex(4)}.tmp{path.suffix}")


def sweep(folder: Path) -> None:
    """Removes what killed commands left of `atomic_path` in a folder and the folders in it.

    Nobody else may be writing there.
    """
    for place, _, names in os.walk(folder):
        for name in filter(OWN_NAME.fullmatch, names):
            Path(place, name).unlink(missing_ok=True)


@contextmanager
def errors_name(path: str | Path) -> Iterator[None]:
    """Names `path` in errors of the operating system that name no file, as of a full disk.

    So it does in those that name a temporary file beside it.
    """
    try:
        yield
    except OSError as error:
        named = os.path.basename(str(error.filename or ""))
        if error.errno is not None and (error.filename is None or OWN_NAME.fullmatch(named)):
            error.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk.

    Otherwise a power cut soon after a renaming can leave an empty file under the new name.

    Raises:
      OSError: they cannot be written; see `errors_name`.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_bytes(path: str | Path, content: bytes) -> None:
    """Writes `content` to `path` atomically."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: str | Path, content: str) -> None:
    """Writes `content` as UTF-8 to `path` atomically."""
    write_bytes(path, content.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Writes `value` as indented JSON to `path` atomically."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def read_bytes(path: str | Path, limit: int) -> bytes:
    """The content of a small file.

    Raises:
      DataError: the file cannot be read, or is longer than `limit` bytes.
    """
    try:
        with open_limited(path, limit) as file:
            content = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise DataError(path, f"cannot be read: {reason}") from error
    if len(content) > limit:  # it grew, or is a device
        raise DataError(path, f"expected at most {limit} bytes, got more")
    return content


def open_limited(path: str | Path, limit: int | None = None) -> BinaryIO:
    """Opens a file for reading bytes; errors are as in `check_file`."""
    check_file(path, limit)
    return open(path, "rb")


def check_file(path: str | Path, limit: int | None = None) -> None:
    """Checks a file before it is opened.

    Raises:
      DataError: the file is longer than `limit` bytes, or is a pipe, which might never answer.
      OSError: the file does not exist.
    """
    status = os.stat(path)
    if stat.S_ISFIFO(status.st_mode):
        raise DataError(path, "expected a file, got a pipe")
    # The size is checked first, since a later check would have to read `limit` bytes.
    if limit is not None and status.st_size > limit:
        raise DataError(path, f"expected at most {limit} bytes, got {status.st_size}")


def cache(name: str) -> Path:
    """The folder of that name below the user's cache, for what can be made again."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "efld_tf" / name


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def whence(path: Path) -> str:
    """Where a relative path starts, to tell of one that leads nowhere; empty for an absolute one.

    Those in recipes start there, too, not at the recipe.
    """
    return "" if path.is_absolute() else f" (it starts in the current folder, {Path.cwd()})"
