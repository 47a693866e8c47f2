"""The processor's own energy counter (RAPL), where it can be read."""

from __future__ import annotations

import time
from pathlib import Path

from efld_tf.benchmarking.latency import SEED, ask_worker

COUNTERS = Path("/sys/class/powercap")
RUNS = 2000
IDLE_SECONDS = 1.0


def microjoules(counters: Path = COUNTERS) -> int | None:
    """The energy that all packages have used, in microjoules; None where it is not told."""
    try:
        found = sorted(counters.glob("intel-rapl:[0-9]*"))
        packages = [path for path in found if path.name.count(":") == 1]
        values = [int((package / "energy_uj").read_text()) for package in packages]
    except (OSError, ValueError):
        return None
    return sum(values) if values else None


def of_one_run(model: str, core: int | None, counters: Path = COUNTERS) -> float | None:
    """Millijoules of one invocation above those of an idle machine; None where it is not told."""
    before = microjoules(counters)
    if before is None:
        return None
    started = time.monotonic()
    time.sleep(IDLE_SECONDS)
    after = microjoules(counters)
    if after is None or after < before:  # the counter turned over
        return None
    idle = (after - before) / (time.monotonic() - started)
    job = {"models": [model], "threads": [1], "kernels": [True], "runs": RUNS, "warmup": 0,
           "seed": SEED, "core": core}
    empty, full = ({**job, "runs": runs} for runs in (1, RUNS))
    used = []
    for one in (empty, full):  # their difference leaves out the start of the process
        before, started = microjoules(counters), time.monotonic()
        ask_worker(Path(model), one, timeout=None)
        after = microjoules(counters)
        if before is None or after is None or after < before:
            return None
        used.append(after - before - idle * (time.monotonic() - started))
    return round((used[1] - used[0]) / (RUNS - 1) / 1000, 4) if used[1] > used[0] else None
