"""The shipped model; MODEL_CARD.md says what it may be used for."""

from __future__ import annotations

from pathlib import Path

INT8_MODEL = Path(__file__).parent / "efld_ibug51_int8" / "efld_ibug51_int8.tflite"
FLOAT_MODEL = Path(__file__).parent / "efld_cross_format.h5"
