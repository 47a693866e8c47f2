"""Draws a contact sheet of the faces of a source."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf import files
from efld_tf.data import look
from efld_tf.data.look import Face, Remarks
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import drawing, schemas

# How much around a face is shown, in face boxes.
SHOWN = 1.8

SUFFIXES = (".jpg", ".jpeg", ".png")


def sheet(
    chosen: Sequence[Face],
    remarks: Remarks,
    *,
    columns: int = 6,
    tile: int = 320,
    numbers: bool = False,
    names: bool = False,
) -> np.ndarray:
    """Draws faces side by side, each part of their schema in its colour.

    Occluded points are rings, points that are not annotated are left out, and a box from the file
    is yellow.

    Args:
      remarks: gets the errors of faces whose images cannot be read; they are left out.
      columns, tile: tiles a row, and a tile's side in pixels.
      numbers: whether to write each point's index beside it.
      names: whether to list the names of the points below.

    Returns:
      [H, W, 3] uint8 RGB.

    Raises:
      EfldError: there is no face whose image can be read.
    """
    tiles, captions = [], []
    for face in chosen:
        record = face.record
        colours = drawing.part_colours(schemas.get(record.schema))
        try:
            image = face.pixels()
        except DataError as error:
            remarks.errors.append(error)
            continue
        tiles.append(look.picture(record, image, tile, None if face.packed else SHOWN,
                                  numbers=numbers, part_colours=colours))
        captions.append(Path(record.key).name)
    if not tiles:
        raise remarks.errors[-1] if chosen else EfldError("there is no face to show")
    columns = min(columns, len(tiles))
    image = drawing.contact_sheet(tiles, columns, tile, captions)
    if names:
        schema_names = sorted({face.record.schema for face in chosen})
        legends = [drawing.legend(schemas.get(name), image.shape[1]) for name in schema_names]
        image = np.concatenate([image, *legends])
    return image


def check_suffix(path: Path) -> None:
    """Raises EfldError if `write` cannot write a picture of that name."""
    if path.suffix.lower() not in SUFFIXES:
        raise EfldError(f"{path}: expected a name that ends in {', '.join(SUFFIXES)}")


def write(path: Path, image: np.ndarray) -> None:
    """Writes an RGB picture as JPEG or PNG, by the suffix.

    Raises:
      EfldError: the suffix is another one, or the picture is too large for its format.
    """
    check_suffix(path)
    files.write_bytes(path, drawing.encoded(image, path.suffix.lower()))
