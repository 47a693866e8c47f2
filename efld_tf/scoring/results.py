"""`results.json`: everything that was measured of one model.

The five factors of the PAIR score are numbers at the top, so that a file can be written by hand:

    {
      "name": "my model",
      "accuracy_percent": 18.47,
      "time_ms": 1.08,
      "complexity_gflops": 0.0191,
      "power_w": 1.93,
      "size_mb": 0.17
    }

- `accuracy_percent`: points within 5 px of the truth, in pixels of the original image; 0 to 100.
- `time_ms`: median (p50) latency of one image, XNNPACK on, by as many threads as `benchmark` says:
  one, unless it was asked for others.
- `complexity_gflops`: 2 x MACs / 1e9 of convolutions and dense layers.
- `power_w`: measured power while running.
- `size_mb`: size of the model file in 10^6 bytes.

All are optional, and so are `name` and the sections with details, which the commands write:
`model` (what was measured: file, sha256, size_bytes, family, schema), `evaluation` (`efld-eval`),
`implicit_prior` (`efld-eval --prior`), `robustness` (`efld-eval --robustness`), `detection` and
`box_detection` (`efld-eval --detector`) and `benchmark` (`efld-bench`). Keys of a section that are
listed in `SECTIONS` have the type given there; others may hold any JSON without NaN and infinity.

Of `evaluation`, errors are in percent of the distance of the section's `normaliser`:

- `nme_*_percent`: mean error by that normaliser, and of the section's own `nme_by_point_percent`
  by point and `nme_by_region_percent` by region (cheeks, eyebrows, eyes, nose, mouth and what else
  the schema has; the chin is a region of its own).
- `mean_shift_percent`: how far all points of a face are off together, mean over the faces.
- `point_variance_percent2`: variance of a face's points about that shift, in percent squared, mean
  over the faces (PIPNet's Point-Var).

Of `implicit_prior`, `kinds` says by kind of input without a face (and for `face`, to compare): how
many `inputs`, and in percent of the crop's side the mean distance of predicted points to the
kind's mean prediction (`variation_crop_percent`) and of that to the `reference`
(`from_reference_crop_percent`); `residual_NORMALISER_percent`, what is left of the distance to the
mean shape of faces after a similarity; `confidence_percent` where the model says how sure it is.
"""

from __future__ import annotations

import fnmatch
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efld_tf import files, trees
from efld_tf.errors import DataError, EfldError
from efld_tf.text import printable

# In the order of the file.
FACTORS = ("accuracy_percent", "time_ms", "complexity_gflops", "power_w", "size_mb")
UNITS = {
    "accuracy_percent": "%",
    "time_ms": "ms",
    "complexity_gflops": "GFLOPs",
    "power_w": "W",
    "size_mb": "MB",
}

# A results file has some kilobytes; limits keep a wrong file from taking the memory or the stack.
MAX_BYTES = 4 << 20
MAX_DEPTH = 20


