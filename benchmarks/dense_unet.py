"""What the paper of stacked dense U-Nets compares, at a size that two cores can train.

    EFLD_DATA=/path/to/data python benchmarks/dense_unet.py [RUNS]

Trains rows of its Table 1 as configs/dense_unet/quarter.yaml, at a quarter of the channels and
64 x 64 pixels on HELEN's and LFPW's training faces (hours on 2 cores; what runs.json has is not
trained again), those with and without its two transformers with three seeds, the others with one.
Errors are those of all 68 points on HELEN's test set and YouTube Faces. Writes
benchmarks/dense_unet/: runs.json and table.md.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST
from lite_hrnet_plus import slug, verdict
from trainings import Recipe, evaluate, known, mean_spread, remember, train, variant

from efld_tf.models import costs, registry

OUTPUT = Path(__file__).parent / "dense_unet"
RUNS = OUTPUT / "runs.json"
RECIPE = Path(__file__).parents[1] / "configs" / "dense_unet" / "quarter.yaml"
FAMILY, HEAD, POINTS, SIZE, WIDTH = "dense_unet", "ibug68", 68, 64, 0.25  # of the recipe
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
NME = "nme_interocular_percent"
COHERENCE = 0.001  # the paper's lambda


@dataclass(frozen=True)
class Row:
    """A row of Table 1.

    Attributes:
      options: of the family, beside the width.
      coherent: whether the transformer outside is learnt from.
      printed: the errors of the paper on iBUG and COFW.
      seeds: number of runs.
    """

    options: dict[str, Any]
    printed: tuple[float, float]
    coherent: bool = False
    seeds: int = 1


BASE, INSIDE, OUTSIDE, DUAL = "SAT (III), CAB", "+ inside", "+ outside", "+ inside + outside"
HOURGLASS, HOURGLASS_CAB = "hourglass, residual", "hourglass, CAB"
HPM = "hourglass, HPM"
ROWS = {
    HOURGLASS: Row({"topology": "hourglass", "block": "residual"}, (7.22, 6.18)),
    HPM: Row({"topology": "hourglass", "block": "hpm"}, (6.95, 5.82)),
    HOURGLASS_CAB: Row({"topology": "hourglass"}, (6.91, 5.78)),
    BASE: Row({}, (6.88, 5.74), seeds=3),
    INSIDE: Row({"inside": "deformable"}, (6.77, 5.63), seeds=3),
    OUTSIDE: Row({}, (6.80, 5.62), coherent=True, seeds=3),
    DUAL: Row({"inside": "deformable"}, (6.73, 5.55), coherent=True, seeds=3),
}
# What the paper says: the first is better than the second.
CLAIMS = ((INSIDE, BASE), (OUTSIDE, BASE), (DUAL, INSIDE), (DUAL, OUTSIDE))


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/dense_unet")
    runs.mkdir(parents=True, exist_ok=True)
    for name, recipe in recipes(runs).items():
        if name not in known(RUNS):
            remember(RUNS, name, measured(train(recipe)))
            (OUTPUT / "table.md").write_text(table())
    (OUTPUT / "table.md").write_text(table())
    print(table())


def recipes(runs: Path) -> dict[str, Recipe]:
    """All runs by name, first those of the first seed."""
    return {run_name(title, seed): recipe(runs, title, seed)
            for seed in range(1, 1 + max(row.seeds for row in ROWS.values()))
            for title, row in ROWS.items() if seed <= row.seeds}


def run_name(title: str, seed: int) -> str:
    """The name of a run."""
    return f"{slug(title) if title != BASE else 'base'}_{seed}"


def recipe(runs: Path, title: str, seed: int) -> Recipe:
    """The recipe of a row."""
    row = ROWS[title]

    def change(changed: Recipe) -> None:
        changed["model"]["options"].update(row.options)
        changed["training"].update(seed=seed, coherence=COHERENCE if row.coherent else 0.0)

    return variant(run_name(title, seed), runs, change, base=RECIPE)


def measured(folder: Path) -> dict[str, float]:
    """The errors of a run on both test sets."""
    return {name: evaluate(folder, source, folder / f"{name}.json")["evaluation"][NME]
            for name, source in TESTS.items()}


def over_seeds(title: str, test: str) -> list[float]:
    """The errors of the runs of a row that are there."""
    found = known(RUNS)
    names = (run_name(title, seed) for seed in range(1, 1 + ROWS[title].seeds))
    return [found[name][test] for name in names if name in found]


def table() -> str:
    """The results as Markdown."""
    lines = [
        f"68 points at {SIZE} x {SIZE} pixels, a quarter of the paper's channels, two stacks and "
        "three halvings; trained on HELEN's and LFPW's training faces in as many steps of as many "
        "images, of which the transformer outside makes two of each face. NME in percent of the "
        "distance between the outer eye corners, float; in brackets the paper's errors on iBUG and "
        "COFW at its own size. Mean and standard deviation over the seeds.", "",
        "| network | parameters | MMACs | seeds | HELEN | YouTube Faces | paper |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, row in ROWS.items():
        cells = [over_seeds(title, test) for test in TESTS]
        if cells[0]:
            options = {"width": WIDTH, **row.options}
            network = registry.architecture(FAMILY, options, SIZE).build({HEAD: POINTS})
            lines.append(
                f"| {title} | {network.count_params():,} | {costs.total(network).macs / 1e6:.0f} "
                f"| {len(cells[0])} | {' | '.join(map(mean_spread, cells))} "
                f"| ({row.printed[0]} / {row.printed[1]}) |")
    lines += ["", "What the paper says, as seen here. A difference within two standard errors is "
              "not told from chance.", "", "| claim | test set | lower | higher | seen |",
              "|---|---|---|---|---|"]
    for better, worse in CLAIMS:
        for test in TESTS:
            low, high = over_seeds(better, test), over_seeds(worse, test)
            if min(len(low), len(high)) > 1:
                lines.append(f"| {better} is better than {worse} | {test} | {np.mean(low):.2f} "
                             f"| {np.mean(high):.2f} | {verdict(low, high)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
