"""Measures trained runs on real test sets in float, and writes the table.

    EFLD_DATA=/path/to/data python benchmarks/real_faces.py [RUNS [RUN ...]]

`RUNS` (default: runs) holds the runs of `configs/efld/`. Those that are named (default: all) are
measured on HELEN's test set and on people of YouTube Faces that no training face shows. Writes
benchmarks/real_faces/: RUN.json, RUN_youtube_faces.json, RUN_data.json (what it was trained on) and
table.md. For int8 see `benchmarks/export/` and `benchmarks/hard_cases/`.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

from common import HELEN_TEST, YOUTUBE_TEST, command

from efld_tf.training.run_folder import DATA_FILE

OUTPUT = Path(__file__).parent / "real_faces"
RUNS = {
    "best": "four formats, with a teacher",
    "cross_format": "four formats",
    "single_format": "HELEN alone",
    "synthetic": "rendered faces alone",
}
TESTS = {"": HELEN_TEST, "_youtube_faces": YOUTUBE_TEST}


def main() -> None:
    """Evaluates the runs."""
    OUTPUT.mkdir(exist_ok=True)
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
    for name in sys.argv[2:] or RUNS:
        for suffix, source in TESTS.items():
            results = OUTPUT / f"{name}{suffix}.json"
            results.unlink(missing_ok=True)
            command("efld-eval", runs / name, "--head", "ibug51", "--source", source,
                    "--output", results, "--quiet")
        shutil.copy(runs / name / DATA_FILE, OUTPUT / f"{name}_data.json")
    (OUTPUT / "table.md").write_text(table())
    print((OUTPUT / "table.md").read_text())


def table() -> str:
    """The results as Markdown."""
    lines = [
        "HELEN's test set, 330 faces, and 613 of YouTube Faces; 51 points, inter-ocular, crop from "
        "the ground-truth box; float.",
        "",
        "| trained on | HELEN: NME | FR@10% | CED-AUC@10% | within 5 px | YouTube Faces: NME "
        "| FR@10% |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, title in RUNS.items():
        helen, youtube = (OUTPUT / f"{name}{suffix}.json" for suffix in TESTS)
        if not helen.exists():
            continue
        found = json.loads(helen.read_text())
        cells = [*errors(helen), f"{found['evaluation']['ced_auc_10_percent']:.1f}",
                 f"{found['accuracy_percent']:.1f}%"]
        cells += errors(youtube) if youtube.exists() else ["", ""]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def errors(path: Path) -> list[str]:
    """NME and failure rate."""
    evaluation = json.loads(path.read_text())["evaluation"]
    return [f"{evaluation['nme_interocular_percent']:.2f}%",
            f"{evaluation['failure_rate_10_percent']:.2f}%"]


if __name__ == "__main__":
    main()
