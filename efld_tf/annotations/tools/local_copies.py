"""Finds the local copies of images that annotations name by their addresses on a server."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from efld_tf.annotations import listing, parsing
from efld_tf.errors import DataError

Parts = tuple[str, ...]


@dataclass(frozen=True)
class Address:
    """A path that an image has on the server.

    Attributes:
      parts: its folders and its name.
      whole: whether these are all of its folders, so that a copy with the same path is meant.
      uploaded: whether it is that of an upload, whose name was made without spaces and signs.
    """

    parts: Parts
    whole: bool = True
    uploaded: bool = False


class LocalCopies:
    """The images below a folder, which is looked through once.

    Attributes:
      cleaned: the copies found whose names have signs that those of their uploads lack, and these.
    """

    def __init__(self, folder: Path):
        self._folder = folder
        self.cleaned: dict[str, str] = {}

    def find(self, addresses: Sequence[Address], name: str, path: Path) -> str:
        """The path in the folder of the image that has the first fitting one of some addresses.

        A copy fits if its path in the folder is the end of the address, or the address is the end
        of its path; the one that has most folders in common is taken. Names fit, too, if they
        differ in upper case or composed letters, and to an upload the copy whose name became that
        of the upload: with `_` for spaces, and without other signs.

        Args:
          name: what the annotation says, for messages.
          path: the annotation file.

        Raises:
          DataError: no copy fits, or several do.
        """
        for images, form in ((self._exact, str), (self._folded, listing.folded)):
            for address in addresses:
                found = _fitting(address, images, form)
                if len(found) > 1:
                    places = " and ".join(parsing.shorten("/".join(parts)) for parts in found[:3])
                    raise DataError(path, f"the image {parsing.shorten(name, 100)} may be {places}")
                if found:
                    return self._told(found[0], address)
        wanted = addresses[-1].parts[-1:] if addresses else ()
        kept = f" named {parsing.shorten(wanted[0])}" if wanted else ""
        raise DataError(
            path, f"no copy{kept} of the image {parsing.shorten(name, 100)} lies below "
            f"{parsing.shorten(str(self._folder), 200)}: say with images= in which folder it does")

    def _told(self, found: Parts, address: Address) -> str:
        """The path of a copy; if signs were lost on its way, it is kept in `cleaned`."""
        place = "/".join(found)
        if address.uploaded and len(_stored(found[-1])) < len(
                unicodedata.normalize("NFC", found[-1])):
            self.cleaned[place] = address.parts[-1]
        return place

    def _files(self) -> list[Path]:
        """All images, without links to others of them."""
        found = listing.files(self._folder, listing.IMAGE_SUFFIXES)
        links = {file: os.path.realpath(file) for file in found if file.is_symlink()}
        real = {os.path.realpath(file) for file in found if links and file not in links}
        return [file for file in found if links.get(file) not in real]

    @cached_property
    def _exact(self) -> dict[str, list[Parts]]:
        images: dict[str, list[Parts]] = defaultdict(list)
        for file in self._files():
            for name in {file.name, _stored(file.name)}:
                images[name].append(file.relative_to(self._folder).parts)
        return images

    @cached_property
    def _folded(self) -> dict[str, list[Parts]]:
        images: dict[str, list[Parts]] = defaultdict(list)
        for name, places in self._exact.items():
            images[listing.folded(name)] += places
        return images


def path_parts(text: str) -> Parts:
    """The folders and the name in a path, with `/` or `\\` between them."""
    return tuple(part for part in re.split(r"[\\/]+", text) if part not in ("", "."))


def _fitting(
    address: Address, images: dict[str, list[Parts]], form: Callable[[str], str]
) -> list[Parts]:
    """The images whose paths fit an address best, if `form` makes their parts alike."""
    wanted = [form(part) for part in address.parts]
    equal: list[Parts] = []
    best: list[Parts] = []
    most = 0
    for place in dict.fromkeys(images.get(wanted[-1], ()) if wanted else ()):
        common = min(len(place), len(wanted))
        if not all(form(part) == other or (address.uploaded and form(_stored(part)) == other)
                   for part, other in zip(place[-common:], wanted[-common:], strict=True)):
            continue
        if address.whole and len(place) == len(wanted):
            equal.append(place)
        if common > most:
            best, most = [], common
        if common == most:
            best.append(place)
    return equal or best


def _stored(name: str) -> str:
    """The name under which Django's storages, which Label Studio's are, keep an uploaded file."""
    name = unicodedata.normalize("NFC", name.strip())
    return re.sub(r"[^\w.-]", "", name.replace(" ", "_"))
