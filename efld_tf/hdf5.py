"""Reads untrusted HDF5 files within bounds.

HDF5 itself allocates what a file declares, inflates without a bound, and follows links and datasets
into other files.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # It is imported where it is used, because few of the readers need it.
    import h5py

# The errors that h5py raises for files whose content is damaged.
ERRORS = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def reason(error: Exception) -> str:
    """What an error of `ERRORS` says, in one line; of the file system, its own words."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number else " ".join(str(error).split())


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
