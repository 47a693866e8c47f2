"""Measures the trained runs on HELEN's test set, in int8 and float, and writes the table.

    EFLD_DATA=/path/to/data python benchmarks/real_faces.py [runs]

`runs` is the folder that holds the runs `cross_format` and `single_format` (default: runs). Results
go to benchmarks/real_faces/. All latencies are measured in this one run, one model after another.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).parent / "real_faces"
TEST = "ibug:${EFLD_DATA}/ibug/helen/testset"
RUNS = ("cross_format", "single_format")
MODES = ("int8", "float32")
# How many training faces the int8 ranges are taken from; None is all, as in the paper.
CALIBRATIONS = (8, 64, 200, 256, None)


def main() -> None:
    """Exports, evaluates and benchmarks every run in every mode."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    OUTPUT.mkdir(exist_ok=True)
    for name in RUNS:
        for mode in MODES:
            model = runs / name / f"efld_ibug51_{mode}.tflite"
            results = OUTPUT / f"{name}_{mode}.json"
            results.unlink(missing_ok=True)
            command("efld-export", runs / name, f"--{mode}", "--head", "ibug51",
                    "--compare", TEST, "--output", model)
            command("efld-eval", model, "--source", TEST, "--output", results, "--quiet")
            shutil.copy(model.with_suffix(".report.json"), OUTPUT / f"{name}_{mode}_export.json")
    for name in RUNS:
        for mode in MODES:
            command("efld-bench", runs / name / f"efld_ibug51_{mode}.tflite", "--runs", 2000,
                    "--output", OUTPUT / f"{name}_{mode}.json")
    calibration = calibration_curve(runs / "cross_format")
    (OUTPUT / "calibration.json").write_text(json.dumps(calibration, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(calibration))
    print((OUTPUT / "table.md").read_text())


def command(*words: object) -> None:
    """Runs one of the project's commands."""
    print("$", *words, flush=True)
    program = Path(sys.executable).parent / str(words[0])
    subprocess.run([str(program), *map(str, words[1:])], check=True)


def calibration_curve(run: Path) -> list[dict]:
    """The int8 NME of one model for several numbers of calibration faces."""
    rows = []
    for count in CALIBRATIONS:
        model = run / "calibration_curve.tflite"
        command("efld-export", run, "--int8", "--head", "ibug51", "--compare", TEST,
                "--calibration", count or "all", "--output", model)
        report = json.loads(model.with_suffix(".report.json").read_text())
        rows.append({
            "faces": report["calibration_faces"],
            "int8_nme_percent": report["comparison"]["exported_nme_percent"],
            "float_nme_percent": report["comparison"]["trained_nme_percent"],
        })
    for suffix in (".tflite", ".report.json", ".calibration.json"):
        model.with_suffix(suffix).unlink()
    return rows


def table(calibration: list[dict]) -> str:
    """The results as Markdown."""
    lines = [
        "HELEN test set, 330 faces, 51 points, inter-ocular, crop from the ground-truth box; "
        "latency p50, 1 thread, XNNPACK.",
        "",
        "| trained on | mode | NME | FR@10% | CED-AUC@10% | within 5 px | size | MACs | latency |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name in RUNS:
        for mode in MODES:
            found = json.loads((OUTPUT / f"{name}_{mode}.json").read_text())
            evaluation, benchmark = found["evaluation"], found["benchmark"]
            lines.append(
                f"| {'four formats' if name == 'cross_format' else 'HELEN alone'} | {mode} "
                f"| {evaluation['nme_interocular_percent']:.2f}% "
                f"| {evaluation['failure_rate_10_percent']:.2f}% "
                f"| {evaluation['ced_auc_10_percent']:.1f} "
                f"| {found['accuracy_percent']:.1f}% "
                f"| {benchmark['size_bytes']:,} B | {benchmark['macs'] / 1e6:.2f} M "
                f"| {found['time_ms']:.3f} ms |"
            )
    device = found["benchmark"]
    lines += ["", f"Measured on {device['device']}, {device['cores']} cores, {device['runtime']}.",
              "", "Calibration faces against int8 NME (four formats): "
              + ", ".join(f"{row['faces']}: {row['int8_nme_percent']:.2f}%" for row in calibration)
              + f"; float {calibration[0]['float_nme_percent']:.2f}%."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
