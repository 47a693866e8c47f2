"""Compares the latency of models in one run, so that other load on the machine hits all alike."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.benchmarking import energy
from efld_tf.benchmarking.latency import SEED, Conditions, current_conditions
from efld_tf.errors import EfldError
from efld_tf.runtime import trial, worker


@dataclass(frozen=True)
class Row:
    """One model of a comparison, run with one thread and XNNPACK.

    Attributes:
      model: path of its file.
      latency_ms_p50: median of the rounds' medians, in milliseconds.
      latency_ms_low, latency_ms_high: its 95% confidence interval.
      speedup: how many times faster it is than the first model, as the median over the rounds.
      speedup_low, speedup_high: its 95% confidence interval.
      energy_mj: energy of one invocation in millijoules; None where the processor does not report
        it.
    """

    model: str
    latency_ms_p50: float
    latency_ms_low: float
    latency_ms_high: float
    speedup: float
    speedup_low: float
    speedup_high: float
    energy_mj: float | None


@dataclass(frozen=True)
class Comparison:
    """Models that were measured in turns.

    Attributes:
      conditions: where and when they were measured.
      core: the core that the process was kept on; None where the system cannot do that.
      runs, warmup_runs: numbers of runs of each model.
      rows: one a model, in the order of the models.
    """

    conditions: Conditions
    core: int | None
    runs: int
    warmup_runs: int
    rows: tuple[Row, ...]


def measure(
    models: Sequence[str | Path], runs: int = 2000, warmup: int = 50, core: int | None = None
) -> Comparison:
    """Measures models in rounds of a few runs each, on one core.

    Args:
      models: the `.tflite` files.
      runs: timed runs of each, a multiple of `worker.ROUND` and at least ten rounds.
      warmup: runs before them.
      core: the core to stay on; None for the last one that this process may use.

    Raises:
      DataError: a model cannot be loaded or run.
      EfldError: there are too few runs, or they are not a multiple of `worker.ROUND`.
    """
    rounds = runs // worker.ROUND
    if runs % worker.ROUND or rounds < 10:
        raise EfldError(f"runs: expected a multiple of {worker.ROUND} from {10 * worker.ROUND} on")
    if core is None and hasattr(os, "sched_getaffinity"):
        core = max(os.sched_getaffinity(0))
    conditions = current_conditions()
    paths = [str(model) for model in models]
    job = {"models": paths, "threads": [1], "kernels": [True], "runs": runs, "warmup": warmup,
           "seed": SEED, "core": core}
    answer = trial.ask_worker(Path(paths[0]), job, timeout=None)
    samples = np.array([row[3] for row in answer["latencies_ns"]], np.float64) / 1e6
    medians = np.median(samples.reshape(len(paths), rounds, worker.ROUND), axis=2)
    rows = []
    for index, path in enumerate(paths):
        low, high = interval(medians[index])
        ratios = medians[0] / medians[index]
        times = [round(float(v), 6) for v in (np.median(medians[index]), low, high)]
        speedups = [round(float(v), 6) for v in (np.median(ratios), *interval(ratios))]
        rows.append(Row(path, times[0], times[1], times[2], speedups[0], speedups[1], speedups[2],
                        energy.of_one_run(path, core)))
    return Comparison(conditions, core, runs, warmup, tuple(rows))


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95% confidence interval of the median of independent values [R], by their order.

    The source is H. A. David and H. N. Nagaraja, "Order Statistics", Section 7.1, with the normal
    approximation of the binomial distribution.
    """
    ordered = np.sort(values)
    half = 0.98 * np.sqrt(len(ordered))
    low = int(np.floor(len(ordered) / 2 - half))
    high = int(np.ceil(len(ordered) / 2 + half))
    return float(ordered[max(low, 0)]), float(ordered[min(high, len(ordered) - 1)])
