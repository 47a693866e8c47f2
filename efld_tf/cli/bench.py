"""The command `efld-bench`: what a `.tflite` takes, here, on a phone, or on emulated cores."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from efld_tf import api, runs
from efld_tf.benchmarking import native, profile
from efld_tf.benchmarking.latency import Benchmark
from efld_tf.benchmarking.native import NativeBenchmark
from efld_tf.cli import common
from efld_tf.emulation import cores
from efld_tf.errors import EfldError
from efld_tf.runtime import graph
from efld_tf.scoring import results
from efld_tf.text import say, say_lines

if TYPE_CHECKING:
    from efld_tf.benchmarking.instructions import Instructions

TIMING: dict[str, Any] = {"threads": [1], "runs": 200, "warmup": 20}


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, measures, prints and writes."""
    arguments = _parser().parse_args(argv)
    _check_native(arguments)
    models = [str(runs.exported_model(model)) for model in arguments.model]
    for option in ("cpu", "profile", "operators", "benchmark_model"):
        if getattr(arguments, option):
            for model in models:
                runs.tflite(model, f"--{option.replace('_', '-')}")
    if arguments.cpu:
        return _on_cores(arguments, models)
    (arguments.model,) = models
    if arguments.output:  # Another model's file is refused before the work.
        results.existing(arguments.output, results.describe_model(arguments.model))
    measured: Benchmark | NativeBenchmark
    if arguments.benchmark_model:
        measured = _native(arguments)
    else:
        measured = api.benchmark(
            arguments.model, threads=arguments.threads, runs=arguments.runs,
            warmup=arguments.warmup)
    if arguments.output:
        measured.save(arguments.output)
    if arguments.json:
        listed = {"operators": [_as_json(op) for op in graph.read(arguments.model).operators]} \
            if arguments.operators else {}
        print(json.dumps({**measured.summary(), **listed}, indent=2))
    elif isinstance(measured, NativeBenchmark):
        say_lines(_native_report(arguments.model, measured))
    else:
        say_lines(_report(arguments.model, measured, arguments.operators))
    if arguments.profile:
        _print_profile(arguments.model)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "efld-bench",
        "Measure a .tflite: latency with XNNPACK on and off, memory, size and MACs on this "
        "machine, latency and power on a phone by benchmark_model, or instructions on ARM cores.",
        "example: efld-bench model.tflite --android --benchmark-model PATH --cores f0 --power 60 "
        "--output results.json",
    )
    parser.add_argument("model", nargs="+", help="a .tflite or a bundle of efld-export, or a "
                        "shipped model: research or synthetic; several with --cpu")
    parser.add_argument(
        "--threads", type=common.whole_from(1, common.MOST_THREADS), nargs="+",
        default=TIMING["threads"],
        metavar="N", help="thread counts (default: 1)",
    )
    parser.add_argument(
        "--runs", type=common.whole_from(1), default=TIMING["runs"],
        help="timed runs each (default: 200)"
    )
    parser.add_argument(
        "--warmup", type=common.whole_from(0), default=TIMING["warmup"],
        help="runs before them (default: 20)"
    )
    parser.add_argument(
        "--output", metavar="results.json",
        help="add the benchmark, time_ms, complexity_gflops and size_mb to this file",
    )
    parser.add_argument("--operators", action="store_true", help="list the operators as well")
    parser.add_argument(
        "--profile", action="store_true", help="list the operators with the time of each"
    )
    tool = parser.add_argument_group("by TensorFlow Lite's native tool")
    tool.add_argument(
        "--benchmark-model", metavar="PATH", help="the tool: of the phone, or of this machine"
    )
    tool.add_argument("--android", action="store_true", help="on a phone, through adb")
    tool.add_argument("--serial", help="which phone (default: the only one)")
    tool.add_argument("--cores", metavar="MASK", help="cores to run on, such as f0")
    tool.add_argument(
        "--power", type=common.whole_from(native.FEWEST_SAMPLES), metavar="SECONDS",
        help="with --android: sample the battery so long, idle and running",
    )
    emulated = parser.add_argument_group("on ARM cores that QEMU emulates")
    emulated.add_argument(
        "--cpu", metavar="CORE[,CORE ...]", type=common.names,
        help="count the instructions of an inference, and check the golden output: "
        f"{', '.join(cores.CORES)}; what it takes is installed below ~/.cache the first time",
    )
    emulated.add_argument("--plots", metavar="FOLDER", type=Path, help="draw instructions.png")
    parser.add_argument("--json", action="store_true", help="print the benchmark as JSON")
    return parser


