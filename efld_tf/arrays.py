"""The types of arrays; their shapes are in the docstrings of functions and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The pixels of photos and crops.
Image = NDArray[np.uint8]
# Points, boxes and distances, in single or double precision.
Floats = NDArray[np.floating[Any]]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
# Arrays of any type, such as the inputs and outputs of a model.
Array = NDArray[Any]
# The four numbers of one box, and several boxes, where a list or tuple is accepted too.
Box = Sequence[float] | Array
Boxes = Sequence[Box] | Array