# Keys of each section and their types, as `trees.checked` takes them; `*` stands for any
# characters, and the first pattern that fits counts.
SECTIONS: dict[str, dict[str, Any]] = {
    "model": {
        "file": str,
        "sha256": str,
        "size_bytes": int,
        "family": str,
        "schema": str,
    },
    "evaluation": {
        "source": str,
        "faces": int,
        "skipped": int,
        "schema": str,
        "normaliser": str,
        "nme_by_region_percent": dict[str, Any],
        "nme_by_point_percent": dict[str, Any],
        "by_attribute": dict[str, Any],
        "nme_*_percent": float,
        "failure_rate_*_percent": float,
        "ced_auc_*_percent": float,
        "accuracy_*_percent": float,
        "mean_shift_percent": float,
        "point_variance_percent2": float,
    },
    "implicit_prior": {
        "schema": str,
        "normaliser": str,
        "crop_rule": str,
        "reference": str,
        "scenes": str,
        "kinds": dict[str, Any],
    },
    "slices": {
        "source": str,
        "faces": int,
        "schema": str,
        "normaliser": str,
        "attributes": dict[str, Any],
    },
    "robustness": {
        "source": str,
        "faces": int,
        "schema": str,
        "normaliser": str,
        "crop_rule": str,
        "crop_scale": float,
        "face_px": int,
        "corruptions": dict[str, Any],
    },
    "detection": {
        "source": str,
        "detector": str,
        "faces": int,
        "*_percent": float,
        "schema": str,
        "normaliser": str,
    },
    "box_detection": {
        "boxes": str,
        "detector": str,
        "faces": int,
        "found": int,
        "*_percent": float,
        "by_size_px": dict[str, Any],
    },
    "benchmark": {
        "device": str,
        "os": str,
        "cores": int,
        "python": str,
        "runtime": str,
        "date": str,
        "threads": int,
        "xnnpack": bool,
        "warmup_runs": int,
        "runs": int,
        "latency_ms_*": float,
        "macs": int,
        "soc": str,
        "core_mask": str,
        "throttled": bool,
        "power_*_w": float,
        "*_bytes": int,
    },
}
TOP_LEVEL = ("name", *FACTORS, *SECTIONS)


def read(path: str | Path) -> dict[str, Any]:
    """Reads and validates a results file.

    Raises:
      DataError: it is missing, not UTF-8 JSON, has duplicate keys, or does not fit the schema.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror or error}") from error
    if len(content) > MAX_BYTES:
        raise DataError(path, f"is larger than {MAX_BYTES} bytes: not a results file")
    try:
        results = json.loads(
            content.decode("utf-8-sig"), object_pairs_hook=_unique, parse_int=_integer
        )
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} (column {error.colno})"
        raise DataError(path, reason, error.lineno) from error
    except UnicodeDecodeError as error:
        raise DataError(path, f"not UTF-8 text: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise DataError(path, "is nested too deeply") from error
    except _DuplicateKey as error:
        raise DataError(path, f"duplicate key {error.args[0]}") from error
    validate(results, path)
    valid: dict[str, Any] = results
    return valid


def validate(results: Any, path: str | Path) -> None:
    """Checks results against the schema.

    Args:
      path: the file they are from or for, for the messages.

    Raises:
      DataError: with the dotted path of what is wrong, what was expected and what was found.
    """
    if not isinstance(results, dict):
        raise DataError(path, f"expected an object, got {_shown(results)}")
    for key in results:
        if key not in TOP_LEVEL:
            raise DataError(path, f"unknown key {_shown(key)}; known: {', '.join(TOP_LEVEL)}")
    if "name" in results:
        _check(results["name"], str, "name", path)
    for name in FACTORS:
        if name in results:
            _check(results[name], float, name, path)
    if results.get("accuracy_percent", 0) > 100:
        raise DataError(
            path, f"accuracy_percent: expected at most 100, got {results['accuracy_percent']!r}"
        )
    for section, kinds in SECTIONS.items():
        if section not in results:
            continue
        _check(results[section], dict[str, Any], section, path)
        for key, value in results[section].items():
            kind = next((k for p, k in kinds.items() if fnmatch.fnmatchcase(str(key), p)), None)
            where = _dotted(section, key)
            if kind is not None:
                _check(value, kind, where, path)
            _check_tree(value, where, path, depth=2)


def existing(path: str | Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """What a results file holds already; empty where there is none.

    Commands call it before a long measurement, so that `merge` does not fail after it.

    Args:
      model: the `model` section of what is to be measured, with `sha256`.

    Raises:
      DataError: the file is not valid, or cannot be written.
      EfldError: it holds the results of another model.
    """
    found = read(path) if Path(path).exists() else {}
    above = next(folder for folder in Path(path).absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise DataError(path, f"cannot be written: {above} is not a folder to write to")
    known = found.get("model", {})
    if known.get("sha256", model["sha256"]) != model["sha256"]:
        raise EfldError(
            f"{path} holds results of {known.get('file', 'a model')} ({known['sha256'][:12]}), "
            f"not of {model.get('file', 'this model')} ({model['sha256'][:12]}): "
            "give another --output or delete it"
        )
    return found


def merge(
    path: str | Path,
    *,
    model: Mapping[str, Any],
    section: str,
    details: Mapping[str, Any],
    factors: Mapping[str, float],
) -> dict[str, Any]:
    """Adds one command's results to a results file, which is created where there is none.

    Args:
      path: the file; written atomically.
      model: the `model` section, with `sha256`; keys that are already in the file are updated.
      section: one of `SECTIONS`; replaced as a whole.
      details: its new content.
      factors: those of `FACTORS` that the section yields.

    Returns:
      The whole content as written.

    Raises:
      DataError: the file exists and is not valid, the result would not be, or it cannot be
        written.
      EfldError: the file holds the results of another model.
    """
    found = existing(path, model)
    if section == "benchmark" and "power_uncertainty_w" in found.get(section, {}):
        # A power that was measured with the old times is not one of the new times' device.
        found = {key: value for key, value in found.items() if key != "power_w"}
    merged = {
        **found,
        **factors,
        "model": {**found.get("model", {}), **_lines(model)},
        section: _lines(details),
    }
    validate(merged, path)
    ordered = {key: merged[key] for key in TOP_LEVEL if key in merged}
    try:
        files.write_json(path, ordered)
    except OSError as error:
        raise DataError(path, f"cannot be written: {error.strerror or error}") from error
    return ordered


def describe_model(path: str | Path, **more: Any) -> dict[str, Any]:
    """The `model` section of a model file: its name, SHA-256 and size, and what else is known.

    Raises:
      DataError: the file cannot be read.
    """
    path = Path(path)
    try:
        digest, size = files.sha256(path), path.stat().st_size
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror or error}") from error
    return {"file": path.name, "sha256": digest, "size_bytes": size, **more}


def _lines(values: Mapping[str, Any]) -> dict[str, Any]:
    """A section with its texts, such as names of files, as lines of text."""
    return {key: printable(value) if isinstance(value, str) else value
            for key, value in values.items()}


class _DuplicateKey(Exception):
    """An object of the file has this key twice; JSON itself would keep the last one."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKey(_shown(key))
        result[key] = value
    return result


