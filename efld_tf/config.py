"""Reads strict YAML into frozen dataclasses; errors name unknown keys and wrong types."""

from __future__ import annotations

import dataclasses
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from efld_tf import files, trees
from efld_tf.errors import DataError, EfldError
from efld_tf.text import shown

T = TypeVar("T")

MAX_CONFIG_BYTES = 1 << 20
# Recipes have 5 levels, data.yaml of other programs fewer.
MAX_DEPTH = 32
# Python does not even write whole numbers of 5,000 digits as text.
MAX_DIGITS = 1000


class _StrictLoader(yaml.SafeLoader):
    """Loads YAML without duplicate keys, which hide mistakes, and aliases, which can explode."""

    keys: tuple[type, ...] = (str,)

    def __init__(self, text: str):
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        mark = self.peek_event().start_mark
        if self.check_event(yaml.AliasEvent):
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        if self._depth > MAX_DEPTH:
            raise yaml.composer.ComposerError(
                None, None, f"more than {MAX_DEPTH} values inside each other", mark)
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
        except _MALFORMED as error:
            raise _refused(node, f"{shown(repr(node.value), 60)} is no {_tag(node)}") from error
        if isinstance(value, int) and abs(value) >= 10**MAX_DIGITS:
            raise _refused(node, f"a whole number of more than {MAX_DIGITS} digits")
        return value

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        if not isinstance(node, yaml.MappingNode):
            raise _refused(node, f"expected a mapping, as {_tag(node)} says")
        keys: set[str | int] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if type(key) not in self.keys:
                raise _refused(key_node, f"the key {key!r} is not a word")
            if key in keys:
                raise _refused(key_node, f"the key {key!r} stands twice")
            keys.add(key)
        return super().construct_mapping(node, deep)

    def construct_unsupported(self, node: yaml.Node) -> Any:
        raise _refused(node, f"{_tag(node)} is not supported; a text stands in quotes")


# What PyYAML's constructors raise for texts such as `!!int ""`, `!!timestamp x` and 2020-99-99.
_MALFORMED = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


def _refused(node: yaml.Node, problem: str) -> yaml.YAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _tag(node: yaml.Node) -> str:
    """A tag as it is written in YAML: `!!int`; `<<`, which merges mappings, for that key's."""
    tag = node.tag.replace("tag:yaml.org,2002:", "!!")
    return {"!!merge": "<<", "!!value": "="}.get(tag, tag)


class _ForeignLoader(_StrictLoader):
    """Loads YAML of other programs, whose keys may be whole numbers, too."""

    keys = (str, int)


# YAML 1.1 reads 1e-3 as a word, but YAML 1.2 and everybody who writes it mean a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)
_StrictLoader.add_constructor(None, _StrictLoader.construct_unsupported)


def load(path: str | Path, kind: type[T], overrides: Sequence[str] = ()) -> T:
    """Reads a configuration file.

    Args:
      kind: the dataclass to make.
      overrides: texts `a.b=value` that override values of the file; values are YAML, and items of
        lists have their number as a key: `data.sources.0.repeat=2`.

    Raises:
      DataError: the file is unreadable, a key is unknown or missing, or a value has the wrong type
        or range; the message has the file, the dotted path and what was expected.
      EfldError: an override is malformed.
    """
    tree = read_tree(path)
    for override in overrides:
        _apply_override(tree, override)
    try:
        return trees.from_tree(tree, kind)
    except EfldError as error:
        raise DataError(path, str(error)) from error


