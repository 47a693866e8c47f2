"""What a stacked dense U-Net is worth as a teacher of the shipped EFLD.

    EFLD_DATA=/path/to/data python benchmarks/taught.py [RUNS]

Trains configs/dense_unet/teacher.yaml, and configs/efld/taught.yaml with that teacher and, to
compare, with the shipped model's own points (hours on 2 cores; what runs.json has is not trained
again). Errors are those of the 51 inner points on HELEN's training faces that are held out, and on
the test sets. Writes benchmarks/taught/: runs.json and table.md.
"""

from __future__ import annotations

import sys
from pathlib import Path

from common import HELEN_TEST, YOUTUBE_TEST
from trainings import Change, Recipe, evaluate, known, packed, remember, train, variant

import efld_tf

OUTPUT = Path(__file__).parent / "taught"
RUNS = OUTPUT / "runs.json"
CONFIGS = Path(__file__).parents[1] / "configs"
TEACHER, TAUGHT = CONFIGS / "dense_unet" / "teacher.yaml", CONFIGS / "efld" / "taught.yaml"
SHIPPED = "research"
WEIGHTS = Path(efld_tf.__file__).parent / "assets" / SHIPPED / "efld.h5"
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
NME, HELD_OUT = "nme_interocular_percent", "helen_held_out"
TITLES = {
    "teacher": "the dense U-Net, a quarter as wide as the paper's",
    SHIPPED: "the shipped EFLD",
    "by_itself": "trained on, with points of its own",
    "taught": "trained on, with the dense U-Net's",
}


def taught_by(teacher: str) -> Change:
    """The model that labels."""

    def change(recipe: Recipe) -> None:
        recipe["self_training"]["teacher"] = teacher

    return change


def measured(model: Path, run: Path, folder: Path) -> dict[str, float]:
    """The errors of a model on held-out faces of a run, and on the test sets."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = {HELD_OUT: packed(run, "helen", base=TAUGHT), **TESTS}
    return {name: evaluate(model, source, folder / f"{name}.json")["evaluation"][NME]
            for name, source in sources.items()}


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/taught")
    runs.mkdir(parents=True, exist_ok=True)
    teacher = variant("teacher", runs, base=TEACHER)
    recipes = {
        "teacher": teacher,
        "by_itself": variant("by_itself", runs, taught_by(SHIPPED), base=TAUGHT),
        "taught": variant("taught", runs, taught_by(str(runs / "teacher")), base=TAUGHT),
    }
    for name, recipe in recipes.items():
        if name not in known(RUNS):
            folder = train(recipe)
            remember(RUNS, name, measured(folder, folder, runs / f"{name}_measured"))
            (OUTPUT / "table.md").write_text(table())
    if SHIPPED not in known(RUNS):
        remember(RUNS, SHIPPED, measured(WEIGHTS, runs / "taught", runs / f"{SHIPPED}_measured"))
    (OUTPUT / "table.md").write_text(table())
    print(table())


def table() -> str:
    """The results as Markdown."""
    lines = [
        "51 points, one seed; NME in percent of the distance between the outer eye corners, float. "
        "Held out are a tenth of HELEN's training faces. Trained on: 8,000 steps with HELEN, LFPW "
        "and the points that are named for the faces of YouTube Faces, SCUT and CUHK.", "",
        "| model | HELEN, held out | HELEN | YouTube Faces |", "|---|---|---|---|",
    ]
    found = known(RUNS)
    lines += [f"| {title} | " + " | ".join(
        f"{found[name][key]:.2f}" for key in (HELD_OUT, *TESTS)) + " |"
        for name, title in TITLES.items() if name in found]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
