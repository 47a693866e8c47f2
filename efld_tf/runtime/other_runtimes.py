"""Checks golden files with other runtimes, since the one in an app may be older or newer.

Each runtime is a Python package. It is installed into an environment of its own, below the user's
cache.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import files, installing
from efld_tf.arrays import Float32s
from efld_tf.errors import EfldError
from efld_tf.landmarks import model_outputs
from efld_tf.runtime import golden

PACKAGES = ("tflite-runtime", "ai-edge-litert", "tensorflow", "tensorflow-cpu")
EXAMPLE = "tflite-runtime==2.14.0"
WORKER = Path(__file__).with_name("other_runtimes_worker.py")
# Their wheels were built against NumPy 1, which most of them do not declare; releases of TensorFlow
# before 2.12 also fail to ask for a protobuf that is old enough.
OLD_TENSORFLOW = (2, 12)
BESIDE, BESIDE_OLD = ("numpy<2",), ("numpy<1.22", "protobuf<3.20")


@dataclass(frozen=True)
class Outcome:
    """What happened when a runtime ran a model.

    Attributes:
      kernels: `default` or `built-in`; by default, most runtimes use XNNPACK's where they can.
      refused: the runtime's message if it refused the model; "" if it did not.
      crashed: whether the process died.
      largest_difference: the largest difference of a coordinate from the golden output, in crop
        sides; None if there was no output.
      confidence_difference, depth_difference, errors_difference, passed: as in `golden.Misses`.
    """

    kernels: str
    refused: str = ""
    crashed: bool = False
    largest_difference: float | None = None
    confidence_difference: float | None = None
    depth_difference: float | None = None
    errors_difference: float | None = None
    passed: bool = False


def environment(requirement: str, python: str = sys.executable) -> Path:
    """The Python of an environment that has a runtime; the environment is made if it is missing.

    Args:
      requirement: one of `PACKAGES` and its version, such as `EXAMPLE`.
      python: the interpreter that makes the environment; old runtimes need an old one.

    Raises:
      EfldError: the requirement has another form, or it cannot be installed.
    """
    package, release = parts(requirement)
    what, program = f"runtime {requirement}", "import sys; print('%d.%d' % sys.version_info[:2])"
    version = installing.run(what, [python, "-I", "-c", program]).strip()

    def make(folder: Path) -> None:
        numbers = tuple(int(part) for part in re.findall(r"\d+", release)[:2])
        old = package.startswith("tensorflow") and numbers < OLD_TENSORFLOW
        installing.run(what, [python, "-I", "-m", "venv", str(folder)])
        # Of some that old releases need, there are no wheels.
        installing.run(what, [
            str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--quiet", "--no-input",
            "--disable-pip-version-check", "--only-binary", package, "--prefer-binary", requirement,
            *(BESIDE_OLD if old else BESIDE)])

    folder = files.cache("runtimes") / f"{requirement}-python{version}"
    return installing.once(folder, what, make) / "bin" / "python"


def parts(requirement: str) -> tuple[str, str]:
    """The package and the version of a requirement.

    Raises:
      EfldError: the requirement is not one of `PACKAGES` with a version.
    """
    match = re.fullmatch(rf"({'|'.join(PACKAGES)})==([0-9]+(?:\.[0-9A-Za-z]+)+)", requirement)
    if not match:
        raise EfldError(f"runtime {requirement!r}: expected one of {', '.join(PACKAGES)} with its "
                        f"version, such as {EXAMPLE}")
    return match[1], match[2]


def check(python: Path, models: Sequence[Path]) -> list[list[Outcome]]:
    """Runs models on their golden inputs with the runtime of an environment.

    Args:
      python: what `environment` returned.
      models: the `.tflite` files of bundles.

    Returns:
      For each model, an outcome for each kind of kernels that the runtime has.

    Raises:
      DataError: a model's golden files cannot be read.
      EfldError: the runtime cannot be run at all.
    """
    expected = [golden.read(model) for model in models]
    jobs = [
        {"model": str(Path(model).resolve()), "shape": list(image.shape), "default": default,
         "input": str(Path(model).resolve().with_name(golden.INPUT_FILE))}
        for model, (_, image, _) in zip(models, expected, strict=True)
        for default in (True, False)
    ]
    try:
        # -I isolates it: neither PYTHONPATH nor the worker's folder may bring in another runtime.
        completed = subprocess.run([str(python), "-I", str(WORKER)], input=json.dumps(jobs),
                                   capture_output=True, text=True, check=False)
    except OSError as error:
        raise EfldError(f"{python}: the runtime cannot be run: {error.strerror}; delete "
                        f"{python.parents[1]}") from error
    # Native code may write to stdout, too.
    lines = [line for line in completed.stdout.splitlines() if line.startswith("{")]
    if len(lines) != len(jobs):
        last_line = (completed.stderr.strip() or "it said nothing").splitlines()[-1]
        raise EfldError(f"{python}: the runtime cannot be run: {last_line}")
    answers = iter(json.loads(line) for line in lines)
    return [
        [_outcome(kernels, answer, golden_file, points)
         for kernels in ("default", "built-in") if not (answer := next(answers)).get("absent")]
        for golden_file, _, points in expected
    ]


def _outcome(
    kernels: str, answer: dict[str, Any], golden_file: golden.Golden, expected: Float32s
) -> Outcome:
    if "outputs" not in answer:
        return Outcome(kernels, answer.get("refused", ""), "crashed" in answer)
    try:
        outputs = model_outputs.of([np.array(output) for output in answer["outputs"]])
        misses = golden_file.misses(expected, outputs)
    except EfldError as error:
        return Outcome(kernels, f"its outputs are others: {error}")
    return Outcome(kernels, "", False, *misses)
