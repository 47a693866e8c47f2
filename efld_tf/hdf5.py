"""Reads untrusted HDF5 files within bounds.

HDF5 itself allocates what a file declares, inflates without a bound, and follows links and datasets
into other files. On some damaged files it never ends, or crashes. So all of a file is read once in
a process of its own, before it is read here: this module, run as a file.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # It is imported where it is used, because few of the readers need it.
    import h5py

# What the process that reads a file first may take, whatever the file; reading goes on at 100 MB/s
# and more.
TRIAL_SECONDS, TRIAL_BYTES_PER_SECOND = 30.0, 10e6
TRIAL_ADDRESS_BYTES = 8 << 30
# The values that it reads of one array: those of the largest image.
TRIAL_VALUES = 1 << 30

# The errors that h5py raises for files whose content is damaged.
ERRORS = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def reason(error: Exception) -> str:
    """What an error of `ERRORS` says, in one line; of the file system, its own words."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else " ".join(str(error).split())


def opened(path: str | Path) -> h5py.File:
    """Opens a file for reading, after it was tried in a process of its own.

    Files that come with the package are not tried.

    Raises:
      ValueError: HDF5 never ends on it, or crashes.
      another of `ERRORS`: it cannot be read, or is no HDF5 file.
    """
    import h5py

    path = Path(path).absolute()
    status = path.stat()
    if h5py.is_hdf5(path) and not path.is_relative_to(Path(__file__).parent):
        _try(path, status.st_size, status.st_mtime_ns)
    return h5py.File(path, "r")


@functools.cache
def _try(path: Path, size: int, changed_ns: int) -> None:
    """Reads all of a file in another process.

    Args:
      size, changed_ns: of the file; they tell if it is still the same.

    Raises:
      ValueError: that process crashes or takes too long.
      OSError: it cannot be started.
    """
    if not sys.executable:  # inside another program
        return
    seconds = TRIAL_SECONDS + size / TRIAL_BYTES_PER_SECOND
    try:
        process = subprocess.run([sys.executable, __file__, path], check=False, timeout=seconds,
                                 stdin=subprocess.DEVNULL, capture_output=True)
    except subprocess.TimeoutExpired as error:
        raise ValueError(f"HDF5 does not come to its end in {seconds:.0f} seconds") from error
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ValueError(f"HDF5 crashes on it ({name})")


def read_all(path: str | Path) -> None:
    """Reads everything in a file that the functions of this module may read.

    What cannot be read is passed over: whoever needs it will be told.
    """
    import h5py

    with contextlib.suppress(*ERRORS, MemoryError), h5py.File(path, "r") as file:
        found, left = set[int](), [file["/"]]
        while left:
            node = left.pop()
            with contextlib.suppress(*ERRORS, MemoryError):
                place = h5py.h5o.get_info(node.id).addr
                if place in found:
                    continue
                found.add(place)
                for name in node.attrs:
                    with contextlib.suppress(*ERRORS, MemoryError):
                        attribute(node, name, TRIAL_VALUES)
                if isinstance(node, h5py.Dataset):
                    references = values(node, "biufO", TRIAL_VALUES)
                    for reference in references.flat if references.dtype.kind == "O" else ():
                        with contextlib.suppress(*ERRORS, MemoryError):
                            left.append(file[reference])
                for name in node if isinstance(node, h5py.Group) else ():
                    with contextlib.suppress(*ERRORS, MemoryError):
                        left.append(find(node, name))


def find(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset:
    """Finds the group or dataset at a path `a/b/c` below a group or file; follows no links.

    Raises:
      KeyError: there is nothing, or a link.
      another of `ERRORS`: the file is damaged.
    """
    import h5py

    node = group
    for name in key.split("/"):
        link = node.get(name, getlink=True) if isinstance(node, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise KeyError(f"there is no {key}")
        node = node[name]
    return node


def attribute(node: h5py.Group, name: str, limit: int) -> Any:
    """Reads an attribute of a group or file.

    Args:
      limit: how many bytes it may have; texts of any length count as pointers, and are no longer
        than the file.

    Raises:
      KeyError: there is none of that name.
      ValueError or another of `ERRORS`: it is larger, or damaged.
    """
    stored = node.attrs.get_id(name)
    size = math.prod(stored.shape or ()) * stored.dtype.itemsize
    if stored.shape is None or size > limit:
        raise ValueError(f"an attribute {name} of {size} bytes, expected 1 to {limit}")
    return node.attrs[name]


def values(data: h5py.Group | h5py.Dataset, kinds: str, limit: int) -> np.ndarray:
    """Reads the values of a dataset.

    Args:
      kinds: the NumPy kinds of values that it may have.
      limit: how many values it may have.

    Raises:
      ValueError or another of `ERRORS`: it is not such a dataset, or it is damaged.
    """
    import h5py

    if not isinstance(data, h5py.Dataset) or data.shape is None:
        raise ValueError("not an array")
    if data.dtype.kind not in kinds or data.dtype.itemsize > 8 or data.size > limit:
        raise ValueError(f"an array of shape {data.shape}, {data.dtype}")
    if data.is_virtual or data.external:
        raise ValueError("an array outside the file")
    # HDF5 accepts chunks with more axes than the array, and then never ends.
    if data.chunks and (len(data.chunks) != data.ndim or math.prod(data.chunks) > limit):
        raise ValueError(f"an array of shape {data.shape} in chunks of {data.chunks}")
    # It does not bound what a chunk inflates to either. Whole chunks cover up to twice each axis.
    count = max(data.size, math.prod(data.chunks or ()))
    if data.id.get_storage_size() > 8 * count * data.dtype.itemsize + 4096:
        raise ValueError("more bytes are compressed in it than it has")
    return data[()]


def _main(path: str) -> None:
    """The process that reads a file first."""
    if sys.platform == "linux":
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = TRIAL_ADDRESS_BYTES if hard == resource.RLIM_INFINITY else min(
            hard, TRIAL_ADDRESS_BYTES)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    read_all(path)


if __name__ == "__main__":
    _main(sys.argv[1])
