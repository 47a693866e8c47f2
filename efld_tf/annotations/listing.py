"""Which files of a folder belong to a data set: their suffixes, and what lies there by accident."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from efld_tf.annotations.format import Note
from efld_tf.annotations.parsing import shorten
from efld_tf.errors import DataError
from efld_tf.text import counted

# Files that may be photos. Those of a kind that cannot be decoded give an error that says so.
IMAGE_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".avif", ".jp2",
    ".pbm", ".pgm", ".ppm", ".heic", ".heif", ".hif", ".jfif", ".mpo", ".jxl",
)  # fmt: skip

# What archives of macOS, network storage, file systems and Windows put beside photos. Hidden files
# and folders, such as `._NAME` of macOS and `.ipynb_checkpoints`, are left out by their dot.
SIDE_FOLDERS = (
    "__macosx", "@eadir", "#recycle", "$recycle.bin", "system volume information", "lost+found",
    "thumbs", "thumbnails",
)  # fmt: skip
BACKUP_ENDS = ("~", ".bak", ".orig", ".tmp", ".swp")


def is_side_file(name: str) -> bool:
    """Whether the name of a file or folder is one of an operating system's or an editor's own."""
    stem = PurePosixPath(name).stem
    return (
        name.startswith((".", "#", "~$"))
        or name.casefold() in SIDE_FOLDERS
        or name.endswith(BACKUP_ENDS)
        or stem.endswith(BACKUP_ENDS)
    )


def files(
    folder: Path, suffixes: Sequence[str], *, deep: bool = True,
    unreadable: list[DataError] | None = None, backups: list[Path] | None = None,
) -> list[Path]:  # fmt: skip
    """The files of a folder that end in one of `suffixes` (in lower case), sorted by path.

    Side files, and everything in hidden and side folders, are left out. The case of suffixes does
    not matter. Links to folders are not followed.

    Args:
      deep: whether to look into sub-folders, too.
      unreadable: gets an error for each sub-folder that cannot be read; without it, the first is
        raised.
      backups: gets the files that would be among them but for names as those of backups.

    Raises:
      DataError: the folder, or one in it, cannot be read.
    """
    found: list[Path] = []
    folders = [folder]
    while folders:  # no recursion, since folders may lie deeper in each other than calls may
        place = folders.pop()
        try:
            entries = list(os.scandir(place))
        except OSError as reason:
            error = DataError(place, f"cannot be read: {reason.strerror}")
            if unreadable is None or place is folder:
                raise error from reason
            unreadable.append(error)
            continue
        for entry in entries:
            if is_side_file(entry.name):
                if backups is not None and not entry.name.startswith((".", "~$")) \
                        and entry.name.lower().endswith(tuple(suffixes)):
                    backups.append(place / entry.name)
                continue
            if entry.is_dir(follow_symlinks=False):
                folders += [place / entry.name] if deep else []
            elif entry.name.lower().endswith(tuple(suffixes)):
                found.append(place / entry.name)
    return sorted(found)


def backups_left_out(backups: Sequence[Path]) -> list[Note]:
    """A note on files that `files` took for backups, if there are any."""
    if not backups:
        return []
    return [Note(f"left out: {counted(len(backups), 'file')} by names of backups, such as "
                 f"{shorten(min(backups).name)}")]


def images_by_stem(
    folder: Path, *, deep: bool = False, unreadable: list[DataError] | None = None
) -> dict[str, list[Path]]:
    """The images of a folder by the stem of their names, in alphabetical order; see `files`."""
    images: dict[str, list[Path]] = {}
    for file in files(folder, IMAGE_SUFFIXES, deep=deep, unreadable=unreadable):
        images.setdefault(file.stem, []).append(file)
    return images


def distinct_names(images: Sequence[str]) -> list[str]:
    """The names of images without their suffixes, made unlike each other as in `distinct`."""
    suffixes = [PurePosixPath(image).suffix for image in images]
    stems = [image.removesuffix(suffix) for image, suffix in zip(images, suffixes, strict=True)]
    return distinct(stems, [suffix[1:] or "image" for suffix in suffixes])


def distinct(names: Sequence[str], kinds: Sequence[str]) -> list[str]:
    """Names made unlike each other, even where case does not matter.

    Args:
      kinds: for each name what tells it from equal ones, such as a suffix: `a` of `a.jpg` and of
        `a.png` become `a_jpg` and `a_png`.
    """
    count = Counter(name.casefold() for name in names)
    used = {name for name in count if count[name] == 1}
    result: list[str] = []
    for name, kind in zip(names, kinds, strict=True):
        if count[name.casefold()] > 1:
            base = name = f"{name}_{kind}"
            number = 2
            while name.casefold() in used:
                name, number = f"{base}_{number}", number + 1
            used.add(name.casefold())
        result.append(name)
    return result


def of_stem(images: Mapping[str, list[Path]], folder: Path, stem: str) -> list[Path]:
    """The images of a folder with that stem, or those whose stem differs as in `same_name`.

    Args:
      images: those of the folder by their stems, see `images_by_stem`.
    """
    return images.get(stem) or [folder / name for name in same_stem(folder, f"{stem}.jpg")]


def only_image(images: Mapping[str, list[Path]], file: Path) -> Path:
    """The image of `images_by_stem` that has the stem of an annotation file.

    Raises:
      DataError: there is none, or there are several.
    """
    found = of_stem(images, file.parent, file.stem)
    if not found:
        kinds = ", ".join(IMAGE_SUFFIXES)
        raise DataError(file, f"there is no image of that name ({kinds}) beside it")
    if len(found) > 1:
        names = " and ".join(image.name for image in found)
        raise DataError(file, f"several images of that name: {names}")
    return found[0]


def same_name(folder: Path, name: str) -> list[str]:
    """The names in a folder that differ from `name` in upper case or composed letters alone.

    A name written on macOS has its accents as letters of their own (Unicode's NFD).
    """
    try:
        return list(_names(folder, os.stat(folder).st_mtime_ns).get(folded(name), []))
    except (OSError, ValueError):  # ValueError: no file system has such a name
        return []


def same_stem(folder: Path, name: str) -> list[str]:
    """The images in a folder whose name differs from `name` in the suffix alone."""
    try:
        stems = _image_stems(folder, os.stat(folder).st_mtime_ns)
    except (OSError, ValueError):  # ValueError: no file system has such a name
        return []
    return list(stems.get(folded(PurePosixPath(name).stem), []))


@functools.lru_cache(maxsize=64)
def _names(folder: Path, _modified: int) -> dict[str, list[str]]:
    """The names in a folder by their folded forms; they are read again when it has changed."""
    names: dict[str, list[str]] = {}
    for entry in os.scandir(folder):
        names.setdefault(folded(entry.name), []).append(entry.name)
    return names


@functools.lru_cache(maxsize=64)
def _image_stems(folder: Path, modified: int) -> dict[str, list[str]]:
    """The names of the images in a folder by the folded forms of their stems."""
    stems: dict[str, list[str]] = {}
    for key, names in _names(folder, modified).items():
        if key.endswith(IMAGE_SUFFIXES):
            stems.setdefault(PurePosixPath(key).stem, []).extend(names)
    return stems


def folded(name: str) -> str:
    """A name without what file systems may change: upper case and composed letters."""
    return unicodedata.normalize("NFC", name).casefold()
