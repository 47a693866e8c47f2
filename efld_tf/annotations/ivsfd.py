"""IVSFD, the data set of the PAIR competition: images with `.pts` files of 51 points in folders.

Files and coordinates (counted from 1) are those of `ibug.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from efld_tf.annotations import ibug
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError

SCHEMAS = {51: "ibug51"}


def read(path: Path) -> Iterator[FaceRecord | DataError | Note]:
    """The faces of a folder and its sub-folders, sorted by path.

    Raises:
      DataError: `path` is not a folder.
    """
    return ibug.read_folder(path, SCHEMAS)


FORMAT = Format(
    "ivsfd", "IVSFD, the PAIR competition's data", read, ("ibug51",), "FOLDER",
    "NAME.pts with 51 points beside NAME.jpg or .png, in any sub-folders",
    "check the publisher's terms",
)
