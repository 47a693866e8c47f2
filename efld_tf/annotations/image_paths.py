"""Finds the image that an annotation names, inside the data set's folder."""

from __future__ import annotations

import contextlib
import filecmp
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

from efld_tf.annotations import listing
from efld_tf.annotations.parsing import shorten
from efld_tf.errors import DataError

# Names with more folders than this are not compared with those that there are.
MAX_PARTS = 32


class ImageFolders(list[Path]):
    """The folders that image names are relative to.

    Attributes:
      prefix: the start of names that stands for these folders, such as a path on another computer,
        with `/` or `\\`; empty if there is none, None if the source has no option that says it.
    """

    def __init__(self, folders: Sequence[Path], prefix: str | None = None):
        super().__init__(folders)
        self.prefix = prefix

    def without_prefix(self, name: str) -> str:
        """A name without the prefix, if it begins with that; Windows ignores upper case."""
        parts, start = _posix(name).parts, _posix(self.prefix or "").parts
        begin = parts[: len(start)]
        if start and re.fullmatch(r"[A-Za-z]:|//", start[0]):
            begin, start = (tuple(map(listing.folded, each)) for each in (begin, start))
        if not start or begin != start or len(parts) == len(start):
            return name
        return "/".join(parts[len(start) :])

    def advice(self, name: str) -> str:
        """The option with which a name would be found: for the longest end of it that there is."""
        if self.prefix is None or "\0" in name:
            return ""
        parts = _posix(name).parts
        for count in range(max(1, len(parts) - MAX_PARTS), len(parts)):
            end = parts[count:]
            found = [image for folder in self if ".." not in end for image in _nearly(folder, end)]
            if found:
                start = str(PurePosixPath(*parts[:count]))
                return f"; there is {shorten(str(found[0]), 200)}: if it is meant, say " \
                       f"prefix={start}" if len(start) < 200 and start.isprintable() else ""
        return ""


def relative_name(
    name: str, path: Path, line: int | None = None, folders: Sequence[Path] = ()
) -> str:
    """An image name from an annotation file, with `/` between folders even if made on Windows.

    The prefix of `ImageFolders` is left out. An absolute path inside one of `folders` becomes
    relative to it, and so does one that leads out of the first of them and back. Otherwise one
    leading `..` is kept, for annotations in a folder beside that of the images (`xml/faces.xml`
    with `../images/a.jpg`).

    Raises:
      DataError: the name leads out of the folder to which it is relative, or farther than to its
        neighbours.
    """
    stated = name
    if isinstance(folders, ImageFolders):
        name = folders.without_prefix(name)
    posix = _posix(name)
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
    advice = ""
    if isinstance(folders, ImageFolders) and name == stated:
        advice = folders.advice(name)
    raise DataError(path, "expected an image path inside the data set's folder, got "
                          f"{shorten(stated)}{advice}", line)


def find_image(folders: Sequence[Path], name: str, path: Path, line: int | None = None) -> Path:
    """The image `name` (from `relative_name`) in the folder of `folders` that has it.

    If none has it, a single one whose name differs in upper case or composed letters is taken, and
    then that of the name with its `%20` and the like decoded, as in addresses.

    Raises:
      DataError: no folder has it; the message names its place in the first folder, and images of
        nearly that name. Or several have it, and the files differ.
    """
    near: list[Path] = []
    for reading in _readings(name, path, [*folders]):
        images: list[Path] = []
        for folder in folders:
            with contextlib.suppress(OSError):  # the name is too long for the file system
                images += [folder / reading] if (folder / reading).is_file() else []
        for other in images[1:]:
            if not filecmp.cmp(images[0], other, shallow=False):
                both = " and ".join(shorten(str(image), 200) for image in (images[0], other))
                raise DataError(path, f"the image may be {both}, which differ: say with images= in "
                                      "which folder it is", line)
        if images:
            return images[0]
        for folder in folders:
            found = _nearly(folder, PurePosixPath(reading).parts)
            if len(found) == 1 and not near:
                return found[0]
            near += found
    if not near:
        near = [folder / PurePosixPath(name).parent / other for folder in folders
                for other in listing.same_stem(folder / PurePosixPath(name).parent, name)]
    hint = f"; there is {' and '.join(shorten(image.name) for image in near[:3])}" if near else ""
    if not hint and isinstance(folders, ImageFolders) and not folders.prefix:
        hint = folders.advice(name)
    raise DataError(
        path, f"the image {shorten(str(folders[0] / name), 200)} does not exist{hint}", line
    )


def _posix(name: str) -> PurePosixPath:
    return PurePosixPath(name.replace("\\", "/"))


def _readings(name: str, path: Path, folders: Sequence[Path]) -> Iterator[str]:
    """A relative name as it stands and, if it stays inside, as what an address of it means."""
    yield name
    if (decoded := unquote(name)) != name:
        with contextlib.suppress(DataError):
            yield relative_name(decoded, path, None, folders)


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
    if (decoded := unquote(name)) != name and _photo_name(decoded, image, place) is not None:
        name = decoded
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
