"""The command `efld-data stats`, which prints and draws statistics of the faces of sources."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from efld_tf import quiet
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.text import say

if TYPE_CHECKING:
    from efld_tf.data.stats import SourceStats


def add_stats(commands: argparse._SubParsersAction) -> None:
    """Adds `stats` to the subcommands of `efld-data`."""
    parser = commands.add_parser(
        "stats", help="say and draw what faces sources hold",
        description="Say and draw what faces sources hold: mean shape and spread of the points, "
        "poses, sizes, brightness. Several sources are drawn side by side.",
    )
    parser.add_argument("source", nargs="+", metavar="READER:PATH",
                        help="e.g. ibug:FOLDER, packed:FOLDER")
    parser.add_argument("--output", type=Path, default=Path("stats.png"), metavar="FILE.png",
                        help="the picture; the numbers go to FILE.json (default: %(default)s)")
    parser.add_argument("--split", choices=("train", "validation"),
                        help="of packed sources (default: train)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_stats)


def _stats(arguments: argparse.Namespace) -> None:
    quiet.quiet_tensorflow_for(*arguments.source)
    from efld_tf import files
    from efld_tf.data import stats, stats_plot

    picture, numbers = arguments.output, arguments.output.with_suffix(".json")
    if picture.suffix.lower() != ".png":
        raise EfldError(f"{picture}: expected a name that ends in .png")
    all_stats = [
        stats.measure(source, arguments.split, progress=not arguments.quiet)
        for source in arguments.source
    ]
    for source_stats in all_stats:
        _print(source_stats)
    stats_plot.draw(picture, all_stats)
    files.write_json(numbers, [source_stats.to_json() for source_stats in all_stats])
    say(f"written: {picture}, {numbers}")


def _print(source_stats: SourceStats) -> None:
    from efld_tf.data.stats import MEASURES

    say(f"source      {source_stats.source}")
    if source_stats.source.startswith("packed:"):
        _print_manifest(Path(source_stats.source.partition(":")[2]))
    identities = "" if source_stats.identities is None \
        else f" of {source_stats.identities} people or photos"
    say(f"faces       {source_stats.faces}{identities}, {source_stats.schema}")
    shares = [f"{source_stats.missing:.1%} not annotated"]
    shares += [] if source_stats.occluded is None else [f"{source_stats.occluded:.1%} occluded"]
    print(f"points      {', '.join(shares)}")
    for name, values in source_stats.values.items():
        if len(values):
            low, middle, high = np.percentile(values, (5, 50, 95))
            print(f"{name:11} 5% {low:.4g}, median {middle:.4g}, 95% {high:.4g}"
                  f"  ({MEASURES[name]})")
    common.tell(source_stats.source, source_stats.remarks.errors, source_stats.remarks.notes)


def _print_manifest(folder: Path) -> None:
    from efld_tf.data.manifest import read_manifest

    manifest = read_manifest(folder)
    rule = manifest.crop_rule
    say(f"packed from {manifest.source}: {manifest.faces('train')} train, "
        f"{manifest.faces('validation')} validation, {len(manifest.skipped)} skipped")
    say(f"crop rule   {rule.name}: {rule.scale_text}, offset {rule.offset_x}, {rule.offset_y}, "
        f"zoom {rule.zoom:g}")
    print(f"stored as   {manifest.pack.size} px, margin {manifest.pack.margin}")
    say(f"content     {manifest.content_sha256}")
