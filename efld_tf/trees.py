"""Nested dicts and lists, as YAML and JSON give them -> frozen dataclasses, strictly.

Unknown keys and wrong types fail with their dotted path. Standard library only.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import types
import typing
from typing import Any, TypeVar

from efld_tf.errors import EfldError

T = TypeVar("T")


def from_tree(tree: Any, kind: type[T], path: str = "") -> T:
    """Makes the dataclass `kind` from nested dicts and lists.

    Raises:
      EfldError: with the dotted path of what is unknown, missing, or of the wrong type or range.
    """
    made: T = checked(tree, kind, path)
    return made


def checked(value: Any, kind: Any, path: str) -> Any:
    """A value as its kind takes it: whole numbers as numbers, dicts as dataclasses.

    Args:
      kind: `str`, `int`, `float`, `bool`, `Any`, a dataclass, or lists, dicts and optionals of
        these.
      path: dotted, for the message.

    Raises:
      EfldError: the value is not of that kind.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        return checked(value, next(a for a in arguments if a is not type(None)), path)
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        return _convert_dataclass(value, kind, path)
    if origin is list:
        _expect(isinstance(value, list), "a list", value, path)
        return [checked(item, arguments[0], f"{path}.{i}") for i, item in enumerate(value)]
    if origin is dict:
        _expect(isinstance(value, dict), "a mapping", value, path)
        return {key: checked(v, arguments[1], _join(path, key)) for key, v in value.items()}
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # Python compares whole numbers of any size, but does not make floats of them.
        _expect(number and abs(value) <= sys.float_info.max, "a finite number", value, path)
        return float(value)
    if kind is int:
        whole = isinstance(value, int) and not isinstance(value, bool)
        _expect(whole, "a whole number", value, path)
        return value
    name = {str: "text", bool: "true or false"}[kind]
    _expect(isinstance(value, kind), name, value, path)
    return value


def _convert_dataclass(value: Any, kind: type, path: str) -> Any:
    _expect(isinstance(value, dict), "a mapping", value, path)
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.init}
    for key in value:
        if key not in fields:
            raise EfldError(f"{_join(path, key)}: unknown key; known: {', '.join(fields)}")
    for name, field in fields.items():
        has_default = field.default is not dataclasses.MISSING
        if not has_default and field.default_factory is dataclasses.MISSING and name not in value:
            raise EfldError(f"{_join(path, name)}: this key is required")
    converted = {key: checked(v, hints[key], _join(path, key)) for key, v in value.items()}
    try:
        return kind(**converted)
    except EfldError as error:  # raised by a range check in __post_init__
        raise EfldError(_join(path, str(error))) from error


def _expect(condition: bool, expected: str, value: Any, path: str) -> None:
    if not condition:
        # YAML's and JSON's words for these, not Python's.
        own_word = value is None or isinstance(value, bool)
        shown = json.dumps(value) if own_word else repr(value)
        shown = shown if len(shown) <= 60 else shown[:57] + "..."
        raise EfldError(f"{path or 'the file'}: expected {expected}, got {shown}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
