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

    An absolute path inside one of `folders` becomes relative to it, and so does one that leads out
    of the first of them and back. Otherwise one leading `..` is kept, for annotations in a folder
    beside that of the images (`xml/faces.xml` with `../images/a.jpg`).

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
                back = len(normal.parts) > 2 and beside \
                    and normal.parts[1] == PurePosixPath(os.path.abspath(folders[0])).name
                return str(PurePosixPath(*normal.parts[2:]) if back else normal)
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


class Identities:
    """Makes one identity of the names that a source gives one photo."""

    def __init__(self) -> None:
        self._of_names: dict[str, str] = {}
        self._of_photos: dict[str, str] = {}

    def of(self, identity: str | None, image: Path, place: str) -> str | None:
        """The identity of a face; it is as given if it is no name of the photo.

        Faces of equal identities keep equal ones, since those may be of photos made of others.

        Args:
          identity: as the reader gives it.
          image: the photo.
          place: its path from the folder of the source.
        """
        if not identity:
            return identity
        if identity not in self._of_names:
            name = _photo_name(identity, image, place)
            self._of_names[identity] = identity if name is None else self._of_photos.setdefault(
                place, name)
        return self._of_names[identity]


def _photo_name(name: str, image: Path, place: str) -> str | None:
    """A name of a photo as its file is called; None if it is no name of the photo.

    Args:
      name: what may be its path, relative to any folder above it, in any case.
    """
    if name == place:
        return name
    given = PurePosixPath(os.path.normpath(name.replace("\\", "/"))).parts
    inside = [part for part in given if part not in ("..", "/")]
    real = PurePosixPath(os.path.abspath(image)).parts[1:]
    count = len(inside)
    if not 0 < count <= len(real) or any(
        listing.folded(one) != listing.folded(other)
        for one, other in zip(inside, real[-count:], strict=True)
    ):
        return None
    if count >= sum(part != ".." for part in PurePosixPath(place).parts):
        return place
    return str(PurePosixPath(*given[: len(given) - count], *real[-count:]))


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
