"""The golden input and output of a bundle, with which any platform can check itself.

`golden.json` says where the raw bytes are and repeats the points as numbers:

    {
      "model": {"file": "efld_ibug51_int8.tflite", "sha256": "..."},
      "mode": "int8",
      "input": {"file": "golden_input.bin", "dtype": "uint8", "shape": [1, 128, 128, 3]},
      "output": {"file": "golden_output.bin", "dtype": "float32", "shape": [1, 51, 2],
                 "points": [[0.31, 0.42], ...]},
      "tolerance": 0.004,
      "confidence": {"value": 0.998, "tolerance": 0.05},
      "depth": {"values": [0.08, 0.11, ...], "tolerance": 0.004},
      "errors": {"values": [0.006, 0.009, ...], "tolerance": 0.004}
    }

The input is an RGB image row by row, top left first; the output is little-endian. `tolerance` is
the largest difference of a coordinate, in crop sides, that still counts as the same result, since
kernels of another CPU round differently. Where a model chooses places, a point may be off by half a
cell; there is then a `mean_tolerance`, too, for the mean difference of all coordinates.
`confidence`, `depth` and `errors`, which are the expected errors of the points in crop sides, are
there for a model that tells them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from efld_tf import files
from efld_tf.arrays import Array, Float32s, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import model_outputs
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import graph, interpreter, onnx_file, trial
from efld_tf.trees import from_tree

FILE = trial.GOLDEN_FILE
INPUT_FILE, OUTPUT_FILE = "golden_input.bin", "golden_output.bin"
MAX_BYTES = 1 << 26
# The limits keep a stranger's file from accepting any result: one pixel of 128, or eight where the
# model chooses places: a step of the int8 grid may move that of a best score by half a cell of 8
# pixels; `golden_image` allows twice what it measures.
LARGEST_TOLERANCE = 1 / 128
LARGEST_TOLERANCE_OF_CHOICE = 1 / 16
LARGEST_CONFIDENCE_TOLERANCE = 0.1
LARGEST_DEPTH_TOLERANCE = LARGEST_ERRORS_TOLERANCE = 1 / 32


@dataclass(frozen=True)
class _Model:
    file: str
    sha256: str


@dataclass(frozen=True)
class _Input:
    file: str
    dtype: str
    shape: list[int]


@dataclass(frozen=True)
class _Output:
    file: str
    dtype: str
    shape: list[int]
    points: list[list[float]]


@dataclass(frozen=True)
class _Confidence:
    value: float
    tolerance: float


@dataclass(frozen=True)
class _Values:
    values: list[float]
    tolerance: float


@dataclass(frozen=True)
class Golden:
    """The content of `golden.json`; see the module."""

    model: _Model
    mode: str
    input: _Input
    output: _Output
    tolerance: float
    confidence: _Confidence | None = None
    depth: _Values | None = None
    errors: _Values | None = None
    mean_tolerance: float | None = None

    def misses(self, expected: Float32s, outputs: ModelOutputs) -> Misses:
        """How far outputs lie from the golden ones.

        Args:
          expected: the golden points [1, N, 2].

        Raises:
          EfldError: they have other shapes, or one of the two lacks a confidence, depths or
            expected errors.
        """
        if outputs.points.shape != expected.shape:
            raise EfldError(f"gives {outputs.points.shape}, its golden file {expected.shape}")
        for name, stated, given in (("a confidence", self.confidence, outputs.confidence),
                                    ("depths", self.depth, outputs.depth),
                                    ("expected errors", self.errors, outputs.errors)):
            if (stated is None) != (given is None):
                raise EfldError(f"of its golden file and itself one has {name} alone")
        points = float(np.abs(outputs.points - expected).max())
        confidence = depth = errors = None
        passed = points <= self.tolerance  # NaN does not pass
        if self.mean_tolerance is not None:
            mean = float(np.abs(outputs.points - expected).mean())
            passed = passed and mean <= self.mean_tolerance
        if self.confidence and outputs.confidence is not None:
            confidence = float(np.abs(outputs.confidence[0] - self.confidence.value))
            passed = passed and confidence <= self.confidence.tolerance
        if self.depth and outputs.depth is not None:
            depth = float(np.abs(outputs.depth[0] - self.depth.values).max())
            passed = passed and depth <= self.depth.tolerance
        if self.errors and outputs.errors is not None:
            errors = float(np.abs(outputs.errors[0] - self.errors.values).max())
            passed = passed and errors <= self.errors.tolerance
        return Misses(points, confidence, depth, errors, passed)


class Differences(NamedTuple):
    """Differences between what two runs tell, found or allowed: in crop sides, and in confidence.

    They are the largest of a coordinate, a depth and an expected error, and the mean of a
    coordinate's; 0 of what a model does not tell.
    """

    points: float
    confidence: float
    depth: float
    errors: float
    mean: float | None = None


class Misses(NamedTuple):
    """How far outputs lie from the golden ones.

    Attributes:
      largest_difference: the largest difference of a coordinate, in crop sides.
      confidence_difference: the difference of the confidence; None for a model without one.
      depth_difference: the largest difference of a depth, in crop sides; None for a model without
        depths.
      errors_difference: the largest difference of an expected error, in crop sides; None for a
        model without them.
      passed: whether all are within their tolerances.
    """

    largest_difference: float
    confidence_difference: float | None
    depth_difference: float | None
    errors_difference: float | None
    passed: bool


@dataclass(frozen=True)
class Check:
    """One way to run a model against its golden output.

    Attributes:
      kernels: what ran it, see `interpreter.kernels`.
      threads: number of threads.
      largest_difference, confidence_difference, depth_difference, errors_difference, passed: as in
        `Misses`.
    """

    kernels: str
    threads: int
    largest_difference: float
    confidence_difference: float | None
    depth_difference: float | None
    errors_difference: float | None
    passed: bool


def run(model: str | Path, image: Image, *, threads: int = 1, fast: bool = True) -> ModelOutputs:
    """Runs a model on one image [1, S, S, 3] uint8; its outputs are in the unit square of it.

    Args:
      threads, fast: see `interpreter.load`.

    Raises:
      DataError: the runtime cannot load or run the model, or the model takes another input.
    """
    loaded = interpreter.load(model, threads, fast=fast)
    try:
        loaded.set_tensor(loaded.get_input_details()[0]["index"], image)
    except ValueError as error:
        raise DataError(model, f"takes another input than its golden one: {error}") from error
    interpreter.invoke(loaded, Path(model))
    outputs = [loaded.get_tensor(output["index"]) for output in loaded.get_output_details()]
    try:
        return model_outputs.of(outputs)
    except EfldError as error:
        raise DataError(model, str(error)) from error


def write(
    model: Path, mode: str, image: Image, outputs: ModelOutputs, allowed: Differences,
    digest: str | None = None,
) -> None:  # fmt: skip
    """Writes the three files beside a model.

    Args:
      outputs: what it tells of the image.
      allowed: the tolerances.
      digest: the SHA-256 of a model that is no file.
    """
    output, confidence, depth, errors = outputs
    golden = {
        "model": {"file": model.name, "sha256": digest or files.sha256(model)},
        "mode": mode,
        "input": {"file": INPUT_FILE, "dtype": "uint8", "shape": list(image.shape)},
        "output": {
            "file": OUTPUT_FILE, "dtype": "float32", "shape": list(output.shape),
            "points": [[round(float(v), 6) for v in point] for point in output[0]],
        },
        "tolerance": allowed.points,
        **({} if allowed.mean is None else {"mean_tolerance": allowed.mean}),
    }
    if confidence is not None:
        golden["confidence"] = {
            "value": round(float(confidence[0]), 6), "tolerance": allowed.confidence
        }
    for name, values, tolerance in (("depth", depth, allowed.depth),
                                    ("errors", errors, allowed.errors)):
        if values is not None:
            golden[name] = {"values": [round(float(value), 6) for value in values[0]],
                            "tolerance": tolerance}
    files.write_bytes(model.with_name(INPUT_FILE), image.tobytes())
    files.write_bytes(model.with_name(OUTPUT_FILE), output.astype("<f4").tobytes())
    files.write_json(model.with_name(FILE), golden)


def read(model: str | Path) -> tuple[Golden, Image, Float32s]:
    """Reads the golden files beside a model.

    Returns:
      The content of `golden.json`, the input image and the output.

    Raises:
      DataError: a file is missing, does not fit the others, or belongs to another model.
    """
    path = Path(model).with_name(FILE)
    try:
        content = files.read_bytes(path, trial.MOST_GOLDEN_BYTES)
    except DataError as error:
        reason = error.reason.removeprefix("cannot be read: ")
        raise DataError(path, f"cannot read the golden file: {reason}") from error
    try:
        golden = from_tree(json.loads(content.decode()), Golden)
    except (ValueError, RecursionError, EfldError) as error:
        raise DataError(path, f"not a golden file: {error}"[:300]) from error
    limit = largest_tolerance(model)
    if not 0 < golden.tolerance <= limit:
        raise DataError(path, f"tolerance: expected at most {limit}, got "
                              f"{golden.tolerance:g}")
    if golden.mean_tolerance is not None and not 0 < golden.mean_tolerance <= golden.tolerance:
        raise DataError(path, f"mean_tolerance: expected at most {golden.tolerance:g}, got "
                              f"{golden.mean_tolerance:g}")
    confidence = golden.confidence
    if confidence and not (0 <= confidence.value <= 1
                           and 0 < confidence.tolerance <= LARGEST_CONFIDENCE_TOLERANCE):
        raise DataError(path, "confidence: expected a value from 0 to 1 and a tolerance of at most "
                              f"{LARGEST_CONFIDENCE_TOLERANCE:g}, got {confidence.value:g} and "
                              f"{confidence.tolerance:g}")
    for name, told, most in (("depth", golden.depth, LARGEST_DEPTH_TOLERANCE),
                             ("errors", golden.errors, LARGEST_ERRORS_TOLERANCE)):
        if told and not (0 < told.tolerance <= most
                         and len(told.values) == golden.output.shape[1]):
            raise DataError(path, f"{name}: expected {golden.output.shape[1]} values and a "
                                  f"tolerance of at most {most:g}")
    if golden.model.sha256 != files.sha256(model):
        raise DataError(path, f"is about another file than {Path(model).name}: its SHA-256 differs")
    image: Image = _array(path, golden.input, INPUT_FILE, "uint8")
    output: Float32s = _array(path, golden.output, OUTPUT_FILE, "float32")
    points = np.array(golden.output.points, np.float64) if _is_table(golden) else None
    # Written with `not`, the condition also refuses NaN in either.
    if points is None or not np.abs(points - output[0]).max() <= 1e-5:
        raise DataError(path, f"its points are not those of {OUTPUT_FILE}")
    return golden, image, output


def largest_tolerance(model: str | Path) -> float:
    """How far kernels may differ in a model's points, in crop sides.

    Raises:
      DataError: the file is not a model.
    """
    if onnx_file.is_onnx(model):
        choices = onnx_file.read(model).chooses
    else:
        choices = bool(graph.after_choice(graph.read(model)))
    return LARGEST_TOLERANCE_OF_CHOICE if choices else LARGEST_TOLERANCE


def verify(model: str | Path, threads: tuple[int, ...] = (1, 2)) -> tuple[Golden, list[Check]]:
    """Runs a model on its golden input with all kernels of this runtime.

    Raises:
      DataError: as in `read` and `run`.
    """
    golden, image, expected = read(model)
    checks = []
    for fast in (True, False):
        for count in threads:
            outputs = run(model, image, threads=count, fast=fast)
            try:
                misses = golden.misses(expected, outputs)
            except EfldError as error:
                raise DataError(model, str(error)) from error
            checks.append(Check(interpreter.kernels(model, fast=fast), count, *misses))
    return golden, checks


def _is_table(golden: Golden) -> bool:
    """Whether the points are as many pairs as the output's shape says."""
    shape, points = golden.output.shape, golden.output.points
    return len(shape) == 3 and shape[::2] == [1, 2] and len(points) == shape[1] \
        and {len(point) for point in points} == {2}


def _array(path: Path, entry: _Input | _Output, name: str, dtype: str) -> Array:
    """Reads an array of a golden file: the file of that name beside it, whatever `entry` says."""
    positive = len(entry.shape) <= 4 and all(0 < n < MAX_BYTES for n in entry.shape)
    size = math.prod(entry.shape) if positive else 0
    if entry.file != name or entry.dtype != dtype or not 0 < size < MAX_BYTES:
        found = f"{entry.file!r} of type {entry.dtype!r} and shape {entry.shape}"
        raise DataError(path, f"expected {name} of type {dtype}, got {found}"[:300])
    kind = np.dtype(dtype).newbyteorder("<")
    content = files.read_bytes(path.with_name(name), 4 * MAX_BYTES)
    if len(content) != size * kind.itemsize:
        raise DataError(path.with_name(name), f"expected {entry.shape} of {dtype}")
    return np.frombuffer(content, kind).reshape(entry.shape)
