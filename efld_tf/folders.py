"""Replaces folders so that a kill or a power cut leaves the whole old one or the whole new one."""

from __future__ import annotations

import ctypes
import errno
import os
import re
import secrets
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from efld_tf import files, locks

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2  # of Linux
_RENAME_SWAP = 2  # of macOS


@contextmanager
def new_folder(folder: str | Path) -> Iterator[Path]:
    """Yields a temporary folder that takes the place of `folder` when the block succeeds.

    Raises:
      EfldError: another command is writing the folder.
      OSError: it cannot be written, or is a file; it has the path.
    """
    with hold(folder), replacement(folder) as temporary:
        yield temporary


@contextmanager
def hold(folder: str | Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Keeps other commands from replacing a folder during the block; see `locks.hold`.

    The folder itself need not exist; what killed commands left beside it is put back or removed.
    """
    folder = Path(os.path.realpath(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    with locks.hold(folder, folder.with_name(f".{folder.name}.lock"), waiting):
        _sweep(folder)
        yield


@contextmanager
def replacement(folder: str | Path) -> Iterator[Path]:
    """Does the same as `new_folder` for a folder that is held.

    The two folders are exchanged in one step. On file systems that cannot do so, a kill in the
    moment between two renamings leaves the old one beside its place, and the next `hold` puts it
    back.
    """
    folder = Path(os.path.realpath(folder))  # a link stays, and leads to the new folder
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    temporary = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    temporary.mkdir()
    try:
        with files.errors_name(folder):
            yield temporary
            _sync_tree(temporary)
            _put_in_place(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put_in_place(temporary: Path, folder: Path) -> None:
    """Gives the new folder its name, and removes the old one."""
    if not folder.exists():
        temporary.rename(folder)
        files.sync(folder.parent)
        return
    if _exchange(temporary, folder):
        files.sync(folder.parent)
        return  # the old one has the temporary name
    old = temporary.with_suffix(".old")
    folder.rename(old)
    try:
        temporary.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    files.sync(folder.parent)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(one: Path, other: Path) -> bool:
    """Exchanges the names of two folders; False where that cannot be done in one step."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        failed = libc.renamex_np(*names, _RENAME_SWAP)
    elif hasattr(libc, "renameat2"):
        failed = libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)
    else:
        return False
    if not failed:
        return True
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EPERM, errno.EXDEV):
        return False
    raise OSError(number, os.strerror(number), str(other))


def _sync_tree(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if not path.is_symlink():
                files.sync(path)
        files.sync(Path(place))


def _sweep(folder: Path) -> None:
    """Puts back or removes what killed commands left; nobody else is at work, it is locked."""
    own_name = re.compile(rf"\.{re.escape(folder.name)}\.[0-9a-f]{{8}}\.(tmp|old)")
    for leftover in sorted(folder.parent.iterdir()):
        if not own_name.fullmatch(leftover.name) or leftover.is_symlink() \
                or not leftover.is_dir():
            continue
        if leftover.suffix == ".old" and not folder.exists():  # killed between the two
            leftover.rename(folder)
        else:
            shutil.rmtree(leftover, ignore_errors=True)
