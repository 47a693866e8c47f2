"""`efld-eval --detector`: as in use, where a detector has to find the faces."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from efld_tf.cli import common
from efld_tf.errors import DataError, EfldError
from efld_tf.scoring import results


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of evaluation with a detector."""
    parser.add_argument(
        "--detector", metavar="both|short|full|FILE",
        help="measure also with detected faces: missed ones, NME of those found, and accuracy over "
        "all (both is the default of efld-predict)",
    )
    parser.add_argument(
        "--scenes", action="store_true",
        help="with --detector: each face is pasted into a larger scene at a random place and size",
    )
    parser.add_argument(
        "--boxes", type=Path, metavar="FILE.json",
        help="the photos beside this file of all their faces' boxes, {IMAGE: [[x0, y0, x1, y1], "
        "...]}: with --detector recall and precision on them, with --prior patches of them",
    )
    parser.add_argument("--box-format", choices=("xyxy", "xywh"),
                        help="of --boxes: two corners, or one and the size "
                        "(default: xyxy)")
    parser.add_argument("--min-score", type=common.number_within(0, 1), metavar="SCORE",
                        help="of the detector (default: its own)")


def check(arguments: argparse.Namespace, exported: bool) -> None:
    """Refuses arguments that do not go together.

    Raises:
      EfldError: with what was expected.
    """
    if arguments.box_format and not arguments.boxes:
        raise EfldError("--box-format goes with --boxes")
    if arguments.detector is None:
        if arguments.scenes or arguments.min_score is not None:
            raise EfldError("--scenes and --min-score go with --detector")
        if arguments.boxes and not arguments.prior:
            raise EfldError("--boxes goes with --detector or --prior")
        return
    if not exported:
        raise EfldError("--detector goes with an exported model (.tflite)")
    if arguments.source is None and arguments.boxes is None:
        raise EfldError("--detector: expected annotated faces, by --source or --boxes")
    if arguments.source is None and arguments.scenes:
        raise EfldError("--scenes goes with --source")
    if (arguments.source or "").startswith("packed:"):
        raise EfldError("--detector: packed crops have no photos to find faces in")


def measure(arguments: argparse.Namespace, predictor: Any, about: dict[str, Any]) -> None:
    """Measures with the detector, prints, and merges into the results file.

    Raises:
      EfldError: a source, a box file, a photo or the detector cannot be read.
    """
    from efld_tf.evaluation import detected
    from efld_tf.runtime.boxes import read_boxes
    from efld_tf.runtime.detector import open_detector
    from efld_tf.runtime.landmarker import FaceLandmarker

    progress = not arguments.quiet
    finder = open_detector(arguments.detector, min_score=arguments.min_score)
    landmarker = FaceLandmarker(predictor, finder)
    name = Path(arguments.detector).name
    if arguments.source:
        found = detected.measure_landmarks(
            landmarker, arguments.source, scenes=arguments.scenes, on_error=arguments.on_error,
            progress=progress,
        )
        for error in found.skipped:
            print(f"skipped: {error}")
        head = {"source": arguments.source, "detector": name, "in_scenes": arguments.scenes}
        _tell(arguments, about, "detection", {**head, **found.summary()})
    if arguments.boxes:
        boxes = read_boxes(arguments.boxes, arguments.box_format or "xyxy")
        if not boxes:
            raise DataError(arguments.boxes, "no image")
        folder = arguments.boxes.parent
        every, by_itself, skipped = detected.measure_boxes(
            landmarker, folder, boxes, on_error=arguments.on_error, progress=progress)
        for error in skipped:
            print(f"skipped: {error}")
        alone = by_itself.summary()
        head = {"boxes": str(arguments.boxes), "detector": name}
        without = {f"without_the_model_{key}": alone[key]
                   for key in ("recall_percent", "precision_percent", "false_alarms")}
        _tell(arguments, about, "box_detection", {**head, **every.summary(), **without})


def _tell(
    arguments: argparse.Namespace, about: dict[str, Any], section: str, summary: dict[str, Any]
) -> None:
    print(f"{section.replace('_', ' ')}:")
    common.print_summary(summary)
    for size, group in summary.get("by_size_px", {}).items():
        print(f"  {size:4} px: {group['recall_percent']:.1f}% of {group['faces']} faces found")
    if arguments.output:
        results.merge(arguments.output, model=about, section=section, details=summary, factors={})
        print(f"{section} merged into {arguments.output}")
