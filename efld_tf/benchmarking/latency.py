"""Measures the latency and memory of a `.tflite` on this machine, and records the conditions."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.errors import EfldError
from efld_tf.runtime import graph, model_file, onnx_file, trial
from efld_tf.scoring.section import Section

SEED = 0


@dataclass(frozen=True)
class Latency:
    """The latency of one configuration, in milliseconds of one invocation.

    Attributes:
      threads: number of threads of the interpreter.
      xnnpack: whether the XNNPACK delegate was used; otherwise the built-in kernels were. For an
        `.onnx`, whether ONNX Runtime rewrote the graph: `optimised` in results.
      runs: number of timed invocations.
      latency_ms_p50, latency_ms_p95: percentiles, interpolated linearly.
      latency_ms_mean, latency_ms_min: mean and minimum.
    """

    threads: int
    xnnpack: bool
    runs: int
    latency_ms_p50: float
    latency_ms_p95: float
    latency_ms_mean: float
    latency_ms_min: float


@dataclass(frozen=True)
class Conditions:
    """What has to be known to compare latencies.

    Attributes:
      device: model of the CPU.
      os: name and release of the system.
      cores: number of CPUs that this process may use.
      python, runtime: versions of Python and of the runtime.
      date: start of the measurement in UTC, in ISO 8601.
      load: average number of running processes over the last minute before the measurement; None
        where the system does not report it.
    """

    device: str
    os: str
    cores: int
    python: str
    runtime: str
    date: str
    load: float | None


@dataclass(frozen=True)
class Benchmark(Section):
    """The latency of a model on this machine.

    Attributes:
      model: path of its file.
      conditions: where and when it was measured.
      warmup_runs, runs: numbers of runs of each configuration.
      size_bytes: size of the file.
      peak_memory_bytes: what loading and running the model with one thread and XNNPACK adds to the
        resident memory of a fresh process that has imported the interpreter; the runtime's code
        that the model uses is included. None where the system does not report it.
      latencies: one with and one without XNNPACK for each thread count, in this order.
    """

    section = "benchmark"

    model: Path
    conditions: Conditions
    warmup_runs: int
    runs: int
    size_bytes: int
    peak_memory_bytes: int | None
    latencies: tuple[Latency, ...]

    @property
    def main(self) -> Latency:
        """The latency that `time_ms` is taken from.

        It is the one with XNNPACK and one thread, or else the first thread count.
        """
        with_xnnpack = [latency for latency in self.latencies if latency.xnnpack]
        return next((lat for lat in with_xnnpack if lat.threads == 1), with_xnnpack[0])

    @property
    def factors(self) -> dict[str, float]:
        """The time, complexity and size of the model."""
        return {"time_ms": self.main.latency_ms_p50, **cost_factors(self.model)}

    @property
    def file(self) -> Path:
        """The file of the model that was measured."""
        return self.model

    def summary(self) -> dict[str, Any]:
        """The `benchmark` section of `results.json`.

        The configuration of `main` is at the top level; all configurations are under
        `measurements`.
        """
        conditions = {k: v for k, v in asdict(self.conditions).items() if v is not None}
        result = {**conditions, "warmup_runs": self.warmup_runs, **self._told(self.main)}
        result["size_bytes"] = self.size_bytes
        if self.peak_memory_bytes is not None:
            result["peak_memory_bytes"] = self.peak_memory_bytes
        result["measurements"] = [self._told(latency) for latency in self.latencies]
        result["macs"] = graph.total_macs(self.model)
        return result

    def _told(self, latency: Latency) -> dict[str, Any]:
        told = asdict(latency)
        if onnx_file.is_onnx(self.model):
            return {"optimised" if key == "xnnpack" else key: told[key] for key in told}
        return told


def cost_factors(model: Path) -> dict[str, float]:
    """The factors of the PAIR score that can be read from a `.tflite` without running it.

    Raises:
      DataError: the file cannot be read.
    """
    return {"complexity_gflops": 2 * graph.total_macs(model) / 1e9,
            "size_mb": model.stat().st_size / 1e6}


def measure(
    path: str | Path,
    threads: Sequence[int] = (1,),
    runs: int = 200,
    warmup: int = 20,
    trial_seconds: float = trial.SECONDS,
) -> Benchmark:
    """Measures a model with XNNPACK, or ONNX Runtime's rewriting, on and off, in own processes.

    Args:
      path: the file.
      threads: thread counts, each above 0.
      runs: number of timed invocations of each configuration, above 0.
      warmup: number of invocations before them.
      trial_seconds: how long the model may take to be loaded and run a few times.

    Raises:
      DataError: the file cannot be read, or the runtime cannot load or run it, crashes on it or
        takes too long.
      EfldError: a number is out of range, or the process could not be started.
    """
    if not threads or min(threads) < 1 or runs < 1 or warmup < 0:
        raise EfldError("expected threads and runs from 1 on, and warm-up runs from 0 on")
    path = Path(path)
    model_file.check(path)
    size = path.stat().st_size
    conditions = current_conditions("onnxruntime" if onnx_file.is_onnx(path) else "ai-edge-litert")
    job = {
        "models": [str(path)],
        "threads": list(dict.fromkeys(threads)),
        "kernels": [True, False],
        "runs": runs,
        "warmup": warmup,
        "seed": SEED,
    }
    first = trial.ask_worker(path, {**job, "threads": [1], "runs": 1, "warmup": 0}, trial_seconds)
    answer = trial.ask_worker(path, job, timeout=None)
    return Benchmark(
        model=path,
        conditions=conditions,
        warmup_runs=warmup,
        runs=runs,
        size_bytes=size,
        peak_memory_bytes=first["peak_memory_bytes"],
        latencies=tuple(
            summarise(count, xnnpack, samples)
            for _, count, xnnpack, samples in answer["latencies_ns"]
        ),
    )


def summarise(threads: int, xnnpack: bool, nanoseconds: Sequence[int]) -> Latency:
    """The statistics of one configuration's runs, in milliseconds rounded to six digits."""
    milliseconds = np.asarray(nanoseconds, np.float64) / 1e6
    p50, p95 = np.percentile(milliseconds, (50, 95))
    return Latency(
        threads=threads,
        xnnpack=xnnpack,
        runs=len(milliseconds),
        latency_ms_p50=round(float(p50), 6),
        latency_ms_p95=round(float(p95), 6),
        latency_ms_mean=round(float(milliseconds.mean()), 6),
        latency_ms_min=round(float(milliseconds.min()), 6),
    )


def current_conditions(runtime: str = "ai-edge-litert") -> Conditions:
    """The conditions on this machine at this moment, for the package of a runtime."""
    has_affinity = hasattr(os, "sched_getaffinity")
    return Conditions(
        device=_cpu_model(),
        os=f"{platform.system()} {platform.release()}",
        cores=len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1,
        python=platform.python_version(),
        runtime=f"{runtime} {trial.release(runtime)}",
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith(("model name", "Model")):
                    return line.partition(":")[2].strip()
    except OSError:
        pass  # The system is not Linux.
    return platform.processor() or platform.machine() or "unknown"
