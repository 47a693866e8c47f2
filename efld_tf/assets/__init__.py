"""The shipped models; the MODEL_CARD.md of each says what it may be used for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Shipped:
    """A shipped model: 51 points, and the float weights with all their heads.

    Attributes:
      folder: of its files.
    """

    folder: Path

    @property
    def int8(self) -> Path:
        """The `.tflite`, in its bundle."""
        return self.folder / "efld_ibug51_int8" / "efld_ibug51_int8.tflite"

    @property
    def float(self) -> Path:
        """The `.h5`."""
        return self.folder / "efld.h5"


# By the names under which the commands know them: trained on research photos, not for commercial
# use; and on rendered faces alone.
SHIPPED = {name: Shipped(Path(__file__).parent / name) for name in ("research", "synthetic")}
INT8_MODEL = SHIPPED["research"].int8
FLOAT_MODEL = SHIPPED["research"].float
