"""Which runtimes compute an exported model as it is meant, and which refuse it.

    EFLD_DATA=/path/to/data python benchmarks/runtimes.py [families] [old] [time]

Runs the golden files of both shipped models, of the `research` weights in every mode, and of a
small model of each other family in every mode (trained here on rendered faces, an hour) on
TensorFlow Lite from 2.2 to the installed LiteRT, each in an environment of its own with and without
XNNPACK. Pythons 3.8 to 3.11 are looked for on the path and among pyenv's. `old` is the same for the
shipped weights as they were exported before, with dense layers and all versions at 1; `time`
measures both against each other. Without an argument it does all; each writes its part of
benchmarks/runtimes/: results.json and table.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml
from common import HELEN_TEST, command

from efld_tf import assets
from efld_tf.benchmarking import compare
from efld_tf.errors import UnsupportedMode
from efld_tf.evaluation import faces
from efld_tf.evaluation.evaluate import evaluate
from efld_tf.exporting import bundle, calibration, convert, export, flatbuffer, metadata, modes
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import zoomed
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import golden, graph, other_runtimes
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor

OUTPUT = Path(__file__).parent / "runtimes"
MANIFEST = Path(__file__).parents[1] / "calibration" / "helen_train.json"
HEAD = "ibug51"
# Requirement, and the newest Python that it has wheels for up to 3.11.
RUNTIMES = {
    "tensorflow-cpu==2.2.3": "3.8", "tensorflow-cpu==2.3.4": "3.8", "tensorflow-cpu==2.4.4": "3.8",
    "tensorflow-cpu==2.5.3": "3.9", "tensorflow-cpu==2.8.4": "3.10",
    "tensorflow-cpu==2.10.1": "3.10", "tensorflow-cpu==2.12.1": "3.11",
    "tensorflow-cpu==2.13.1": "3.11", "tflite-runtime==2.14.0": "3.11",
    "tensorflow-cpu==2.15.1": "3.11", "tensorflow-cpu==2.16.2": "3.11",
    "tensorflow-cpu==2.17.1": "3.11", "tensorflow-cpu==2.18.1": "3.11",
    "ai-edge-litert==1.0.1": "3.11", "ai-edge-litert==1.1.2": "3.11",
    "ai-edge-litert==1.2.0": "3.11", "ai-edge-litert==1.3.0": "3.11",
    "ai-edge-litert==1.4.0": "3.11", "ai-edge-litert==2.0.2": "3.11",
    "ai-edge-litert==2.1.0": "3.11",
}
# Of the other families: enough for clear peaks on rendered faces.
OPTIONS = {
    "mapnet": {"channels": 32}, "pipnet": {}, "coordnet": {},
    "lite_hrnet_plus": {"modules": [1, 1, 1], "stem": 8, "channels": 8}, "two_stage": {},
    "dense_unet": {"width": 1 / 8, "halvings": 2, "inside": "deformable"},
}
STEPS, SIZE = 1500, 64
# Where a model lies in memory moves its time by a hundredth or two: so many processes, in turns.
PROCESSES, RUNS = 24, 2000


def trained(folder: Path) -> dict[str, Path]:
    """A small model of each other family, trained on rendered faces."""
    source = folder / "rendered"
    command("efld-data", "synth", source, "--schema", "ibug68", "--count", 1500, "--seed", 7,
            "--size", 96)
    for family, options in OPTIONS.items():
        recipe = {
            "name": family, "license": "Apache-2.0", "output_dir": str(folder / "runs"),
            "model": {"family": family, "input_size": SIZE, "options": options},
            "heads": {HEAD: {}},
            "data": {"cache_dir": str(folder / "packed"), "sources": [
                {"name": "rendered", "source": f"ibug:{source}", "heads": [HEAD],
                 "validation_fraction": 0.05}]},
            "training": {"target_head": HEAD, "steps": STEPS, "batch_size": 32},
        }
        path = folder / f"{family}.yaml"
        path.write_text(yaml.safe_dump(recipe))
        command("efld-train", path)
    return {family: folder / "runs" / family / "best.h5" for family in OPTIONS}


def exported(model: Path, folder: Path, manifest: calibration.CalibrationManifest | None
             ) -> dict[str, Path]:
    """A bundle of every mode."""
    found = {}
    trained = TrainedModel.load(model, HEAD)
    for name, mode in {**modes.MODES, modes.MICRO.name: modes.MICRO}.items():
        print(folder.name, name, flush=True)
        with contextlib.suppress(UnsupportedMode):
            found[name] = export.export(trained, folder / name, mode, calibrate_on=manifest).model
    return found


def models(folder: Path) -> dict[str, Path]:
    """All that is tried, by name."""
    named = {f"{name}, shipped": shipped.int8 for name, shipped in assets.SHIPPED.items()}
    manifest = calibration.read_manifest(MANIFEST)
    weights = {"efld": assets.FLOAT_MODEL, **trained(folder)}
    for family, model in weights.items():
        own = manifest if family == "efld" else None
        for mode, path in exported(model, folder / f"{family}_modes", own).items():
            named[f"{family} {mode}"] = path
    return named


def as_before(folder: Path, name: str) -> Path:
    """A shipped model's weights as they were exported before, in a bundle of golden files."""
    shipped = assets.SHIPPED[name]
    trained = TrainedModel.load(shipped.float, HEAD)
    rule = trained.crop_rule
    crops = calibration.load_faces(calibration.read_manifest(MANIFEST), rule, 128).crops
    steps = replace(modes.INT8.steps, dense_as_convolutions=False)
    tree = flatbuffer.read(convert.convert(trained, modes.INT8, crops, steps))
    for code in tree.operatorCodes:
        code.version = 1
        if graph.BUILTIN_NAMES[code.builtinCode] in ("QUANTIZE", "DEQUANTIZE"):
            code.deprecatedBuiltinCode = 0
    about = ModelMetadata("efld", HEAD, rule, schemas.get(HEAD).names)
    path = folder / f"{name}_before" / "efld.tflite"
    path.parent.mkdir()
    path.write_bytes(metadata.add(flatbuffer.write(tree), about))
    image, allowed = bundle.golden_image(path, 128, zoomed(rule.zoom))
    golden.write(path, "int8", image, golden.run(path, image), allowed)
    return path


