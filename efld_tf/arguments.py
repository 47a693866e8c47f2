"""Checks the values of Python arguments; this module uses only the standard library."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable
from typing import Any

from efld_tf.errors import EfldError


def check_number(
    value: object, name: str, low: float = -math.inf, high: float = math.inf, *,
    whole: bool = False,
) -> None:
    """Refuses what is no number from `low` to `high`.

    Raises:
      EfldError: it is not; the message begins with the name.
    """
    kind = numbers.Integral if whole else numbers.Real
    if not isinstance(value, kind) or isinstance(value, bool) or \
            not low <= float(value) <= high:
        limits = f" from {low:g}" if low > -math.inf else ""
        limits += f" to {high:g}" if high < math.inf else ""
        raise EfldError(f"{name}: expected a {'whole ' * whole}number{limits}, got {value!r:.60}")


def numbers_of(
    values: object, name: str, low: float = -math.inf, high: float = math.inf, *,
    whole: bool = False,
) -> tuple[Any, ...]:
    """Several numbers as a tuple; refuses what is none, as `check_number` does for each."""
    if not isinstance(values, Iterable) or isinstance(values, str | bytes):
        raise EfldError(f"{name}: expected numbers, got {values!r:.60}")
    checked = tuple(values)
    for value in checked:
        check_number(value, name, low, high, whole=whole)
    return checked
