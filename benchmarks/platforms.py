"""EFLD, the other families and its peers wherever they run: x86, ARM and a browser.

    EFLD_DATA=/path/to/data python benchmarks/platforms.py [RUNS]

Needs what benchmarks/web.py needs. Measures, on one thread and in turns, the time here by the
kernels that this processor has and by those for AVX2 alone, and that in headless Chromium; and
counts the instructions of an inference on emulated ARM cores. The other families are exported from
networks that are trained for a few steps alone, since their weights do not change their time (in
RUNS, by default runs/platforms). Nothing else should run on the machine. Writes
benchmarks/platforms/: results.json and table.md.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dense_unet
import latency
import two_stage
from avx2_runtime import without_avx512
from common import command
from lite_hrnet_plus import LARGE, MAPNET, PIP, SMALL, recipe
from two_stage_speed import barely_trained
from web import in_browser

from efld_tf import assets, files
from efld_tf.benchmarking import compare, instructions
from efld_tf.emulation import cores

OUTPUT = Path(__file__).parent / "platforms"
CORES = ("cortex-a72", "cortex-a76", "neoverse-v1")
BUILD = "relaxed SIMD, 1 thread"
PEERS = ("PFLD 0.25x int8, 68 points", "MediaPipe face mesh, 468 points",
         "MediaPipe face detector, short range")
RUNS_OF_TIME = 1000


def main() -> None:
    """Exports, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/platforms")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = {**of_efld(folder), **of_families(runs), **of_peers(folder)}
        paths = list(models.values())
        times = compare.measure(paths, runs=RUNS_OF_TIME)
        browser = by_browser(folder, models)
        os.environ["PYTHONPATH"] = str(without_avx512(folder / "runtime"))
        by_avx2 = compare.measure(paths, runs=RUNS_OF_TIME)
        rows: list[dict[str, Any]] = []
        for (title, path), here, avx2 in zip(models.items(), times.rows, by_avx2.rows, strict=True):
            counted = instructions.measure(path, CORES, progress=True)
            rows.append({
                "model": title, "bytes": path.stat().st_size, "macs": latency.macs(path),
                "milliseconds": {"here": here.latency_ms_p50, "avx2": avx2.latency_ms_p50,
                                 "browser": round(browser["latency"][BUILD][title], 4)},
                "instructions": {core: one.counts["all"] for core, one in counted.cores.items()}})
    found = {"conditions": asdict(times.conditions), "runs": RUNS_OF_TIME,
             "chromium": browser["chromium"], "emulator": counted.emulator, "rows": rows}
    OUTPUT.mkdir(exist_ok=True)
    files.write_json(OUTPUT / "results.json", found)
    (OUTPUT / "table.md").write_text(table(found))
    print(table(found))


def of_efld(folder: Path) -> dict[str, Path]:
    """The shipped file, and what exports of its weights give."""
    models = {"EFLD int8, as it is shipped": assets.INT8_MODEL}
    for mode, options in (("int8", ["--calibration", assets.INT8_MODEL.with_name(
            "calibration.json")]), ("float32", [])):
        command("efld-export", "research", f"--{mode}", "--quiet", "--output", folder / mode,
                *options)
        (models[f"EFLD {mode}"],) = (folder / mode).glob("*.tflite")
    return models


def of_families(runs: Path) -> dict[str, Path]:
    """An int8 export of each of the other families."""
    recipes = {f"{title}, 96 pixels": recipe(runs, name, 1) for title, name in (
        ("PIPNet on EFLD's backbone", PIP), ("MapNet", MAPNET),
        ("Lite-HRNet Plus, small", SMALL), ("Lite-HRNet Plus, large", LARGE))}
    recipes["two-stage, 96 pixels"] = two_stage.with_51_points(runs, 96, 1)
    recipes["dense U-Net, 64 pixels"] = dense_unet.recipe(runs, dense_unet.BASE, 1)
    return {title: barely_trained(one) for title, one in recipes.items()}


def of_peers(folder: Path) -> dict[str, Path]:
    """Networks and models of others."""
    found = latency.models(folder)
    return {name: found[name] for name in PEERS}


def by_browser(folder: Path, models: dict[str, Path]) -> dict[str, Any]:
    """What tools/web/bench.js measures of the models."""
    site = folder / "site"
    command("efld-export", "research", "--web", site)
    (site / "bench").mkdir()
    for index, path in enumerate(models.values()):
        shutil.copyfile(path, site / "bench" / f"{index}.tflite")
    return in_browser(site, {"models": {
        title: f"bench/{index}.tflite" for index, title in enumerate(models)}})


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"One thread of {found['conditions']['device']}, {found['conditions']['runtime']}, median "
        f"of {found['runs']} runs in turns, by the kernels that the processor has and by those for "
        f"AVX2; Chromium {found['chromium']}, headless, {BUILD}, all models in one "
        "page, where each takes longer than in benchmarks/web; millions of instructions an "
        "inference on emulated cores: "
        + "; ".join(f"{core}: {cores.get(core).title}" for core in CORES) + ".", "",
        "| model | bytes | MMACs | here, ms | AVX2, ms | browser, ms | " + " | ".join(CORES) + " |",
        "|---|---|---|---|---|---|" + "---|" * len(CORES)]
    for row in found["rows"]:
        times = " | ".join(f"{row['milliseconds'][one]:.3f}"
                           for one in ("here", "avx2", "browser"))
        macs = "" if row["macs"] is None else f"{row['macs'] / 1e6:.1f}"
        counts = " | ".join(f"{row['instructions'][core] / 1e6:.2f}" for core in CORES)
        lines.append(f"| {row['model']} | {row['bytes']:,} | {macs} | {times} | {counts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
