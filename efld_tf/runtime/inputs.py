"""Turns what a person names on the command line into photos, videos, cameras and addresses.

Their order is fixed.
"""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from efld_tf.annotations.images import VIDEO_SUFFIXES
from efld_tf.annotations.listing import IMAGE_SUFFIXES, distinct, is_side_file
from efld_tf.errors import DataError, EfldError
from efld_tf.urls import Url, scheme_of

# A longer number is taken for the name of a file, which does not exist.
MOST_CAMERA_DIGITS = 3
_STANDARD_INPUT = "-"


@dataclass(frozen=True)
class _File:
    """A file.

    Attributes:
      path: its path as it was named, for opening and for messages.
      image: its path relative to `Inputs.root`, with `/` between folders.
      name: the name under which its outputs are written: `image` without the suffix, which becomes
        part of the name if several inputs would share it. No other input has the same name, even
        on a file system that ignores case.
    """

    path: Path
    image: str
    name: str

    @property
    def label(self) -> str:
        """What names it in messages."""
        return str(self.path)


@dataclass(frozen=True)
class Photo(_File):
    """An image file, with the attributes of `_File`."""


@dataclass(frozen=True)
class VideoFile(_File):
    """A video file, with the attributes of `_File`."""


@dataclass(frozen=True)
class CameraInput:
    """A camera.

    Attributes:
      device: its number or path.
      image: the name that stands for it in tables.
      name: the name under which its outputs are written.
    """

    device: int | str
    image: str
    name: str

    @property
    def label(self) -> str:
        """What names it in messages."""
        return self.image


@dataclass(frozen=True)
class Address:
    """A photo, a video or a live stream on a network; which of them, its content tells.

    Attributes:
      url: the address.
      image: the name that stands for it in tables, without user name, password and query.
      name: the name under which its outputs are written.
    """

    url: Url
    image: str
    name: str

    @property
    def label(self) -> str:
        """What names it in messages."""
        return str(self.url)


Input = Photo | VideoFile | CameraInput | Address


@dataclass(frozen=True)
class Inputs:
    """The photos, videos, cameras and addresses that a command looks at.

    Attributes:
      items: each input once, in the order of the arguments; files of a folder are in natural
        order, 2 before 10.
      root: the folder that all files are in, to which `image` is relative.
      errors: one error for each folder that could not be read, and each wrong line of a list.
    """

    items: list[Input]
    root: Path
    errors: list[EfldError] = field(default_factory=list)


def expand(
    arguments: Sequence[str], stdin: Iterable[str] = (), skip: Path | None = None
) -> Inputs:
    """Finds the photos and videos that arguments mean.

    An argument is one of these:
      - a file, whatever its suffix (videos are recognised by it);
      - a folder, which stands for all images and videos in it and in its sub-folders, except
        hidden ones and those that systems and editors put there;
      - a pattern such as `photos/**/*.jpg`, which stands for the images and videos that match;
      - a camera's number, or its path, e.g. `/dev/video0`;
      - an address of `urls.SCHEMES`, e.g. `rtsp://camera/stream`;
      - `-`, for paths of files and folders, and addresses, on standard input.

    Args:
      arguments: the arguments of a command.
      stdin: the lines of standard input, one path or address each; blank ones are skipped. A file
        that does not exist is an input nevertheless, so that the others are still looked at.
      skip: a folder that is not searched, the one of the outputs.

    Raises:
      EfldError: an argument does not exist or stands for nothing, or an address is malformed.
    """
    search = _Search(skip)
    candidates: list[_Candidate] = []
    for argument in arguments:
        if argument == _STANDARD_INPUT:
            paths = [line.rstrip("\r\n") for line in stdin if line.strip()]
            if not paths:
                raise EfldError("no paths on standard input")
            for path in paths:
                candidates += search.listed(path)
        else:
            candidates += search.argument(argument)
    return Inputs(*_named(candidates), search.errors)


