"""The command `efld-predict`: finds faces and landmarks in photos, videos and live pictures."""

from __future__ import annotations

import argparse
import math
import shlex
import sys
import time
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import api
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.progress import Progress
from efld_tf.quiet import native_stderr_silenced
from efld_tf.text import say
from efld_tf.urls import SCHEMES

if TYPE_CHECKING:  # They are imported where they are used, so that --help does not wait for them.
    from efld_tf.landmarks.align import Alignment
    from efld_tf.runtime.inputs import Input, Inputs
    from efld_tf.runtime.landmarker import FaceLandmarker
    from efld_tf.runtime.outputs import Outputs
    from efld_tf.runtime.window import Window

# Those of `landmarks.align` and `runtime.outputs`, which --help does not wait for.
MOST_ALIGNED = 1024
KINDS = ("pictures", "json", "csv", "pts", "coco", "cvat", "labelme", "yolo")


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, predicts every input, and prints what was found and written."""
    arguments = _parser().parse_args(argv)

    from efld_tf.runtime import inputs
    from efld_tf.runtime.outputs import Outputs
    from efld_tf.runtime.window import Window

    detector_options = (arguments.detector, arguments.min_score, arguments.min_face)
    if arguments.boxes is not None and detector_options != (None, None, None):
        raise EfldError("--boxes take the detector's place: without --detector, --min-score and "
                        "--min-face")
    if arguments.boxes is not None and arguments.min_confidence is not None:
        raise EfldError("--boxes: every one is a face, so without --min-confidence")
    if arguments.boxes is None and arguments.box_format is not None:
        raise EfldError("--box-format goes with --boxes")
    all_inputs = inputs.expand(arguments.input, common.standard_input(), skip=arguments.output)
    window = Window("efld-predict") if arguments.show else None
    kinds = {*arguments.save, *(["aligned"] if arguments.align else [])}
    alignment = _alignment(arguments)
    start_time = time.time()
    report = _Report(arguments.quiet)
    with native_stderr_silenced():
        landmarker = api.load(
            arguments.model, detector=_detector(arguments), min_face=arguments.min_face,
            min_score=arguments.min_score, min_confidence=arguments.min_confidence,
            threads=arguments.threads)
        for error in all_inputs.errors:
            report.failed(error)
        try:
            with Outputs(arguments.output, kinds, landmarker.schema, all_inputs.root,
                         landmarker.predictor.has_depth, landmarker.predictor.has_errors,
                         alignment) as outputs:
                outputs.check(all_inputs)
                for path in outputs.recovered:
                    report.note(f"{path}: what a run that was killed had found")
                _tell_left_out(kinds, all_inputs, report)
                _predict(all_inputs.items, landmarker, outputs, report, arguments, window)
        finally:
            report.close()
            if window is not None:
                window.close()
    if not arguments.quiet and report.succeeded:
        _tell_outputs(outputs, kinds, landmarker.schema, all_inputs)
        if older := outputs.older(start_time):
            files = "1 file" if older == 1 else f"{older} files"
            say(f"note: {arguments.output} still holds {files} of an earlier run")
    if report.failures:
        return 1 if report.succeeded else common.EXIT_BAD_INPUT
    return None


def _parser() -> argparse.ArgumentParser:
    parser = common.parser(
        "efld-predict",
        "Find faces and their landmarks in photos and videos, from a camera or a network.",
        "example: efld-predict photo.jpg\n"
        "         efld-predict holiday/ clip.mp4 --save pictures json csv\n"
        "         efld-predict 'photos/**/*.jpg' --output found --align\n"
        "         find . -name '*.png' | efld-predict -\n"
        "         efld-predict 0 --show\n"
        "         efld-predict rtsp://USER:PASSWORD@camera/stream https://host/photo.jpg\n"
        "\n"
        f"Addresses are those of {', '.join(SCHEMES)}. They are shown, and written to files,\n"
        "without user name, password and query. A live stream ends with Ctrl-C, and all files are\n"
        "whole.\n"
        "\n"
        "Exit code 1 where some inputs could not be read, 2 where none could.",
    )
    parser.add_argument(
        "input", nargs="+", metavar="INPUT",
        help="photos, videos, folders, quoted patterns, a camera's number or path, addresses of "
        "photos, videos and live streams, or - for a list on standard input")
    parser.add_argument("--model", default="research",
                        metavar="FILE|research|synthetic",
                        help="a .tflite of efld-export or its folder, or a shipped model: "
                        "research, not for commercial use, or synthetic, less accurate and from "
                        "rendered faces alone (default: research)")
    parser.add_argument("--detector", metavar="both|short|full|FILE",
                        help="of faces: short range, full range for smaller ones, both, or a model "
                        "file of one of them (default: both)")
    parser.add_argument("--boxes", type=Path, metavar="FILE.json",
                        help="the photos' face boxes, instead of a detector: {IMAGE: [[x0, y0, "
                        "x1, y1], ...]} in pixels, of the kind that the model's crop rule names")
    parser.add_argument("--box-format", choices=("xyxy", "xywh"),
                        help="of --boxes (default: xyxy)")
    parser.add_argument("--min-face", type=common.number_within(8, math.inf), metavar="PIXELS",
                        help="the smallest face to look for; smaller ones take longer (default: "
                        "40 or 1/50 of a photo's longer side, whichever is more, and 1/10 of a "
                        "video's shorter side; with --detector short 1/6 of the longer one)")
    parser.add_argument("--min-confidence", type=common.number_within(0, 1), metavar="SHARE",
                        help="how sure it must be that the points lie on a face, from 0 to 1; with "
                        "0.1 there are profiles, too, where they mostly do not (default: 0.5)")
    parser.add_argument("--min-score", type=common.number_within(0, 1, ends=False),
                        metavar="SCORE",
                        help="of the detector, between 0 and 1 (default: the detector's own)")
    parser.add_argument("--output", type=Path, default=Path("predictions"), metavar="FOLDER",
                        help="where to write (default: %(default)s)")
    parser.add_argument("--save", nargs="+", choices=KINDS, default=["pictures", "json"],
                        metavar="KIND", help="what to write of " + ", ".join(KINDS)
                        + " (default: pictures json); small pictures are .png, others .jpg")
    parser.add_argument("--align", action="store_true",
                        help="also write each face as the 112 x 112 pixels that models of face "
                        "recognition take")
    parser.add_argument("--align-by", choices=("five", "inner", "head"),
                        help="of --align: the eyes, the tip of the nose and the mouth corners (the "
                        "default), all inner points, or the head in space, for models whose points "
                        "are right in profile")
    parser.add_argument("--align-size", type=common.whole_from(1, MOST_ALIGNED), metavar="PIXELS",
                        help="of --align: the side of the picture (default: 112)")
    parser.add_argument("--align-border", choices=("black", "repeat", "mirror"),
                        help="of --align: what is outside of the photo (default: black)")
    parser.add_argument("--align-template", type=Path, metavar="FILE",
                        help="of --align: a YAML file with right_eye, left_eye, nose_tip, "
                        "mouth_right and mouth_left, each [x, y] in a picture of 112 pixels, "
                        "instead of ArcFace's places")
    parser.add_argument("--show", action="store_true",
                        help="show everything in a window: q or Esc ends, any other key shows the "
                        "next photo")
    parser.add_argument("--no-smooth", action="store_true",
                        help="do not smooth the points of videos over time")
    parser.add_argument("--threads", type=common.whole_from(1, common.MOST_THREADS),
                        help="of each model (default: 1 of the landmark model, and as many of the "
                        "detector as there are cores, up to 4)")
    parser.add_argument("--quiet", action="store_true", help="only say what went wrong")
    return parser


def _alignment(arguments: argparse.Namespace) -> Alignment:
    """How faces are aligned.

    Raises:
      EfldError: there are options of `--align` without it.
      DataError: the template cannot be read.
    """
    from efld_tf.landmarks.align import Alignment, read_template

    chosen = {name: getattr(arguments, f"align_{name}")
              for name in ("by", "size", "border", "template")}
    given = {name: value for name, value in chosen.items() if value is not None}
    if given and not arguments.align:
        raise EfldError(f"{', '.join(f'--align-{name}' for name in given)}: expected --align, too")
    if "template" in given:
        given["template"] = read_template(given["template"])
    return Alignment(**given)


def _detector(arguments: argparse.Namespace) -> str | None:
    """The detector's name or file; None where boxes are given."""
    return None if arguments.boxes is not None else arguments.detector or "both"


