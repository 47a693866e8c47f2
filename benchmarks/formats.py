"""The shipped EFLD for other runtimes: bytes, time and accuracy beside those for phones.

    EFLD_DATA=/path/to/data python benchmarks/formats.py

Exports the float weights of `research` for LiteRT, ONNX Runtime, Core ML and TensorFlow Lite
Micro, and measures those for runtimes of this machine in turns, on one thread. Errors are those of
the 51 points on HELEN's test set, after a calibration on HELEN's training faces; those of the model
for microcontrollers are by LiteRT. Writes benchmarks/formats/: results.json and table.md.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from common import HELEN_TEST, command

from efld_tf import assets, files, runs
from efld_tf.benchmarking import compare
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.exporting import modes

OUTPUT = Path(__file__).parent / "formats"
TIMED = ("int8", "float32", "onnx", "onnx-int8")
NAMES = (*TIMED, "coreml", "micro")
RUNTIMES = {".tflite": "ai-edge-litert", ".onnx": "onnxruntime"}
RUNS = 2000


def exported(name: str, folder: Path) -> None:
    """The shipped weights in a mode."""
    words: list[object] = ["efld-export", "research", f"--{name}", "--output", folder, "--quiet"]
    if modes.get(name).calibrated:
        words += ["--calibration", assets.INT8_MODEL.with_name("calibration.json")]
    if modes.get(name).suffix in RUNTIMES:
        words += ["--faces", HELEN_TEST]
    command(*words)


def main() -> None:
    """Exports, measures and writes."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        for name in NAMES:
            exported(name, Path(temporary) / name)
        measured = compare.measure(
            [runs.exported_model(Path(temporary) / name) for name in TIMED], runs=RUNS)
        times = dict(zip(TIMED, measured.rows, strict=True))
        for name in NAMES:
            report = json.loads((Path(temporary) / name / "report.json").read_text())
            rows.append({"mode": name, "model": report["model"], "size_bytes": report["size_bytes"],
                         **report["comparison"], "by_micro": report.get("micro", {}), **(
                             {"latency_ms_p50": times[name].latency_ms_p50,
                              "speedup": times[name].speedup} if name in times else {})})
    OUTPUT.mkdir(exist_ok=True)
    files.write_json(OUTPUT / "results.json", {
        "device": measured.conditions.device, "date": measured.conditions.date,
        "runtimes": [current_conditions(name).runtime for name in RUNTIMES.values()],
        "rows": rows})
    (OUTPUT / "table.md").write_text(table(rows))
    print(table(rows))


def table(rows: list[dict[str, Any]]) -> str:
    """The results as Markdown."""
    runtime = next(row["by_micro"]["runtime"] for row in rows if row["by_micro"])
    lines = ["EFLD with 51 points on HELEN's test set; one thread, in turns. Memory is the arena "
             f"of {runtime}, plain kernels.", "",
             "| mode | file | bytes | ms | memory | NME | loss, px of 128 |",
             "|---|---|---|---|---|---|---|"]
    for row in rows:
        time = f"{row['latency_ms_p50']:.3f}" if "latency_ms_p50" in row else "-"
        memory = f"{row['by_micro']['arena_bytes']:,}" if row["by_micro"] else "-"
        nme = f"{row['exported_nme_percent']:.3f}%" if "exported_nme_percent" in row else "-"
        loss = f"{row['point_difference_px_median']:.3f}" if "exported_nme_percent" in row else "-"
        lines.append(f"| {row['mode']} | {Path(row['model']).suffix} | {row['size_bytes']:,} "
                     f"| {time} | {memory} | {nme} | {loss} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
