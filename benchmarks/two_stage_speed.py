"""What the two-stage model takes on this machine beside the other families, and on what.

    EFLD_DATA=/path/to/data python benchmarks/two_stage_speed.py [RUNS]

Exports the runs with 51 points and the first seed of benchmarks/two_stage.py (in RUNS, by default
runs/two_stage) as int8 and as float32, checks each by efld-verify, and measures their loss on
HELEN's test set, with whole and with interpolated regions, and their latency in turns on one core,
beside the shipped EFLD and the networks of benchmarks/lite_hrnet_plus.py as int8, which are trained
for a few steps alone, since their weights do not change their time; then the model's operators one
by one. Nothing else should run on the machine. Writes benchmarks/two_stage_speed/: results.json and
table.md.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from common import HELEN_TEST, command
from lite_hrnet_plus import EFLD, LARGE, MAPNET, NME, PIP, SMALL, recipe
from lite_hrnet_speed import SHIPPED, by_kind, operator_table
from trainings import evaluate, train
from two_stage import SIZES

from efld_tf import assets, files
from efld_tf.benchmarking import compare, profile
from efld_tf.evaluation import faces
from efld_tf.landmarks import metrics, schemas
from efld_tf.models import two_stage
from efld_tf.models.trained import POINTS, TrainedModel
from efld_tf.runtime import graph

OUTPUT = Path(__file__).parent / "two_stage_speed"
OTHERS = (EFLD, PIP, MAPNET, SMALL, LARGE)
MODES = ("int8", "float32")
STEPS = 400  # of the other networks, so that golden files can be chosen for them


def main() -> None:
    """Exports, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/two_stage")
    rows, models = [{"network": SHIPPED}], [assets.INT8_MODEL]
    for size in SIZES:
        for mode in MODES:
            row, model = exported(runs / f"at_{size}_1", mode)
            rows.append({"network": f"two-stage, {size} pixels, {mode}", **row})
            models.append(model)
    for title in OTHERS:
        model = barely_trained(runs / "others", title)
        rows.append({"network": f"{title}, 96 pixels"})
        models.append(model)
    measured = compare.measure(models)
    for row, model, latency in zip(rows, models, measured.rows, strict=True):
        model_graph = graph.read(model)
        row |= {"bytes": model.stat().st_size, "mmacs": round(model_graph.total_macs / 1e6, 2),
                "microseconds": 1000 * latency.latency_ms_p50}
        row["times_efld"] = round(row["microseconds"] / rows[0]["microseconds"], 2)
    regions = {size: both_regions(runs / f"at_{size}_1") for size in SIZES}
    operators = by_kind(profile.measure(models[1]))
    files.write_json(OUTPUT / "results.json", {
        "conditions": asdict(measured.conditions), "runs": measured.runs, "networks": rows,
        "regions": regions, "operators": operators})
    (OUTPUT / "table.md").write_text(table(rows, regions, operators))
    print(table(rows, regions, operators))


def exported(run: Path, mode: str) -> tuple[dict[str, Any], Path]:
    """A run's export, verified, and its error on HELEN's test set beside the run's."""
    folder = run / f"speed_{mode}"
    if not (folder / "report.json").exists():
        command("efld-export", run, f"--{mode}", "--quiet", "--output", folder)
    command("efld-verify", folder)
    (model,) = folder.glob("*.tflite")
    errors = {name: evaluate(source, HELEN_TEST, run / f"speed_{name}.json")["evaluation"][NME]
              for name, source in (("float", run), (mode, folder))}
    return {"trained_nme_percent": errors["float"], "nme_percent": errors[mode]}, model


def barely_trained(runs: Path, title: str) -> Path:
    """The int8 export of one of the other networks."""
    short = recipe(runs, title, 1)
    short["training"].update(steps=STEPS, warmup_steps=0, validation_interval=STEPS)
    folder = train(short) / "speed_int8"
    if not (folder / "report.json").exists():
        command("efld-export", folder.parent, "--int8", "--quiet", "--output", folder)
    (model,) = folder.glob("*.tflite")
    return model


def both_regions(run: Path) -> dict[str, float]:
    """The NME, in percent, of the trained network with regions of either form, in float."""
    trained = TrainedModel.load(run / "best.h5")
    whole = replace(trained, network=two_stage.for_integers(trained.network))
    found = faces.load(HELEN_TEST, trained.crop_rule, trained.input_size, predicted=trained.head)
    points = {name: np.concatenate([
        model.decoded(tf.constant(found.crops[i : i + 32] / np.float32(255)))[POINTS].numpy()
        for i in range(0, len(found.crops), 32)]) for name, model in
        (("bilinear", trained), ("whole", whole))}
    truth = found.points[:, list(schemas.get(found.schema).subset_indices(trained.head))]
    schema = schemas.get(trained.head)
    return {name: round(float(100 * metrics.nme(some, truth, schema).mean()), 4)
            for name, some in points.items()}


def table(
    rows: list[dict[str, Any]], regions: dict[int, dict[str, float]],
    operators: list[dict[str, Any]],
) -> str:
    """The results as Markdown."""
    lines = [
        "51 points, int8 unless said otherwise, one thread, XNNPACK, in turns on one core; NME on "
        "HELEN's test set in percent of the distance between the outer eye corners.", "",
        "| network | MMACs | kB | us | times EFLD | trained NME | its NME |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = [f"{row[key]:.2f}" if key in row else ""
                  for key in ("trained_nme_percent", "nme_percent")]
        lines.append(f"| {row['network']} | {row['mmacs']} | {row['bytes'] / 1000:.0f} "
                     f"| {row['microseconds']:.0f} | {row['times_efld']:.2f} "
                     f"| {' | '.join(errors)} |")
    lines += ["", "The trained network in float with both forms of its regions.", "",
              "| pixels | interpolated | whole cells |", "|---|---|---|"]
    lines += [f"| {size} | {found['bilinear']:.3f} | {found['whole']:.3f} |"
              for size, found in regions.items()]
    lines += ["", *operator_table(f"The model at {SIZES[0]} pixels", operators)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
