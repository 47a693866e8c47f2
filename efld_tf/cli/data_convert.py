"""The command `efld-data convert`, which writes annotations in the format of another program."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from efld_tf.text import counted, say


def add_convert(commands: argparse._SubParsersAction) -> None:
    """Adds `convert` to the subcommands of `efld-data`."""
    from efld_tf.annotations.writing.formats import OUTPUTS

    formats = "\n".join(f"  {name:10} {form.title}{', a folder' if form.is_folder else ''}"
                        for name, form in OUTPUTS.items())
    parser = commands.add_parser(
        "convert", help="write annotations in the format of another program",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Write the faces of a source in the format of another program. The images "
        "stay where they are.",
        epilog=f"formats:\n{formats}",
    )
    parser.add_argument("source", metavar="READER:PATH", help="what is read, see efld-data formats")
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="the file or folder to write")
    parser.add_argument("--to", required=True, choices=OUTPUTS, metavar="FORMAT",
                        help="one of " + ", ".join(OUTPUTS))
    parser.add_argument("--on-error", choices=("stop", "skip"), default="stop",
                        help="whether to leave out bad annotations (default: %(default)s)")
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_convert)


def _convert(arguments: argparse.Namespace) -> None:
    from efld_tf.annotations.convert import convert

    summary = convert(
        arguments.source, arguments.output, arguments.to, on_error=arguments.on_error,
        force=arguments.force, progress=not arguments.quiet)
    for error in summary.skipped:
        say(f"skipped: {error}")
    for note in summary.notes:
        say(f"note: {note}")
    written = f"{counted(summary.faces, 'face')} of {counted(summary.images, 'image')} written"
    if summary.source is None:
        say(f"{written} to {arguments.output}")
    else:
        say(f"{written}; read them as {shlex.quote(summary.source)}")
