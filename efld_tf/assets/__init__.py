"""The shipped models; each has a MODEL_CARD.md that says what it may be used for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shipped:
    """A shipped model of 51 points, with the float weights of all heads.

    Attributes:
      folder: the folder of its files.
    """

    folder: Path

    @property
    def int8(self) -> Path:
        """The path of the `.tflite` in its bundle."""
        return self.folder / "efld_ibug51_int8" / "efld_ibug51_int8.tflite"

    @property
    def float(self) -> Path:
        """The path of the `.h5`."""
        return self.folder / "efld.h5"


# The models by the names that commands take. "research" was trained on research photos and is not
# for commercial use; "synthetic" was trained on rendered faces alone.
SHIPPED = {name: Shipped(Path(__file__).parent / name) for name in ("research", "synthetic")}
INT8_MODEL = SHIPPED["research"].int8
FLOAT_MODEL = SHIPPED["research"].float
