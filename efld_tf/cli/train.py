"""The command `efld-train`, which trains a recipe or resumes a run that was stopped."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence

from efld_tf import api, config_keys, quiet
from efld_tf.cli import common
from efld_tf.text import say
from efld_tf.training.recipe import Recipe


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, trains and prints where the result is."""
    parser = common.parser(
        "efld-train",
        "Train a landmark model on faces annotated in any mix of formats. Sources are packed "
        "first where that is not done yet. Started again after a kill, it resumes.",
        "example: efld-train configs/efld/demo.yaml --set training.steps=200\n"
        "         (configs/ is in the project's repository)",
    )
    parser.add_argument("config", help="the recipe (YAML)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="override a value of the recipe, e.g. training.steps=200; may be repeated",
    )
    parser.add_argument(
        "--init-from", metavar="MODEL", help="start from the weights of a trained model: a run's "
        "folder, a .h5, or a shipped one: research or synthetic"
    )
    parser.add_argument(
        "--keys", action=_ShowKeys, nargs=0, help="print what a recipe may say, with defaults"
    )
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    arguments = parser.parse_args(argv)
    run = api.train(
        arguments.config, init_from=arguments.init_from, overrides=arguments.overrides,
        progress=not arguments.quiet,
    )
    if run.nme_percent is None:
        say(f"{run.folder}: trained to step {run.step}; no face was held out to validate it")
    else:
        say(f"{run.folder}: best validation NME {run.nme_percent:.2f}% ({run.head}, "
            f"{run.normaliser}) at step {run.step}")
    return None


class _ShowKeys(argparse.Action):
    """Prints the keys and ends the command, like `--help`."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print("\n".join(_keys()))
        parser.exit()


def _keys() -> Iterator[str]:
    """Yields every key of a recipe, then the options of every family."""
    yield from map(str, config_keys.keys_of(Recipe))
    quiet.quiet_tensorflow()
    from efld_tf.models import registry

    for name, family in registry.FAMILIES.items():
        yield f"\nWhere model.family is {name}:"
        yield from map(str, config_keys.keys_of(family.options, "model.options."))
        yield f"training.loss is {' or '.join(family.losses)}"


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))


if __name__ == "__main__":
    entry()
