"""What the two-stage model takes on this machine beside the other families, and on what.

    EFLD_DATA=/path/to/data python benchmarks/two_stage_speed.py [RUNS]

Exports the full models of benchmarks/two_stage.py (in RUNS, by default runs/two_stage) as int8,
those with 51 points and the first seed as float32, too, checks each by efld-verify, and measures
their loss on HELEN's test set, with whole and with interpolated regions. Those of the first seed
are measured in turns on one core, and their instructions on emulated ones, beside the shipped EFLD
and the networks of benchmarks/lite_hrnet_plus.py as int8, which are trained for a few steps alone,
since their weights do not change their time; then the model's operators one by one. Nothing else
should run on the machine. Writes benchmarks/two_stage_speed/: results.json and table.md.
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
from trainings import Recipe, evaluate, train
from two_stage import INNER, SEEDS, SIZES, by_part

from efld_tf import assets, files
from efld_tf.benchmarking import compare, instructions, profile
from efld_tf.evaluation import faces
from efld_tf.landmarks import metrics, schemas
from efld_tf.models import two_stage
from efld_tf.models.trained import POINTS, TrainedModel
from efld_tf.runtime import graph

OUTPUT = Path(__file__).parent / "two_stage_speed"
OTHERS = (EFLD, PIP, MAPNET, SMALL, LARGE)
MODES = ("int8", "float32")
CORES = ("cortex-a72", "cortex-a76")
TITLES = {SMALL: "Lite-HRNet Plus, small", LARGE: "Lite-HRNet Plus, large"}
STEPS = 400  # of the other networks, so that golden files can be chosen for them


def main() -> None:
    """Exports, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/two_stage")
    rows: list[dict[str, Any]] = [{"network": SHIPPED}]
    models = [assets.INT8_MODEL]
    for size in SIZES:
        for mode in MODES:
            row, model = exported(runs / f"at_{size}_1", mode)
            rows.append({"network": f"two-stage, {size} pixels, {mode}", **row})
            models.append(model)
    for title in OTHERS:
        model = barely_trained(recipe(runs / "others", title, 1))
        rows.append({"network": f"{TITLES.get(title, title)}, 96 pixels"})
        models.append(model)
    losses = {name: loss(runs / name) for name in sorted(
        [f"at_{size}_{seed}" for size in SIZES for seed in SEEDS]
        + [f"full_model_{seed}" for seed in SEEDS])}
    measured = compare.measure(models)
    for row, model, latency in zip(rows, models, measured.rows, strict=True):
        model_graph = graph.read(model)
        row |= {"bytes": model.stat().st_size, "mmacs": round(model_graph.total_macs / 1e6, 2),
                "microseconds": 1000 * latency.latency_ms_p50}
        row["times_efld"] = round(row["microseconds"] / rows[0]["microseconds"], 2)
    counted = [instructions.measure(model, CORES) for model in models]
    for row, one in zip(rows, counted, strict=True):
        row["instructions"] = {core: found.counts["all"] for core, found in one.cores.items()}
    regions = {size: both_regions(runs / f"at_{size}_1") for size in SIZES}
    operators = by_kind(profile.measure(models[1]))
    files.write_json(OUTPUT / "results.json", {
        "conditions": asdict(measured.conditions), "runs": measured.runs, "networks": rows,
        "emulator": counted[0].emulator, "losses": losses, "regions": regions,
        "operators": operators})
    (OUTPUT / "table.md").write_text(table(rows, losses, regions, operators))
    print(table(rows, losses, regions, operators))


def export(run: Path, mode: str) -> Path:
    """A run's export, verified."""
    folder = run / f"speed_{mode}"
    if not (folder / "report.json").exists():
        command("efld-export", run, f"--{mode}", "--quiet", "--output", folder)
    command("efld-verify", folder)
    return folder


def loss(run: Path) -> dict[str, float]:
    """The error of a run in float and as int8 on HELEN's test set, in percent."""
    folder = export(run, MODES[0])
    if run.name.startswith("full"):
        pair = [by_part(model)[INNER] for model in (run, folder)]
    else:
        pair = [evaluate(model, HELEN_TEST, run / f"speed_{name}.json")["evaluation"][NME]
                for name, model in (("float", run), (MODES[0], folder))]
    return {"float": pair[0], MODES[0]: pair[1]}


def exported(run: Path, mode: str) -> tuple[dict[str, Any], Path]:
    """A run's export, and its error on HELEN's test set beside the run's."""
    folder = export(run, mode)
    (model,) = folder.glob("*.tflite")
    errors = {name: evaluate(source, HELEN_TEST, run / f"speed_{name}.json")["evaluation"][NME]
              for name, source in (("float", run), (mode, folder))}
    return {"trained_nme_percent": errors["float"], "nme_percent": errors[mode]}, model


def barely_trained(short: Recipe) -> Path:
    """The int8 export of a network that has only begun to learn."""
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
    rows: list[dict[str, Any]], losses: dict[str, dict[str, float]],
    regions: dict[int, dict[str, float]], operators: list[dict[str, Any]],
) -> str:
    """The results as Markdown."""
    lines = [
        "51 points, int8 unless said otherwise, one thread, XNNPACK, in turns on one core; "
        f"millions of instructions on emulated {' and '.join(CORES)}. NME on HELEN's test set in "
        "percent of the distance between the outer eye corners.", "",
        f"| network | MMACs | kB | us | times EFLD | {' | '.join(CORES)} | trained NME | its NME |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = [f"{row[key]:.2f}" if key in row else ""
                  for key in ("trained_nme_percent", "nme_percent")]
        counts = [f"{row['instructions'][core] / 1e6:.2f}" for core in CORES]
        lines.append(f"| {row['network']} | {row['mmacs']} | {row['bytes'] / 1000:.0f} "
                     f"| {row['microseconds']:.0f} | {row['times_efld']:.2f} "
                     f"| {' | '.join(counts + errors)} |")
    lines += ["", "What int8 loses, by run: with 51 points as above, and at the demo's size with "
              "65 points, of which the inner ones are measured by the distance between the pupils.",
              "", "| run | float | int8 | loss |", "|---|---|---|---|"]
    lines += [f"| {name} | {pair['float']:.3f} | {pair['int8']:.3f} "
              f"| {pair['int8'] - pair['float']:+.3f} |" for name, pair in losses.items()]
    lines += ["", "The trained network in float with both forms of its regions.", "",
              "| pixels | interpolated | whole cells |", "|---|---|---|"]
    lines += [f"| {size} | {found['bilinear']:.3f} | {found['whole']:.3f} |"
              for size, found in regions.items()]
    lines += ["", *operator_table(f"The model at {SIZES[0]} pixels", operators, ("GATHER",))]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
