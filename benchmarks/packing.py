"""Measures the speed and the memory of packing: 1,000 and 10,000 photos of one face each.

    EFLD_DATA=/path/to/data python benchmarks/packing.py

The photos are HELEN's, linked under as many names as needed. Memory is the largest sum over all
processes of their unique set sizes, sampled while `efld-data pack` runs; the second number is that
of the process that writes. Results go to benchmarks/packing/.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import psutil

from efld_tf.annotations import sources
from efld_tf.benchmarking.latency import current_conditions

OUTPUT = Path(__file__).parent / "packing"
COUNTS = (1_000, 10_000)


def main() -> None:
    """Measures, and writes results.json and table.md."""
    records = sources.read("ibug:${EFLD_DATA}/ibug/helen/trainset").records
    rows = []
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as folder:
            photos = Path(folder, "photos")
            photos.mkdir()
            for index in range(count):
                image = records[index % len(records)].image
                for file in (image, image.with_suffix(".pts")):
                    (photos / f"{index:05d}x{file.suffix}").symlink_to(file.resolve())
            rows.append({"records": count, **_measure(photos, Path(folder, "packed"))})
        print(rows[-1], file=sys.stderr)
    results = {"command": "python benchmarks/packing.py", "rows": rows,
               "conditions": asdict(current_conditions())}
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(_table(results))
    print(_table(results))


def _measure(photos: Path, packed: Path) -> dict[str, float]:
    """Packs in a process of its own while its memory is watched."""
    program = Path(sys.executable).parent / "efld-data"
    command = [str(program), "pack", f"ibug:{photos}", str(packed), "--quiet"]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    all_processes = writer = 0
    while process.poll() is None:
        if sizes := _memory(process.pid):
            all_processes, writer = max(all_processes, sum(sizes)), max(writer, sizes[0])
        time.sleep(0.2)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    seconds = time.perf_counter() - start
    return {
        "seconds": round(seconds, 1),
        "memory_mb": round(all_processes / 1e6),
        "writer_memory_mb": round(writer / 1e6),
    }


def _memory(pid: int) -> list[int]:
    """The unique set sizes of a process and of what it started, in bytes; the process first."""
    sizes = []
    try:
        parent = psutil.Process(pid)
        command = parent.cmdline()
        for process in [parent, *parent.children(recursive=True)]:
            # Between fork and exec, a child has its parent's memory and command.
            if process is parent or process.cmdline() != command:
                sizes.append(process.memory_full_info().uss)
    except psutil.Error:  # it has just ended
        pass
    return sizes


def _table(results: dict) -> str:
    conditions = results["conditions"]
    lines = [
        f"{conditions['cores']} cores of {conditions['device']}; seconds include the "
        "start of the processes and reading the annotations.",
        "",
        "| records | s | records/s | memory, all processes | memory, writing process |",
        "|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        rate = row["records"] / row["seconds"]
        lines.append(
            f"| {row['records']:,} | {row['seconds']} | {rate:.0f} | {row['memory_mb']} MB "
            f"| {row['writer_memory_mb']} MB |"
        )
    return "\n".join([*lines, "", f"Made by `{results['command']}`."]) + "\n"


if __name__ == "__main__":
    main()