def _check_native(arguments: argparse.Namespace) -> None:
    """Refuses options that do not go together."""
    if arguments.cpu:
        for name in arguments.cpu:
            cores.get(name)
        if arguments.benchmark_model or arguments.android or arguments.operators:
            raise EfldError("--cpu: without --android, --benchmark-model and --operators")
        if any(getattr(arguments, name) != TIMING[name] for name in TIMING):
            raise EfldError("--threads, --runs and --warmup: of times, which --cpu does not take")
        if len(arguments.model) > 1 and (arguments.output or arguments.profile):
            raise EfldError("--output and --profile: one model")
        common.need_folder("--plots", arguments.plots)
    elif len(arguments.model) > 1 or arguments.plots:
        raise EfldError("several models and --plots: only with --cpu")
    if arguments.json and arguments.profile:
        raise EfldError("--profile prints a table: without --json")
    if arguments.android and not arguments.benchmark_model:
        raise EfldError("--android: give the phone's benchmark_model by --benchmark-model PATH")
    if not arguments.android and (arguments.serial or arguments.power):
        raise EfldError("--serial and --power: only with --android")
    if arguments.cores and not arguments.benchmark_model:
        raise EfldError("--cores: only with --benchmark-model")
    if arguments.benchmark_model:
        if len(arguments.threads) > 1:
            raise EfldError("--threads: one number with --benchmark-model")
        if arguments.profile or arguments.operators:
            raise EfldError("--profile and --operators: not with --benchmark-model")


def _native(arguments: argparse.Namespace) -> NativeBenchmark:
    options = {"cores": arguments.cores, "threads": arguments.threads[0], "runs": arguments.runs,
               "warmup": arguments.warmup}
    if not arguments.android:
        return native.here(arguments.model, arguments.benchmark_model, **options)
    return native.on_phone(
        arguments.model, arguments.benchmark_model, serial=arguments.serial,
        power_seconds=arguments.power or 0, **options,
    )


def _native_report(path: str, measured: NativeBenchmark) -> str:
    details = measured.summary()
    lines = [
        f"{path}: {details['size_bytes']:,} bytes, {details['macs']:,} MACs",
        f"{details['device']}, {details['os']}, {details['runtime']}, cores "
        f"{details['core_mask']}, {details['threads']} thread",
        f"{details['time_is']} {measured.time_ms:.3f} ms of {details['runs']} runs",
    ]
    if measured.power:
        lines.append(f"power {measured.power.power_w:.3f} W above idle, +- "
                     f"{details['power_uncertainty_w']:.3f} W ({details['power_samples']} samples)")
    if details.get("throttled"):
        lines.append("warning: the phone was throttling; let it cool and measure again")
    return "\n".join(lines)


def _on_cores(arguments: argparse.Namespace, models: list[str]) -> int | None:
    """Counts instructions; exit code 1 where a core gives another golden output."""
    from efld_tf.benchmarking import instructions  # OpenCV

    if arguments.output:  # Another model's file is refused before the work.
        results.existing(arguments.output, results.describe_model(models[0]))
    shown = not arguments.json
    measured = [instructions.measure(model, arguments.cpu, progress=shown) for model in models]
    if arguments.output:
        measured[0].save(arguments.output)
    if arguments.json:
        listed = [{"model": str(one.model), **one.summary()} for one in measured]
        print(json.dumps(listed if len(listed) > 1 else listed[0], indent=2))
    else:
        say_lines(_counts_report(measured))
    if arguments.plots:
        from efld_tf.benchmarking import instructions_plot

        instructions_plot.chart(arguments.plots / "instructions.png", measured)
        say(f"drawn: {arguments.plots / 'instructions.png'}", sys.stderr)
    if arguments.profile:
        for core in arguments.cpu:
            _print_operators(models[0], core)
    return None if all(one.passed for one in measured) else 1