@dataclass(frozen=True)
class _FoundFile:
    """A file.

    Attributes:
      path: its path as it was named.
      base: the real folder that the argument stands for.
      relative: its path in that folder.
    """

    path: Path
    base: Path
    relative: str

    @property
    def absolute(self) -> Path:
        return self.base / self.relative

    @property
    def stem(self) -> str:
        """Its path in that folder without its suffix."""
        return self.relative.removesuffix(self.path.suffix)

    @property
    def longer_stem(self) -> str:
        """The same from the current folder, or from above its own if it lies elsewhere."""
        absolute, here = Path(os.path.abspath(self.path)), Path.cwd()
        if not absolute.is_relative_to(here):
            here = self.base.parent
        place = os.path.relpath(absolute, here) if absolute.is_relative_to(here) else self.relative
        return Path(place).as_posix().removesuffix(self.path.suffix)


_Candidate = _FoundFile | CameraInput | Url


class _Search:
    """Looks for files, and collects the errors that need not stop a command."""

    def __init__(self, skip: Path | None):
        self.errors: list[EfldError] = []
        self._skip = None if skip is None else os.path.realpath(skip)

    def argument(self, argument: str) -> Sequence[_Candidate]:
        path = Path(argument)
        if os.path.lexists(argument):
            return [_camera(argument)] if path.is_char_device() else self.path(argument)
        if argument.isascii() and argument.isdecimal() and len(argument) <= MOST_CAMERA_DIGITS:
            return [_camera(int(argument))]
        if scheme_of(argument):
            return [Url.parse(argument)]
        if is_pattern(argument):
            return self._pattern(argument)
        raise EfldError(f"{argument or repr(argument)}: does not exist")

    def path(self, argument: str) -> list[_FoundFile]:
        """A file, or the images and videos of a folder."""
        path = Path(argument)
        if path.is_symlink() and not path.exists():
            raise DataError(path, "is a link to nothing, or to itself")
        if not path.is_dir():
            return [_file(path)]
        if os.path.realpath(path) == self._skip:
            raise DataError(path, "is the folder of the outputs: choose another --output")
        files = self._files(path, ["**"])
        if not files and not self.errors:
            raise DataError(path, "there is no image or video in this folder")
        return files

    def listed(self, line: str) -> Sequence[_Candidate]:
        """What a line of a list stands for; an error is collected, not raised."""
        try:
            if scheme_of(line) and not os.path.lexists(line):
                return [Url.parse(line)]
            if "\0" in line:
                raise DataError(line.replace("\0", " "), "expected one path a line, without NUL")
            return self.path(line)
        except EfldError as error:
            self.errors.append(error)
            return []

    def _pattern(self, pattern: str) -> list[_FoundFile]:
        parts = Path(pattern).parts
        fixed = next(i for i, part in enumerate(parts) if is_pattern(part))
        folder = Path(*parts[:fixed])
        files = self._files(folder, parts[fixed:]) if folder.is_dir() else []
        if not files:
            raise EfldError(f"{pattern}: no image or video matches this pattern")
        return files

    def _files(self, folder: Path, pattern: Sequence[str]) -> list[_FoundFile]:
        """The images and videos below a folder whose path in it matches a pattern."""
        base = Path(os.path.realpath(folder))
        depth = None if "**" in pattern else len(pattern)
        suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        places = [place for place in self._walk(folder, (), depth, frozenset())
                  if place[-1].lower().endswith(suffixes) and _matches(place, pattern)]
        places.sort(key=lambda place: [_natural(part) for part in place])
        return [_FoundFile(folder.joinpath(*place), base, "/".join(place)) for place in places]

    def _walk(
        self, folder: Path, place: tuple[str, ...], depth: int | None, above: frozenset[str]
    ) -> Iterator[tuple[str, ...]]:
        """The paths of the files below a folder; a link to a folder above is not followed."""
        real = os.path.realpath(folder)
        if real in above or real == self._skip:
            return
        try:
            entries = [e for e in os.scandir(folder) if not is_side_file(e.name)]
        except OSError as error:
            self.errors.append(DataError(folder, f"cannot be read: {error.strerror}"))
            return
        for entry in entries:
            try:
                is_folder = entry.is_dir()
            except OSError as error:  # A link leads to itself.
                path = folder / entry.name
                self.errors.append(DataError(path, f"cannot be read: {error.strerror}"))
                continue
            if not is_folder:
                yield (*place, entry.name)
            elif depth is None or depth > 1:
                deeper = None if depth is None else depth - 1
                yield from self._walk(
                    folder / entry.name, (*place, entry.name), deeper, above | {real})


