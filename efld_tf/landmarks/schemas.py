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

# The schemas of users by name, from their files or from packed folders and models that carry them.
_registered: dict[str, LandmarkSchema] = {}


def names() -> list[str]:
    """The names of the built-in schemas and of those registered in this process."""
    return sorted({*_built_in(), *_registered})


def declared_fields(name: str) -> dict[str, Any] | None:
    """The fields of a user's schema, which a file must carry; None for a built-in schema.

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
    """The schema of a file: made from its fields, or the known one of that name without fields.

    The schema is not registered.

    Raises:
      EfldError: there is no such schema, or the fields are not those of a schema of that name.
    """
    if fields is None:
        return get(name)
    schema = from_fields(fields)
    if schema.name != name:
        raise EfldError(f"schema: expected the fields of {name!r}, got those of {schema.name!r}")
    return schema


def declare(fields: dict[str, Any]) -> LandmarkSchema:
    """Registers the schema that a model or packed folder carries; see `register`.

    `LandmarkPredictor`, `checkpoint.load` and `manifest.open_packed` do it when they load such a
    file. A schema file is registered when a source names it (`annotations.declared`). Nothing else
    registers schemas.

    Raises:
      EfldError: the fields are not those of a schema, or as in `register`.
    """
    return register(from_fields(fields))


def register(schema: LandmarkSchema) -> LandmarkSchema:
    """Registers a schema under its name in this process; returns the registered schema.

    A schema may be registered before its flip is inferred and again with it, in either order.

    Raises:
      EfldError: another schema has that name, or the schema has a subset or a conversion for a
        known schema with a different number of points.
    """
    _check_targets(schema)
    if schema.name in _built_in():
        current = _load_built_in(schema.name)
    else:
        current = _registered.get(schema.name, schema)
    if current.flip is None:
        current = replace(current, flip=schema.flip)
    if replace(schema, flip=schema.flip or current.flip) != current:
        raise EfldError(f"there is another schema named {schema.name!r}: choose another name")
    if schema.name not in _built_in():
        _registered[schema.name] = current
    return current


def _check_targets(schema: LandmarkSchema) -> None:
    groups: dict[str, tuple[Any, ...]] = dict(schema.subsets)
    groups |= {name: conversion.points for name, conversion in schema.conversions.items()}
    for name, points in groups.items():
        if name in names() and len(points) != (expected := get(name).num_points):
            count = len(points)
            raise EfldError(f"schema {schema.name}: {name} has {expected} points, got {count}")


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
