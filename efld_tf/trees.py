"""Converts nested dicts and lists, as in YAML and JSON, to frozen dataclasses, strictly.

Errors name the dotted path of unknown keys and wrong types. This module uses only the standard
library.
"""

from __future__ import annotations

import dataclasses
import datetime
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
      EfldError: a value is unknown, missing, or of the wrong type or range; the message has its
        dotted path.
    """
    result: T = checked(tree, kind, path)
    return result


def checked(value: Any, kind: Any, path: str) -> Any:
    """Checks a value and converts it to its kind: whole numbers to floats, dicts to dataclasses.

    Args:
      kind: `str`, `int`, `float`, `bool`, `Any`, a dataclass, or lists, dicts and optionals of
        these.
      path: the value's dotted path, for the message.

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
        for key in value:
            _expect(isinstance(key, str), "a text as key", key, path)
        return {key: checked(v, arguments[1], _join(path, key)) for key, v in value.items()}
    if kind is float:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        # Python compares whole numbers of any size, but cannot convert all of them to floats.
        _expect(is_number and abs(value) <= sys.float_info.max, "a finite number", value, path)
        return float(value)
    if kind is int:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        _expect(is_whole, "a whole number", value, path)
        _expect(abs(value) < 1 << 63, "a whole number of at most 64 bits", value, path)
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
    except EfldError as error:  # A range check in __post_init__ raised it.
        raise EfldError(_join(path, str(error))) from error


def _expect(condition: bool, expected: str, value: Any, path: str) -> None:
    if not condition:
        # These values are written as in YAML and JSON, not as in Python.
        is_json_word = value is None or isinstance(value, bool)
        text = json.dumps(value) if is_json_word else repr(value)
        if isinstance(value, datetime.date):  # YAML takes 2024-01-31 for one.
            text = f"the date {value}, which as a text stands in quotes"
        text = text if len(text) <= 60 else text[:57] + "..."
        raise EfldError(f"{path or 'the file'}: expected {expected}, got {text}")


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key
