"""The tables of a report, from the sections of `results.json`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from markupsafe import Markup

from efld_tf.evaluation import markup
from efld_tf.evaluation.markup import Row, words

# What is said elsewhere on the page, in words or as a chart.
_SAID = frozenset({"source", "faces", "skipped", "schema", "crop_rule", "crop_scale",
                   "crop_scale_x", "crop_scale_y", "crop_rule_from", "normaliser",
                   "normaliser_is", "nme_by_point_percent"})


def tables(section: str, summary: Mapping[str, Any]) -> list[Markup]:
    """The tables of a section; its own numbers come first.

    Args:
      section, summary: a measurement's name and what it says in `results.json`.
    """
    numbers = {words(key): value for key, value in summary.items()
               if key not in _SAID and not isinstance(value, dict)}
    own = [markup.facts(numbers)] if numbers else []
    return own + _NESTED.get(section, _nested)(summary)


def _nested(summary: Mapping[str, Any]) -> list[Markup]:
    """A table for each mapping: of its names and values, or with a column for each of its keys."""
    result = []
    for key, values in summary.items():
        if key in _SAID or not isinstance(values, dict) or not values:
            continue
        if all(isinstance(value, dict) for value in values.values()):
            result.append(_by_name(words(key), values))
        else:
            result.append(markup.table([words(key), ""], {"": list(values.items())}))
    return result


def _by_name(title: str, rows: Mapping[str, Mapping[str, Any]]) -> Markup:
    keys = list(dict.fromkeys(key for row in rows.values() for key in row))
    return markup.table(
        [title, *map(words, keys)],
        {"": [(words(name), *map(row.get, keys)) for name, row in rows.items()]},
    )


def _evaluation(summary: Mapping[str, Any]) -> list[Markup]:
    regions = summary["nme_by_region_percent"]
    result = [markup.table(["region", "NME, %"],
                           {"": [(words(name), nme) for name, nme in regions.items()]})]
    if "by_attribute" in summary:
        groups = {name: [(value, group["faces"], group["nme_percent"])
                         for value, group in values.items()]
                  for name, values in summary["by_attribute"].items()}
        result.append(markup.table(["attribute", "faces", "NME, %"], groups))
    return result


def _slices(summary: Mapping[str, Any]) -> list[Markup]:
    nme = f"nme_{summary['normaliser']}_percent"
    keys = ("faces", "people", nme, "standard_error_percent", "failure_rate_10_percent")
    groups: dict[str, list[Row]] = {
        f"{words(name)}, {about['unit']}": [
            (group["group"], *map(group.get, keys)) for group in about["groups"]]
        for name, about in summary["attributes"].items()
    }
    return [markup.table(["group", *map(words, keys)], groups)]


def _robustness(summary: Mapping[str, Any]) -> list[Markup]:
    keys = (f"nme_{summary['normaliser']}_percent", "failure_rate_10_percent")
    groups: dict[str, list[Row]] = {
        f"{words(name)}, {curve['unit']}": [
            (f"{level:g}" if place else "clean", *values)
            for place, (level, *values) in enumerate(
                zip(curve["levels"], *map(curve.get, keys), strict=True))]
        for name, curve in summary["corruptions"].items()
    }
    return [markup.table(["level", *map(words, keys)], groups)]


_NESTED: dict[str, Callable[[Mapping[str, Any]], list[Markup]]] = {
    "evaluation": _evaluation, "slices": _slices, "robustness": _robustness,
}
