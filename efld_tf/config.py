"""Reads strict YAML into frozen dataclasses; errors name unknown keys and wrong types."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from efld_tf import trees
from efld_tf.errors import DataError, EfldError

T = TypeVar("T")

MAX_CONFIG_BYTES = 1 << 20


class _StrictLoader(yaml.SafeLoader):
    """Loads YAML without duplicate keys, which hide mistakes, and aliases, which can explode."""

    keys: tuple[type, ...] = (str,)

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "aliases are not supported", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys: set[str | int] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if type(key) not in self.keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is not a word", key_node.start_mark
                )
            if key in keys:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} stands twice", key_node.start_mark
                )
            keys.add(key)
        return super().construct_mapping(node, deep)


class _ForeignLoader(_StrictLoader):
    """Loads YAML of other programs, whose keys may be whole numbers, too."""

    keys = (str, int)


# YAML 1.1 reads 1e-3 as a word, but YAML 1.2 and everybody who writes it mean a number.
_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


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
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise DataError(path, f"expected at most {MAX_CONFIG_BYTES} bytes of YAML")
        text = path.read_text(encoding="utf-8")
        return _parse(text, _ForeignLoader if foreign else _StrictLoader)
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(path, "not a UTF-8 text file") from error
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        reason = getattr(error, "problem", None) or "a value is malformed or nested too deeply"
        line = mark.line + 1 if mark else None
        raise DataError(path, f"not valid YAML: {reason}", line) from error


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
            raise EfldError(f"{text!r}: the environment variable {match[1]} is not set")
        return setting

    return re.sub(r"\$\{(\w+)\}", value, text)


def _parse(text: str, loader: type[_StrictLoader] = _StrictLoader) -> Any:
    try:
        return yaml.load(text, loader)
    except (KeyError, ValueError) as error:  # A date or `!!int x` is malformed.
        raise yaml.YAMLError(str(error)) from error


def _apply_override(tree: Any, override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise EfldError(f"--set {override!r}: expected path.to.key=value")
    try:
        value = _parse(text)
    except yaml.YAMLError as error:
        raise EfldError(f"--set {override!r}: the value is not valid YAML") from error
    *parents, last_key = path.split(".")
    node = tree
    for key in parents:
        if isinstance(node, dict):
            node = node.setdefault(key, {})
        elif isinstance(node, list) and key.isdigit() and int(key) < len(node):
            node = node[int(key)]
        else:
            raise EfldError(f"--set {override!r}: there is no {key!r} to set something in")
    if isinstance(node, dict):
        node[last_key] = value
    elif isinstance(node, list) and last_key.isdigit() and int(last_key) < len(node):
        node[int(last_key)] = value
    else:
        raise EfldError(f"--set {override!r}: there is no {last_key!r} to set")
