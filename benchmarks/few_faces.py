"""What faces of other formats give a head with few faces of its own.

    EFLD_DATA=/path/to/data python benchmarks/few_faces.py [RUNS [RUN ...]]

Trains `configs/efld/cross_format.yaml` with some of HELEN's training faces only, others for each
seed, and the same without its other sources, in as many steps; then with crops as the shipped
weights see them, from new weights and, by `configs/efld/fine_tune.yaml`, from those of rendered
faces. Measures the 51-point head on HELEN's test set. Runs, such as `alone_50_1`, may be named;
what stands in results.json or RUNS (default runs/few_faces) is not trained again. Writes
benchmarks/few_faces/: results.json, table.md and curves.png.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import HELEN_TEST
from trainings import (
    Change,
    Recipe,
    check_names,
    evaluate,
    known,
    mean_spread,
    remember,
    share_percent,
    source,
    train,
    training,
    variant,
    without,
)

from efld_tf.annotations import sources
from efld_tf.data import splits

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "few_faces"
RESULTS = OUTPUT / "results.json"
FACES = (50, 150, 450, 870)  # about a tenth of which chooses the weights; 870 are all
SEEDS = (1, 2, 3)
STEPS = 4000
ZOOM, TUNED_STEPS = 1.3, 1500  # of `FINE_TUNE`
ARMS = {
    "alone": "alone", "cross_format": "beside three other formats",
    "zoomed": "alone, zoomed", "tuned": "from `synthetic`, zoomed",
}
FINE_TUNE = Path(__file__).parents[1] / "configs" / "efld" / "fine_tune.yaml"
OTHERS = ("youtube_faces", "scut", "net7876")


def some(count: int, seed: int, runs: Path) -> Change:
    """With `count` of HELEN's faces, nested for a seed, with the share of the draws of all."""

    def change(recipe: Recipe) -> None:
        helen = source(recipe, "helen")
        faces = sorted(sources.read(os.path.expandvars(helen["source"])).records,
                       key=lambda face: hashlib.sha256(f"{seed} {face.key}".encode()).digest())
        left_out = [{"key": face.key, "reason": "not drawn"} for face in faces[count:]]
        path = runs / f"without_{count}_{seed}.json"
        path.write_text(json.dumps({"sources": [{"source": helen["source"], "exclude": left_out}]}))
        trained = [not splits.in_validation(face, helen["validation_fraction"]) for face in faces]
        helen["repeat"] *= sum(trained) / sum(trained[:count])
        # Packed in a folder of their own.
        helen.update(exclude=str(path), name=f"helen_{count}_{seed}")

    return change


def recipe_of(arm: str, count: int, seed: int, runs: Path) -> Recipe:
    """A run's recipe."""
    runs.mkdir(parents=True, exist_ok=True)
    if arm == "tuned":
        return variant(
            f"{arm}_{count}_{seed}", runs,
            lambda recipe: recipe["data"]["sources"][0].update(name="helen", repeat=1),
            some(count, seed, runs), training(seed=seed), base=FINE_TUNE)
    changes = [some(count, seed, runs), training(steps=STEPS, seed=seed)]
    if arm != "cross_format":
        changes.append(without(*OTHERS))
    if arm == "zoomed":
        changes.append(lambda recipe: recipe["data"].update(pack={"zoom": ZOOM}))
    return variant(f"{arm}_{count}_{seed}", runs, *changes)


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/few_faces").absolute()
    there_are = {f"{arm}_{count}_{seed}": (arm, count, seed)
                 for arm in ARMS for seed in SEEDS for count in FACES}
    names = sys.argv[2:] or [name for name in there_are if name not in known(RESULTS)]
    check_names(names, there_are)
    for name in names:
        folder = train(recipe_of(*there_are[name], runs))
        results = evaluate(folder, HELEN_TEST, folder / "helen.json")["evaluation"]
        remember(RESULTS, name, {key: results[key] for key in (
            "nme_interocular_percent", "failure_rate_10_percent", "ced_auc_10_percent")})
        (OUTPUT / "table.md").write_text(table(known(RESULTS)))
        draw(known(RESULTS))
    print((OUTPUT / "table.md").read_text())


def errors(found: dict[str, Any], arm: str, count: int) -> list[float]:
    """The NME of what is known of an arm with so many faces, by seed."""
    names = [f"{arm}_{count}_{seed}" for seed in SEEDS]
    return [found[name]["nme_interocular_percent"] for name in names if name in found]


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"NME in percent on HELEN's test set (330 faces, 51 points, inter-ocular, float) after "
        f"{STEPS:,} steps of 64 faces, or {TUNED_STEPS:,} from the weights of rendered faces; mean "
        f"± standard deviation over {len(SEEDS)} seeds, each of "
        "which draws other faces where not all are used. About a tenth of them chooses the "
        f"weights. Beside other formats {share_percent('helen'):.0f}% of the faces that a step "
        "sees are HELEN's, alone all of them. One of the other formats, the 68 points of YouTube "
        "Faces, contains these 51, in a head of its own.", "",
        f"| HELEN's faces | {' | '.join(ARMS.values())} |", "|---|" + len(ARMS) * "---|",
    ]
    for count in FACES:
        cells = [errors(found, arm, count) for arm in ARMS]
        shown = [mean_spread(cell) if len(cell) == len(SEEDS) else "-" for cell in cells]
        lines.append(f"| {count} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any]) -> None:
    """NME against the number of faces."""
    figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
    for arm, title in ARMS.items():
        rows = {count: errors(found, arm, count) for count in FACES}
        rows = {count: row for count, row in rows.items() if len(row) == len(SEEDS)}
        if not rows:
            continue
        means = [np.mean(row) for row in rows.values()]
        (line,) = axis.plot(list(rows), means, label=title.replace("`", ""))
        for count, row in rows.items():
            axis.plot([count] * len(row), row, "o", markersize=4, color=line.get_color())
    axis.set_xscale("log")
    axis.set_xticks(FACES, [str(count) for count in FACES])
    axis.minorticks_off()
    axis.set_ylim(bottom=0)
    axis.set_xlabel("faces for the 51-point head")
    axis.set_ylabel("NME on HELEN's test set, %")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(OUTPUT / "curves.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
