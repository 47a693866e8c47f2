"""`efld-bench`: latency, memory, size and MACs of a `.tflite` on this machine."""

from __future__ import annotations

import json
from collections.abc import Sequence

from efld_tf.benchmark import latency
from efld_tf.cli import common
from efld_tf.runtime import graph
from efld_tf.scoring import results


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, measures, prints and writes."""
    parser = common.parser(
        "efld-bench",
        "Measure a .tflite on this machine: latency with XNNPACK on and off, memory, size, MACs.",
        "example: efld-bench model.tflite --threads 1 2 --output results.json",
    )
    parser.add_argument("model", metavar="MODEL.tflite")
    parser.add_argument(
        "--threads", type=common.whole_from(1), nargs="+", default=[1], metavar="N",
        help="thread counts (default: 1)",
    )
    parser.add_argument(
        "--runs", type=common.whole_from(1), default=200, help="timed runs each (default: 200)"
    )
    parser.add_argument(
        "--warmup", type=common.whole_from(0), default=20, help="runs before them (default: 20)"
    )
    parser.add_argument(
        "--output", metavar="results.json",
        help="add the benchmark, time_ms, complexity_gflops and size_mb to this file",
    )
    parser.add_argument("--operators", action="store_true", help="list the operators as well")
    parser.add_argument("--json", action="store_true", help="print the benchmark as JSON")
    arguments = parser.parse_args(argv)

    found = graph.read(arguments.model)
    model = results.describe_model(arguments.model)
    if arguments.output:
        results.existing(arguments.output, model)
    measured = latency.measure(
        arguments.model, arguments.threads, arguments.runs, arguments.warmup
    )
    details = {**measured.summary(), "macs": found.total_macs}
    if arguments.output:
        results.merge(
            arguments.output,
            model=model,
            section="benchmark",
            details=details,
            factors={
                "time_ms": measured.main.latency_ms_p50,
                "complexity_gflops": 2 * found.total_macs / 1e9,
                "size_mb": measured.size_bytes / 1e6,
            },
        )
    if arguments.json:
        listed = {"operators": [_as_json(op) for op in found.operators]}
        print(json.dumps({**details, **(listed if arguments.operators else {})}, indent=2))
    else:
        print(_report(arguments.model, measured, found, arguments.operators))
    return None


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))


def _report(path: str, measured: latency.Benchmark, found: graph.Graph, operators: bool) -> str:
    conditions, total = measured.conditions, found.total_macs
    memory = measured.peak_memory_bytes
    lines = [
        f"{path}: {measured.size_bytes:,} bytes, {total:,} MACs = {2 * total / 1e6:.2f} MFLOPs, "
        + (f"peak memory {memory / 1e6:.1f} MB" if memory is not None else "peak memory unknown"),
        f"{conditions.device}, {conditions.cores} cores, {conditions.os}, {conditions.runtime}, "
        f"{measured.runs} runs after {measured.warmup_runs}",
        "threads  XNNPACK  p50 ms  p95 ms  mean ms  min ms",
    ]
    for row in measured.latencies:
        lines.append(
            f"{row.threads:7}  {'on' if row.xnnpack else 'off':7}  {row.latency_ms_p50:6.3f}  "
            f"{row.latency_ms_p95:6.3f}  {row.latency_ms_mean:7.3f}  {row.latency_ms_min:6.3f}"
        )
    if operators:
        lines.append(f"{'':5}  {'operator':24}  {'MACs':>12}  outputs")
        for op in found.operators:
            lines.append(f"{op.index:5}  {op.name:24}  {op.macs:12,}  {_outputs(op)}")
    return "\n".join(lines)


def _outputs(operator: graph.Operator) -> str:
    """Dtype and shape of each output, such as `int8[1,64,64,8]`."""
    shapes = (
        ",".join("?" if size is None else str(size) for size in tensor.shape)
        for tensor in operator.outputs
    )
    return " ".join(
        f"{dtype}[{shape}]" for dtype, shape in zip(operator.output_dtypes, shapes, strict=True)
    )


def _as_json(operator: graph.Operator) -> dict[str, object]:
    return {
        "subgraph": operator.subgraph,
        "index": operator.index,
        "name": operator.name,
        "output_dtypes": operator.output_dtypes,
        "output_shapes": operator.output_shapes,
        "macs": operator.macs,
    }
