"""Runs a model on an emulated core: its outputs, and how many instructions an inference takes."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.arrays import Array
from efld_tf.emulation.cores import Core
from efld_tf.emulation.tools import Machine
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import model_outputs
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import golden, graph

# The numbers of LiteRT's types (`litert.h`).
TYPES = {1: np.float32, 2: np.int32, 3: np.uint8, 9: np.int8}
# Inferences of the shorter of two runs. Their number of instructions is the same to a few.
INVOCATIONS = 4
SEED = 0


@dataclass(frozen=True)
class Run:
    """What happened.

    Attributes:
      outputs: of the last inference, in the order of the signature.
      counts: the instructions of the whole process by the kinds of `counter.c`; empty if they were
        not counted.
    """

    outputs: list[Array]
    counts: dict[str, int]


def run(
    machine: Machine, core: Core, model: Path, values: Array, *, invocations: int = 1,
    counted: bool = False,
) -> Run:  # fmt: skip
    """Runs a model with one input.

    Args:
      values: of its input, in its type and shape.

    Raises:
      DataError: the runtime refuses the model on this core, or it dies; or nothing was counted.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, taken = Path(folder) / "input.bin", Path(folder) / "outputs.bin"
        given.write_bytes(np.ascontiguousarray(values).tobytes())
        done = subprocess.run(
            [*machine.command(core, counted=counted), str(Path(model).resolve()), str(given),
             str(taken), str(invocations)],
            env=machine.environment, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL)
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if not line.startswith("INFO")]
            reason = lines[-1] if lines else f"exit code {done.returncode}"
            raise DataError(model, f"cannot be run on {core.name}: {reason}")
        content = taken.read_bytes()
    outputs, place = [], 0
    for line in done.stdout.splitlines():
        if line.startswith("output "):
            kind, *shape = map(int, line.split()[1:])
            if kind not in TYPES:
                raise DataError(model, f"an output of the type {kind}, which cannot be read")
            size = int(np.prod(shape)) * np.dtype(TYPES[kind]).itemsize
            part = np.frombuffer(content[place : place + size], TYPES[kind])
            outputs.append(part.reshape(shape))
            place += size
    counts = counts_of(done.stderr)
    if counted and not counts:
        raise DataError(model, f"its instructions on {core.name} were not counted")
    return Run(outputs, counts)


def check(machine: Machine, core: Core, model: Path) -> golden.Check:
    """Runs the golden input of a bundle on a core.

    Raises:
      DataError: the golden files cannot be read, or as in `run`.
    """
    expected, image, points = golden.read(model)
    outputs = run(machine, core, model, image).outputs
    try:
        misses = expected.misses(points, named(outputs))
    except EfldError as error:
        raise DataError(model, f"on {core.name}: {error}") from error
    return golden.Check(core.name, 1, *misses)


def named(outputs: list[Array]) -> ModelOutputs:
    """Outputs in any order: a signature has its own.

    Raises:
      EfldError: they are not those of a landmark model.
    """
    return model_outputs.of(sorted(outputs, key=lambda output: (-output.ndim, output.size)))


def instructions(
    machine: Machine, core: Core, model: Path, values: Array, invocations: int = INVOCATIONS
) -> dict[str, int]:
    """The instructions of an inference by kind: what so many more of them take.

    Raises:
      DataError: as in `run`.
    """
    fewer, more = (run(machine, core, model, values, invocations=count, counted=True).counts
                   for count in (invocations, 2 * invocations))
    return {kind: round((more[kind] - fewer[kind]) / invocations) for kind in more}


def noise(model: Path) -> Array:
    """An input for a model that has no golden one.

    Raises:
      DataError: the model cannot be read, or has other inputs than one of a known type and shape.
    """
    (tensor, *others) = graph.read(model).inputs
    shape, rng = [size or 0 for size in tensor.shape], np.random.default_rng(SEED)
    if others or tensor.dtype not in ("float32", "uint8", "int8") or not all(shape):
        raise DataError(model, "expected one input of float32, uint8 or int8 and of a fixed shape")
    if tensor.dtype == "float32":
        return rng.random(shape, np.float32)
    return np.frombuffer(rng.bytes(int(np.prod(shape))), tensor.dtype).reshape(shape)


def counts_of(text: str) -> dict[str, int]:
    """The counts that `counter.c` wrote; empty if it did not."""
    for line in text.splitlines():
        if line.startswith("INSTRUCTIONS "):
            return {kind: int(count) for kind, _, count in
                    (word.partition("=") for word in line.split()[1:])}
    return {}
