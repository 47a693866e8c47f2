"""Which export mode on which ARM core: instructions an inference, bytes and loss.

    EFLD_DATA=/path/to/data python benchmarks/arm_modes.py

Exports the float weights of `research` in every mode, and as int8 without widened convolutions and
for one core alone, and counts the instructions of an inference on emulated cores. Errors are those
of the 51 points on HELEN's test set, after a calibration on HELEN's training faces; the loss is the
median difference of a point from the trained model there. Writes benchmarks/arm_modes/:
results.json, table.md and chart.png.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

from common import HELEN_TEST, command

from efld_tf import assets, files
from efld_tf.benchmarking import instructions, instructions_plot
from efld_tf.emulation import cores
from efld_tf.exporting import modes

OUTPUT = Path(__file__).parent / "arm_modes"
CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-v1")
# Options of further exports as int8.
INT8 = {"int8, not widened": ["--no-widening"],
        **{f"int8, for {core}": ["--for", core] for core in ("cortex-a72", "cortex-a76")}}
# Quantisation-aware training gives a file of the same operators as int8.
NAMES = (*(name for name in modes.MODES if name != "qat"), *INT8)


def exported(name: str, folder: Path) -> Path:
    """The shipped weights in a mode."""
    mode = "int8" if name in INT8 else name
    words: list[object] = ["efld-export", "research", f"--{mode}", "--output", folder, "--quiet",
                           "--faces", HELEN_TEST]
    if modes.get(mode).calibrated:
        words += ["--calibration", assets.INT8_MODEL.with_name("calibration.json")]
    command(*words, *INT8.get(name, []))
    (model,) = folder.glob("*.tflite")
    return model


def main() -> None:
    """Exports, counts and writes."""
    rows, measured = [], []
    with tempfile.TemporaryDirectory() as name:
        for mode in NAMES:
            folder = Path(name) / mode.replace(", ", "_").replace(" ", "_")
            model = exported(mode, folder)
            counted = instructions.measure(model, CORES, progress=True)
            named = shutil.move(model, model.with_name(f"{folder.name}.tflite"))
            measured.append(instructions.Instructions(
                Path(named), counted.runtime, counted.emulator, counted.cores))
            report = files.read_bytes(folder / "report.json", 1 << 20)
            rows.append({"mode": mode, **_of_report(report), "instructions": counted.summary()[
                "cores"]})
        OUTPUT.mkdir(exist_ok=True)
        # Beside int16x8, which has no fast kernels, the others would not be seen.
        instructions_plot.chart(OUTPUT / "chart.png", [
            one for one in measured if one.model.stem != "int16x8"])
    files.write_json(OUTPUT / "results.json", {
        "runtime": measured[0].runtime, "emulator": measured[0].emulator, "rows": rows})
    (OUTPUT / "table.md").write_text(table(rows))
    print((OUTPUT / "table.md").read_text())


def _of_report(content: bytes) -> dict[str, object]:
    report = json.loads(content)
    return {"size_bytes": report["size_bytes"], "macs": report["macs"], **{
        name: report["comparison"][name]
        for name in ("exported_nme_percent", "point_difference_px_median")}}


def table(rows: list[dict]) -> str:
    """The results as Markdown."""
    lines = ["EFLD with 51 points; millions of instructions an inference on emulated cores: "
             + "; ".join(f"{core}: {cores.get(core).title}" for core in CORES) + ".", "",
             "| mode | bytes | NME | loss, px of 128 | " + " | ".join(CORES) + " |",
             "|---|---|---|---|" + "---|" * len(CORES)]
    for row in rows:
        counts = " | ".join(f"{row['instructions'][core]['all'] / 1e6:.2f}" for core in CORES)
        lines.append(f"| {row['mode']} | {row['size_bytes']:,} "
                     f"| {row['exported_nme_percent']:.3f}% "
                     f"| {row['point_difference_px_median']:.3f} | {counts} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
