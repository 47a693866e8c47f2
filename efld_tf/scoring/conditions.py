"""Tells whether results were measured under the same conditions, so that scores are comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

# The conditions that change a time, a power or an accuracy of the same model. The date, the load
# and the operating system's minor version are not among them.
COMPARED = {
    "benchmark": ("device", "runtime", "threads", "xnnpack", "core_mask", "time_is"),
    "evaluation": ("source", "faces", "normaliser"),
}


def of(results: Mapping[str, Any]) -> dict[str, Any]:
    """The conditions that the content of a results file states, by dotted name."""
    return {
        f"{section}.{key}": results[section][key]
        for section, keys in COMPARED.items()
        for key in keys
        if key in results.get(section, {})
    }


def differences(all_conditions: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """The conditions that differ among those results that state them.

    Args:
      all_conditions: the conditions of each results file, as `of` gives them.

    Returns:
      The different values of each of these conditions, in the order in which they occur.
    """
    values_by_name: dict[str, list[Any]] = {}
    for conditions in all_conditions:
        for name, value in conditions.items():
            values = values_by_name.setdefault(name, [])
            if value not in values:
                values.append(value)
    return {name: values for name, values in values_by_name.items() if len(values) > 1}


def unstated(conditions: Mapping[str, Any]) -> list[str]:
    """The sections for which none of the conditions is stated."""
    return [section for section in COMPARED
            if not any(name.startswith(f"{section}.") for name in conditions)]
