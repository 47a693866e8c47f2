"""Reads what a photo's file says before its pixels: its size, and how it is to be turned."""

from __future__ import annotations

import contextlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations import by_pillow, image_kinds, parsing
from efld_tf.arrays import Floats

_ORIENTATION_TAG = 0x0112
MAX_FILE_BYTES = 1 << 28
_HEAD_BYTES = 1 << 12


@dataclass(frozen=True)
class Header:
    """What a photo's file says of it before its pixels.

    Attributes:
      width, height: its size as it lies in the file, pixels.
      orientation: the EXIF orientation, 1 to 8; 1 is upright.
    """

    width: int
    height: int
    orientation: int

    @property
    def turns(self) -> bool:
        """Whether width and height are exchanged when the photo is shown."""
        return self.orientation in (5, 6, 7, 8)

    def size(self, upright: bool) -> tuple[int, int]:
        """Width and height of the photo as it is shown, or as it lies in the file."""
        return (self.height, self.width) if upright and self.turns else (self.width, self.height)

    def shown(self, vectors: Floats) -> Floats:
        """Directions [..., 2] in the file's rows and columns, as they are shown; see `turned`."""
        x, y = np.moveaxis(vectors[..., ::-1] if self.turns else vectors, -1, 0)
        x = -x if self.orientation in (2, 3, 6, 7) else x
        y = -y if self.orientation in (3, 4, 7, 8) else y
        return np.stack([x, y], axis=-1)


def read_header(path: Path) -> Header | None:
    """The header of a photo, without decoding it; None if the file is none that can be read.

    It agrees with `decoding`: TIFF and HEIC files count as upright, since they are decoded so.
    """
    from PIL import Image

    with warnings.catch_warnings(), contextlib.suppress(Exception):  # Damaged files raise anything.
        warnings.simplefilter("ignore")
        with parsing.open_limited(path, MAX_FILE_BYTES) as file:
            kind = image_kinds.kind(file.read(_HEAD_BYTES))
        if kind == "HEIC":
            content = parsing.read_bytes(path, MAX_FILE_BYTES)
            with by_pillow.opened(content, kind, path) as heic:
                return None if heic is None else Header(*heic.size, 1)
        with Image.open(path) as image:
            if image.format == "PNG" and "exif" not in image.info:
                return Header(*image.size, 1)  # `getexif` would decode the picture
            orientation = image.getexif().get(_ORIENTATION_TAG, 1)
            header = Header(*image.size, orientation if orientation in range(1, 9) else 1)
            return Header(*image.size, 1) if image.format == "TIFF" else header
    return None
