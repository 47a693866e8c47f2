"""Lite-HRNet Plus beside the other families on the same faces, and what its paper claims.

    EFLD_DATA=/path/to/data python benchmarks/lite_hrnet_plus.py [RUNS]

Trains every row of the table with three seeds (hours on 2 cores; what runs.json has is not trained
again), all at 96 pixels on HELEN's and LFPW's training faces in as many steps, and measures each on
HELEN's test set and on the people of youtube_faces that no training face shows. Also trains the
recipes of the large network once, which benchmarks/lite_hrnet_recipe.py found. The times are those
of benchmarks/lite_hrnet_speed.py. Writes benchmarks/lite_hrnet_plus/: runs.json and table.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST
from trainings import Recipe, evaluate, known, mean_spread, remember, train, variant

from efld_tf.landmarks import schemas
from efld_tf.models import costs, registry

OUTPUT = Path(__file__).parent / "lite_hrnet_plus"
RUNS = OUTPUT / "runs.json"
SPEED = Path(__file__).parent / "lite_hrnet_speed" / "results.json"
RECIPE = Path(__file__).parents[1] / "configs" / "lite_hrnet_plus" / "small.yaml"
SEEDS = (1, 2, 3)
FAMILY, SIZE, HEAD = "lite_hrnet_plus", 96, "ibug51"
EFLD = "EFLD"
PIP, SMALL, LARGE = "PIP + NRM on EFLD's backbone", "small", "large"
MAPNET = "MapNet, centroid"
MSE, V1, POINTWISE = "small, MSE", "small, HRNetV1's head", "point-wise, at small's cost"
# Title -> family and its options.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    EFLD: ("efld", {}),
    PIP: ("pipnet", {"backbone": "efld", "stride": 16, "neighbours": 10}),
    "MapNet on EFLD's backbone": ("mapnet", {"backbone": "efld", "stride": 4, "channels": 64}),
    MAPNET: (
        "mapnet", {"backbone": "efld", "stride": 4, "channels": 64, "decoder": "centroid"}),
    SMALL: (FAMILY, {}),
    MSE: (FAMILY, {"maps": "values"}),
    V1: (FAMILY, {"head": "hrnet_v1"}),
    POINTWISE: (FAMILY, {"fusion": "pointwise", "stem": 28, "channels": 14}),
    LARGE: (FAMILY, {"stem": 74, "channels": 40, "reduction": 2}),
}
# Recipes of the large network at its best, and which of them each goes on from.
TUNED = {"large": None, "large_best": "large"}
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
NME = "nme_interocular_percent"
KEPT = (NME, "failure_rate_10_percent", "ced_auc_10_percent")
# The paper's claim, what it says to be lower, and what higher.
CLAIMS = [
    ("Table 1: better than PIPNet at about as many FLOPs", SMALL, PIP),
    ("Table 1: binary cross-entropy is better than mean squared error", SMALL, MSE),
    ("3.2: maps of all resolutions are better than those of the highest", SMALL, V1),
    ("Table 2a: stepped attention is not worse than point-wise convolutions", SMALL, POINTWISE),
    ("Table 1: the large network is better than the small one", LARGE, SMALL),
]


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/lite_hrnet_plus")
    for seed in SEEDS:
        for title in ROWS:
            name = f"{slug(title)}_{seed}"
            if name not in known(RUNS):
                remember(RUNS, name, measured(train(recipe(runs, title, seed))))
                (OUTPUT / "table.md").write_text(table())
    for name, start in TUNED.items():
        if name not in known(RUNS):
            if start:
                train(tuned(runs, start, None))
            remember(RUNS, name, measured(train(tuned(runs, name, start))))
    (OUTPUT / "table.md").write_text(table())
    print(table())


def slug(title: str) -> str:
    """A title as the name of a run."""
    return "_".join("".join(c if c.isalnum() else " " for c in title.lower()).split())


def recipe(runs: Path, title: str, seed: int) -> Recipe:
    """The recipe of a row."""
    family, options = ROWS[title]

    def change(changed: Recipe) -> None:
        changed["model"].update(family=family, options=options)
        changed["training"].update(seed=seed)

    return variant(f"{slug(title)}_{seed}", runs, change, base=RECIPE)


def tuned(runs: Path, name: str, start: str | None) -> Recipe:
    """One of the recipes of `TUNED`."""

    def change(changed: Recipe) -> None:
        if start:
            changed["training"]["init_from"] = str(runs / start / "best.h5")

    return variant(name, runs, change, base=RECIPE.with_name(f"{name}.yaml"))


def measured(folder: Path) -> dict[str, Any]:
    """A run on both test sets."""
    result = {}
    for name, source in TESTS.items():
        evaluation = evaluate(folder, source, folder / f"{name}.json")["evaluation"]
        result[name] = {key: evaluation[key] for key in KEPT}
    return result


def over_seeds(title: str, test: str, key: str) -> list[float]:
    """A figure of the runs of a row that are there."""
    found = known(RUNS)
    names = [f"{slug(title)}_{seed}" for seed in SEEDS]
    return [found[name][test][key] for name in names if name in found]


def table() -> str:
    """The results as Markdown."""
    lines = [
        "51 points at 96 x 96 pixels, trained on HELEN's and LFPW's training faces, float. FLOPs "
        "in millions as papers on small HRNets count them; the time of the int8 export, where it "
        "is measured. NME in percent of the distance between the outer eye corners; failures and "
        "area under the curve at 10%. Mean and standard deviation over the seeds. All rows learn "
        "in one recipe but the last ones, which have their own.", "",
        "| network | MFLOPs | int8 us | seeds | HELEN NME | failures | AUC | YouTube Faces NME "
        "| failures | AUC |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    times = {row["network"]: f"{row['microseconds']:.0f}"
             for row in json.loads(SPEED.read_text())["networks"]}
    for title in ROWS:
        cells = [over_seeds(title, test, key) for test in TESTS for key in KEPT]
        if cells[0]:
            lines.append(f"| {title} | {mflops(title):.2f} | {times.get(title, '')} "
                         f"| {len(cells[0])} | {' | '.join(map(mean_spread, cells))} |")
    for name in TUNED:
        if found := known(RUNS).get(name):
            tuned = [f"{found[test][key]:.2f}" for test in TESTS for key in KEPT]
            lines.append(f"| configs/lite_hrnet_plus/{name}.yaml | {mflops(LARGE):.2f} "
                         f"| {times[LARGE]} | 1 | {' | '.join(tuned)} |")
    lines += [
        "", "What the paper says, as seen here, with the NME that should be lower and the one that "
        "should be higher. A difference within two standard errors is not told from chance.", "",
        "| claim | test | lower | higher | seen |", "|---|---|---|---|---|",
    ]
    for claim, low, high in CLAIMS:
        for test in TESTS:
            values = [over_seeds(title, test, NME) for title in (low, high)]
            if min(map(len, values)) > 1:
                lines.append(f"| {claim} | {test} | {np.mean(values[0]):.2f} "
                             f"| {np.mean(values[1]):.2f} | {verdict(*values)} |")
    return "\n".join(lines) + "\n"


def mflops(title: str) -> float:
    """The FLOPs of a row's network with its 51 points, in millions."""
    architecture = registry.architecture(*ROWS[title], SIZE)
    return costs.total(architecture.build({HEAD: schemas.get(HEAD).num_points})).flops / 1e6


def verdict(low: list[float], high: list[float]) -> str:
    """Whether `low` is lower, by more than the seeds explain."""
    error = np.sqrt(sum(np.var(values, ddof=1) / len(values) for values in (low, high)))
    difference = np.mean(high) - np.mean(low)
    if abs(difference) <= 2 * error:
        return "within the spread"
    return "yes" if difference > 0 else "no, the opposite"


if __name__ == "__main__":
    main()
