"""Reads what a photo's file says before its pixels: its size, and how it is to be turned."""

from __future__ import annotations

import contextlib
import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from efld_tf.annotations import by_pillow, decoding, image_kinds, parsing
from efld_tf.arrays import Floats

MAX_FILE_BYTES = 1 << 28
_HEAD_BYTES = 1 << 12

# The kinds whose pixels follow on the header, which a stranger may have made long: cameras put
# previews and depth maps before the picture of a JPEG file, and the others have next to nothing.
_MOST_HEADER_BYTES = {"JPEG": 1 << 24, "BMP": 1 << 20, "GIF": 1 << 20, "JPEG2000": 1 << 20,
                      "PPM": 1 << 20}


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

    It agrees with `decoding`: TIFF and HEIC files count as upright, since they are decoded so. Of
    each kind, only so much is read that a file made to be slow takes seconds at worst.
    """
    with warnings.catch_warnings(), contextlib.suppress(Exception):  # Damaged files raise anything.
        warnings.simplefilter("ignore")
        with parsing.open_limited(path, MAX_FILE_BYTES) as file:
            kind = image_kinds.kind(file.read(_HEAD_BYTES))
            if kind == "PNG":
                png = image_kinds.png_header(file)
                return None if png is None else Header(
                    png.width, png.height, decoding.orientation(png.metadata, path))
            if kind is not None:
                return _by_pillow(file, kind, path)
    return None


def _by_pillow(file: BinaryIO, kind: str, path: Path) -> Header | None:
    """The header of a photo of the one kind that its content is of.

    Raises:
      Exception: anything, if the file is damaged.
    """
    from PIL import Image

    file.seek(0)
    if kind == "HEIC":
        with by_pillow.opened(file.read(MAX_FILE_BYTES), kind, path) as heic:
            return None if heic is None else Header(*heic.size, 1)
    limit = _MOST_HEADER_BYTES.get(kind)
    start = file if limit is None else io.BytesIO(file.read(limit))
    with Image.open(start, formats=[kind]) as image:
        turned = kind in decoding.WITH_ORIENTATION
        return Header(*image.size, by_pillow.orientation(image) if turned else 1)
