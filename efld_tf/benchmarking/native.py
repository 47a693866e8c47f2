"""Measures latency and power with `benchmark_model`, on a phone or on this machine."""

from __future__ import annotations

import platform
import shlex
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.benchmarking import adb, benchmark_model
from efld_tf.benchmarking.latency import cost_factors, current_conditions
from efld_tf.errors import DataError, EfldError
from efld_tf.files import sha256
from efld_tf.runtime import graph
from efld_tf.scoring.section import Section

# A shell reports a signal as the exit code of 128 plus its number.
CRASHES = {132: "SIGILL", 134: "SIGABRT", 135: "SIGBUS", 137: "SIGKILL", 139: "SIGSEGV"}
SAMPLE_SECONDS = 1.0
# The time for a program to start on a phone.
START_SECONDS = 30.0
# Fewer samples say nothing about their own scatter.
FEWEST_SAMPLES = 5


@dataclass(frozen=True)
class Power:
    """What running the model adds to the power of an idle phone, in watts.

    Attributes:
      power_w: mean power of the battery while the model runs, less that of the idle phone.
      uncertainty_w: half of its 95% confidence interval, from the scatter of the samples, which are
        taken as independent; a gauge that repeats its values makes it too small.
      idle_w: mean power of the idle phone.
      samples: number of samples while running; there were as many before.
    """

    power_w: float
    uncertainty_w: float
    idle_w: float
    samples: int


@dataclass(frozen=True)
class NativeBenchmark(Section):
    """A model measured by the native tool.

    Attributes:
      model: path of its file.
      conditions: what has to be known to compare it, as in the `benchmark` section of
        `results.json`.
      output: what the tool printed.
      power: the measured power; None where it was not asked for.
    """

    section = "benchmark"

    model: Path
    conditions: dict[str, Any]
    output: benchmark_model.Output
    power: Power | None = None

    @property
    def time_ms(self) -> float:
        """The median, or the mean where the build prints no median.

        `time_is` in the summary says which of them it is.
        """
        median = self.output.latency_ms_p50
        return self.output.latency_ms_mean if median is None else median

    @property
    def factors(self) -> dict[str, float]:
        """The time, complexity and size of the model, and its power where it was measured."""
        power = {"power_w": self.power.power_w} if self.power else {}
        return {"time_ms": self.time_ms, **power, **cost_factors(self.model)}

    @property
    def file(self) -> Path:
        """The file of the model that was measured."""
        return self.model

    def summary(self) -> dict[str, Any]:
        """The `benchmark` section of `results.json`."""
        output_fields = {k: v for k, v in asdict(self.output).items() if v is not None}
        result = {**self.conditions, **output_fields}
        result["time_is"] = "mean" if self.output.latency_ms_p50 is None else "median"
        if self.power:
            result.update({
                "power_uncertainty_w": round(self.power.uncertainty_w, 4),
                "power_idle_w": round(self.power.idle_w, 4),
                "power_samples": self.power.samples,
            })
        result["size_bytes"] = self.model.stat().st_size
        result["macs"] = graph.total_macs(self.model)
        return result


def on_phone(
    model: str | Path, tool: str | Path, *, serial: str | None = None, cores: str | None = None,
    threads: int = 1, runs: int = 200, warmup: int = 20, power_seconds: float = 0.0,
) -> NativeBenchmark:
    """Measures a model on a phone.

    Args:
      model: the `.tflite` file.
      tool: a `benchmark_model` that was built for the phone.
      serial: serial number of the phone; None for the only one.
      cores: mask of the cores to run on, in hexadecimal as `taskset` takes it; None for any.
      threads, runs, warmup: options of the tool.
      power_seconds: how long to sample the battery, idle and running; 0 for not at all.

    Raises:
      EfldError: adb, the phone or the tool fails, or the power cannot be measured.
      DataError: the tool crashes on the model.
    """
    if cores is not None:
        _check_mask(cores)
    phone = adb.Phone(serial)
    if power_seconds and phone.charging():
        raise EfldError("--power: the phone is being charged; unplug it and use adb over Wi-Fi")
    description = phone.describe()
    program = phone.push(Path(tool), executable=True)
    pushed = phone.push(Path(model))
    prefix = ["taskset", cores] if cores else []
    options = {"threads": threads, "runs": runs, "warmup": warmup}
    words = [*prefix, program, *benchmark_model.arguments(pushed, **options)]
    before = phone.heat()
    date = datetime.now(timezone.utc).isoformat(timespec="seconds")
    try:
        text = phone.shell(*words, timeout=900)
    except adb.CommandError as error:
        raise _failure(model, error.output, error.code) from error
    output = benchmark_model.parse(text)
    power = None
    if power_seconds:
        words = [*prefix, program,
                 *benchmark_model.arguments(pushed, **options, seconds=10 * power_seconds + 60)]
        power = _power(phone, words, program, power_seconds)
    after = phone.heat()
    conditions = {
        "device": description.device, "soc": description.soc, "os": description.os,
        "runtime": f"benchmark_model {sha256(tool)[:12]}", "date": date,
        "core_mask": cores or "any", "threads": threads, "xnnpack": True, "warmup_runs": warmup,
    }
    for name, heat in (("before", before), ("after", after)):
        if heat.battery_c is not None:
            conditions[f"battery_c_{name}"] = heat.battery_c
        if heat.status is not None:
            conditions[f"thermal_status_{name}"] = heat.status
    if before.status is not None and after.status is not None:
        conditions["throttled"] = bool(before.status or after.status)
    return NativeBenchmark(Path(model), conditions, output, power)


