"""Reads the energy counter of the processor (RAPL), where the system allows it."""

from __future__ import annotations

import time
from pathlib import Path

from efld_tf.benchmarking.latency import SEED
from efld_tf.runtime import trial

COUNTERS = Path("/sys/class/powercap")
RUNS = 2000
IDLE_SECONDS = 1.0


def microjoules(counters: Path = COUNTERS) -> int | None:
    """The energy that all packages have used, in microjoules; None where it cannot be read."""
    try:
        zones = sorted(counters.glob("intel-rapl:[0-9]*"))
        packages = [path for path in zones if path.name.count(":") == 1]
        values = [int((package / "energy_uj").read_text()) for package in packages]
    except (OSError, ValueError):
        return None
    return sum(values) if values else None


def of_one_run(model: str, core: int | None, counters: Path = COUNTERS) -> float | None:
    """Millijoules of one invocation above an idle machine; None where they cannot be measured."""
    before = microjoules(counters)
    if before is None:
        return None
    started = time.monotonic()
    time.sleep(IDLE_SECONDS)
    after = microjoules(counters)
    if after is None or after < before:  # The counter has wrapped around.
        return None
    idle = (after - before) / (time.monotonic() - started)
    job = {"models": [model], "threads": [1], "kernels": [True], "runs": RUNS, "warmup": 0,
           "seed": SEED, "core": core}
    empty, full = ({**job, "runs": runs} for runs in (1, RUNS))
    energies = []
    # The difference of the two jobs leaves out the start of the process.
    for timed_job in (empty, full):
        before, started = microjoules(counters), time.monotonic()
        trial.ask_worker(Path(model), timed_job, timeout=None)
        after = microjoules(counters)
        if before is None or after is None or after < before:
            return None
        energies.append(after - before - idle * (time.monotonic() - started))
    difference = energies[1] - energies[0]
    return round(difference / (RUNS - 1) / 1000, 4) if difference > 0 else None
