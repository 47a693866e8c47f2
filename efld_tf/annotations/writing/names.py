"""Which names of images the formats can hold, so that their readers find the images again."""

from __future__ import annotations

from pathlib import PurePosixPath

from efld_tf.annotations.images import VIDEO_SUFFIXES
from efld_tf.annotations.listing import IMAGE_SUFFIXES, is_side_file


def any_name(name: str) -> str:
    """Why a name cannot be written; "", since it can."""
    return ""


def in_table(name: str) -> str:
    """Why a table cannot hold a name; "" if it can. Blanks at the ends of cells do not count."""
    if name != name.strip():
        return "a table cannot hold a name that begins or ends with a blank: rename it"
    if any(c in "\0\ufffd" or _is_surrogate(c) for c in name):
        return "a table cannot hold a name that is not UTF-8: rename it"
    return ""


def in_xml(name: str) -> str:
    """Why XML 1.0 cannot hold a name; "" if it can."""
    wrong = any((ord(c) < 32 and c not in "\t\n\r") or _is_surrogate(c) or c in "\ufffe\uffff"
                for c in name)
    return "XML cannot hold this name: rename it" if wrong else ""


def of_file(name: str) -> str:
    """Why readers leave out a file of an image's own, such as `a.json` of `a.jpg`; "" if not."""
    path = PurePosixPath(name)
    return _of_parts([*path.parts[:-1], f"{path.stem}.json"])


def in_folder(name: str) -> str:
    """Why readers leave out an image when they list a folder; "" if they do not."""
    if not name.lower().endswith(IMAGE_SUFFIXES):
        return f"it is not found by its name, which ends in none of {', '.join(IMAGE_SUFFIXES)}: " \
               "rename it"
    return _of_parts(PurePosixPath(name).parts)


def in_folder_or_video(name: str) -> str:
    """The same of images and of videos, whose frames' files are in a folder of its name."""
    if name.lower().endswith(VIDEO_SUFFIXES):
        return _of_parts(PurePosixPath(name).parts)
    return in_folder(name)


def _of_parts(parts: tuple[str, ...] | list[str]) -> str:
    for part in parts:
        if is_side_file(part):
            return f"files and folders named like {part!r}, as hidden ones and backups are, are " \
                   "not read: rename it"
    return ""


def _is_surrogate(character: str) -> bool:
    return 0xD800 <= ord(character) < 0xE000