def here(
    model: str | Path, tool: str | Path, *, cores: str | None = None, threads: int = 1,
    runs: int = 200, warmup: int = 20,
) -> NativeBenchmark:
    """Measures a model with a `benchmark_model` for this machine; arguments are as in `on_phone`.

    Raises:
      EfldError, DataError: as in `on_phone`.
    """
    if cores is not None:
        _check_mask(cores)
    prefix = ["taskset", cores] if cores else []
    words = [*prefix, str(Path(tool).absolute()),
             *benchmark_model.arguments(str(model), threads=threads, runs=runs, warmup=warmup)]
    conditions = current_conditions()
    try:
        process = subprocess.run(words, capture_output=True, text=True, errors="replace",
                                 check=False, timeout=900)
    except subprocess.TimeoutExpired as error:
        raise EfldError(f"{shlex.join(words[:3])}: no end after 900 seconds") from error
    except OSError as error:
        raise EfldError(f"{words[0]}: cannot be run: {error.strerror or error}") from error
    text = process.stdout + process.stderr
    if process.returncode:
        code = process.returncode if process.returncode > 0 else 128 - process.returncode
        raise _failure(model, text, code)
    output = benchmark_model.parse(text)
    machine_conditions = {
        k: v for k, v in asdict(conditions).items() if v is not None and k != "python"}
    return NativeBenchmark(Path(model), {
        **machine_conditions, "os": f"{platform.system()} {platform.release()}",
        "runtime": f"benchmark_model {sha256(tool)[:12]}", "core_mask": cores or "any",
        "threads": threads, "xnnpack": True, "warmup_runs": warmup,
    }, output)


def difference(idle: Sequence[float], running: Sequence[float]) -> Power:
    """The power of running above idle, with the uncertainty of the difference of two means.

    Args:
      idle, running: as many samples of each, in watts.

    Raises:
      EfldError: there are too few samples.
    """
    if min(len(idle), len(running)) < FEWEST_SAMPLES:
        raise EfldError(f"--power: {min(len(idle), len(running))} samples are too few: "
                        "give more seconds")
    means = [float(np.mean(values)) for values in (idle, running)]
    errors = [float(np.var(values, ddof=1)) / len(values) for values in (idle, running)]
    return Power(means[1] - means[0], 1.96 * sum(errors) ** 0.5, means[0], len(running))


def _power(phone: adb.Phone, words: list[str], program: str, seconds: float) -> Power:
    """Samples the battery of a phone first while it is idle, then while the program runs."""
    count = max(1, int(seconds / SAMPLE_SECONDS))
    name = Path(program).name
    idle = _sampled(phone, count)
    process = phone.start(*words)
    try:
        _wait_until_running(phone, process, name)
        running = _sampled(phone, count) if process.poll() is None else []
        if process.poll() is not None:
            assert process.stdout is not None  # It is the pipe of `Phone.start`.
            text = process.stdout.read()
            message = "adb: the device was disconnected" if phone.gone(text) else \
                f"benchmark_model ended early: {(text.strip() or 'no message').splitlines()[-1]}"
            raise EfldError(message[:300])
    finally:
        # Ending adb here does not end the program on the phone.
        with suppress(EfldError):
            phone.shell("sh", "-c", f"kill $(pidof {name}) || true")
        process.kill()
        process.communicate()
    power = difference(idle, running)
    if power.power_w <= power.uncertainty_w:
        raise EfldError(
            f"--power: {power.power_w:.3f} W above idle is within the uncertainty of "
            f"{power.uncertainty_w:.3f} W; give more seconds and let the phone come to rest"
        )
    return power


def _wait_until_running(phone: adb.Phone, process: subprocess.Popen[str], name: str) -> None:
    """Waits until a program that was started runs on the phone, or has ended again."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        if phone.shell("sh", "-c", f"pidof {name} || true").strip():
            time.sleep(SAMPLE_SECONDS)  # Its power has to settle.
            return
        if time.monotonic() > deadline:
            raise EfldError(f"benchmark_model: does not run after {START_SECONDS:g} seconds")
        time.sleep(0.1)


def _sampled(phone: adb.Phone, count: int) -> list[float]:
    values = []
    for _ in range(count):
        values.append(phone.battery_watts())
        time.sleep(SAMPLE_SECONDS)
    return values


def _failure(model: str | Path, text: str, code: int) -> EfldError:
    """The error that a failed run of the tool means."""
    if code in CRASHES:
        return DataError(model, f"benchmark_model crashes on it ({CRASHES[code]})")
    try:
        benchmark_model.parse(text)
    except EfldError as error:
        return error
    return EfldError(f"benchmark_model: exit code {code}")


def _check_mask(cores: str) -> None:
    try:
        if int(cores, 16) <= 0:
            raise ValueError
    except ValueError as error:
        raise EfldError(f"--cores {cores}: expected a mask in hexadecimal, such as f0") from error
