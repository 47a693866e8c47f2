"""The common parts of readers of general formats: the options that a source gives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.annotations.image_paths import ImageFolders
from efld_tf.annotations.parsing import MAX_COORDINATE
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas, shapes

SCHEMA_SUFFIXES = (".yaml", ".yml")

# The smallest faces, by the longer side of their boxes in pixels, that are read by default from
# photos of crowds: RetinaFace's smallest anchors. Five points of a smaller one are within a few
# pixels, which `placement` refuses.
MIN_FACE = "16"


def schema_named(option: str | None) -> str:
    """The name of the schema in the option `schema=NAME` or `schema=FILE.yaml`.

    The schema of a file is registered for this process.

    Raises:
      EfldError: the option is missing, or there is no such schema.
      DataError: the file is not a schema.
    """
    if option is None:
        raise EfldError(
            "schema: say what the points are with schema=FILE.yaml or schema=NAME, one of "
            + ", ".join(schemas.names())
        )
    if Path(option).suffix.lower() in SCHEMA_SUFFIXES:
        return schemas.register(schemas.load(Path(option).expanduser())).name
    return schemas.get(option).name


def infer_flip(records: Sequence[FaceRecord]) -> str:
    """Finds the flip of a declared schema without one, from the mean of its faces.

    The mean face is turned upright by eyes or mouth; for a schema without these, the images count
    as upright. The schema is registered with the flip for this process.

    Args:
      records: faces of that schema.

    Returns:
      A note for the user.

    Raises:
      EfldError: the faces are not symmetric enough on average.
    """
    schema = schemas.get(records[0].schema)
    points = np.stack([record.points for record in records])
    mean = shapes.mean_shape(shapes.as_complex(points), schema)
    try:
        schema = schemas.register(schema.with_flip(np.stack([mean.real, mean.imag], axis=-1)))
    except EfldError as error:
        raise EfldError(f"schema {schema.name}: flip: {error}") from error
    flip = schema.known_flip
    alone = [name for i, name in enumerate(schema.names) if flip[i] == i]
    pairs = (schema.num_points - len(alone)) // 2
    upright = "" if schema.anchors else ", in images that count as upright"
    return (
        f"schema {schema.name}: flip inferred from {len(records)} faces{upright}: {list(flip)}: "
        f"{pairs} pairs; in the middle: {', '.join(alone) or 'no point'}"
    )


def image_folders(
    images: str | None, places: Sequence[Path], prefix: str | None = None
) -> ImageFolders:
    """The folders with images: the option `images=FOLDER`, or those of `places` that exist.

    Args:
      prefix: the option of that name, see `ImageFolders`; None for formats without it.

    Raises:
      EfldError: the option is not a folder.
    """
    if images is None:
        found = [place for place in places if place.is_dir()] or [places[0]]
        return ImageFolders(found, prefix)
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise EfldError(f"images: {images} is not a folder")
    return ImageFolders([folder], prefix)


def choice(name: str, value: str, values: Sequence[str]) -> str:
    """The value of an option that has a few values.

    Raises:
      EfldError: the value is none of `values`.
    """
    if value not in values:
        raise EfldError(f"{name}: expected {' or '.join(values)}, got {value!r}")
    return value


def pixels(name: str, value: str) -> float:
    """The value of an option that is a number of pixels.

    Raises:
      EfldError: the value is no number from 0 on.
    """
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= MAX_COORDINATE:
        raise EfldError(f"{name}: expected a number of pixels, got {value!r}")
    return number