def is_pattern(text: str) -> bool:
    """Whether a text has characters that stand for others, as in `photos/**/*.jpg`."""
    return any(character in text for character in "*?[")


def _file(path: Path) -> _FoundFile:
    return _FoundFile(path, Path(os.path.realpath(path.parent)), path.name)


def _camera(device: int | str) -> CameraInput:
    name = f"camera{device}" if isinstance(device, int) else f"camera_{Path(device).name}"
    return CameraInput(device, name, name)


def _matches(place: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern; `**` stands for any number of parts."""
    if not pattern or not place:
        return not place and all(part == "**" for part in pattern)
    if pattern[0] == "**":
        return _matches(place, pattern[1:]) or _matches(place[1:], pattern)
    return fnmatch.fnmatchcase(place[0], pattern[0]) and _matches(place[1:], pattern[1:])


def _natural(name: str) -> tuple[list[int | str], str]:
    """A key that sorts numbers in names by their value."""
    parts = re.split(r"(\d+)", name.casefold())
    # The digits are at the odd places; `\d` and `int` agree on what a digit is.
    return ([int(p) if i % 2 else p for i, p in enumerate(parts)], name)


def _named(candidates: Sequence[_Candidate]) -> tuple[list[Input], Path]:
    """The inputs, each once, with their names, and the folder that all files are in."""
    files = {_real(file): file for file in reversed(candidates) if isinstance(file, _FoundFile)}
    # Links of their photo's name, as YOLO data sets have, are no further photos beside it.
    files = {real: file for real, file in files.items()
             if not os.path.islink(real) or os.path.basename(other := os.path.realpath(real))
             != os.path.basename(real) or other not in files}
    bases = {file.base for file in files.values()}
    root = Path(os.path.commonpath(bases) if bases else os.getcwd())
    items: list[Input] = []
    folders: dict[str, set[Path]] = {}  # of the files of a name
    for file in files.values():
        folders.setdefault(file.stem.casefold(), set()).add(file.base)
    images = {file.absolute.relative_to(root).as_posix().casefold() for file in files.values()}
    for candidate in dict.fromkeys(candidates):
        if isinstance(candidate, CameraInput):
            items.append(candidate)
        elif isinstance(candidate, Url):
            items.append(_address(candidate, images))
        elif files.get(_real(candidate)) is candidate:
            image = candidate.absolute.relative_to(root).as_posix()
            kind = VideoFile if candidate.path.suffix.lower() in VIDEO_SUFFIXES else Photo
            # Names do not depend on the other inputs, unless these are called alike.
            equal = len(folders[candidate.stem.casefold()]) > 1
            name = candidate.longer_stem if equal else candidate.stem
            items.append(kind(candidate.path, image, name))
    names = distinct([item.name for item in items], [_kind(item) for item in items])
    return [replace(item, name=name) for item, name in zip(items, names, strict=True)], root


def _address(url: Url, images: set[str]) -> Address:
    """An address with an image that is not among `images`, to which it is added."""
    stem, number = url.stem, 2
    while f"{stem}{url.suffix}".casefold() in images:
        stem, number = f"{url.stem}_{number}", number + 1
    image = f"{stem}{url.suffix}"
    images.add(image.casefold())
    return Address(url, image, stem)


def _real(file: _FoundFile) -> str:
    """The path that identifies a file.

    A link to a file is another file; a file in a linked folder is the same one. See `_named`.
    """
    return os.path.join(os.path.realpath(file.absolute.parent), file.absolute.name)


def _kind(item: Input) -> str:
    """What tells an input from others of the same name: a suffix or a word."""
    if isinstance(item, Address):
        return item.url.suffix[1:] or item.url.scheme
    suffix = "" if isinstance(item, CameraInput) else item.path.suffix[1:]
    return suffix or "camera"
