"""Reads, checks and writes `results.json`, which holds everything that was measured of one model.

The five factors of the PAIR score are numbers at the top level, so that a file can be written by
hand:

    {
      "name": "my model",
      "accuracy_percent": 18.47,
      "time_ms": 1.08,
      "complexity_gflops": 0.0191,
      "power_w": 1.93,
      "size_mb": 0.17
    }

- `accuracy_percent`: share of the points within 5 px of the truth, in pixels of the original image;
  0 to 100.
- `time_ms`: median (p50) latency of one image with XNNPACK, in milliseconds. `benchmark` says how
  many threads were used; it is one thread unless another number was asked for.
- `complexity_gflops`: 2 x MACs / 1e9 of convolutions and dense layers.
- `power_w`: measured power while running, in watts.
- `size_mb`: size of the model file in 10^6 bytes.

All of them are optional. So are `name` and the sections with details, which the commands write:
`model` (file, sha256, size_bytes, family and schema of the model), `evaluation` (`efld-eval`),
`implicit_prior` (`efld-eval --prior`), `robustness` (`efld-eval --robustness`), `detection` and
`box_detection` (`efld-eval --detector`) and `benchmark` (`efld-bench`). Keys of a section that are
listed in `SECTIONS` have the type given there; others may hold any JSON without NaN and infinity.

The errors of `evaluation` are in percent of the distance of the section's `normaliser`, of which
`normaliser_is` says what it is:

- `nme_*_percent`: mean error by that normaliser. `nme_by_point_percent` has it for each point, and
  `nme_by_region_percent` for each region of the schema (cheeks, eyebrows, eyes, nose, mouth, chin
  and others).
- `mean_shift_percent`: how far all points of a face are shifted together, as the mean over the
  faces.
- `expected_nme_percent`: the mean error that the model expects by itself, if it tells expected
  errors, and `bad_fit_auroc_percent`: how often it expects more of a face whose error is above 5%
  than of another one (area under the ROC curve).
- `point_variance_percent2`: variance of a face's points about that shift, in percent squared, as
  the mean over the faces (PIPNet's Point-Var).

`kinds` of `implicit_prior` has these values for each kind of input without a face, and for `face`
as a comparison:

- `inputs`: their number.
- `variation_crop_percent`: mean distance of the predicted points to the kind's mean prediction, in
  percent of the crop's side.
- `from_reference_crop_percent`: mean distance of the kind's mean prediction to the `reference`, in
  percent of the crop's side.
- `residual_NORMALISER_percent`: the distance to the mean shape of faces that remains after a
  similarity transform.
- `confidence_percent`: the confidence, where the model has one.
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

# The factors are in the order of the file.
FACTORS = ("accuracy_percent", "time_ms", "complexity_gflops", "power_w", "size_mb")
UNITS = {
    "accuracy_percent": "%",
    "time_ms": "ms",
    "complexity_gflops": "GFLOPs",
    "power_w": "W",
    "size_mb": "MB",
}

# A results file has some kilobytes; the limits keep a wrong file from exhausting memory or stack.
MAX_BYTES = 4 << 20
MAX_DEPTH = 20


# The keys of each section and their types, as `trees.checked` takes them; `*` stands for any
# characters, and the first pattern that fits is used.
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
        "normaliser_is": str,
        "nme_by_region_percent": dict[str, Any],
        "nme_by_point_percent": dict[str, Any],
        "by_attribute": dict[str, Any],
        "nme_*_percent": float,
        "expected_nme_percent": float,
        "bad_fit_auroc_percent": float,
        "depth_faces": int,
        "depth_error_*_percent": float,
        "pose_error_degrees": dict[str, Any],
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
        "xnnpack": bool, "optimised": bool,
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
    "instructions": {
        "runtime": str,
        "emulator": str,
        "cores": dict[str, Any],
    },
}
TOP_LEVEL = ("name", *FACTORS, *SECTIONS)


def read(path: str | Path) -> dict[str, Any]:
    """Reads and validates a results file.

    Raises:
      DataError: the file is missing, is not UTF-8 JSON, has duplicate keys, or does not fit the
        schema.
    """
    content = files.read_bytes(path, MAX_BYTES)
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
      path: the file of the results, which messages name.

    Raises:
      DataError: a value does not fit. The message has its dotted path, what was expected and what
        was found.
    """
    if not isinstance(results, dict):
        raise DataError(path, f"expected an object, got {_short_text(results)}")
    for key in results:
        if key not in TOP_LEVEL:
            raise DataError(path, f"unknown key {_short_text(key)}; known: {', '.join(TOP_LEVEL)}")
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
            place = _dotted(section, key)
            if kind is not None:
                _check(value, kind, place, path)
            _check_tree(value, place, path, depth=2)


