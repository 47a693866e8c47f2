"""The command `efld-export`, which writes one head of a trained model as a `.tflite` bundle."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import api, runs
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.exporting import kernels, modes
from efld_tf.text import say, say_lines

if TYPE_CHECKING:
    from efld_tf.exporting.report import Bundle

# The report names an input of a concatenation that uses fewer of the 255 levels of its grid.
FEW_LEVELS = 64
# Options that write a folder for a page or an app.
TAKEN_ALONG = ("web", "android")


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, exports and prints the report."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    known = (*modes.MODES, *modes.OTHER_RUNTIMES)
    taken_along = [name for name in TAKEN_ALONG if getattr(arguments, name)]
    if not (arguments.mode or arguments.compare or taken_along):
        parser.error(f"expected one of {', '.join(f'--{name}' for name in known)}, "
                     f"--compare, {' or '.join(f'--{name}' for name in TAKEN_ALONG)}")
    if arguments.compare and taken_along:
        raise EfldError(f"--{taken_along[0]}: with --compare there are many models; name one of "
                        "them instead")
    if arguments.calibration and arguments.mode and not modes.get(arguments.mode).calibrated:
        raise EfldError(f"--calibration: {arguments.mode} exports are not calibrated")
    if arguments.debug and not (arguments.mode and modes.get(arguments.mode).debuggable):
        raise EfldError("--debug: only with --int8")
    processors = _processors(arguments)
    if not arguments.mode and not arguments.compare:
        for name in ("head", "calibration", "faces", "output"):
            if getattr(arguments, name):
                raise EfldError(f"--{name}: of an export, which needs a mode, such as --int8")
        _take_along(arguments.run or runs.newest_run(), arguments)
        return None
    _check_folders(arguments)  # before the work
    run = arguments.run or runs.newest_run()
    if not arguments.run:
        runs.trained_model(run)
        say(f"newest run: {run}")
    named = arguments.calibration or [None]
    options = {"head": arguments.head, "calibration": named if len(named) > 1 else named[0],
               "faces": arguments.faces, "output": arguments.output,
               "progress": not arguments.quiet}
    if arguments.compare:
        say_lines(api.compare_modes(run, **options).markdown)
        return None
    bundle = api.export(
        run, arguments.mode, processors=processors, debug=arguments.debug, **options)
    _tell(bundle)
    _take_along(bundle, arguments)
    return None


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "efld-export",
        "Write one head of a trained model as an audited .tflite or .onnx, or as an .mlpackage "
        "(uint8 RGB face crop in, float32 points out), in a folder with its card, schema, "
        "calibration and golden files.",
        "example: efld-export runs/demo --int8 --head ibug51 --calibration all",
    )
    parser.add_argument(
        "run", nargs="?", help="a run's folder or a trained .h5 (default: the newest run)"
    )
    mode_group = parser.add_mutually_exclusive_group()
    for name, mode in {**modes.MODES, **modes.OTHER_RUNTIMES}.items():
        mode_group.add_argument(
            f"--{name}", action="store_const", const=name, dest="mode",
            help=mode.meaning.replace("%", "%%"))
    mode_group.add_argument(
        "--compare", action="store_true",
        help=f"--{', --'.join(modes.MODES)}: a table of size, latency and NME",
    )
    parser.add_argument("--head", help="the landmark format to keep (default: the model's first)")
    parser.add_argument(
        "--calibration", action="append", metavar="PHOTOS|MANIFEST|N|all|READER:PATH",
        help="photos for the integer ranges: plain ones (a photo, a folder or a quoted pattern; "
        "the option may be given several times), whose faces are found as efld-predict does; a "
        "manifest (.json); faces of an annotated source; or how many of the head's training "
        "source, or all of them as in the EFLD paper (default: 1000)",
    )
    parser.add_argument(
        "--faces", metavar="READER:PATH",
        help="measure the loss on these faces (default: those of the calibration)",
    )
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER",
        help="the folder to write (default: by head and mode, beside the model, or in the current "
        "folder for a shipped one)",
    )
    widening = parser.add_mutually_exclusive_group()
    widening.add_argument(
        "--for", metavar="PROCESSOR[,PROCESSOR]", dest="processors",
        help="with --int8 or --qat: the processors that it should be fast on, of "
        f"{', '.join((*kernels.KERNELS, *kernels.ALIKE))} (default: all of them); for one that "
        "you know, since others get slower",
    )
    widening.add_argument(
        "--no-widening", action="store_true",
        help="with --int8 or --qat: leave convolutions of few channels as they are: fewer "
        "multiply-accumulates and bytes, but slower",
    )
    parser.add_argument(
        "--debug", action="store_true", help="with --int8: what each layer loses, to layers.json"
    )
    parser.add_argument(
        "--web", type=Path, metavar="FOLDER",
        help="also write a folder that any static server can host: a page that puts make-up on "
        "faces, the model, and what pages of your own need; without a mode, of a model that is "
        "exported already; in a folder of --web, other models stay",
    )
    parser.add_argument(
        "--android", type=Path, metavar="FOLDER",
        help="also write a folder of an Android app's assets: the model, its landmarker.json and "
        "golden files, and the detector that finds faces for it; without a mode, of a model that "
        "is exported already",
    )
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    return parser


def _processors(arguments: argparse.Namespace) -> list[str] | None:
    """Those that an export should be fast on; None for all."""
    if arguments.processors is None and not arguments.no_widening:
        return None
    option = "no-widening" if arguments.no_widening else "for"
    if not (arguments.mode and modes.get(arguments.mode).steps.widen):
        raise EfldError(f"--{option}: only with --int8 and --qat")
    if arguments.no_widening:
        return []
    try:
        return list(kernels.check(arguments.processors.split(",")))
    except EfldError as error:
        raise EfldError(f"--for {error}") from error


def _check_folders(arguments: argparse.Namespace) -> None:
    from efld_tf.exporting import app_files, web

    for option in TAKEN_ALONG:
        if getattr(arguments, option) and modes.get(arguments.mode).suffix != ".tflite":
            raise EfldError(f"--{option}: takes a .tflite, which --{arguments.mode} is not")
    if arguments.web:
        web.check(arguments.web)
    if arguments.android:
        app_files.check_assets(arguments.android)


def _take_along(model: str | os.PathLike[str], arguments: argparse.Namespace) -> None:
    """Writes the folders for a page and for an app that are asked for."""
    from efld_tf.exporting import app_files, web

    if arguments.web:
        web.write([model], arguments.web)
        say(f"{arguments.web}: serve it, as by python -m http.server, and open it in a browser")
    if arguments.android:
        app_files.write_assets(model, arguments.android)
        say(f"{arguments.android}: for FaceLandmarker of tools/android")


def _tell(bundle: Bundle) -> None:
    """Prints the report of an export."""
    from efld_tf.exporting.calibration import ENOUGH_FACES

    report = bundle.report
    if bundle.layers:
        print("the layers that lost most:\n  SNR dB  error in steps  clipped %  layer")
    for row in sorted(bundle.layers, key=lambda row: row.signal_to_noise_db)[:10]:
        say(f"  {row.signal_to_noise_db:6.1f}  {row.error_steps:14.2f}  "
            f"{row.clipped_percent:9.3f}  {row.name} ({row.operator})")
    say(f"{bundle.model}: {report.size_bytes:,} bytes, {report.macs / 1e6:.2f} M MACs, "
        f"{report.head}")
    if report.calibration_faces:
        faces = report.calibration_faces
        hint = f": {ENOUGH_FACES} or more lose less" if faces < ENOUGH_FACES else ""
        say(f"calibrated on {faces} faces of {report.calibration_source}{hint}")
    if counts := report.calibration_photos:
        for line in counts["skipped"]:
            say(f"skipped: {line}")
        print(f"photos: {counts['looked_at']}, without a face: {counts['without_face']}, not "
              f"needed: {counts['not_needed']}, skipped: {len(counts['skipped'])}")
    print("operators: " + ", ".join(f"{n} {name}" for name, n in report.operators.items()))
    is_8_bit = modes.get(report.mode).activation_bits == 8
    for concatenation in report.concatenations if is_8_bit else ():
        if concatenation["levels"] < FEW_LEVELS:
            say(f"  {concatenation['name']}: an input uses only {concatenation['levels']} of its "
                "255 levels")
    if report.compared_on_calibration:
        print("compared on the calibration's own faces, where an export loses least (--faces takes "
              "others):")
    for name, value in report.comparison.items():
        say(f"  {name}: {value}")


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
