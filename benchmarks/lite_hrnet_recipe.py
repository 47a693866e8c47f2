"""What changes to the recipe of Lite-HRNet Plus do to held-out faces, for a recipe at its best.

    EFLD_DATA=/path/to/data python benchmarks/lite_hrnet_recipe.py [RUNS [ATTEMPT ...]]

Trains every attempt (or those named; hours on 2 cores) from configs/lite_hrnet_plus/small.yaml, all
in as many steps, and compares them on the tenth of HELEN's and LFPW's training faces that is held
out; test sets are not touched. Writes benchmarks/lite_hrnet_recipe/: results.json and table.md.
What stands in results.json or RUNS (default runs/lite_hrnet_recipe) is not trained again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from lite_hrnet_plus import MAPNET, PIP, RECIPE, ROWS
from trainings import (
    Attempt,
    Change,
    Recipe,
    augment,
    chain,
    check_names,
    held_out,
    known,
    remember,
    source,
    together,
    train,
    training,
    variant,
)

from efld_tf import assets

OUTPUT = Path(__file__).parent / "lite_hrnet_recipe"
RESULTS = OUTPUT / "results.json"
ANNOTATED = ("helen", "lfpw")
# The other photos of configs/efld/best.yaml.
OTHERS = {
    "youtube_faces": "youtube_faces:${EFLD_DATA}/youtube_faces?identities=train",
    "scut": "scut:${EFLD_DATA}/scut_fbp5500",
    "net7876": "mtfl:${EFLD_DATA}/net7876/trainImageList.txt",
}


def repeat(times: float) -> Change:
    """The annotated faces so often for every other one."""

    def change(recipe: Recipe) -> None:
        for name in ANNOTATED:
            source(recipe, name)["repeat"] = times

    return change


def taught(recipe: Recipe) -> None:
    """The shipped EFLD labels other photos."""
    recipe["self_training"] = {"teacher": str(assets.FLOAT_MODEL), "unlabelled": [
        # One annotation of SCUT's original distribution is truncated.
        {"name": f"{name}_taught", "source": where, "heads": ["ibug51"],
         "validation_fraction": 0.05, "on_error": "skip"} for name, where in OTHERS.items()]}


def continued(name: str) -> Change:
    """Another 3,000 steps, from the best weights of an attempt."""

    def change(recipe: Recipe) -> None:
        recipe["training"]["init_from"] = f"{recipe['output_dir']}/{name}/best.h5"

    return change


def network(title: str) -> Change:
    """Another network of benchmarks/lite_hrnet_plus.py."""
    family, options = ROWS[title]
    return lambda recipe: recipe["model"].update(family=family, options=options)


ATTEMPTS = {
    "base": Attempt("small.yaml", None, together()),
    "zoom": Attempt("zoom 1.3", "base", lambda recipe: recipe["data"].update(pack={"zoom": 1.3})),
    "light": Attempt("half the augmentation", "zoom", augment(
        rotation=6.0, scale=0.04, translation=0.015, occlusion=0.1, noise=0.02, blur=0.1)),
    "rate_006": Attempt("learning rate 0.006, all augmentation", "zoom",
                        training(learning_rate=0.006)),
    "fast": Attempt("learning rate 0.006", "light", training(learning_rate=0.006)),
    "faster": Attempt("learning rate 0.012", "light", training(learning_rate=0.012)),
    # What the same gives other families.
    "pip": Attempt(PIP, "light", network(PIP)),
    "pip_faster": Attempt("learning rate 0.012", "pip", training(learning_rate=0.012)),
    "mapnet": Attempt(MAPNET, "light", network(MAPNET)),
    "mapnet_faster": Attempt("learning rate 0.012", "mapnet", training(learning_rate=0.012)),
    "taught": Attempt("the shipped EFLD labels YouTube Faces, SCUT and CUHK, and the annotated "
                      "faces are drawn 4 times as often", "zoom", together(taught, repeat(4))),
    "twice": Attempt("another 3,000 steps from its weights", "fast", continued("fast"),
                     needs="fast"),
    "twice_taught": Attempt("the second time with these labels of the shipped EFLD", "twice",
                            together(taught, repeat(4))),
}


def main() -> None:
    """Trains, compares and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/lite_hrnet_recipe")
    asked = sys.argv[2:] or [name for name in ATTEMPTS if name not in known(RESULTS)]
    check_names(asked, ATTEMPTS)
    for name in asked:
        folder = trained(name, runs)
        remember(RESULTS, name, {
            source: held_out(folder, source, base=RECIPE) for source in ANNOTATED})
        (OUTPUT / "table.md").write_text(table(known(RESULTS)))
    print((OUTPUT / "table.md").read_text())


def trained(name: str, runs: Path) -> Path:
    """The folder of an attempt's run, after the one that it starts from."""
    attempts = chain(ATTEMPTS, name)
    for attempt in attempts:
        if attempt.needs:
            trained(attempt.needs, runs)
    return train(variant(name, runs, *(attempt.change for attempt in attempts), base=RECIPE))


def table(found: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    lines = [
        "The small network if no other is named, one seed, 3,000 steps of 32 faces; NME in percent "
        "of training faces that are held out.", "",
        "| attempt | added to | HELEN | gain | LFPW | gain |", "|---|---|---|---|---|---|",
    ]
    for name, attempt in ATTEMPTS.items():
        if name not in found:
            continue
        before = found.get(attempt.against or "")
        cells = [attempt.title, ATTEMPTS[attempt.against].title if attempt.against else ""]
        for test in ANNOTATED:
            cells.append(f"{found[name][test]:.2f}")
            cells.append(f"{before[test] - found[name][test]:+.2f}" if before else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
