"""What Lite-HRNet Plus takes on this machine beside the other families, and what it is spent on.

    EFLD_DATA=/path/to/data python benchmarks/lite_hrnet_speed.py [RUNS]

Exports the runs of the first seed that benchmarks/lite_hrnet_plus.py has trained (in RUNS, by
default runs/lite_hrnet_plus) as int8, the small network also in float and in the form that it is
trained in, checks each by efld-verify, measures their loss on HELEN's test set and their latency
side by side on one core, and the operators of the small network one by one. Nothing else should
run on the machine. Also compares how much of the calibration's extremes the int8 ranges of the
small network hold, on LFPW's training photos. Writes benchmarks/lite_hrnet_speed/: results.json
and table.md.
"""

from __future__ import annotations

import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from common import HELEN_TEST, command
from lite_hrnet_plus import EFLD, LARGE, MAPNET, NME, PIP, ROWS, SMALL, slug
from trainings import evaluate

from efld_tf import assets, files
from efld_tf.benchmarking import compare, profile
from efld_tf.evaluation import faces
from efld_tf.exporting import convert, export, modes, quantise, ranges
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import graph

OUTPUT = Path(__file__).parent / "lite_hrnet_speed"
TITLES = (EFLD, PIP, "MapNet on EFLD's backbone", MAPNET, SMALL, LARGE)
LFPW_TRAIN = "ibug:${EFLD_DATA}/lfpw/trainset"
PERCENTILES = (100, 98, 95, 90, 80, 65, 50)
SHIPPED = "EFLD as it is shipped, 128 pixels"
FLOAT, AS_TRAINED = "small, float32", "small, float32, as it is trained"


def main() -> None:
    """Exports, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/lite_hrnet_plus")
    rows, models = [], []
    for title in TITLES:
        row, model = exported(runs, title)
        rows.append(row)
        models.append(model)
    models += [assets.INT8_MODEL, *in_float(runs / f"{slug(SMALL)}_1")]
    rows += [{"network": title} for title in (SHIPPED, FLOAT, AS_TRAINED)]
    measured = compare.measure(models)
    for row, model, latency in zip(rows, models, measured.rows, strict=True):
        model_graph = graph.read(model)
        row |= {
            "bytes": model.stat().st_size, "mmacs": round(model_graph.total_macs / 1e6, 2),
            "operators": len(model_graph.operators), "microseconds": 1000 * latency.latency_ms_p50,
        }
        row["times_efld"] = round(row["microseconds"] / rows[0]["microseconds"], 2)
    clips = clipped(runs / f"{slug(SMALL)}_1")
    operators = by_kind(profile.measure(models[TITLES.index(SMALL)]))
    files.write_json(OUTPUT / "results.json", {
        "conditions": asdict(measured.conditions), "runs": measured.runs, "networks": rows,
        "clip_percentiles": clips, "operators_of_small": operators})
    (OUTPUT / "table.md").write_text(table(rows, clips, operators))
    print(table(rows, clips, operators))


def exported(runs: Path, title: str) -> tuple[dict[str, Any], Path]:
    """A run's int8 export, verified, and what it loses on HELEN's test set."""
    run = runs / f"{slug(title)}_1"
    folder = run / "speed_int8"
    if not (folder / "report.json").exists():
        command("efld-export", run, "--int8", "--quiet", "--output", folder)
    command("efld-verify", folder)
    (model,) = folder.glob("*.tflite")
    errors = [
        evaluate(source, HELEN_TEST, run / f"speed_{name}.json")["evaluation"][NME]
        for name, source in (("float", run), ("int8", folder))]
    return {"network": title, "family": ROWS[title][0], "float_nme_percent": errors[0],
            "int8_nme_percent": errors[1]}, model


def in_float(run: Path) -> list[Path]:
    """The small network in float, in its form for phones and in the trained one."""
    trained = TrainedModel.load(run / "best.h5")
    paths = []
    for name, deploy in (("deployed", True), ("trained", False)):
        path = run / f"speed_float_{name}.tflite"
        steps = replace(modes.FLOAT32.steps, deploy=deploy)
        path.write_bytes(convert.convert(trained, modes.FLOAT32, steps=steps))
        paths.append(path)
    return paths


def clipped(run: Path) -> list[dict[str, float]]:
    """How far int8 points are from the float ones, by the percentile of the calibration's crops."""
    trained = TrainedModel.load(run / "best.h5")
    crops = export.calibrated(trained, None).faces.crops
    others = faces.load(LFPW_TRAIN, trained.crop_rule, trained.input_size, on_error="skip",
                        predicted=trained.head)
    rewritten = convert.rewritten(trained, modes.INT8, crops)
    content = convert.to_float(rewritten)
    observed = ranges.observe(content, crops)
    expected = run_model(content, others.crops / np.float32(255))
    rows = []
    for percentile in PERCENTILES:
        integer = quantise.quantised(content, modes.INT8, observed, percentile)
        found = run_model(integer, others.crops / np.float32(255))
        distance = np.linalg.norm(found - expected, axis=-1) * trained.input_size
        rows.append({"percentile": percentile, "mean_px": round(float(distance.mean()), 4),
                     "p99_px": round(float(np.percentile(distance, 99)), 3)})
    return rows


