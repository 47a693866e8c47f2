"""For which faces the shipped model is better and worse, on real test sets.

    EFLD_DATA=/path/to/data python benchmarks/hard_cases.py [NAME=MODEL ...]

Measures the shipped int8 model, and beside it every MODEL (a `.tflite`), on HELEN's test set and on
people of YouTube Faces that no training face shows. Writes benchmarks/hard_cases/: results.json,
table.md, slices_helen.png, slices_youtube_faces.png, and worst.png: the 16 worst faces of HELEN's
as points alone, since the photos are not ours to publish.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST

from efld_tf import assets
from efld_tf.evaluation import evaluate, faces, plots, slices, slices_plot
from efld_tf.landmarks.geometry import Crop
from efld_tf.runtime.predictor import LandmarkPredictor

OUTPUT = Path(__file__).parent / "hard_cases"
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
TITLES = {"helen": "HELEN", "youtube_faces": "YouTube Faces"}


def main() -> None:
    """Measures, and writes tables and pictures."""
    OUTPUT.mkdir(exist_ok=True)
    others = (argument.partition("=") for argument in sys.argv[1:])
    models = {"shipped": assets.INT8_MODEL, **{name: Path(path) for name, _, path in others}}
    found: dict[str, Any] = {test: {} for test in TESTS}
    for test, source in TESTS.items():
        values = None  # of the shipped model's crops: all models have the same groups
        for name, model in models.items():
            predictor = LandmarkPredictor(model)
            evaluation = evaluate.evaluate(predictor, faces.load(
                source, predictor.crop_rule, predictor.input_size, progress=False))
            divided = slices.measure(evaluation)
            values = values or divided.values
            divided = replace(divided, values=values)
            found[test][name] = {
                "all": evaluation.summary(), "points_outside": outside(divided),
                **divided.summary(),
                "worst": {evaluation.faces.names[i]: round(100 * float(evaluation.nme[i]), 2)
                          for i in plots.worst(evaluation)},
            }
            if name == "shipped":
                slices_plot.slices_plot(OUTPUT / f"slices_{test}.png", divided)
                if test == "helen":
                    blank = replace(evaluation.faces, view=_blank)
                    plots.predictions_sheet(OUTPUT / "worst.png", replace(evaluation, faces=blank),
                                            plots.worst(evaluation))
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


def _blank(index: int, square: Crop, size: int) -> np.ndarray:
    """No photo."""
    return np.full((size, size, 3), 28, np.uint8)


def outside(divided: slices.Slices) -> dict[str, Any]:
    """Faces of which all points, and not all points, are in the crop that the model sees."""
    points = divided.evaluation.truth
    out = ((points < 0) | (points > 1)).any(axis=(1, 2))
    groups = {"none": ~out, "some": out}
    return {name: divided.of_group(members) for name, members in groups.items() if members.any()}


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    models = list(found["helen"])
    columns = [(test, name) for test in TESTS for name in models]
    heads = [TITLES[test] + (f", {name}" if len(models) > 1 else "") for test, name in columns]
    lines = [
        "int8, 51 points; NME in percent of the distance between the outer eye corners ± its "
        "standard error, by people where they are told (faces; share of them above 10%). Angles "
        "follow from the annotated points, thirds are of each test set; sharpness, brightness and "
        "skin tone are those of the shipped model's crops.", "",
        f"| faces | {' | '.join(heads)} |", "|---|" + "---|" * len(columns),
    ]
    everyone = [found[test][name]["all"] for test, name in columns]
    lines.append(f"| all | {' | '.join(_all(cell) for cell in everyone)} |")
    for group in ("none", "some"):
        cells = [_cell(found[test][name]["points_outside"].get(group)) for test, name in columns]
        lines.append(f"| points outside the model's crop: {group} | {' | '.join(cells)} |")
    for attribute in found["helen"]["shipped"]["attributes"]:
        groups = [{g["group"]: g for g in found[test][name]["attributes"][attribute]["groups"]}
                  for test, name in columns]
        unit = found["helen"]["shipped"]["attributes"][attribute]["unit"]
        for group in sorted({key: None for column in groups for key in column}, key=_low):
            cells = [_cell(column.get(group)) for column in groups]
            lines.append(f"| {attribute.replace('_', ' ')} ({unit}): {group} "
                         f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _low(group: str) -> float:
    """Where a group begins; groups with names of their own stay in their order."""
    first = group.split()[0]
    return -np.inf if first == "below" else float(first) if first[-1].isdigit() else 0.0


def _all(summary: dict[str, Any]) -> str:
    return (f"{summary['nme_interocular_percent']:.2f} ({summary['faces']}; "
            f"{summary['failure_rate_10_percent']:.1f}%)")


def _cell(group: dict[str, Any] | None) -> str:
    if group is None:
        return ""
    error = group["standard_error_percent"]
    spread = "" if error is None else f" ± {error:.2f}"
    return (f"{group['nme_interocular_percent']:.2f}{spread} ({group['faces']}; "
            f"{group['failure_rate_10_percent']:.1f}%)")


if __name__ == "__main__":
    main()
