"""What the readers of general formats share: the schema and the folders that a source names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas, shapes

SCHEMA_SUFFIXES = (".yaml", ".yml")


def schema_named(option: str | None) -> str:
    """The name of the schema that the option `schema=NAME` or `schema=FILE.yaml` means.

    A file's schema is registered, so that everything in this process knows it from then on.

    Raises:
      EfldError: there is no option, or no such schema.
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
    """Finds the flip of a declared schema that leaves it open, from the mean of its faces.

    Everything in this process knows it from then on.

    Args:
      records: of that schema.

    Returns:
      What the user should know of it.

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
    return (
        f"schema {schema.name}: flip inferred from {len(records)} faces: {list(flip)}: "
        f"{pairs} pairs; in the middle: {', '.join(alone) or 'no point'}"
    )


def image_folders(images: str | None, places: Sequence[Path]) -> list[Path]:
    """The folders to look for images in: the option `images=FOLDER`, or those of `places` there.

    Raises:
      EfldError: the option is not a folder.
    """
    if images is None:
        return [place for place in places if place.is_dir()] or [places[0]]
    folder = Path(images).expanduser()
    if not folder.is_dir():
        raise EfldError(f"images: {images} is not a folder")
    return [folder]


def choice(name: str, value: str, known: Sequence[str]) -> str:
    """The value of an option that has a few.

    Raises:
      EfldError: it is none of `known`.
    """
    if value not in known:
        raise EfldError(f"{name}: expected {' or '.join(known)}, got {value!r}")
    return value
