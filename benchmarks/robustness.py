"""How the error of the shipped int8 model grows with what goes wrong, on HELEN's test set.

    EFLD_DATA=/path/to/data python benchmarks/robustness.py

Writes benchmarks/robustness/: results.json, table.md, curves.png, and levels.jpg, a rendered face
under every corruption and level (its errors are those of that face alone).
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import cv2
from common import HELEN_TEST, command

from efld_tf import assets
from efld_tf.evaluation.corruptions import CORRUPTIONS, FACE_PIXELS

OUTPUT = Path(__file__).parent / "robustness"


def main() -> None:
    """Evaluates the model on the test set, and on a few rendered faces for the sheet."""
    OUTPUT.mkdir(exist_ok=True)
    results = OUTPUT / "results.json"
    results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        plots, rendered = Path(folder) / "plots", Path(folder) / "rendered"
        start = time.monotonic()
        evaluate(HELEN_TEST, "--output", results, "--plots", plots)
        print(f"{time.monotonic() - start:.0f} s")
        (OUTPUT / "curves.png").write_bytes((plots / "robustness_curves.png").read_bytes())
        command("efld-data", "synth", rendered, "--count", 5, "--size", 512, "--quiet")
        evaluate(f"ibug:{rendered}", "--plots", plots)
        sheet = cv2.imread(str(plots / "robustness_levels.png"))
        cv2.imwrite(str(OUTPUT / "levels.jpg"), sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
    (OUTPUT / "table.md").write_text(table(json.loads(results.read_text())["robustness"]))
    print((OUTPUT / "table.md").read_text())


def evaluate(source: str, *words: object) -> None:
    """Measures the shipped model with all corruptions."""
    command("efld-eval", assets.INT8_MODEL, "--source", source, "--robustness", "--quiet", *words)


def table(found: dict) -> str:
    """The results as Markdown."""
    clean = next(iter(found["corruptions"].values()))
    nme = f"nme_{found['normaliser']}_percent"
    lines = [
        f"HELEN test set, {found['faces']} faces, 51 points, inter-ocular, shipped int8 model; NME "
        f"(FR@10), clean {clean[nme][0]:.2f}% ({clean['failure_rate_10_percent'][0]:.1f}%). The "
        f"box is that of all 68 points; blur, noise, JPEG, darkness, occlusion and resolution act "
        f"on the face at {FACE_PIXELS} px.",
        "",
        "| corruption, unit of its levels | **level**: NME in % (FR@10 in %) |",
        "|---|---|",
    ]
    for corruption in CORRUPTIONS:
        curve = found["corruptions"][corruption.name]
        levels = zip(curve["levels"], curve[nme], curve["failure_rate_10_percent"], strict=True)
        cells = [f"**{level:g}**: {error:.2f} ({failed:.1f})" for level, error, failed in
                 list(levels)[1:]]
        lines.append(f"| {corruption.title}, {corruption.unit} | {' · '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
