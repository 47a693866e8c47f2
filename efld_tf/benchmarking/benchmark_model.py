"""The options and the output of TensorFlow Lite's native tool `benchmark_model`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from efld_tf.errors import EfldError

NUMBER = r"[-+]?[\d.]+(?:[eE][-+]?\d+)?"
# This tool never prints more.
MAX_CHARACTERS = 1 << 20


@dataclass(frozen=True)
class Output:
    """What a run of the tool printed; times are in milliseconds of one invocation.

    Attributes:
      runs: number of timed invocations.
      latency_ms_mean: their mean.
      latency_ms_p50, latency_ms_p5, latency_ms_p95: percentiles; None from older builds.
      latency_ms_min, latency_ms_max, latency_ms_std: None where the build does not print them.
      init_ms, first_ms: times of loading and of the first invocation; None where the build does
        not print them.
      tool_peak_memory_bytes: peak memory of the whole process; None where the build does not print
        it.
    """

    runs: int
    latency_ms_mean: float
    latency_ms_p50: float | None = None
    latency_ms_p5: float | None = None
    latency_ms_p95: float | None = None
    latency_ms_min: float | None = None
    latency_ms_max: float | None = None
    latency_ms_std: float | None = None
    init_ms: float | None = None
    first_ms: float | None = None
    tool_peak_memory_bytes: int | None = None


def arguments(
    model: str, *, threads: int, runs: int, warmup: int, seconds: float = 0.0
) -> list[str]:
    """The tool's command-line options.

    Args:
      model: path of the `.tflite` on the device on which the tool runs.
      runs: exact number of timed runs; where `seconds` is positive, the least number.
      seconds: how long to run at least.
    """
    return [
        f"--graph={model}", f"--num_threads={threads}", f"--num_runs={runs}",
        f"--warmup_runs={warmup}", "--warmup_min_secs=0", f"--min_secs={seconds:g}",
        f"--max_secs={seconds + 600:g}", "--use_xnnpack=true",
        "--report_peak_memory_footprint=true",
    ]


def parse(text: str) -> Output:
    """Reads what any build of the tool printed.

    Raises:
      EfldError: the tool failed, did not know one of the options, or printed no times.
    """
    text = text[:MAX_CHARACTERS]
    unknown = re.search(r"Unconsumed cmdline flags:\s*(.+)", text)
    if unknown:
        raise EfldError(f"benchmark_model: this build does not know {unknown[1].strip()[:200]}")
    failed = re.search(r"ERROR:\s*(.+)", text)
    if failed:
        raise EfldError(f"benchmark_model: {failed[1].strip()[:200]}")
    rounds = re.findall(r"^.*\bcount=\d+.*$", text, re.MULTILINE)
    times = _native(rounds[-1]) if rounds else _litert(text)
    if times is None:
        last_line = (text.strip() or "nothing").splitlines()[-1]
        raise EfldError(f"benchmark_model: printed no times; its last line: {last_line[:200]!r}")
    init = re.search(rf"Init: ({NUMBER})", text)
    first = re.search(rf"First inference: ({NUMBER})", text)
    memory = re.search(rf"peak memory footprint \(MB\)[^:]*:\s*({NUMBER})", text)
    return replace(
        times,
        init_ms=_number(init[1]) / 1000 if init else None,
        first_ms=_number(first[1]) / 1000 if first else None,
        # The tool's MB are 1024 * 1024 bytes.
        tool_peak_memory_bytes=round(_number(memory[1]) * (1 << 20)) if memory else None,
    )


def _native(line: str) -> Output:
    """Reads a line such as `count=50 first=1453 ... p95=1466`, which is in microseconds.

    The last such line of an output is the one of the timed runs.
    """
    fields = dict(re.findall(rf"(\w+)=({NUMBER})", line))
    values = {n: round(_number(v) / 1000, 6) for n, v in fields.items() if n != "count"}
    runs = int(_number(fields["count"]))
    # Equal runs, and a single one, are printed as "count=N curr=V(all same)".
    mean = values.get("avg", values.get("curr"))
    if mean is None:
        raise EfldError(f"benchmark_model: no average in {line.strip()[:200]!r}")
    if "avg" not in values:
        values = {"min": mean, "max": mean, "median": mean, "std": 0.0, **values}
    return Output(
        runs, mean, latency_ms_p50=values.get("median"),
        latency_ms_p5=values.get("p5"), latency_ms_p95=values.get("p95"),
        latency_ms_min=values.get("min"), latency_ms_max=values.get("max"),
        latency_ms_std=values.get("std"),
    )


def _litert(text: str) -> Output | None:
    """Reads a line of LiteRT's tool of the same name: `Inference (avg):  1.44 ms (50 runs)`."""
    match = re.search(rf"Inference \(avg\):\s+({NUMBER})\s*(ms|us)\s*\((\d+) runs?\)", text)
    if not match:
        return None
    mean = _number(match[1]) / (1000 if match[2] == "us" else 1)
    return Output(int(match[3]), mean)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise EfldError(f"benchmark_model: {text[:40]!r} is not a number") from error