def run_model(content: bytes, images: np.ndarray) -> np.ndarray:
    """The points [F, N, 2] of a model that takes float images [F, S, S, 3] in [0, 1]."""
    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    image, points = (details()[0]["index"] for details in (
        interpreter.get_input_details, interpreter.get_output_details))
    results = []
    for pixels in images:
        interpreter.set_tensor(image, pixels[None])
        interpreter.invoke()
        results.append(interpreter.get_tensor(points)[0])
    return np.stack(results)


def by_kind(costs: list[profile.Cost]) -> list[dict[str, Any]]:
    """Number and time of the operators of each kind, the most expensive first."""
    kinds: dict[str, dict[str, Any]] = {}
    for cost in costs:
        kind = kinds.setdefault(cost.name, {"name": cost.name, "number": 0, "microseconds": 0.0})
        kind["number"] += 1
        kind["microseconds"] += cost.microseconds
    return sorted(kinds.values(), key=lambda kind: -kind["microseconds"])


def table(
    rows: list[dict[str, Any]], clips: list[dict[str, float]], operators: list[dict[str, Any]]
) -> str:
    """The results as Markdown."""
    lines = [
        "51 points at 96 x 96 pixels, one thread, XNNPACK, in turns on one core; NME on HELEN's "
        "test set in percent of the distance between the outer eye corners.", "",
        "| network | MMACs | kB | operators | us | times EFLD | float NME | int8 NME |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        errors = [f"{row[key]:.2f}" if key in row else ""
                  for key in ("float_nme_percent", "int8_nme_percent")]
        lines.append(
            f"| {row['network']} | {row['mmacs']} | {row['bytes'] / 1000:.0f} | {row['operators']} "
            f"| {row['microseconds']:.0f} | {row['times_efld']:.2f} | {' | '.join(errors)} |")
    lines += ["", "The points of the small network's int8 form against its float ones on LFPW's "
              "training photos, by the percentile of the calibration's crops (HELEN's training "
              "photos) that its ranges hold; the family's is 95.", "",
              "| percentile | mean, pixels of 96 | 99th percentile |", "|---|---|---|"]
    lines += [f"| {row['percentile']} | {row['mean_px']:.3f} | {row['p99_px']:.2f} |"
              for row in clips]
    lines += ["", *operator_table("The small network", operators)]
    return "\n".join(lines) + "\n"


def operator_table(
    network: str, operators: list[dict[str, Any]], listed: tuple[str, ...] = ()
) -> list[str]:
    """The kinds of operators that take more than a hundredth of a network's time in int8.

    Args:
      listed: others that are listed, too.
    """
    total = sum(operator["microseconds"] for operator in operators)
    lines = [f"{network} in int8 by its operators, {total:.0f} us in this measurement (that of "
             "`efld-bench --profile`).", "",
             "| operator | number | us | percent |", "|---|---|---|---|"]
    for operator in operators:
        time = operator["microseconds"]
        if time > 0.01 * total or operator["name"] in listed:
            lines.append(f"| {operator['name']} | {operator['number']} | {time:.0f} "
                         f"| {100 * time / total:.0f} |")
    return lines


if __name__ == "__main__":
    main()
