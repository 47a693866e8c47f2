"""The main job from end to end on rendered faces; `make demo` runs it.

Each step is a command that is shown before it runs, so that it can be repeated by hand. Everything
lands in runs/demo/. Started again, finished steps are not done again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

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
    started = time.monotonic()
    for folder, schema, count, seed in RENDERED:
        run("efld-data", "synth", DATA / folder, "--schema", schema, "--count", count,
            "--seed", seed, "--size", 192)
    wflw, *others = (f"wflw:{DATA}/wflw98/list_98pt_rect_attr.txt", f"ibug:{DATA}/ibug68",
                     f"ibug:{DATA}/ibug51")
    run("efld-data", "show", wflw, "--output", RUN / "faces.jpg", "--count", 12, "--tile", 240)
    run("efld-data", "stats", wflw, *others, "--output", RUN / "stats.png")
    run("efld-train", CONFIG)
    run("efld-export", RUN, "--int8", "--head", "ibug68", "--faces", TEST)
    run("efld-verify", BUNDLE)
    run("efld-eval", MODEL, "--source", TEST, "--output", RESULTS, "--plots", RUN)
    run("efld-bench", MODEL, "--output", RESULTS)
    # No power was measured: it says so and exits with 3.
    run("efld-score", RESULTS, expected=(3,))
    summary(time.monotonic() - started)


def run(command: str, *arguments: object, expected: tuple[int, ...] = (0,)) -> None:
    """Runs one of the project's commands, and stops if it fails."""
    words = [command, *map(str, arguments)]
    print(f"\n$ {' '.join(words)}", flush=True)
    # The commands stand beside the interpreter, whether or not the environment is activated.
    program = Path(sys.executable).parent / command
    code = subprocess.run([str(program), *words[1:]], check=False).returncode
    if code not in expected:
        raise SystemExit(f"{command} failed with exit code {code}")


def summary(seconds: float) -> None:
    """Prints what was reached and where to look."""
    results = json.loads(RESULTS.read_text())
    report = json.loads((BUNDLE / "report.json").read_text())
    evaluation, benchmark = results["evaluation"], results["benchmark"]
    comparison = report["comparison"]
    print(f"""
{'=' * 72}
EFLD on rendered faces, {seconds / 60:.1f} minutes on {os.cpu_count()} cores

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
