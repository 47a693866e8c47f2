"""Measures the trained runs on HELEN's test set in float, and writes the table.

    EFLD_DATA=/path/to/data python benchmarks/real_faces.py [runs]

`runs` is the folder that holds the runs `cross_format` and `single_format` (default: runs). Results
go to benchmarks/real_faces/. What int8 changes is measured by `benchmarks/export.py`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

OUTPUT = Path(__file__).parent / "real_faces"
TEST = "ibug:${EFLD_DATA}/ibug/helen/testset"
RUNS = {"cross_format": "four formats", "single_format": "HELEN alone"}


def main() -> None:
    """Evaluates every run."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    OUTPUT.mkdir(exist_ok=True)
    for name in RUNS:
        results = OUTPUT / f"{name}.json"
        results.unlink(missing_ok=True)
        command("efld-eval", runs / name, "--head", "ibug51", "--source", TEST,
                "--output", results, "--quiet")
    (OUTPUT / "table.md").write_text(table())
    print((OUTPUT / "table.md").read_text())


def command(*words: object) -> None:
    """Runs one of the project's commands."""
    print("$", *words, flush=True)
    program = Path(sys.executable).parent / str(words[0])
    subprocess.run([str(program), *map(str, words[1:])], check=True)


def table() -> str:
    """The results as Markdown."""
    lines = [
        "HELEN test set, 330 faces, 51 points, inter-ocular, crop from the ground-truth box; "
        "float.",
        "",
        "| trained on | NME | FR@10% | CED-AUC@10% | within 5 px |",
        "|---|---|---|---|---|",
    ]
    for name, title in RUNS.items():
        found = json.loads((OUTPUT / f"{name}.json").read_text())
        evaluation = found["evaluation"]
        lines.append(
            f"| {title} | {evaluation['nme_interocular_percent']:.2f}% "
            f"| {evaluation['failure_rate_10_percent']:.2f}% "
            f"| {evaluation['ced_auc_10_percent']:.1f} "
            f"| {found['accuracy_percent']:.1f}% |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
