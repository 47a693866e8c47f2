"""What widening convolutions of few channels gives, on this machine and on ARM cores.

    EFLD_DATA=/path/to/data python benchmarks/widening.py

Exports the float weights of `research` as int8 without widened convolutions, and widens one or
several of them by several factors; all models give the same output, to the last bit. Measures
bytes, multiply-accumulates, time here (one thread, in turns) and instructions an inference on
emulated cores. Writes benchmarks/widening/: results.json and table.md.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from common import command

from efld_tf import assets, files
from efld_tf.benchmarking import compare, instructions
from efld_tf.exporting import flatbuffer, widen
from efld_tf.runtime import golden, graph

OUTPUT = Path(__file__).parent / "widening"
CORES = ("cortex-a53", "cortex-a72", "cortex-a76", "neoverse-v1")
RUNS = 2000
PLAIN, CHOSEN = "none", "those of the lowest cost, as exported"


def exported(folder: Path) -> bytes:
    """The shipped weights as int8, no convolution widened."""
    manifest = assets.INT8_MODEL.with_name("calibration.json")
    command("efld-export", "research", "--int8", "--no-widening", "--calibration", manifest,
            "--output", folder / "plain", "--quiet")
    return (folder / "plain" / assets.INT8_MODEL.name).read_bytes()


def attempts(content: bytes) -> dict[str, dict[int, int]]:
    """Factors by operator, for each name."""
    found, chosen = {PLAIN: {}}, {}
    for operator in graph.parse(content).operators:
        if operator.name != "CONV_2D":
            continue
        source, kernel = (tensor.shape for tensor in operator.inputs[:2])
        if kernel[1] == 1 or source[2] < 32:  # those are full, or small
            continue
        title = (f"{operator.index}: {source[1]} x {source[2]}, {kernel[1]} x {kernel[2]}, "
                 f"{source[3]} to {kernel[0]} channels")
        for factor in (2, 4):
            found[f"{title}, by {factor}"] = {operator.index: factor}
    tree, chosen = flatbuffer.read(content), {}
    for index, operator in enumerate(tree.subgraphs[0].operators):
        convolution = widen._Convolution.of(tree, operator)
        if convolution is not None and (factor := convolution.best()) > 1:
            chosen[index] = factor
    return {**found, "the same, by 2 at most": {i: 2 for i in chosen}, CHOSEN: chosen}


def widened(content: bytes, factors: dict[int, int]) -> bytes:
    """The model with these convolutions widened."""
    tree = flatbuffer.read(content)
    widen.widen(tree, factors)
    flatbuffer.join_reshapes(tree)
    flatbuffer.state_versions(tree)
    return flatbuffer.write(tree)


def by_blocks(content: bytes) -> bytes:
    """The model whose first convolution reads blocks of 2 x 2 pixels as one, by SPACE_TO_DEPTH."""
    tree = flatbuffer.read(content)
    main = tree.subgraphs[0]
    place = next(i for i, operator in enumerate(main.operators)
                 if isinstance(operator.builtinOptions, schema.Conv2DOptionsT))
    operator = main.operators[place]
    image, kernel, bias = map(int, operator.inputs)
    tensor = main.tensors[kernel]
    buffer = tree.buffers[tensor.buffer]
    filters, side, _, channels = map(int, tensor.shape)
    wide = np.zeros((filters, side + 1, side + 1, channels), np.int8)
    wide[:, :side, :side] = np.frombuffer(bytes(buffer.data), np.int8).reshape(tensor.shape)
    wide = wide.reshape(filters, 2, 2, 2, 2, channels).transpose(0, 1, 3, 2, 4, 5)
    wide = np.ascontiguousarray(wide.reshape(filters, 2, 2, 4 * channels))
    buffer.data, tensor.shape = wide.reshape(-1).view(np.uint8), np.array(wide.shape, np.int32)
    _, height, width, _ = map(int, main.tensors[image].shape)
    blocks = flatbuffer.reshaped(tree, image, (1, height // 2, width // 2, 4 * channels))
    operator.builtinOptions.strideW = operator.builtinOptions.strideH = 1
    operator.inputs = np.array([blocks, kernel, bias], np.int32)
    before = schema.OperatorT()
    before.opcodeIndex = flatbuffer.operator_code(tree, schema.BuiltinOperator.SPACE_TO_DEPTH)
    before.inputs, before.outputs = np.array([image], np.int32), np.array([blocks], np.int32)
    before.builtinOptionsType = schema.BuiltinOptions.SpaceToDepthOptions
    before.builtinOptions = schema.SpaceToDepthOptionsT()
    before.builtinOptions.blockSize = 2
    main.operators.insert(place, before)
    flatbuffer.state_versions(tree)
    return flatbuffer.write(tree)


def main() -> None:
    """Exports, widens, measures and writes."""
    rows, image = [], golden.read(assets.INT8_MODEL)[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        content, paths = exported(folder), []
        models = {title: widened(content, factors) for title, factors in attempts(content).items()}
        models["the first by blocks of 2 x 2 (SPACE_TO_DEPTH)"] = by_blocks(content)
        expected = None
        for title, model in models.items():
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
    for row, time in zip(rows, timed.rows, strict=True):
        row.update(times_as_fast=round(time.speedup, 4), latency_ms_p50=round(
            time.latency_ms_p50, 5))
    OUTPUT.mkdir(exist_ok=True)
    files.write_json(OUTPUT / "results.json", {
        "conditions": asdict(timed.conditions), "runs": RUNS, "rows": rows})
    (OUTPUT / "table.md").write_text(table(rows, timed.conditions.device))
    print((OUTPUT / "table.md").read_text())


def table(rows: list[dict], device: str) -> str:
    """The results as Markdown."""
    lines = [
        f"EFLD with 51 points as int8. Time on one thread of {device}, {RUNS} runs in turns; "
        "millions of instructions an inference on emulated cores. Convolutions are named by their "
        "number in the graph; all models give the same output.", "",
        "| widened | bytes | MMACs | times as fast here | " + " | ".join(CORES) + " |",
        "|---|---|---|---|" + "---|" * len(CORES)]
    lines += [
        f"| {row['widened']} | {row['size_bytes']:,} | {row['macs'] / 1e6:.2f} "
        f"| {row['times_as_fast']:.3f} | "
        + " | ".join(f"{row['instructions'][core] / 1e6:.3f}" for core in CORES) + " |"
        for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
