"""What the keys of a configuration mean, by the docstrings of its dataclasses."""

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
      path: dotted, as overrides take it; N is the number of a list's item, NAME a name of yours.
      default: as YAML has it; None where the key is required or only holds others.
      required: whether it must be given.
      meaning: as its dataclass says.
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
    """The keys of a configuration's dataclass, each before those that it holds.

    Args:
      kind: documented by an `Attributes:` section, as all of this project are.
      prefix: what its own path is, with the last dot.
    """
    meanings, hints = _meanings(kind), typing.get_type_hints(kind)
    for field in dataclasses.fields(kind):
        held, step = _held(hints[field.name])
        required, default = False, None
        if field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            required = True
        path = prefix + field.name
        shown = None if required or dataclasses.is_dataclass(default) else _yaml(default)
        yield Key(path, shown, required, meanings.get(field.name, ""))
        if held is not None:
            yield from keys_of(held, f"{path}.{step}")


def _held(kind: Any) -> tuple[type | None, str]:
    """The dataclass of a field's value or items, and what stands between their paths."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return _held(next(a for a in arguments if a is not type(None)))
    if origin in (list, dict):
        held, step = _held(arguments[-1])
        return held, ("N." if origin is list else "NAME.") + step
    return (kind, "") if isinstance(kind, type) and dataclasses.is_dataclass(kind) else (None, "")


def _meanings(kind: type) -> dict[str, str]:
    """What the docstrings of a dataclass and of those it inherits from say of their attributes.

    Nothing under `python -OO`, which drops them.
    """
    found: dict[str, str] = {}
    for one in reversed(kind.__mro__):
        _, _, attributes = (inspect.cleandoc(one.__doc__ or "")).partition("Attributes:\n")
        for entry in re.split(r"\n(?=  \w)", "\n" + attributes)[1:]:
            names, _, text = entry.partition(":")
            text = re.sub(r"\bNone\b", "null", " ".join(text.split()))
            found |= {name.strip(): text for name in names.split(",")}
    return found


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix("...\n").strip()
