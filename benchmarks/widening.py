"""What widening convolutions of few channels gives, on this machine and on ARM cores.

    EFLD_DATA=/path/to/data python benchmarks/widening.py

Exports the float weights of `research` as int8 without widened convolutions, and widens one or
several of them in several ways; all models give the same output, to the last bit. Measures bytes,
multiply-accumulates, instructions an inference on emulated cores, and time here (one thread, in
turns), also by the kernels for AVX2 alone. Fits to it the costs by which an export chooses. Writes
benchmarks/widening/: results.json and table.md.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from avx2_runtime import without_avx512
from common import command
from scipy.optimize import nnls

from efld_tf import assets, files
from efld_tf.benchmarking import compare, instructions
from efld_tf.exporting import flatbuffer, widen
from efld_tf.exporting.kernels import KERNELS, Kernel
from efld_tf.exporting.widen import Cells
from efld_tf.runtime import golden, graph

OUTPUT = Path(__file__).parent / "widening"
CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-v1")
HERE, AVX2 = "avx512-vnni", "avx2"
RUNS = 1000
PLAIN, CHOSEN = "none", "those of the lowest mean cost, as exported"
TOGETHER = {
    CHOSEN: tuple(KERNELS), "those of the lowest cost for tiles of 8 channels":
    tuple(name for name, kernel in KERNELS.items() if kernel.columns == 8),
    "those of the lowest cost for tiles of 16 channels":
    tuple(name for name, kernel in KERNELS.items() if kernel.columns == 16),
}


def exported(folder: Path) -> bytes:
    """The shipped weights as int8, no convolution widened."""
    manifest = assets.INT8_MODEL.with_name("calibration.json")
    command("efld-export", "research", "--int8", "--no-widening", "--calibration", manifest,
            "--output", folder / "plain", "--quiet")
    return (folder / "plain" / assets.INT8_MODEL.name).read_bytes()


def attempts(content: bytes) -> dict[str, dict[int, Cells]]:
    """Cells by operator, for each name."""
    found: dict[str, dict[int, Cells]] = {PLAIN: {}}
    convolutions = widen.convolutions(flatbuffer.read(content))
    for index, convolution in convolutions.items():
        filters, high, wide, channels = convolution.kernel.shape
        _, rows, columns, _ = convolution.source
        for cells in convolution.choices:
            if cells != Cells() and columns > 8 and filters * cells.target <= widen.MOST_FILTERS:
                title = (f"{index}: {rows} x {columns}, {high} x {wide}, {channels} to {filters} "
                         f"channels, {cells.source} to {cells.target}")
                found[title] = {index: cells}
    for title, names in TOGETHER.items():
        found[title] = {index: one.best(names) for index, one in convolutions.items()}
    return found


def widened(content: bytes, cells: dict[int, Cells]) -> bytes:
    """The model with these convolutions widened."""
    tree = flatbuffer.read(content)
    widen.apply(tree, cells)
    flatbuffer.join_reshapes(tree)
    flatbuffer.state_versions(tree)
    return flatbuffer.write(tree)


def main() -> None:
    """Exports, widens, measures and writes."""
    rows, image = [], golden.read(assets.INT8_MODEL)[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content = exported(folder)
        paths: list[Path] = []
        tried = attempts(content)
        expected = None
        for title, cells in tried.items():
            model = widened(content, cells)
            paths.append(folder / f"{len(paths)}.tflite")
            paths[-1].write_bytes(model)
            outputs = golden.run(paths[-1], image)
            expected = outputs if expected is None else expected
            assert all((a == b).all() for a, b in zip(outputs, expected, strict=True)
                       if a is not None)
            counted = instructions.measure(paths[-1], CORES, progress=True).cores
            rows.append({"widened": title, "size_bytes": len(model),
                         "macs": graph.parse(model).total_macs,
                         "instructions": {core: counted[core].counts["all"] for core in CORES}})
        timed = compare.measure(paths, runs=RUNS)
        os.environ["PYTHONPATH"] = str(without_avx512(folder / "runtime"))
        by_avx2 = compare.measure(paths, runs=RUNS)
        for row, *times in zip(rows, timed.rows, by_avx2.rows, strict=True):
            row["latency_ms_p50"] = {
                name: time.latency_ms_p50 for name, time in zip((HERE, AVX2), times, strict=True)}
        fitted = fit(content, tried, rows)
    OUTPUT.mkdir(exist_ok=True)
    files.write_json(OUTPUT / "results.json", {
        "conditions": asdict(timed.conditions), "runs": RUNS, "kernels": fitted, "rows": rows})
    (OUTPUT / "table.md").write_text(table(rows, fitted, timed.conditions.device))
    print((OUTPUT / "table.md").read_text())


def taken(row: dict, processor: str) -> float:
    """What an inference of a model takes: instructions, or milliseconds."""
    return {**row["instructions"], **row["latency_ms_p50"]}[processor]


def terms(kernel: Kernel, content: bytes, cells: dict[int, Cells]) -> np.ndarray:
    """What a model's widened convolutions have more than the plain ones: pieces, taps, tiles."""
    convolutions = widen.convolutions(flatbuffer.read(content))
    units = [Kernel(kernel.columns, kernel.piece, *unit) for unit in np.eye(4).tolist()]
    return np.array([sum(unit.cost(convolutions[index].choices[one])
                         - unit.cost(convolutions[index].choices[Cells()])
                         for index, one in cells.items()) for unit in units])


