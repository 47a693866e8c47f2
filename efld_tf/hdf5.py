"""What HDF5 files from strangers hold, within bounds.

HDF5 allocates what a file declares, inflates without a bound, and follows links and datasets into
other files.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # imported where it is used: all readers start with this file, few read HDF5
    import h5py

# What h5py raises for files whose content is damaged.
ERRORS = (AttributeError, IndexError, KeyError, OSError, RuntimeError, TypeError, ValueError)


def find(group: h5py.Group, key: str) -> h5py.Group | h5py.Dataset:
    """What stands at a path `a/b/c` below a group or file: no link is followed.

    Raises:
      KeyError: there is nothing, or a link.
      another of `ERRORS`: the file is damaged.
    """
    import h5py

    at = group
    for name in key.split("/"):
        link = at.get(name, getlink=True) if isinstance(at, h5py.Group) else None
        if not isinstance(link, h5py.HardLink):
            raise KeyError(f"there is no {key}")
        at = at[name]
    return at


def values(data: h5py.Group | h5py.Dataset, kinds: str, limit: int) -> np.ndarray:
    """The values of a dataset.

    Args:
      kinds: the NumPy kinds of values that it may have.
      limit: how many values it may have.

    Raises:
      ValueError or another of `ERRORS`: it is not such a dataset, or damaged.
    """
    import h5py

    if not isinstance(data, h5py.Dataset) or data.shape is None:
        raise ValueError("not an array")
    if data.dtype.kind not in kinds or data.dtype.itemsize > 8 or data.size > limit:
        raise ValueError(f"an array of shape {data.shape}, {data.dtype}")
    if data.is_virtual or data.external:
        raise ValueError("an array outside the file")
    # HDF5 takes chunks with more axes than the array for granted, and never ends.
    if data.chunks and (len(data.chunks) != data.ndim or math.prod(data.chunks) > limit):
        raise ValueError(f"an array of shape {data.shape} in chunks of {data.chunks}")
    # Nor does it bound what a chunk inflates to. Whole chunks cover up to twice each axis.
    count = max(data.size, math.prod(data.chunks or ()))
    if data.id.get_storage_size() > 8 * count * data.dtype.itemsize + 4096:
        raise ValueError("more bytes are compressed in it than it has")
    return data[()]
