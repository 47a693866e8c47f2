"""Writes files so that a killed command leaves either the old file or the new one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` when the block succeeds.

    The temporary name keeps the suffix, because many writers choose a format by it.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


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


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """Yields a temporary folder that takes the place of `folder` when the block succeeds.

    A kill leaves the old folder or the new one; in the moment between the two, the old one is
    beside its place, where the next call finds it and puts it back. Other folders that killed
    commands left are removed.
    """
    folder = Path(folder).absolute()
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    old = temporary.with_suffix(".old")
    _sweep(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        if folder.exists():
            folder.rename(old)
        try:
            temporary.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Puts back or removes what killed commands left of `new_folder`, also one with this id."""
    import psutil  # Scoring, which writes files too, works without it.

    if not folder.parent.is_dir():
        return
    own_name = re.compile(rf"\.{re.escape(folder.name)}\.([1-9][0-9]{{0,9}})\.(tmp|old)")
    for leftover in folder.parent.iterdir():
        match = own_name.fullmatch(leftover.name)
        if match is None or leftover.is_symlink() or not leftover.is_dir():
            continue
        # In a container, every process may have the same id.
        if psutil.pid_exists(int(match[1])) and int(match[1]) != os.getpid():
            continue
        if leftover.suffix == ".old" and not folder.exists():  # killed between the two
            leftover.rename(folder)
        else:
            shutil.rmtree(leftover, ignore_errors=True)
