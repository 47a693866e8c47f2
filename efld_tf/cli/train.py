"""`efld-train`: trains a recipe, or carries on where it was stopped."""

from __future__ import annotations

import json
from collections.abc import Sequence

from efld_tf.cli import common
from efld_tf.training import recipe as recipes


def main(argv: Sequence[str] | None = None) -> int | None:
    """Parses the arguments, trains and prints where the result is."""
    parser = common.parser(
        "efld-train",
        "Train a landmark model on faces annotated in any mix of formats. Sources are packed "
        "first where that is not done yet. Started again after a kill, it resumes.",
        "example: efld-train configs/efld/demo.yaml --set training.steps=200",
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
    parser.add_argument("--quiet", action="store_true", help="no progress display")
    arguments = parser.parse_args(argv)
    overrides = list(arguments.overrides)
    if arguments.init_from:
        overrides.append(f"training.init_from={json.dumps(arguments.init_from)}")
    recipe = recipes.load(arguments.config, overrides)

    common.quiet_tensorflow()
    from efld_tf.training import rounds

    result = rounds.train(recipe, progress=not arguments.quiet)
    print(
        f"{result.folder}: best validation NME {result.nme_percent:.2f}% "
        f"({recipe.training.target_head}) at step {result.step}"
    )
    return None


def entry() -> None:
    """The console script."""
    raise SystemExit(common.run(main))


if __name__ == "__main__":
    entry()
