"""Measures how the time of a model is distributed over its operators.

The runtime's Python package has no profiler. So the model is cut off after each operator in turn,
and all these prefixes are timed in rounds. The time of an operator is how much longer its prefix
takes than the one before. A cut also changes the model itself (an output might have stayed in a
cache), which is part of the error; times below a microsecond mean nothing.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.benchmarking.latency import SEED
from efld_tf.exporting import flatbuffer
from efld_tf.runtime import graph, model_file, trial, worker


@dataclass(frozen=True)
class Cost:
    """What one operator costs.

    Attributes:
      index, name: position and name of the operator.
      shape: shape of its first output.
      macs: number of its multiply-accumulates.
      microseconds: its time, which is never below 0.
    """

    index: int
    name: str
    shape: tuple[int | None, ...]
    macs: int
    microseconds: float


def measure(model: str | Path, rounds: int = 40, core: int | None = None) -> list[Cost]:
    """Measures each operator of a model's main graph with one thread and XNNPACK.

    Raises:
      DataError: the model cannot be read or run.
    """
    model_graph = graph.read(model)
    content = model_file.read(model)
    operators = [operator for operator in model_graph.operators if operator.subgraph == 0]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for count in range(1, len(operators) + 1):
            path = Path(folder) / f"{count}.tflite"
            path.write_bytes(prefix(content, count))
            paths.append(str(path))
        job = {"models": paths, "threads": [1], "kernels": [True], "warmup": 3, "seed": SEED,
               "runs": rounds * worker.ROUND, "core": core}
        answer = trial.ask_worker(Path(model), job, timeout=None)
    # The lower quartile is used, because disturbances only ever make a run longer.
    quartiles = [np.percentile(row[3], 25) / 1000 for row in answer["latencies_ns"]]
    reached = np.maximum.accumulate(quartiles)
    return [
        Cost(op.index, op.name, op.output_shapes[0], op.macs, round(float(time), 2))
        for op, time in zip(operators, np.diff(reached, prepend=0.0), strict=True)
    ]


def prefix(content: bytes, count: int) -> bytes:
    """A model of the first `count` operators; its outputs are those that none of them reads."""
    tree = flatbuffer.read(content)
    main = tree.subgraphs[0]
    main.operators = main.operators[:count]
    read_indices = {int(index) for operator in main.operators for index in operator.inputs}
    computed = [int(index) for operator in main.operators for index in operator.outputs]
    main.outputs = np.array([index for index in computed if index not in read_indices], np.int32)
    tree.signatureDefs = tree.metadata = None
    return flatbuffer.write(tree)
