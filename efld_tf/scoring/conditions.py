"""Whether results were measured under the same conditions, so that their scores compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# What changes a time, a power or an accuracy without the model being another one. Not the date, the
# load or the operating system's minor version.
COMPARED = {
    "benchmark": ("device", "runtime", "threads", "xnnpack", "core_mask", "time_is"),
    "evaluation": ("source", "faces", "normaliser"),
}


def of(results: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that a results file states, by dotted name."""
    return {
        f"{section}.{key}": results[section][key]
        for section, keys in COMPARED.items()
        for key in keys
        if key in results.get(section, {})
    }


def differences(stated: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The conditions that differ among those results that state them.

    Args:
      stated: what `of` gives for each.

    Returns:
      For each of these conditions the different values, in the order met.
    """
    found: dict[str, list[Any]] = {}
    for conditions in stated:
        for name, value in conditions.items():
            values = found.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: values for name, values in found.items() if len(values) > 1}


def unstated(conditions: Mapping[str, Any]) -> list[str]:
    """The sections of which results state no condition at all."""
    return [section for section in COMPARED
            if not any(name.startswith(f"{section}.") for name in conditions)]
