"""Keeps two commands from writing to one place at a time."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from efld_tf.errors import EfldError

# The name of a lock for the folder that it is in.
IN_FOLDER = ".lock"

# Open locks. A forked process, such as a worker that outlives a killed command, would keep them.
_open: set[int] = set()


def _close_all() -> None:
    for descriptor in _open:
        os.close(descriptor)
    _open.clear()


os.register_at_fork(after_in_child=_close_all)


@contextmanager
def hold(place: Path, lock: Path, waiting: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds a place during the block, in which no other command can hold it.

    The operating system frees it when the process ends, however that happens. On file systems
    without locks nothing is held.

    Args:
      place: the file or folder to be written, for messages.
      lock: a file in an existing folder, which is made for the block.
      waiting: is told why this waits; if None, it does not wait.

    Raises:
      EfldError: another command holds the place and `waiting` is None.
    """
    descriptor = _locked(place, lock, waiting)
    _open.add(descriptor)
    try:
        yield
    finally:
        if descriptor in _open:  # not in a forked process
            # In this order, since who opened it before finds another file under its name, or none.
            lock.unlink(missing_ok=True)
            _open.remove(descriptor)
            os.close(descriptor)


def _locked(place: Path, lock: Path, waiting: Callable[[str], None] | None) -> int:
    while True:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        try:
            if not _try(descriptor):
                busy = f"{place}: another command is writing there"
                if waiting is None:
                    raise EfldError(f"{busy}; wait until it ends, or choose another place")
                waiting(f"{busy}; waiting until it ends")
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(descriptor, lock):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its holder has just removed it


def _try(descriptor: int) -> bool:
    """Locks a file if nobody else has; True also where there are no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
