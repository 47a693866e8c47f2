"""What `efld-train --keys` prints."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from efld_tf import config_keys, trees
from efld_tf.data.options import AugmentOptions
from efld_tf.models import registry
from efld_tf.training.recipe import Recipe
from tests.errors import assert_told, refuses


@dataclass(frozen=True)
class Base:
    """A base.

    Attributes:
      size: of it,
        or None.
    """

    size: int | None = None


@dataclass(frozen=True)
class Inner(Base):
    """An item.

    Attributes:
      x, y: of its place.
    """

    x: float = 0.5
    y: float = 1.0


@dataclass(frozen=True)
class Outer:
    """The whole.

    Attributes:
      items: of it.
      named: more.
      last: if any.
    """

    items: list[Inner]
    named: dict[str, Inner] = field(default_factory=dict)
    last: Inner | None = None


def test_keys_by_hand() -> None:
    found = {key.path: (key.default, key.required, key.meaning)
             for key in config_keys.keys_of(Outer)}
    assert found["items"] == (None, True, "of it.")
    assert found["items.N.size"] == ("null", False, "of it, or null.")
    assert found["items.N.y"] == ("1.0", False, "of its place.")
    assert found["named"] == ("{}", False, "more.")
    assert found["named.NAME.x"] == ("0.5", False, "of its place.")
    assert found["last"] == ("null", False, "if any.") and "last.x" in found
    assert len(found) == 3 + 3 * 3


@pytest.mark.parametrize("kind", [Recipe, *(f.options for f in registry.FAMILIES.values())])
def test_every_key_is_documented_and_keeps_its_default(kind: type) -> None:
    keys = list(config_keys.keys_of(kind))
    assert keys and all(key.meaning for key in keys)
    assert not [key.path for key in keys if "None" in key.meaning or "see their" in key.meaning]


def test_defaults_are_as_yaml_has_them() -> None:
    keys = list(config_keys.keys_of(AugmentOptions))
    tree = {key.path: yaml.safe_load(key.default) for key in keys}
    assert trees.from_tree(tree, AugmentOptions) == AugmentOptions()


def test_what_is_required_is_so() -> None:
    for key in config_keys.keys_of(Recipe):
        if key.required and "." not in key.path:
            with refuses(key.path, "required"):
                trees.from_tree({k: {} for k in ("name", "heads", "data", "training")
                                  if k != key.path}, Recipe)


def test_the_command_prints_them() -> None:
    program = Path(sys.executable).parent / "efld-train"
    done = subprocess.run([program, "--keys"], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[lines.index("training.batch_size = 128") + 1].startswith("    ")  # its meaning
    family = lines[lines.index("model.options.activation = relu6") - 1]
    assert_told(family, "model.family", "efld")
    assert done.stderr == ""


def test_keys_and_options_are_listed_without_docstrings() -> None:
    """`python -OO` drops them, and with them only what keys mean."""
    code = (
        "from efld_tf import config_keys; from efld_tf.annotations import sources; "
        "from efld_tf.training.recipe import Recipe; "
        "print(*(key.path for key in config_keys.keys_of(Recipe)), sep=chr(10)); "
        "print(*sources.FORMATS['csv'].options, sep=chr(10))"
    )
    plain, optimised = (
        subprocess.run([sys.executable, *flags, "-c", code], capture_output=True, text=True,
                       check=True).stdout.split()
        for flags in ((), ("-OO",))
    )
    assert plain == optimised and "training.steps" in plain and "delimiter" in plain
