"""Counts a model's instructions on emulated ARM cores, by kind and by operator.

They are no cycles: a core does several instructions at once, and waits for memory. But of two
models, or of two forms of one, counts tell the difference without noise, on any machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.arrays import Array
from efld_tf.benchmarking import profile
from efld_tf.emulation import cores as core_table
from efld_tf.emulation import run, tools
from efld_tf.progress import Progress
from efld_tf.runtime import golden, graph, model_file
from efld_tf.scoring.section import Section

# Those kinds of `counter.c` of which each instruction is at most one; `simd` has the first three.
MULTIPLYING = ("dot_product", "matrix_product", "multiply_add")
TITLES = {
    "dot_product": "dot product", "matrix_product": "matrix product",
    "multiply_add": "multiply-add", "simd": "other vector", "load_store": "load, store",
    "branch": "branch",
}


@dataclass(frozen=True)
class OnCore:
    """One core.

    Attributes:
      counts: instructions an inference, by the kinds of `counter.c`.
      check: how far the golden output is off; None for a model without golden files.
    """

    counts: dict[str, int]
    check: golden.Check | None


@dataclass(frozen=True, eq=False)
class Instructions(Section):
    """What an inference takes on several cores.

    Attributes:
      model: the file.
      runtime, emulator: names and versions.
      cores: by name.
    """

    section = "instructions"

    model: Path
    runtime: str
    emulator: str
    cores: dict[str, OnCore]

    @property
    def file(self) -> Path:
        """The model that was measured."""
        return self.model

    @property
    def passed(self) -> bool:
        """Whether every core gives the golden output, where there is one."""
        return all(core.check is None or core.check.passed for core in self.cores.values())

    def summary(self) -> dict[str, Any]:
        """The `instructions` section of `results.json`: of an inference, by core and kind."""
        return {"runtime": self.runtime, "emulator": self.emulator, "cores": {
            name: {**core.counts, **({} if core.check is None else {
                "golden_difference": round(core.check.largest_difference, 6)})}
            for name, core in self.cores.items()}}


@dataclass(frozen=True)
class OperatorCount:
    """What one operator takes.

    Attributes:
      index, name, shape, macs: as in `profile.Cost`.
      instructions: of an inference; how many more the model has up to it than before.
    """

    index: int
    name: str
    shape: tuple[int | None, ...]
    macs: int
    instructions: int


def measure(
    model: str | Path, cores: Sequence[str], *, progress: bool = False
) -> Instructions:
    """Counts the instructions of a model on cores; of a bundle, checks its golden output too.

    Args:
      cores: names of `emulation.cores`.

    Raises:
      EfldError: there is no such core, the emulation cannot be had, or the model cannot be run.
    """
    path, chosen = Path(model), [core_table.get(name) for name in cores]
    values, bundled = _input(path)
    machine, found = tools.machine(), {}
    with Progress("counting", len(chosen), "core", shown=progress) as bar:
        for core in bar.over(chosen):
            check = run.check(machine, core, path) if bundled else None
            found[core.name] = OnCore(run.instructions(machine, core, path, values), check)
    return Instructions(path, machine.runtime, f"QEMU {machine.qemu}", found)


def by_operator(model: str | Path, core: str, *, progress: bool = False) -> list[OperatorCount]:
    """Counts the instructions of each operator of a model's main graph, by its prefixes.

    A cut also changes the model: an output may get a copy or another layout, so that a count below
    0 is possible where the next operator would have done less without it.

    Raises:
      EfldError: as in `measure`.
    """
    path, chosen = Path(model), core_table.get(core)
    content, (values, _) = model_file.read(path), _input(path)
    operators = [op for op in graph.read(path).operators if op.subgraph == 0]
    machine, reached = tools.machine(), []
    with tempfile.TemporaryDirectory() as folder, \
            Progress("counting", len(operators), "operator", shown=progress) as bar:
        for count in bar.over(range(1, len(operators) + 1)):
            part = Path(folder) / "prefix.tflite"
            part.write_bytes(profile.prefix(content, count))
            reached.append(run.instructions(machine, chosen, part, values)["all"])
    return [OperatorCount(op.index, op.name, op.output_shapes[0], op.macs, int(more))
            for op, more in zip(operators, np.diff(reached, prepend=0), strict=True)]


def shares(counts: dict[str, int]) -> dict[str, int]:
    """The counts of kinds that share no instruction, by `TITLES`, and of all others."""
    vectors = counts["simd"] - sum(counts[kind] for kind in MULTIPLYING)
    parts = {**{kind: counts[kind] for kind in MULTIPLYING}, "simd": vectors,
             **{kind: counts[kind] for kind in ("load_store", "branch")}}
    titled = {TITLES[kind]: count for kind, count in parts.items()}
    return {**titled, "other": counts["all"] - sum(parts.values())}


def _input(model: Path) -> tuple[Array, bool]:
    """An input of a model, and whether it is that of its bundle."""
    if model.with_name(golden.FILE).exists():
        return golden.read(model)[1], True
    return run.noise(model), False
