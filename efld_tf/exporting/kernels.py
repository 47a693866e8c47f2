"""What convolutions of int8 cost with XNNPACK's kernels for several processors.

A kernel computes a tile at a time: 8 or 16 channels of the result, for a few pixels. It goes from
tap to tap of the filters, and in each takes the input channels by pieces, the last of which is
filled up with zeros.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from efld_tf.errors import EfldError


@dataclass(frozen=True)
class Shape:
    """A convolution, as far as its cost goes.

    Attributes:
      pixels: of its result.
      filters, taps, channels: of its filters: how many, and the taps and input channels of each.
      moved: bytes that reshapes around it copy.
    """

    pixels: int
    filters: int
    taps: int
    channels: int
    moved: int = 0


@dataclass(frozen=True)
class Kernel:
    """What a convolution takes on a processor, in millionths of what all of EFLD takes there.

    Attributes:
      columns: the channels of a tile.
      piece: input channels of a piece.
      of_piece, of_tap, of_tile: what each takes in a pixel of a tile.
      of_byte: what copying one takes.
    """

    columns: int
    piece: int
    of_piece: float
    of_tap: float
    of_tile: float
    of_byte: float

    def cost(self, shape: Shape) -> float:
        """What a convolution takes."""
        taps = shape.taps * (math.ceil(shape.channels / self.piece) * self.of_piece + self.of_tap)
        tiles = shape.pixels * math.ceil(shape.filters / self.columns)
        return tiles * (taps + self.of_tile) + shape.moved * self.of_byte


# Fitted by `benchmarks/widening.py` to instructions of emulated cores, and to time on x86.
KERNELS = {
    "cortex-a53": Kernel(16, 1, 0.84, 0.69, 6.8, 0.0),
    "cortex-a72": Kernel(8, 8, 2.3, 1.6, 14.0, 0.044),
    "cortex-a76": Kernel(16, 4, 1.6, 1.9, 17.0, 0.0),
    "neoverse-v1": Kernel(16, 8, 1.7, 2.6, 19.0, 0.0),
    "avx512-vnni": Kernel(16, 8, 3.3, 0.0, 17.0, 0.0),
    "avx2": Kernel(8, 8, 2.5, 1.8, 3.2, 0.023),
}
ALL = tuple(KERNELS)
# Processors that compute by the kernels of another one.
ALIKE = {"neoverse-n1": "cortex-a76"}


def check(names: Sequence[str]) -> tuple[str, ...]:
    """The names in `KERNELS` of processors, each once.

    Raises:
      EfldError: there are no costs for one of them.
    """
    for name in names:
        if name not in {*KERNELS, *ALIKE}:
            known = ", ".join((*KERNELS, *ALIKE))
            raise EfldError(f"{name!r}: expected processors among {known}")
    return tuple(dict.fromkeys(ALIKE.get(name, name) for name in names))


def cost(shape: Shape, names: Sequence[str] = ALL) -> float:
    """The mean cost of a convolution on these processors."""
    return sum(KERNELS[name].cost(shape) for name in names) / len(names)
