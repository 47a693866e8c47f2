"""Writes files so that a kill, a power cut or a full disk leaves the old file or the new one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


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
    own_name = re.compile(r"\..*\.[0-9a-f]{8}\.tmp(\.[^.]*)?", re.DOTALL)
    for place, _, names in os.walk(folder):
        for name in filter(own_name.fullmatch, names):
            Path(place, name).unlink(missing_ok=True)


@contextmanager
def errors_name(path: str | Path) -> Iterator[None]:
    """Names `path` in errors of the operating system that name no file, as of a full disk."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(path)
        raise


def sync(path: Path) -> None:
    """Waits until a file or the names in a folder are on the disk.

    Otherwise a power cut soon after a renaming can leave an empty file under the new name.
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