def _counts_report(measured: Sequence[Instructions]) -> str:
    from efld_tf.benchmarking import instructions

    lines = [f"{measured[0].runtime}, {measured[0].emulator}: millions of instructions an "
             "inference. They are no cycles: times differ otherwise."]
    for one in measured:
        lines.append(f"{one.model}: {graph.read(one.model).total_macs:,} MACs")
        for name, found in one.cores.items():
            told = {"all": found.counts["all"], **instructions.shares(found.counts)}
            if len(lines) == 2:
                lines.insert(1, "  ".join([" " * 14, *(f"{kind:>14}" for kind in told), "golden"]))
            golden = "" if found.check is None else \
                f"within {found.check.largest_difference:.6f}" + \
                ("" if found.check.passed else " TOO MUCH")
            numbers = (f"{count / 1e6:14.3f}" for count in told.values())
            lines.append("  ".join([f"{name:14}", *numbers, golden]))
    return "\n".join(lines)


def _print_operators(path: str, core: str) -> None:
    from efld_tf.benchmarking import instructions

    rows = instructions.by_operator(path, core, progress=True)
    total = sum(row.instructions for row in rows)
    say(core)
    say(f"{'':5}  {'operator':20}  {'instructions':>12}  {'share':>6}  {'MACs each':>9}  "
        "output")
    for row in rows:
        rate = f"{row.macs / row.instructions:9.1f}" if row.macs and row.instructions > 0 else ""
        say(f"{row.index:5}  {row.name:20}  {row.instructions:12,}  "
            f"{row.instructions / total:6.1%}  {rate:>9}  {list(row.shape)}")


def _print_profile(path: str) -> None:
    rows = profile.measure(path)
    total = sum(row.microseconds for row in rows)
    print(f"{'':5}  {'operator':20}  {'us':>7}  {'share':>6}  {'GMAC/s':>6}  output")
    for row in rows:
        rate = f"{row.macs / row.microseconds / 1000:6.1f}" if row.macs and row.microseconds else ""
        say(f"{row.index:5}  {row.name:20}  {row.microseconds:7.1f}  "
            f"{row.microseconds / total:6.1%}  {rate:>6}  {list(row.shape)}")


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))


def _report(path: str, measured: Benchmark, operators: bool) -> str:
    conditions, total = measured.conditions, graph.total_macs(path)
    fast = "XNNPACK" if Path(path).suffix == ".tflite" else "rewritten"
    memory = measured.peak_memory_bytes
    lines = [
        f"{path}: {measured.size_bytes:,} bytes, {total:,} MACs = {2 * total / 1e6:.2f} MFLOPs, "
        + (f"peak memory {memory / 1e6:.1f} MB" if memory is not None else "peak memory unknown"),
        f"{conditions.device}, {conditions.cores} cores, {conditions.os}, {conditions.runtime}, "
        f"{measured.runs} runs after {measured.warmup_runs}",
        f"threads  {fast:9}  p50 ms  p95 ms  mean ms  min ms",
    ]
    for row in measured.latencies:
        lines.append(
            f"{row.threads:7}  {'on' if row.xnnpack else 'off':9}  {row.latency_ms_p50:6.3f}  "
            f"{row.latency_ms_p95:6.3f}  {row.latency_ms_mean:7.3f}  {row.latency_ms_min:6.3f}"
        )
    if operators:
        lines.append(f"{'':5}  {'operator':24}  {'MACs':>12}  outputs")
        for op in graph.read(path).operators:
            lines.append(f"{op.index:5}  {op.name:24}  {op.macs:12,}  {_outputs(op)}")
    return "\n".join(lines)


def _outputs(operator: graph.Operator) -> str:
    """Formats the dtype and shape of each output, such as `int8[1,64,64,8]`."""
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
