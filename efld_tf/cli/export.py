"""`efld-export`: one head of a trained model as a `.tflite` in a folder with what belongs to it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from efld_tf import runs
from efld_tf.cli import common
from efld_tf.errors import EfldError

if TYPE_CHECKING:
    from efld_tf.exporting.calibration import CalibrationManifest

# Fewer calibration faces than these lose accuracy (benchmarks/export).
ENOUGH_FACES = 500

PACKAGE = Path(__file__).resolve().parents[1]

MODES = {
    "int8": "int8 throughout, points from int8 weights in float: the one for phones",
    "qat": "int8 after quantisation-aware training on the head's training photos",
    "float32": "float throughout",
    "float16": "float with weights of half the size",
    "dynamic": "int8 weights, float activations; no calibration",
    "int16x8": "int8 weights, 16-bit activations; slow, without XNNPACK",
}


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, exports and prints the report."""
    parser = common.parser(
        "efld-export",
        "Write one head of a trained model as an audited .tflite (uint8 RGB face crop in, float32 "
        "points out) in a folder with its card, schema, calibration and golden files.",
        "example: efld-export runs/demo --int8 --head ibug51 --calibration all",
    )
    parser.add_argument(
        "run", nargs="?", help="a run's folder or a trained .h5 (default: the newest run)"
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    for name, meaning in MODES.items():
        mode.add_argument(f"--{name}", action="store_const", const=name, dest="mode", help=meaning)
    mode.add_argument(
        "--compare", action="store_const", const="compare", dest="mode",
        help="all of these: a table of size, latency and NME",
    )
    parser.add_argument("--head", help="the landmark format to keep (default: the model's first)")
    parser.add_argument(
        "--calibration", metavar="MANIFEST|N|all|READER:PATH",
        help="photos for the integer ranges: a manifest (.json), or how many of the head's "
        "training source, or all of them as in the EFLD paper (default: 1000)",
    )
    parser.add_argument(
        "--faces", metavar="READER:PATH",
        help="measure the loss on these faces (default: those of the calibration)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER",
        help="the folder to write (default: beside the model, by head and mode)",
    )
    parser.add_argument(
        "--debug", action="store_true", help="with --int8: what each layer loses, to layers.json"
    )
    arguments = parser.parse_args(argv)
    if arguments.calibration and arguments.mode in ("float32", "float16", "dynamic"):
        raise EfldError(f"--calibration: a {arguments.mode} export is not calibrated")
    if arguments.debug and arguments.mode != "int8":
        raise EfldError("--debug: only with --int8")
    run = arguments.run or runs.newest_run()
    model = runs.trained_model(run)
    if not arguments.run:
        print(f"newest run: {run}")
    common.quiet_tensorflow()
    from efld_tf.exporting import calibration
    from efld_tf.models import checkpoint

    spec = checkpoint.read_spec(model)
    head = checkpoint.chosen_head(model, spec, arguments.head)
    manifest, count = _calibration(arguments.calibration, calibration)
    options = {"head": head, "manifest": manifest, "faces_to_calibrate": count,
               "compare_source": arguments.faces}
    # The package's own weights are not exported into the package.
    beside = Path() if model.resolve().is_relative_to(PACKAGE) else model.parent
    output = arguments.output or beside / f"{spec.family}_{head}_{arguments.mode}"
    if arguments.mode == "compare":
        from efld_tf.cli import export_modes

        export_modes.compare(model, output, options)
        return None
    _export(model, output, arguments.mode, options, debug=arguments.debug)
    return None


def _export(
    model: Path, output: Path, mode: str, options: dict[str, object], *, debug: bool
) -> None:
    from efld_tf.exporting import export

    report = export.export(model, output, mode, **options)
    if debug:
        _print_layers(export.debug(model, output, report))
    path = output / report.model
    print(f"{path}: {report.size_bytes:,} bytes, {report.macs / 1e6:.2f} M MACs, {report.head}")
    if report.calibration_faces:
        faces = report.calibration_faces
        few = f": {ENOUGH_FACES} or more lose less" if faces < ENOUGH_FACES else ""
        print(f"calibrated on {faces} faces of {report.calibration_source}{few}")
    print("operators: " + ", ".join(f"{n} {name}" for name, n in report.operators.items()))
    for row in report.concatenations if report.numbers == "int8" else ():
        if row["levels"] < export.FEW_LEVELS:
            print(f"  {row['name']}: an input uses only {row['levels']} of its 255 levels")
    if report.compared_on_calibration:
        print("compared on the calibration's own faces, where an export loses least (--faces takes "
              "others):")
    for name, value in report.comparison.items():
        print(f"  {name}: {value}")


def _print_layers(rows: list) -> None:
    print("the layers that lost most:\n  SNR dB  error in steps  clipped %  layer")
    for row in sorted(rows, key=lambda row: row.signal_to_noise_db)[:10]:
        print(f"  {row.signal_to_noise_db:6.1f}  {row.error_steps:14.2f}  "
              f"{row.clipped_percent:9.3f}  {row.name} ({row.operator})")


def _calibration(
    text: str | None, calibration: ModuleType
) -> tuple[CalibrationManifest | None, int | None]:
    """(manifest, number of faces) of the option; a number of None means all."""
    if text is None:
        return None, calibration.DEFAULT_FACES
    if text == "all":
        return None, None
    if re.fullmatch(r"0*[1-9][0-9]{0,9}", text):
        return None, int(text)
    if re.fullmatch(r"[+-]?[0-9]+", text):
        raise EfldError(f"--calibration {text}: expected a number of faces from 1 on")
    if ":" in text and not Path(text).exists():
        return calibration.choose(text), None
    return calibration.read_manifest(text), None


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
