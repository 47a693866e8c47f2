"""`efld-export`: one head of a trained model as a `.tflite`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from efld_tf import runs
from efld_tf.cli import common
from efld_tf.errors import EfldError

if TYPE_CHECKING:
    from efld_tf.export.calibration import CalibrationManifest


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, exports and prints the report."""
    parser = common.parser(
        "efld-export",
        "Write one head of a trained model as an audited .tflite: uint8 RGB face crop in, float32 "
        "points out, with schema, landmark names and crop rule in its metadata.",
        "example: efld-export runs/demo --int8 --head ibug51 --calibration all",
    )
    parser.add_argument(
        "run", nargs="?", help="a run's folder or a trained .h5 (default: the newest run)"
    )
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--int8", action="store_true", help="full int8 with a float tail")
    mode.add_argument("--float32", action="store_true", help="float throughout, to compare with")
    parser.add_argument("--head", help="the landmark format to keep (default: the model's first)")
    parser.add_argument(
        "--calibration", metavar="MANIFEST|N|all",
        help="photos for the int8 ranges: a manifest (.json), or how many of the head's training "
        "source, or all of them as in the EFLD paper (default: 256)",
    )
    parser.add_argument(
        "--compare", metavar="READER:PATH",
        help="compare with the trained model on these faces (default: those of the calibration)",
    )
    parser.add_argument(
        "--output", type=Path, help="the .tflite to write (default: beside the model)"
    )
    arguments = parser.parse_args(argv)
    if arguments.float32 and arguments.calibration:
        raise EfldError("--calibration: a float32 export is not calibrated")
    run = arguments.run or runs.newest_run()
    model = runs.trained_model(run)
    if not arguments.run:
        print(f"newest run: {run}")
    common.quiet_tensorflow()
    from efld_tf.export import calibration, export
    from efld_tf.models import checkpoint

    head = checkpoint.chosen_head(model, checkpoint.read_spec(model), arguments.head)
    kind = "int8" if arguments.int8 else "float32"
    output = arguments.output or model.parent / f"efld_{head}_{kind}.tflite"
    if output.suffix != ".tflite":
        raise EfldError(f"--output {output}: expected a name that ends in .tflite")
    if arguments.int8:
        manifest, count = _calibration(arguments.calibration or "256", calibration)
        report = export.export_int8(
            model, output, head=head, manifest=manifest, faces_to_calibrate=count,
            compare_source=arguments.compare,
        )
    else:
        report = export.export_float32(
            model, output, head=head, compare_source=arguments.compare
        )
    print(f"{output}: {report.size_bytes:,} bytes, {report.macs / 1e6:.2f} M MACs, {report.head}")
    if report.calibration_faces:
        print(f"calibrated on {report.calibration_faces} faces of {report.calibration_source}")
    print("operators: " + ", ".join(f"{n} {name}" for name, n in report.operators.items()))
    for name, value in report.comparison.items():
        print(f"  {name}: {value}")
    return None


def _calibration(
    text: str, calibration: ModuleType
) -> tuple[CalibrationManifest | None, int | None]:
    """(manifest, number of faces) of the option; a number of None means all."""
    if text == "all":
        return None, None
    if text.isdigit() and int(text) > 0:
        return None, int(text)
    return calibration.read_manifest(text), None


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