def interpreter(wanted: str) -> str | None:
    """A Python of a version: this one, one on the path, or one of pyenv's."""
    if wanted == f"{sys.version_info[0]}.{sys.version_info[1]}":
        return sys.executable
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    candidates = [shutil.which(f"python{wanted}"), *map(str, root.glob(f"{wanted}.*/bin/python"))]
    for python in filter(None, candidates):
        said = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
        if not said.returncode and said.stdout.startswith(f"Python {wanted}."):
            return python
    return None


def tried(named: dict[str, Path]) -> list[dict]:
    """A row for each runtime, model and kind of kernels."""
    rows = []
    installed = f"ai-edge-litert=={version('ai-edge-litert')}"
    for requirement, wanted in {**RUNTIMES, installed: None}.items():
        python = sys.executable if wanted is None else interpreter(wanted)
        if python is None:
            print(f"{requirement}: no Python {wanted} here")
            continue
        own = Path(python) if wanted is None else other_runtimes.environment(requirement, python)
        print(requirement, flush=True)
        for name, outcomes in zip(
                named, other_runtimes.check(own, list(named.values())), strict=True):
            rows += [{"runtime": requirement, "model": name, **asdict(outcome)}
                     for outcome in outcomes]
    return rows


def timed(folder: Path) -> dict:
    """Time and error of the shipped model against the export that it was before."""
    before, now = as_before(folder, "research"), assets.INT8_MODEL
    ratios = []
    for process in range(PROCESSES):
        order = (before, now) if process % 2 else (now, before)
        found = {row.model: row.latency_ms_p50 for row in compare.measure(order, RUNS).rows}
        ratios.append(found[str(now)] / found[str(before)])
    low, high = compare.interval(np.array(ratios))
    nme = {}
    for name, path in (("before", before), ("now", now)):
        predictor = LandmarkPredictor(path)
        shown = faces.load(HELEN_TEST, predictor.crop_rule, predictor.input_size, progress=False)
        nme[f"{name}_nme_percent"] = round(100 * float(evaluate(predictor, shown).nme.mean()), 4)
    return {
        "processor": platform.processor() or platform.machine(), "processes": PROCESSES,
        "runs_each": RUNS, "ratio_median": round(statistics.median(ratios), 4),
        "ratio_low": round(low, 4), "ratio_high": round(high, 4),
        "before_bytes": before.stat().st_size, "now_bytes": now.stat().st_size, **nme,
    }


