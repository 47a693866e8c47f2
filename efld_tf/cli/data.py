"""The command `efld-data`: checks, converts, packs, shows and labels, and renders faces."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from efld_tf import quiet
from efld_tf.annotations import synthetic
from efld_tf.cli import (
    common,
    data_check,
    data_convert,
    data_formats,
    data_label,
    data_show,
    data_stats,
)
from efld_tf.data.manifest import Manifest
from efld_tf.data.options import CropOptions, PackOptions, SourceOptions
from efld_tf.errors import EfldError
from efld_tf.text import say


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments and runs the subcommand."""
    parser = common.parser("efld-data", "Check, convert, pack, inspect and render annotated faces.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_pack(commands)
    _add_synth(commands)
    data_check.add_check(commands)
    data_convert.add_convert(commands)
    data_formats.add_formats(commands)
    data_label.add_label(commands)
    data_show.add_show(commands)
    data_stats.add_stats(commands)
    arguments = parser.parse_args(argv)
    return arguments.run(arguments)


def _add_pack(commands: argparse._SubParsersAction) -> None:
    defaults = PackOptions()
    parser = commands.add_parser(
        "pack", help="write shards of face crops from annotated photos",
        description="Write shards of face crops with a manifest. Packing again what has not "
        "changed does nothing.",
    )
    parser.add_argument("source", metavar="READER:PATH", help="e.g. ibug:helen/trainset")
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--validation-fraction", type=float, default=0.0,
                        help="share of identities to hold out (default: %(default)s)")
    parser.add_argument("--every", type=common.whole_from(1), default=1, metavar="N",
                        help="of videos, train on every N-th frame alone; held-out frames are all "
                        "kept (default: %(default)s)")
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop")
    parser.add_argument("--exclude", metavar="FILE",
                        help="leave out the faces on this list of efld-data check")
    parser.add_argument("--size", type=int, default=defaults.size,
                        help="side of a stored crop, pixels (default: %(default)s)")
    parser.add_argument("--margin", type=float, default=defaults.margin,
                        help="stored side / side that the model sees (default: %(default)s)")
    parser.add_argument("--zoom", type=float, default=defaults.zoom,
                        help="side of the usual crop, of the whole face / side that the model "
                        "sees (default: %(default)s)")
    parser.add_argument("--crop-scale", type=float,
                        help="crop side / longest side of the box (default: fitted)")
    for axis, what in (("x", "width"), ("y", "height")):
        parser.add_argument(f"--crop-scale-{axis}", type=float, metavar="SCALE",
                            help=f"crop {what} / the box's, in place of --crop-scale: both give a "
                            "rectangle, which is stretched into the stored square")
        parser.add_argument(f"--crop-offset-{axis}", type=float, default=0.0, metavar="OFFSET",
                            help=f"crop centre minus box centre / longest side of the box, or / "
                            f"its {what} in a stretched crop (default: %(default)s)")
    parser.add_argument("--crop-box", choices=("points", "file"),
                        help="crop around all points, or the file's own box (default: what the "
                        "schema says)")
    parser.add_argument("--workers", type=common.whole_from(1),
                        help="processes (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_pack)


def _pack(arguments: argparse.Namespace) -> None:
    options = SourceOptions(
        source=arguments.source,
        name=os.path.basename(os.path.realpath(arguments.folder)),
        heads=["-"],
        validation_fraction=arguments.validation_fraction,
        on_error=arguments.on_error,
        crop=CropOptions(arguments.crop_scale, arguments.crop_offset_x, arguments.crop_offset_y,
                         arguments.crop_box, arguments.crop_scale_x, arguments.crop_scale_y),
        exclude=arguments.exclude,
        every=arguments.every,
    )
    pack_options = PackOptions(size=arguments.size, margin=arguments.margin, zoom=arguments.zoom)
    quiet.quiet_tensorflow()
    from efld_tf.data import pack

    manifest = pack.pack(
        options, arguments.folder, pack_options,
        workers=arguments.workers, progress=not arguments.quiet,
    )
    for reason in manifest.skipped:
        say(f"skipped: {reason}")
    for note in manifest.notes:
        say(f"note: {note}")
    say(f"{arguments.folder}: {_counts(manifest)}, {manifest.schema}")


def _add_synth(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser(
        "synth", help="render annotated synthetic faces",
        description="Render annotated synthetic faces as ordinary images with annotation files: "
        "the same seed gives the same faces.",
    )
    parser.add_argument("folder", type=Path, help="where to write")
    parser.add_argument("--schema", choices=synthetic.FORMATS, default="ibug68")
    parser.add_argument("--count", type=int, default=1000, help="faces (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    parser.add_argument("--size", type=int, default=256,
                        help="side of an image, pixels (default: %(default)s)")
    parser.add_argument("--yaw", type=float, metavar="DEGREES",
                        help="turn heads evenly up to that, at most 90 (default: mostly a little)")
    parser.add_argument("--rare", nargs="+", action="extend", type=_odds, default=[],
                        metavar="KIND=ODDS",
                        help=f"also {', '.join(synthetic.RARE)}, each with its probability: "
                        "closed_eyes=0.3")
    parser.add_argument("--workers", type=common.whole_from(1),
                        help="processes (default: one a core)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_synth)


def _odds(text: str) -> tuple[str, float]:
    kind, _, odds = text.partition("=")
    try:
        return kind, float(odds)
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected KIND=ODDS, got {text!r}") from None


def _synth(arguments: argparse.Namespace) -> None:
    kinds = [kind for kind, _ in arguments.rare]
    if twice := {kind for kind in kinds if kinds.count(kind) > 1}:
        raise EfldError(f"--rare: given twice: {', '.join(sorted(twice))}")
    synthetic.write_dataset(
        arguments.folder, arguments.schema, arguments.count, arguments.seed, arguments.size,
        workers=arguments.workers, progress=not arguments.quiet, yaw=arguments.yaw,
        odds=dict(arguments.rare),
    )
    reader = {
        "wflw98": f"wflw:{arguments.folder}/{synthetic.WFLW_LIST}",
        "ibug68_3d": f"json:{arguments.folder}/{synthetic.JSON_LIST}?schema=ibug68_3d",
    }.get(arguments.schema, f"ibug:{arguments.folder}")
    say(f"{arguments.count} faces; read them as {reader}")


def _counts(manifest: Manifest) -> str:
    return f"{manifest.faces('train')} train, {manifest.faces('validation')} validation"


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))