def fit(
    content: bytes, tried: dict[str, dict[int, Cells]], rows: Sequence[dict]
) -> dict[str, dict[str, float]]:
    """The costs of `Kernel` by processor that come closest, in millionths of the plain model's."""
    result = {}
    for processor, kernel in KERNELS.items():
        whole = taken(rows[0], processor)
        sides = np.array([terms(kernel, content, cells) for cells in tried.values()])
        wanted = [1e6 * (taken(row, processor) / whole - 1) for row in rows]
        scale = np.abs(sides).max(axis=0)
        values = nnls(sides / scale, np.array(wanted))[0] / scale
        away = np.sqrt(np.mean((sides @ values - wanted) ** 2))
        result[processor] = {
            **{name: float(f"{value:.2g}") for name, value in
               zip(("of_piece", "of_tap", "of_tile", "of_byte"), values, strict=True)},
            "away_percent": round(float(away) / 1e4, 2)}
    return result


def table(rows: list[dict], fitted: dict, device: str) -> str:
    """The results as Markdown."""
    lines = [
        f"EFLD with 51 points as int8. What an inference takes beside the model in which nothing "
        f"is widened, in percent: instructions on emulated cores, and time on one thread of "
        f"{device}, {RUNS} runs in turns, by the kernels that it has and by those for AVX2. "
        "Convolutions are named by their number in the graph; `1 to 4` reads pixels one by one and "
        "computes four at a time. All models give the same output.", "",
        "| widened | bytes | MMACs | " + " | ".join(KERNELS) + " |",
        "|---|---|---|" + "---|" * len(KERNELS)]
    lines += [
        f"| {row['widened']} | {row['size_bytes']:,} | {row['macs'] / 1e6:.2f} | "
        + " | ".join(f"{100 * (taken(row, one) / taken(rows[0], one) - 1):+.1f}"
                     for one in KERNELS) + " |" for row in rows]
    lines += ["", "The model in which nothing is widened takes "
              + ", ".join(f"{taken(rows[0], core) / 1e6:.3f} million instructions on {core}"
                          for core in CORES)
              + f"; and {1e3 * taken(rows[0], HERE):.1f} and {1e3 * taken(rows[0], AVX2):.1f} "
              "microseconds here.", "",
              "What an export takes for the costs, in millionths of that: of each piece of each "
              "tap of each tile, of each tap, of each tile and of each byte that is copied; and "
              "how far, in percent, it is from what was measured.", "",
              "| kernels | channels of a tile | of a piece | piece | tap | tile | byte | away |",
              "|---|---|---|---|---|---|---|---|"]
    lines += [
        f"| {name} | {KERNELS[name].columns} | {KERNELS[name].piece} | {one['of_piece']} "
        f"| {one['of_tap']} | {one['of_tile']} | {one['of_byte']} | {one['away_percent']} |"
        for name, one in fitted.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