def cell(outcomes: list[dict]) -> str:
    """What a runtime made of a model, by all its kernels."""
    said = []
    for outcome in outcomes:
        if outcome["refused"]:
            said.append("refused")
        elif outcome["crashed"] or outcome["largest_difference"] is None:
            said.append("**crashed**")
        else:
            text = f"{outcome['largest_difference']:.4f}"
            said.append(text if outcome["passed"] else f"**{text}**")
    return said[0] if len({*said}) == 1 else ", ".join(said)


def matrix(rows: list[dict]) -> list[str]:
    """Rows as a table of runtimes by models."""
    names = list(dict.fromkeys(row["model"] for row in rows))
    lines = [f"| runtime | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for runtime in dict.fromkeys(row["runtime"] for row in rows):
        cells = [cell([r for r in rows if (r["runtime"], r["model"]) == (runtime, name)])
                 for name in names]
        lines.append(f"| {runtime.replace('==', ' ')} | {' | '.join(cells)} |")
    return lines


def _reason(refusal: str) -> str:
    """A runtime's message without what differs from release to release and from model to model."""
    text = refusal.partition("An older version")[0].partition("Failed to apply")[0]
    text = re.sub(r"\S*/(\w+\.cc):\d+", r"\1:", text)
    return re.sub(r"Node number \d+ (\(\w+\)).*|Registration failed.*", r" \1", text).strip(" .")


def table(results: dict) -> str:
    """The results as Markdown."""
    lines = ["Largest difference of a coordinate from the golden output, in crop sides, by the "
             "runtime's default kernels and by the built-in ones (one number where both agree); "
             "bold where it is more than the golden file allows.", ""]
    rows = results.get("families", [])
    for family in ("shipped", "efld", *OPTIONS):
        own = [row for row in rows if family in row["model"].replace(",", "").split()]
        if own:
            weights = {"shipped": "The shipped models", "efld": "The `research` weights"}
            lines += [f"{weights.get(family, f'A small {family}')}:", "", *matrix(own), ""]
    refusals = sorted({_reason(row["refused"]) for row in rows if row["refused"]})
    if refusals:
        lines += ["What the refusals say:", "", *(f"- {text}" for text in refusals), ""]
    if results.get("old"):
        lines += ["The shipped weights as they were exported before (dense layers with a scale for "
                  "each output, every version 1):", "", *matrix(results["old"]), ""]
    if found := results.get("time"):
        lines += [
            f"Time of the shipped model against that, the median of {found['processes']} processes "
            f"of {found['runs_each']} runs each: {found['ratio_median']:.3f} "
            f"({found['ratio_low']:.3f} to {found['ratio_high']:.3f}); {found['now_bytes']:,} and "
            f"{found['before_bytes']:,} bytes; NME on HELEN's test set {found['now_nme_percent']}% "
            f"and {found['before_nme_percent']}%.", ""]
    return "\n".join(lines)


def main() -> None:
    """Measures what is asked for and writes the table."""
    wanted = sys.argv[1:] or ["families", "old", "time"]
    OUTPUT.mkdir(exist_ok=True)
    path = OUTPUT / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if "time" in wanted:
            (folder / "time").mkdir()
            results["time"] = timed(folder / "time")
        if "old" in wanted:
            results["old"] = tried({name: as_before(folder, name) for name in assets.SHIPPED})
        if "families" in wanted:
            results["families"] = tried(models(folder))
    path.write_text(json.dumps(results, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(table(results))
    print(table(results))


if __name__ == "__main__":
    main()
