"""The command `efld-verify`, which checks an exported model and what it computes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import runs
from efld_tf.cli import common
from efld_tf.errors import DataError, EfldError
from efld_tf.text import say

if TYPE_CHECKING:
    from efld_tf.exporting.modes import Mode
    from efld_tf.runtime.golden import Check, Golden
    from efld_tf.runtime.other_runtimes import Outcome


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, audits and runs the golden input."""
    parser = common.parser(
        "efld-verify",
        "Check an exported model here: metadata, operators and types of its mode, the runtimes it "
        "says it is for, and its golden input and output by every kernel of this machine. Exit "
        "code 1 where a result differs, or another runtime refuses it.",
        "example: efld-verify runs/demo/efld_ibug68_int8",
    )
    parser.add_argument("model", type=Path, help="a bundle of efld-export, the .tflite in it, "
                        "or a shipped model: research or synthetic")
    parser.add_argument(
        "--runtime", action="append", default=[], metavar="PACKAGE==VERSION",
        help="also by another runtime, which pip installs into an environment of its own: "
        "tflite-runtime==2.14.0, ai-edge-litert==1.0.1, tensorflow-cpu==2.15.1 and others that "
        "have wheels for this Python (in ~/.cache/efld_tf/runtimes); may be repeated",
    )
    parser.add_argument(
        "--cpu", type=common.names, default=[], metavar="CORE[,CORE ...]",
        help="also on ARM cores that QEMU emulates, such as cortex-a72,cortex-a76,neoverse-v1; "
        "what it takes is installed below ~/.cache the first time",
    )
    arguments = parser.parse_args(argv)
    from efld_tf.emulation import cores, run, tools
    from efld_tf.exporting import audit
    from efld_tf.runtime import golden, metadata, other_runtimes

    for requirement in arguments.runtime:
        other_runtimes.parts(requirement)  # A mistake is reported before anything is run.
    emulated = [cores.get(name) for name in arguments.cpu]
    path = runs.exported_model(arguments.model)
    for option in ("runtime", "cpu"):
        if getattr(arguments, option):
            runs.tflite(path, f"--{option}")
    model_metadata = metadata.read(path)
    say(f"{path.name}: {model_metadata.family}, {model_metadata.schema}, "
        f"{len(model_metadata.names)} points")
    facts = audit.facts(path, _mode(path))  # The check comes before the model is run.
    expected, checks = golden.verify(path)
    say(f"{expected.mode}: {sum(facts.operators.values())} operators, {facts.macs:,} MACs, as "
        f"promised; for {audit.runtimes(facts.minimum_runtime, path.suffix)}")
    for check in checks:
        threads = f"{check.threads} thread{'s' if check.threads > 1 else ''}"
        _tell(f"{check.kernels:9} {threads}", check, expected)
    passed = all(check.passed for check in checks)
    for requirement in arguments.runtime:
        (outcomes,) = other_runtimes.check(other_runtimes.environment(requirement), [path])
        for outcome in outcomes:
            name = f"{requirement} {outcome.kernels}"
            if outcome.largest_difference is None:
                reason = f"refused: {outcome.refused}" if outcome.refused else "CRASHED"
                say(f"{name}: {reason}")
            else:
                _tell(name, outcome, expected)
            passed = passed and outcome.passed
    if emulated:
        machine = tools.machine()
        for core in emulated:
            check = run.check(machine, core, path)
            _tell(core.name, check, expected)
            passed = passed and check.passed
    return None if passed else 1


def _mode(model: Path) -> Mode:
    """Reads the mode that a model's golden file states."""
    from efld_tf.exporting import modes
    from efld_tf.runtime import golden

    golden_file, _, _ = golden.read(model)
    try:
        return modes.get(golden_file.mode)
    except EfldError as error:
        raise DataError(model.with_name(golden.FILE), str(error)) from error


def _tell(name: str, check: Check | Outcome, expected: Golden) -> None:
    """Prints how much a result differs, and how much it may differ."""
    difference, allowed = f"{check.largest_difference:.6f} of the crop", f"{expected.tolerance:g}"
    if expected.confidence:
        difference += f", confidence within {check.confidence_difference:.4f}"
        allowed += f" or {expected.confidence.tolerance:g}"
    if expected.depth:
        difference += f", depths within {check.depth_difference:.4f}"
        allowed += f" or {expected.depth.tolerance:g}"
    if expected.errors:
        difference += f", expected errors within {check.errors_difference:.4f}"
        allowed += f" or {expected.errors.tolerance:g}"
    verdict = "ok" if check.passed else f"MORE than {allowed}"
    say(f"{name}: golden output within {difference} ({verdict})")


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
