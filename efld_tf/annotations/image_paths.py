"""Finds the image that an annotation names, inside the data set's folder."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from efld_tf.annotations import listing
from efld_tf.annotations.parsing import shorten
from efld_tf.errors import DataError


def relative_name(
    name: str, path: Path, line: int | None = None, folders: Sequence[Path] = ()
) -> str:
    """An image name from an annotation file, with `/` between folders even if made on Windows.

    An absolute path inside one of `folders` becomes relative to it. One leading `..` is kept, for
    annotations in a folder beside that of the images (`xml/faces.xml` with `../images/a.jpg`).

    Raises:
      DataError: the name leads out of the folder to which it is relative, or farther than to its
        neighbours.
    """
    posix = PurePosixPath(name.replace("\\", "/"))
    if "\0" not in name and posix.parts:
        if posix.is_absolute():
            for folder in folders:
                root = PurePosixPath(os.path.abspath(folder))
                if posix.is_relative_to(root) and ".." not in posix.parts:
                    return str(posix.relative_to(root))
        elif not re.match(r"[A-Za-z]:", name):
            normal = PurePosixPath(os.path.normpath(posix))
            beside = folders and normal.parts[:1] == ("..",) and len(normal.parts) > 2
            if normal.parts and ".." not in normal.parts[1 if beside else 0 :]:
                return str(normal)
    raise DataError(
        path, f"expected an image path inside the data set's folder, got {shorten(name)}", line
    )


def find_image(folders: Sequence[Path], name: str, path: Path, line: int | None = None) -> Path:
    """The image `name` (from `relative_name`) in the first of `folders` that has it.

    If none has it, a single one whose name differs in upper case or composed letters is taken.

    Raises:
      DataError: no folder has it; the message names its place in the first folder, and images of
        nearly that name.
    """
    for folder in folders:
        candidate = folder / name
        try:
            if candidate.is_file():
                return candidate
        except OSError:  # the name is too long for the file system
            continue
    near: list[Path] = []
    for folder in folders:
        found = _nearly(folder, PurePosixPath(name).parts)
        if len(found) == 1:
            return found[0]
        near += found
    if not near:
        near = [folder / PurePosixPath(name).parent / other for folder in folders
                for other in listing.same_stem(folder / PurePosixPath(name).parent, name)]
    hint = f"; there is {' and '.join(shorten(image.name) for image in near[:3])}" if near else ""
    raise DataError(
        path, f"the image {shorten(str(folders[0] / name), 200)} does not exist{hint}", line
    )


def _nearly(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    """The files below a folder whose path is `parts` but for upper case and composed letters."""
    places = [folder]
    for part in parts:
        names = [place / name for place in places
                 for name in ([part] if part == ".." else listing.same_name(place, part))]
        # Links may give a folder many names, and each of them all of its names again.
        real: dict[str, Path] = {}
        for place in sorted(names, key=lambda place: place.name != part):
            real.setdefault(os.path.realpath(place), place)
        places = [*real.values()]
    return [place for place in places if os.path.isfile(place)]