def _predict(
    items: Sequence[Input], landmarker: FaceLandmarker, outputs: Outputs, report: _Report,
    arguments: argparse.Namespace, window: Window | None,
) -> None:  # fmt: skip
    """Predicts all inputs in order; photos that follow each other are predicted together."""
    from efld_tf.runtime.inputs import Address, CameraInput, VideoFile
    from efld_tf.runtime.prediction import Prediction
    from efld_tf.runtime.tracker import TrackerOptions

    boxes = None
    if arguments.boxes is not None:
        from efld_tf.runtime.boxes import read_boxes

        boxes = read_boxes(arguments.boxes, arguments.box_format or "xyxy")
    prediction = Prediction(
        landmarker, outputs, report, boxes=boxes, window=window,
        tracking=TrackerOptions(
            smooth=not arguments.no_smooth, min_confidence=landmarker.min_confidence))
    for _, group in groupby(items, key=type):
        photos = []
        for item in group:
            if isinstance(item, CameraInput):
                go_on = prediction.camera(item)
            elif isinstance(item, VideoFile):
                go_on = prediction.video(item)
            elif isinstance(item, Address):
                go_on = prediction.address(item)
            else:
                photos.append(item)
                continue
            if not go_on:
                return
        if photos and not prediction.photos(photos):
            return


