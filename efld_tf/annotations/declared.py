"""What the readers of general formats share: the schema and the folders that a source names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

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
