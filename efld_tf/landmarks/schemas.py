"""The known landmark schemas: the built-in ones, and those that users declare.

A schema is data (`schema_files/NAME.yaml`, or a user's own file), so that a new format needs no
code.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

from efld_tf import config
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.landmarks.schema_fields import from_fields, to_fields

SCHEMA_FILES = Path(__file__).parent / "schema_files"

# Schemas of users: by name, from their files or from the packed folders and models that carry them.
_registered: dict[str, LandmarkSchema] = {}


def names() -> list[str]:
    """The names of the built-in schemas and of those registered in this process."""
    return sorted({*_built_in(), *_registered})


def declared_fields(name: str) -> dict[str, Any] | None:
    """What a file must carry to be understood elsewhere: a user's schema; None for built-in ones.

    Raises:
      EfldError: there is no such schema.
    """
    return None if name in _built_in() else to_fields(get(name))


def get(name: str) -> LandmarkSchema:
    """The schema of that name, built-in or registered.

    Raises:
      EfldError: there is none; the message lists the known ones.
    """
    if name in _registered:
        return _registered[name]
    if name not in _built_in():
        raise EfldError(f"unknown landmark schema {name!r}; known: {', '.join(names())}")
    return _load_built_in(name)


def resolved(name: str, fields: dict[str, Any] | None) -> LandmarkSchema:
    """The schema that a file carries under a name: of its fields, or a known one without them.

    Nothing is made known by it.

    Raises:
      EfldError: there is no such schema, or the fields are not one of that name.
    """
    if fields is None:
        return get(name)
    schema = from_fields(fields)
    if schema.name != name:
        raise EfldError(f"schema: expected the fields of {name!r}, got those of {schema.name!r}")
    return schema


def declare(fields: dict[str, Any]) -> LandmarkSchema:
    """Makes the schema that a model or packed folder carries known in this process; see `register`.

    Loading such a file does it: `LandmarkPredictor`, `checkpoint.load` and `manifest.open_packed`.
    A schema file is made known where a source names it (`annotations.declared`). Nothing else
    makes schemas known.

    Raises:
      EfldError: they are not those of a schema, or as in `register`.
    """
    return register(from_fields(fields))


def register(schema: LandmarkSchema) -> LandmarkSchema:
    """Makes a schema known under its name in this process; returns what is known from now on.

    One whose flip is still to be inferred may follow or be followed by the same one with its flip.

    Raises:
      EfldError: another schema has that name, or it says of a known schema that it can be made of
        another number of points than it has.
    """
    _check_targets(schema)
    if schema.name in _built_in():
        known = _load_built_in(schema.name)
    else:
        known = _registered.get(schema.name, schema)
    if known.flip is None:
        known = replace(known, flip=schema.flip)
    if replace(schema, flip=schema.flip or known.flip) != known:
        raise EfldError(f"there is another schema named {schema.name!r}: choose another name")
    if schema.name not in _built_in():
        _registered[schema.name] = known
    return known


def _check_targets(schema: LandmarkSchema) -> None:
    made = dict(schema.subsets) | {name: how.points for name, how in schema.conversions.items()}
    for name, points in made.items():
        if name in names() and len(points) != (expected := get(name).num_points):
            got = len(points)
            raise EfldError(f"schema {schema.name}: {name} has {expected} points, got {got}")


@functools.cache
def _built_in() -> frozenset[str]:
    return frozenset(path.stem for path in SCHEMA_FILES.glob("*.yaml"))


@functools.cache
def _load_built_in(name: str) -> LandmarkSchema:
    return load(SCHEMA_FILES / f"{name}.yaml")


def load(path: str | Path) -> LandmarkSchema:
    """Reads and checks a schema file.

    Raises:
      DataError: the file is not YAML, or a field is missing or inconsistent.
    """
    fields = config.read_tree(path)
    try:
        return from_fields(fields)
    except EfldError as error:
        raise DataError(path, str(error)) from error
