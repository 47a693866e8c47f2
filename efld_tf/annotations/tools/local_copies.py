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
    """

    parts: Parts
    whole: bool = True


class LocalCopies:
    """The images below a folder, which is looked through once."""

    def __init__(self, folder: Path):
        self._folder = folder

    def find(self, addresses: Sequence[Address], name: str, path: Path) -> str:
        """The path in the folder of the image that has the first fitting one of some addresses.

        A copy fits if its path in the folder is the end of the address, or the address is the end
        of its path; the one that has most folders in common is taken. Names fit, too, if they
        differ as those of uploaded files do: in upper case, composed letters, `_` for spaces, and
        other signs that are left out.

        Args:
          name: what the annotation says, for messages.
          path: the annotation file.

        Raises:
          DataError: no copy fits, or several do.
        """
        for images, form in ((self._exact, str), (self._plain, _plain)):
            for address in addresses:
                found = _fitting(address, images, form)
                if len(found) > 1:
                    places = " and ".join(parsing.shorten("/".join(parts)) for parts in found[:3])
                    raise DataError(path, f"the image {parsing.shorten(name, 100)} may be {places}")
                if found:
                    return "/".join(found[0])
        wanted = addresses[-1].parts[-1:] if addresses else ()
        kept = f" named {parsing.shorten(wanted[0])}" if wanted else ""
        raise DataError(
            path, f"no copy{kept} of the image {parsing.shorten(name, 100)} lies below "
            f"{parsing.shorten(str(self._folder), 200)}: say with images= in which folder it does")

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
            images[file.name].append(file.relative_to(self._folder).parts)
        return images

    @cached_property
    def _plain(self) -> dict[str, list[Parts]]:
        images: dict[str, list[Parts]] = defaultdict(list)
        for name, places in self._exact.items():
            images[_plain(name)] += places
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
    for place in images.get(wanted[-1], ()) if wanted else ():
        parts = [form(part) for part in place]
        common = min(len(parts), len(wanted))
        if parts[-common:] != wanted[-common:]:
            continue
        if address.whole and parts == wanted:
            equal.append(place)
        if common > most:
            best, most = [], common
        if common == most:
            best.append(place)
    return equal or best


def _plain(name: str) -> str:
    """A name as Django's storages keep it, which Label Studio's are, without upper case."""
    name = unicodedata.normalize("NFC", name.strip()).casefold()
    return re.sub(r"[^\w.-]", "", name.replace(" ", "_"))
