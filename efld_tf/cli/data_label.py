"""The command `efld-data label`, which labels photos that nobody annotated."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from efld_tf import assets
from efld_tf.annotations.writing.formats import OUTPUTS
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.text import say


def add_label(commands: argparse._SubParsersAction) -> None:
    """Adds `label` to the subcommands of `efld-data`."""
    parser = commands.add_parser(
        "label", help="let a model annotate photos, for another to be trained on",
        description="Let a model annotate the faces of photos. The file is an ordinary source, "
        "json:FILE?schema=..., with a confidence for every face. It is written when all photos "
        "are done.",
    )
    parser.add_argument("input", nargs="+", metavar="INPUT",
                        help="photos, folders, patterns such as 'photos/**/*.jpg', or - for paths "
                        "on standard input")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.jsonl")
    parser.add_argument("--save", nargs="+", choices=OUTPUTS, default=["json"], metavar="FORMAT",
                        help="what to write of " + ", ".join(OUTPUTS) + "; others than json go "
                        "beside FILE.jsonl (default: json)")
    parser.add_argument("--model", action="append",
                        metavar="FILE|research|synthetic|mesh|attention_mesh",
                        help="a .tflite of efld-export or its folder, a shipped model, or of the "
                        "installed mediapipe: mesh, its face mesh, or attention_mesh, which is "
                        "slower and sees eyes and lips better; of several, the first finds the "
                        "faces, and the points are their mean (default: research)")
    parser.add_argument("--convert", metavar="SCHEMA",
                        help="write the points of another schema, such as ibug68 of the mesh")
    parser.add_argument("--detector", default="both", metavar="both|short|full|FILE",
                        help="of faces: short range, full range for smaller ones, both, or a model "
                        "file of one of them (default: %(default)s)")
    parser.add_argument("--min-confidence", type=common.number_within(0, 1),
                        metavar="NUMBER",
                        help="leave out faces that are less sure, 0 to 1 (default: 0.5)")
    parser.add_argument("--views", type=common.whole_from(1), default=1, metavar="N",
                        help="take the mean of so many views of a face, mirrored and moved a "
                        "little; with their spread (default: %(default)s)")
    parser.add_argument("--max-spread", type=common.number_within(0, 100, ends=False),
                        metavar="PERCENT",
                        help="leave out faces on whose points views or models disagree by more")
    parser.add_argument("--workers", type=common.whole_from(1),
                        help="processes (default: one a core)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_label)


def _label(arguments: argparse.Namespace) -> None:
    from efld_tf.runtime import inputs, labels

    labels.check_outputs(arguments.output, arguments.save, arguments.force)
    all_inputs = inputs.expand(arguments.input, common.standard_input())
    photos = [item for item in all_inputs.items if type(item) is inputs.Photo]
    for item in (item for item in all_inputs.items if type(item) is not inputs.Photo):
        say(f"skipped: {item.image}: only photos are labelled")
    min_confidence, max_spread = arguments.min_confidence, arguments.max_spread
    if max_spread is not None and arguments.views == 1 and len(arguments.model or []) < 2:
        raise EfldError("--max-spread: give --views or several --model, whose points may disagree")
    labeller = labels.Labeller(
        models=tuple(arguments.model or [str(assets.INT8_MODEL)]),
        convert=arguments.convert,
        detector=arguments.detector,
        views=arguments.views,
        **({} if min_confidence is None else {"min_confidence": min_confidence}),
        **({} if max_spread is None else {"max_spread": max_spread}),
    )
    summary = labels.write(
        labeller, photos, all_inputs.root, arguments.output, save=arguments.save,
        workers=arguments.workers, force=arguments.force, progress=not arguments.quiet,
    )
    for error in (*all_inputs.errors, *summary.unreadable):
        say(f"skipped: {error}")
    for note in summary.notes:
        say(f"note: {note}")
    apart = "" if max_spread is None else f"faces of points that disagree: {summary.apart}, "
    print(f"photos: {summary.photos}, faces: {summary.faces}, photos without a face: "
          f"{summary.empty}, faces below the confidence: {summary.below}, {apart}unreadable "
          f"photos: {len(summary.unreadable)}")
    for source in summary.sources:
        say(f"written; read it as {shlex.quote(source)}")
