"""Menpo 2D: `.pts` files with 68 points for semi-frontal faces and 39 for profile faces.

Both kinds may lie in one folder; a source has one of them. Files and coordinates (counted from 1)
are those of `ibug.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import ibug
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError

SCHEMAS = {68: "ibug68", 39: "menpo39"}
POSES = {"semifrontal": "ibug68", "profile": "menpo39"}


def read(path: Path, *, pose: str = "semifrontal") -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders in that pose, sorted by path.

    Args:
      pose: `semifrontal` or `profile`; files of the other kind are left out.

    Raises:
      DataError: `path` is not a folder.
      EfldError: there is no such pose.
    """
    if pose not in POSES:
        raise EfldError(f"pose: expected one of {', '.join(POSES)}, got {pose!r}")
    for item in ibug.read_folder(path, SCHEMAS):
        if not isinstance(item, FaceRecord) or item.schema == POSES[pose]:
            yield item


FORMAT = Format(
    "menpo", "Menpo 2D (semi-frontal or profile faces)", read, ("ibug68", "menpo39"), "FOLDER",
    "NAME.pts beside NAME.jpg or .png, in any sub-folders", "check the publisher's terms",
)
