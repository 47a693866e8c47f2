"""The types of arrays. Shapes stand in the docstrings of what takes and returns them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The pixels of photos and crops.
Image = NDArray[np.uint8]
# Points, boxes, distances: in single or double precision.
Floats = NDArray[np.floating[Any]]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
Ints = NDArray[np.integer[Any]]
Flags = NDArray[np.bool_]
# Of any type, such as the inputs and outputs of a model.
Array = NDArray[Any]
# The four numbers of one box, and boxes, where a list or tuple does as well.
Box = Sequence[float] | Array
Boxes = Sequence[Box] | Array
