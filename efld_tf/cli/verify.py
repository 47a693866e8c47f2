"""`efld-verify`: whether an exported model is what it says, and computes what it did when made."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from efld_tf import runs
from efld_tf.cli import common


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, audits and runs the golden input."""
    parser = common.parser(
        "efld-verify",
        "Check an exported model here: metadata, operators and types of its mode, and its golden "
        "input and output by every kernel of this machine. Exit code 1 where a result differs.",
        "example: efld-verify runs/demo/efld_ibug68_int8",
    )
    parser.add_argument("model", type=Path, help="a bundle of efld-export, the .tflite in it, "
                        "or a shipped model: research or synthetic")
    arguments = parser.parse_args(argv)
    from efld_tf.export import audit
    from efld_tf.runtime import golden, metadata

    path = runs.exported_model(arguments.model)
    about = metadata.read(path)
    print(f"{path.name}: {about.family}, {about.schema}, {len(about.names)} points")
    stated, _, _ = golden.read(path)
    found = audit.check(path, stated.mode)  # before it is run on anything
    expected, checks = golden.verify(path)
    count = len(found.operators)
    print(f"{expected.mode}: {count} operators, {found.total_macs:,} MACs, as promised")
    for check in checks:
        off, allowed = f"{check.largest_difference:.6f} of the crop", f"{expected.tolerance:g}"
        if expected.confidence:
            off += f", confidence within {check.confidence_difference:.4f}"
            allowed += f" or {expected.confidence.tolerance:g}"
        print(
            f"{check.kernels:9} {check.threads} thread{'s' if check.threads > 1 else ''}: "
            f"golden output within {off} ({'ok' if check.passed else f'MORE than {allowed}'})"
        )
    return None if all(check.passed for check in checks) else 1


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
