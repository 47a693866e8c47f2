"""Lists the keys of a configuration, with their meanings from the docstrings of its dataclasses."""

from __future__ import annotations

import dataclasses
import inspect
import re
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

WIDTH = 96


@dataclass(frozen=True)
class Key:
    """A key of a configuration.

    Attributes:
      path: the dotted path, as overrides take it; N is the number of a list's item, and NAME is a
        name that the user chooses.
      default: the default value in YAML; None where the key is required or only holds others.
      required: whether it must be given.
      meaning: what its dataclass says about it.
    """

    path: str
    default: str | None
    required: bool
    meaning: str

    def __str__(self) -> str:
        head = self.path + (" (required)" if self.required else "")
        head += f" = {self.default}" if self.default is not None else ""
        return head + "\n" + textwrap.fill(
            self.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")


def keys_of(kind: type, prefix: str = "") -> Iterator[Key]:
    """Yields the keys of a configuration's dataclass, each before those that it holds.

    Args:
      kind: the dataclass, which is documented by an `Attributes:` section.
      prefix: the path of the dataclass itself, with a final dot.
    """
    meanings, hints = _meanings(kind), typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        nested, step = _nested(hints[field.name])
        required, default = False, None
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            required = True
        path = prefix + field.name
        default_text = None if required or dataclasses.is_dataclass(default) else _yaml(default)
        yield Key(path, default_text, required, meanings.get(field.name, ""))
        if nested is not None:
            yield from keys_of(nested, f"{path}.{step}")


def _nested(kind: Any) -> tuple[type | None, str]:
    """The dataclass of a field's value or items, and the part of the path between them."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _nested(next(a for a in arguments if a is not type(None)))
    if origin in (list, dict):
        nested, step = _nested(arguments[-1])
        return nested, ("N." if origin is list else "NAME.") + step
    return (kind, "") if isinstance(kind, type) and dataclasses.is_dataclass(kind) else (None, "")


def _meanings(kind: type) -> dict[str, str]:
    """Reads the meanings of attributes from the docstrings of a dataclass and its base classes.

    They are empty under `python -OO`, which drops docstrings.
    """
    meanings: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        _, _, attributes = (inspect.cleandoc(base.__doc__ or "")).partition("Attributes:\n")
        for entry in re.split(r"\n(?=  \w)", "\n" + attributes)[1:]:
            names, _, text = entry.partition(":")
            text = re.sub(r"\bNone\b", "null", " ".join(text.split()))
            meanings |= {name.strip(): text for name in names.split(",")}
    return meanings


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
