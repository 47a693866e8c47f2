"""The main job from end to end on rendered faces; `make demo` runs it.

Each step is a command that is shown before it runs, so that it can be repeated by hand. Everything
lands in runs/demo/, of a run that was not interrupted also what each command took: times.json.
Started again, finished steps are not done again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

from efld_tf.benchmarking.latency import current_conditions
from efld_tf.files import write_json

RUN = Path("runs/demo")
CONFIG = "configs/efld/demo.yaml"
DATA = RUN / "data"
RESULTS = RUN / "results.json"
BUNDLE = RUN / "efld_ibug68_int8"
MODEL = BUNDLE / "efld_ibug68_int8.tflite"
TEST = f"ibug:{DATA}/test"

# Faces of the three training formats and of the test; other seeds are other people.
RENDERED = (
    ("wflw98", "wflw98", 1000, 1),
    ("ibug68", "ibug68", 1200, 2),
    ("ibug51", "ibug51", 800, 3),
    ("test", "ibug68", 200, 4),
)


def main() -> None:
    """Runs all steps and prints a summary of one page."""
    conditions, anew = current_conditions(), not RUN.exists()
    ran = [(" ".join(step), run(step)) for step in steps()]
    total = round(sum(minutes for _, minutes in ran), 1)
    times = {"conditions": asdict(conditions), "minutes": total,
             "steps": [{"command": command, "minutes": minutes} for command, minutes in ran]}
    if anew:  # else some steps were done before
        write_json(RUN / "times.json", times)
    summary(total)


def steps() -> list[tuple[str, ...]]:
    """The commands with their arguments, in order."""
    wflw, *others = (f"wflw:{DATA}/wflw98/list_98pt_rect_attr.txt", f"ibug:{DATA}/ibug68",
                     f"ibug:{DATA}/ibug51")
    rendered = [
        ("efld-data", "synth", str(DATA / folder), "--schema", schema, "--count", str(count),
         "--seed", str(seed), "--size", "192")
        for folder, schema, count, seed in RENDERED
    ]
    return [
        *rendered,
        ("efld-data", "show", wflw, "--output", str(RUN / "faces.jpg"), "--count", "12",
         "--tile", "240"),
        ("efld-data", "stats", wflw, *others, "--output", str(RUN / "stats.png")),
        ("efld-train", CONFIG),
        ("efld-export", str(RUN), "--int8", "--head", "ibug68", "--faces", TEST),
        ("efld-verify", str(BUNDLE)),
        ("efld-eval", str(MODEL), "--source", TEST, "--output", str(RESULTS), "--plots", str(RUN)),
        ("efld-bench", str(MODEL), "--output", str(RESULTS)),
        ("efld-score", str(RESULTS)),
    ]


def run(step: tuple[str, ...]) -> float:
    """Runs one of the project's commands and returns its minutes, or stops if it fails."""
    print(f"\n$ {' '.join(step)}", flush=True)
    started = time.monotonic()
    # The commands stand beside the interpreter, whether or not the environment is activated.
    program = Path(sys.executable).parent / step[0]
    code = subprocess.run([str(program), *step[1:]], check=False).returncode
    # No power was measured: efld-score says so and exits with 3.
    if code != (3 if step[0] == "efld-score" else 0):
        raise SystemExit(f"{step[0]} failed with exit code {code}")
    return round((time.monotonic() - started) / 60, 2)


def summary(minutes: float) -> None:
    """Prints what was reached and where to look."""
    results = json.loads(RESULTS.read_text())
    report = json.loads((BUNDLE / "report.json").read_text())
    evaluation, benchmark = results["evaluation"], results["benchmark"]
    comparison = report["comparison"]
    print(f"""
{'=' * 72}
EFLD on rendered faces, {minutes} minutes on {os.cpu_count()} cores

  accuracy    NME {evaluation['nme_interocular_percent']:.2f}% on {evaluation['faces']} test faces \
(float {comparison['trained_nme_percent']:.2f}%)
              {evaluation['failure_rate_10_percent']:.1f}% of faces above 10%, \
CED-AUC@10% {evaluation['ced_auc_10_percent']:.1f}
              {results['accuracy_percent']:.1f}% of points within 5 pixels
  time        {results['time_ms']:.3f} ms a face, {benchmark['threads']} thread
  complexity  {results['complexity_gflops']:.4f} GFLOPs ({report['macs'] / 1e6:.2f} M MACs)
  size        {results['size_mb']:.3f} MB
  power       not measured, so there is no PAIR score

  model       {BUNDLE}
  results     {RESULTS}
  look at     {RUN}/faces.jpg  {RUN}/stats.png  {RUN}/sample.png  {RUN}/worst.png
              {RUN}/ced.png
{'=' * 72}""")


if __name__ == "__main__":
    main()