def read_tree(path: str | Path, *, foreign: bool = False) -> Any:
    """Reads the content of a YAML file.

    Args:
      foreign: whether it is of another program, whose keys may be whole numbers, too.

    Raises:
      DataError: the file cannot be read, is too large, or is not YAML, or it has aliases, duplicate
        keys or keys that are not words.
    """
    path = Path(path)
    content = files.read_bytes(path, MAX_CONFIG_BYTES)
    try:
        text = content.decode().replace("\r\n", "\n").replace("\r", "\n")
        return _parse(text, _ForeignLoader if foreign else _StrictLoader)
    except UnicodeDecodeError as error:
        raise DataError(path, "not a UTF-8 text file") from error
    except yaml.reader.ReaderError as error:
        reason = f"the character U+{error.character:04X} may not stand there"
        line_number = text.count("\n", 0, error.position) + 1
        raise DataError(path, f"not valid YAML: {reason}", line_number) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise DataError(path, f"not valid YAML: {error.problem}", line) from error


def to_tree(value: Any) -> Any:
    """The nested dicts and lists of a configuration, as in YAML."""
    return dataclasses.asdict(value)


def loads(text: str, kind: type[T]) -> T:
    """Reads a configuration from YAML text; errors are those of `trees.from_tree`."""
    return trees.from_tree(_parse(text), kind)


def dump(value: Any) -> str:
    """Writes a configuration as YAML text."""
    return yaml.safe_dump(to_tree(value), sort_keys=False, width=100)


def differences(before: Any, after: Any) -> list[str]:
    """Lists the values in which two configurations differ: `training.steps: 60, now 80`."""
    old, new = _leaves(to_tree(before)), _leaves(to_tree(after))
    return [
        f"{path}: {old.get(path, 'not there')}, now {new.get(path, 'not there')}"
        for path in dict.fromkeys([*old, *new]) if path not in old or path not in new
        or repr(old[path]) != repr(new[path])
    ]


def _leaves(tree: Any, path: str = "") -> dict[str, Any]:
    """The values of nested dicts and lists by their dotted paths."""
    if not tree or not isinstance(tree, dict | list):
        return {path: tree}
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    return {
        below: value for key, item in items
        for below, value in _leaves(item, f"{path}.{key}" if path else str(key)).items()
    }


def expand(text: str) -> str:
    """Replaces `${NAME}` by that environment variable.

    Raises:
      EfldError: the variable is not set.
    """
    def value(match: re.Match[str]) -> str:
        if (setting := os.environ.get(match[1])) is None:
            raise EfldError(f"{text!r}: the environment variable {match[1]} is not set; "
                            f"give it a value, as in {match[1]}=/folder before the command")
        return setting

    return re.sub(r"\$\{(\w+)\}", value, text)


def _parse(text: str, loader: type[_StrictLoader] = _StrictLoader) -> Any:
    return yaml.load(text, loader)


def _apply_override(tree: Any, override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise EfldError(f"--set {override!r}: expected path.to.key=value")
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "a character that may not stand there"
        raise EfldError(f"--set {override!r}: the value is not valid YAML: {problem}") from error
    *parents, last_key = path.split(".")
    if len(parents) >= MAX_DEPTH:
        raise EfldError(f"--set {override!r}: more than {MAX_DEPTH} keys in each other")
    node = tree
    for key in parents:
        if isinstance(node, dict):
            node = node.setdefault(key, {})
        elif isinstance(node, list) and (index := _index(key)) < len(node):
            node = node[index]
        else:
            raise EfldError(f"--set {override!r}: there is no {key!r} to set something in"
                            f"{_items(node)}")
    if isinstance(node, dict):
        node[last_key] = value
    elif isinstance(node, list) and (index := _index(last_key)) < len(node):
        node[index] = value
    else:
        raise EfldError(f"--set {override!r}: there is no {last_key!r} to set{_items(node)}")


def _items(node: Any) -> str:
    """What can be named of a list, to tell of a key that it does not have; empty for no list."""
    return f"; expected the number of an item, 0 to {len(node) - 1}" \
        if isinstance(node, list) and node else ""


def _index(key: str) -> int:
    """The number of an item of a list, from 0; beyond all lists where the key is none."""
    return int(key) if re.fullmatch("[0-9]{1,9}", key) else sys.maxsize
