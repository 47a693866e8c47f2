"""The command `efld-data show`, which draws faces of a source."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from efld_tf import quiet
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.text import say

if TYPE_CHECKING:
    from efld_tf.data import look


def add_show(commands: argparse._SubParsersAction) -> None:
    """Adds `show` to the subcommands of `efld-data`."""
    parser = commands.add_parser(
        "show", help="draw faces of a source with their points",
        description="Draw faces of a source with their points: each part of the face in its own "
        "colour, occluded points as rings, the file's own box in yellow.",
    )
    parser.add_argument("source", metavar="READER:PATH", help="e.g. ibug:FOLDER, packed:FOLDER")
    parser.add_argument("--output", type=Path, default=Path("faces.jpg"), metavar="FILE",
                        help="a .jpg or .png (default: %(default)s)")
    parser.add_argument("--count", type=common.whole_from(1), default=24, metavar="N",
                        help="faces, drawn by lot (default: %(default)s)")
    parser.add_argument("--seed", type=common.whole_from(0), default=0, metavar="N",
                        help="of the lot (default: %(default)s)")
    parser.add_argument("--columns", type=common.whole_from(1, 100), default=6, metavar="N",
                        help="faces a row (default: %(default)s)")
    parser.add_argument("--tile", type=common.whole_from(32, 2048), default=320, metavar="PIXELS",
                        help="side of a face's picture (default: %(default)s)")
    parser.add_argument("--numbers", action="store_true", help="write the points' indices")
    parser.add_argument("--names", action="store_true", help="list the points' names below")
    parser.add_argument("--split", choices=("train", "validation"),
                        help="of a packed source (default: train)")
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    parser.set_defaults(run=_show)


def _show(arguments: argparse.Namespace) -> None:
    quiet.quiet_tensorflow_for(arguments.source)
    from efld_tf.data import look, show
    from efld_tf.progress import Progress

    show.check_suffix(arguments.output)
    remarks = look.Remarks()
    faces = look.faces(arguments.source, remarks, arguments.split)
    description = f"annotations of {arguments.source}"
    with Progress(description, None, "face", shown=not arguments.quiet) as bar:
        checked_faces = _checked_faces(bar.over(faces), arguments.output)
        chosen = look.sample(checked_faces, arguments.count, arguments.seed)
    if not chosen:
        raise look.no_face(arguments.source, remarks)
    sheet = show.sheet(chosen, remarks, columns=arguments.columns, tile=arguments.tile,
                       numbers=arguments.numbers, names=arguments.names)
    show.write(arguments.output, sheet)
    common.tell(arguments.source, remarks.errors, remarks.notes)
    say(f"written: {arguments.output}")


def _checked_faces(faces: Iterable[look.Face], output: Path) -> Iterator[look.Face]:
    """Yields the faces.

    Raises:
      EfldError: the picture would replace the photo of a face.
    """
    output_exists = output.exists()
    for face in faces:
        image = face.record.image
        same_name = output_exists and image.name == output.name
        if same_name and image.exists() and image.samefile(output):
            raise EfldError(f"{output} is a photo of the source and would be replaced")
        yield face