def existing(path: str | Path, model: Mapping[str, Any]) -> dict[str, Any]:
    """Reads what a results file holds already; the result is empty where there is no file.

    Commands call this before a long measurement, so that `merge` does not fail after it.

    Args:
      model: the `model` section of the model that is to be measured, with `sha256`.

    Raises:
      DataError: the file is not valid, or cannot be written.
      EfldError: the file holds the results of another model.
    """
    results = read(path) if Path(path).exists() else {}
    above = next(folder for folder in Path(path).absolute().parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise DataError(path, f"cannot be written: {above} is not a folder to write to")
    known_model = results.get("model", {})
    if known_model.get("sha256", model["sha256"]) != model["sha256"]:
        known_file = known_model.get("file", "a model")
        raise EfldError(
            f"{path} holds results of {known_file} ({known_model['sha256'][:12]}), "
            f"not of {model.get('file', 'this model')} ({model['sha256'][:12]}): "
            "give another --output or delete it"
        )
    return results


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
      path: the file, which is written atomically.
      model: the `model` section, with `sha256`; keys that are already in the file are updated.
      section: one of `SECTIONS`, which is replaced as a whole.
      details: the new content of the section.
      factors: those of `FACTORS` that the section yields.

    Returns:
      The whole content of the file.

    Raises:
      DataError: the file exists and is not valid, the result would not be valid, or it cannot be
        written.
      EfldError: the file holds the results of another model.
    """
    content = existing(path, model)
    if section == "benchmark" and "power_uncertainty_w" in content.get(section, {}):
        # A power that was measured together with the old times does not belong to the new ones.
        content = {key: value for key, value in content.items() if key != "power_w"}
    merged = {
        **content,
        **factors,
        "model": {**content.get("model", {}), **_as_lines(model)},
        section: _as_lines(details),
    }
    validate(merged, path)
    ordered = {key: merged[key] for key in TOP_LEVEL if key in merged}
    try:
        files.write_json(path, ordered)
    except OSError as error:
        raise DataError(path, f"cannot be written: {error.strerror or error}") from error
    return ordered


def describe_model(path: str | Path, **extra_fields: Any) -> dict[str, Any]:
    """The `model` section of a model file: its name, SHA-256 and size.

    Args:
      extra_fields: further keys of the section.

    Raises:
      DataError: the file cannot be read.
    """
    path = Path(path)
    try:
        digest, size = files.sha256(path), path.stat().st_size
    except OSError as error:
        raise DataError(path, f"cannot read the model: {error.strerror or error}") from error
    return {"file": path.name, "sha256": digest, "size_bytes": size, **extra_fields}


def _as_lines(values: Mapping[str, Any]) -> dict[str, Any]:
    """Replaces the texts of a section, such as names of files, by printable lines."""
    return {key: printable(value) if isinstance(value, str) else value
            for key, value in values.items()}


class _DuplicateKey(Exception):
    """An object of the file has this key twice; Python's reader would keep the last value."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise _DuplicateKey(_short_text(key))
        result[key] = value
    return result


def _integer(digits: str) -> int | float:
    # No count is that long; as a float it becomes infinite at worst, and is refused later.
    return int(digits) if len(digits) < 100 else float(digits)


def _check(value: Any, kind: Any, place: str, path: str | Path) -> None:
    """Refuses a value of another kind, a negative number, and text that no terminal can show.

    Such text would end up in tables, and JSON can hold lone surrogates.
    """
    try:
        trees.checked(value, kind, place)
    except EfldError as error:
        raise DataError(path, str(error)) from error
    if kind is str and not value.isprintable():
        raise DataError(path, f"{place}: expected a line of text, got {_short_text(value)}")
    if kind in (float, int) and value < 0:
        raise DataError(path, f"{place}: expected a number from 0 on, got {_short_text(value)}")


def _check_tree(value: Any, place: str, path: str | Path, depth: int) -> None:
    """Refuses a value that JSON cannot hold, at any depth of a free-form value."""
    if depth > MAX_DEPTH:
        raise DataError(path, f"{place[:60]}...: is nested too deeply")
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise DataError(path, f"{place}: expected text as keys, got {_short_text(key)}")
            _check_tree(item, _dotted(place, key), path, depth + 1)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _check_tree(item, f"{place}[{index}]", path, depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        raise DataError(path, f"{place}: expected a finite number, got {_short_text(value)}")
    elif not isinstance(value, str | int | float | None):
        raise DataError(path, f"{place}: expected a JSON value, got {_short_text(value)}")


def _dotted(parent: str, key: Any) -> str:
    plain = isinstance(key, str) and key.isprintable() and len(key) <= 60
    return f"{parent}.{key if plain else _short_text(key)}"


def _short_text(value: Any) -> str:
    """Describes a value in one short line."""
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    # These values are written as in JSON, not as in Python.
    text = json.dumps(value) if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