def _integer(digits: str) -> int | float:
    # Beyond this no count is meant; as a float it becomes infinite at worst, and is refused below.
    return int(digits) if len(digits) < 100 else float(digits)


def _check(value: Any, kind: Any, where: str, path: str | Path) -> None:
    """Refuses a value of another kind, negative numbers, and text that no terminal can show.

    Such text would end up in tables; JSON can hold lone surrogates.
    """
    try:
        trees.checked(value, kind, where)
    except EfldError as error:
        raise DataError(path, str(error)) from error
    if kind is str and not value.isprintable():
        raise DataError(path, f"{where}: expected a line of text, got {_shown(value)}")
    if kind in (float, int) and value < 0:
        raise DataError(path, f"{where}: expected a number from 0 on, got {_shown(value)}")


def _check_tree(value: Any, where: str, path: str | Path, depth: int) -> None:
    """Refuses what JSON cannot hold, at any depth of a free-form value."""
    if depth > MAX_DEPTH:
        raise DataError(path, f"{where[:60]}...: is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(path, f"{where}: expected text as keys, got {_shown(key)}")
            _check_tree(item, _dotted(where, key), path, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_tree(item, f"{where}[{index}]", path, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise DataError(path, f"{where}: expected a finite number, got {_shown(value)}")
    elif not isinstance(value, str | int | float | None):
        raise DataError(path, f"{where}: expected a JSON value, got {_shown(value)}")


def _dotted(parent: str, key: Any) -> str:
    plain = isinstance(key, str) and key.isprintable() and len(key) <= 60
    return f"{parent}.{key if plain else _shown(key)}"


def _shown(value: Any) -> str:
    """A value as one short line."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    # JSON's words for these, not Python's.
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