class _Report:
    """Prints lines on standard output, errors on stderr, and shows how far it is.

    Attributes:
      succeeded, failures: numbers of inputs; a damaged video may count as both.
    """

    def __init__(self, quiet: bool):
        self.succeeded = self.failures = 0
        self._quiet = quiet
        self._bar: Progress | None = None

    def begin(self, total: int | None, unit: str) -> None:
        self.close()
        shown = not self._quiet and (total, unit) != (1, "photo")
        self._bar = Progress("predicting", total, unit, shown=shown)

    def progress(self, count: int) -> None:
        if self._bar is not None:
            self._bar.reach(count)

    def done(self, name: str, summary: str) -> None:
        self.succeeded += 1
        if not self._quiet:
            say(f"{name}: {summary}")

    def note(self, text: str) -> None:
        if not self._quiet:
            say(f"note: {text}")

    def failed(self, error: EfldError) -> None:
        self.failures += 1
        say(f"error: {error}", sys.stderr)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _tell_left_out(kinds: set[str], inputs: Inputs, report: _Report) -> None:
    from efld_tf.runtime.inputs import Photo
    from efld_tf.runtime.outputs import FOR_TOOLS

    chosen = [kind for kind in FOR_TOOLS if kind in kinds]
    if chosen and not all(isinstance(item, Photo) for item in inputs.items):
        report.note(f"{', '.join(chosen)}: photos in files alone, without frames of videos")


def _tell_outputs(outputs: Outputs, kinds: set[str], schema: str, inputs: Inputs) -> None:
    from efld_tf.annotations.writing.formats import OUTPUTS
    from efld_tf.runtime.inputs import Photo, VideoFile

    sources = {}
    # A file without a face is no source.
    if outputs.faces and any(isinstance(item, Photo | VideoFile) for item in inputs.items):
        for kind in ("json", "coco", "cvat", "labelme", "yolo"):
            form = OUTPUTS[kind]
            path = form.path(outputs.folder)
            if kind in kinds:
                sources[kind] = form.read_back(path, schema, inputs.root, outputs.turned)
    readable = sources.pop("json", None)
    say(f"written to {outputs.folder}"
        + (f"; readable as {shlex.quote(readable)}" if readable else ""))
    for kind, source in sources.items():
        if source is not None:
            say(f"{kind}: after corrections, read it as {shlex.quote(source)}")


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
