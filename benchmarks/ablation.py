"""The EFLD paper's Table 2 on real faces, and what each source of training faces is worth.

    EFLD_DATA=/path/to/data python benchmarks/ablation.py [RUNS [RUN ...]]

Trains every row with three seeds and the same number of steps (hours on 2 cores), or the runs that
are named, such as `full_1`. Table 2 is measured on HELEN's and YouTube Faces' test sets, with the
size of the int8 export; what sources are worth on the training faces that are held out. Writes
benchmarks/ablation/: results.json, table.md and sources.png. What stands in results.json or RUNS
(default runs/ablation) is not trained again.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST, command
from trainings import (
    Change,
    Recipe,
    Rendered,
    Teacher,
    check_names,
    evaluate,
    known,
    mean_spread,
    model,
    remember,
    share_percent,
    source,
    together,
    train,
    training,
    variant,
    without,
)

from efld_tf import runs
from efld_tf.annotations import sources
from efld_tf.runtime import graph

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "ablation"
RESULTS = OUTPUT / "results.json"
SEEDS = (1, 2, 3)
STEPS = 4000
OTHERS = ("youtube_faces", "scut", "net7876")
MADE: tuple[Rendered | Teacher, ...] = (Rendered("rendered"), Teacher("mesh", "ibug68"))


@dataclass(frozen=True)
class Row:
    """A row of Table 2.

    Attributes:
      title: of the row.
      change: of the full recipe.
      paper: MFLOPs, MB, NME, FR@10% and CED-AUC@10% that the paper reports (on IVSFD).
    """

    title: str
    change: Change
    paper: tuple[float, ...]


TABLE_2 = {
    "full": Row("full", together(), (19.1, 0.170, 3.72, 1.13, 65.3)),
    "heavy_backbone": Row("without light backbone", model(separable=False),
                          (25.2, 0.180, 3.68, 1.26, 65.9)),
    "pfld_head": Row("without light head", model(head="pfld"), (18.8, 0.229, 3.62, 1.08, 66.0)),
    "one_format": Row("without cross-format training", without(*OTHERS),
                      (19.1, 0.170, 5.10, 4.42, 54.2)),
}
MEASURED = ("nme_interocular_percent", "failure_rate_10_percent", "ced_auc_10_percent")


def every_source(recipe: Recipe) -> None:
    """All sources at hand, a fifth of HELEN's faces held out."""
    source(recipe, "helen")["validation_fraction"] = 0.2
    more = {
        "webmorph": ("webmorph:${EFLD_DATA}/webmorph", "webmorph189"),
        "face_synthetics": ("face_synthetics:${EFLD_DATA}/face_synthetics", "face_synthetics70"),
    }
    for name, (where, head) in more.items():
        recipe["heads"].setdefault(head, {"weight": 1.0})
        recipe["data"]["sources"].append({"name": name, "source": where, "heads": [head]})
    for made, head in zip(MADE, ("wflw98", "ibug51"), strict=True):
        made.supervises(head)(recipe)


def table_run(row: str, seed: int, runs: Path) -> Recipe:
    """A run of Table 2, with all of HELEN's faces but those that choose the weights."""
    return variant(f"{row}_{seed}", runs, TABLE_2[row].change,
                   training(steps=STEPS, seed=seed))


def drawn(about: dict[str, Any]) -> float:
    """How many faces of a source an epoch has."""
    found = sources.read(os.path.expandvars(about["source"]), on_error="skip")
    held_out = about.get("validation_fraction", 0.0)
    return len(found.records) * (1 - held_out) * about.get("repeat", 1.0)


def leaving_out(names: tuple[str, ...]) -> Change:
    """Without these sources, whose draws go to all others but HELEN: its share stays."""

    def change(recipe: Recipe) -> None:
        others = {s["name"]: drawn(s) for s in recipe["data"]["sources"] if s["name"] != "helen"}
        kept = sum(faces for name, faces in others.items() if name not in names)
        source(recipe, "helen")["repeat"] *= kept / sum(others.values())
        without(*names)(recipe)

    return change


def source_run(left_out: str, seed: int, runs: Path) -> Recipe:
    """A run with all sources but one."""
    _, names = LEFT_OUT[left_out]
    return variant(f"without_{left_out}_{seed}", runs, every_source, leaving_out(names),
                   training(steps=STEPS, seed=seed))


LEFT_OUT = {
    "nothing": ("nothing", ()),
    "youtube_faces": ("YouTube Faces (68 points)", ("youtube_faces",)),
    "scut": ("SCUT-FBP5500 (86)", ("scut",)),
    "net7876": ("CUHK's photos (5)", ("net7876",)),
    "webmorph": ("WebMorph (189)", ("webmorph",)),
    "face_synthetics": ("FaceSynthetics (70)", ("face_synthetics",)),
    "rendered": ("rendered faces (98)", ("rendered",)),
    "mesh": ("pseudo-labels (51)", ("mesh_scut", "mesh_net7876")),
}


def tested(folder: Path) -> dict[str, Any]:
    """A run on the test sets, and what its int8 export weighs."""
    evaluation = evaluate(folder, HELEN_TEST, folder / "helen.json")["evaluation"]
    others = evaluate(folder, YOUTUBE_TEST, folder / "youtube_faces.json", "--head", "ibug51")
    exported = folder / "efld_ibug51_int8" / "efld_ibug51_int8.tflite"
    if not exported.exists():
        command("efld-export", folder, "--int8", "--head", "ibug51")
    return {**{key: evaluation[key] for key in MEASURED},
            "youtube_faces_percent": others["evaluation"]["nme_interocular_percent"],
            "size_bytes": exported.stat().st_size, "macs": graph.total_macs(exported)}


def held_out_error(folder: Path) -> dict[str, Any]:
    """A run on the faces that it held out, after its last step."""
    return {"nme_percent": runs.validation_history(folder)[-1]["nme_percent"]}


# What makes the recipe of a run, what measures the run, and of what row or source it is; its seed.
Run = tuple[Callable[[str, int, Path], Recipe], Callable[[Path], dict[str, Any]], str, int]


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/ablation")
    there_are: dict[str, Run] = {f"{row}_{seed}": (table_run, tested, row, seed)
                                 for seed in SEEDS for row in TABLE_2}
    there_are |= {f"without_{name}_{seed}": (source_run, held_out_error, name, seed)
                  for seed in SEEDS for name in LEFT_OUT}
    names = sys.argv[2:] or [name for name in there_are if name not in known(RESULTS)]
    check_names(names, there_are)
    if any(name.startswith("without_") for name in names):
        for made in MADE:
            made.make(runs)
    for name in names:
        recipe_of, measure, what, seed = there_are[name]
        remember(RESULTS, name, measure(train(recipe_of(what, seed, runs))))
        found = known(RESULTS)
        (OUTPUT / "table.md").write_text(tables(found))
        draw(found)
    print((OUTPUT / "table.md").read_text())


def seeds_of(found: dict[str, Any], row: str) -> list[dict[str, Any]]:
    """What is known of a row, by seed."""
    return [found[f"{row}_{seed}"] for seed in SEEDS if f"{row}_{seed}" in found]


def tables(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"{STEPS:,} steps of 64 faces of `configs/efld/cross_format.yaml`, whose batch and rate "
        f"were found for the first row; mean ± standard deviation over {len(SEEDS)} seeds. "
        "HELEN's test set (330 faces, each 0.30% of them; 51 points, inter-ocular, float); size of "
        "the int8 export. In brackets what the paper reports on IVSFD. Without cross-format "
        f"training all faces that a step sees are HELEN's, else {share_percent('helen'):.0f}%. "
        "Last, the same 51 points on people of YouTube Faces whom no training shows; all rows but "
        "the last train on other people there, by 68 points.", "",
        "| | MFLOPs | MB | NME % | FR@10% | CED-AUC@10% | YouTube Faces, NME % |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, about in TABLE_2.items():
        if len(rows := seeds_of(found, name)) < len(SEEDS):
            continue
        paper = about.paper
        cells = [f"{2 * rows[0]['macs'] / 1e6:.1f} ({paper[0]})",
                 f"{rows[0]['size_bytes'] / 1e6:.3f} ({paper[1]:.3f})"]
        cells += [f"{mean_spread([row[key] for row in rows], digits)} ({value:.{digits}f})"
                  for key, digits, value in zip(MEASURED, (2, 2, 1), paper[2:], strict=True)]
        cells.append(mean_spread([row["youtube_faces_percent"] for row in rows]))
        lines.append(f"| {about.title} | {' | '.join(cells)} |")
    worth = []
    for name, (title, _) in LEFT_OUT.items():
        rows = [row["nme_percent"] for row in seeds_of(found, f"without_{name}")]
        if len(rows) == len(SEEDS):
            cells = [mean_spread([row[head] for row in rows]) if head in rows[0] else ""
                     for head in ("ibug51", "ibug68")]
            worth.append(f"| {title} | {' | '.join(cells)} |")
    if worth:
        lines += [
            "", "What a source is worth: NME in percent of training faces that are held out, after "
            f"{STEPS:,} steps without it; {len(SEEDS)} seeds. HELEN's share of the drawn faces is "
            "the same everywhere.", "",
            "| left out | HELEN (51 points) | YouTube Faces (68 points) |", "|---|---|---|", *worth,
        ]
    return "\n".join(lines) + "\n"


def draw(found: dict[str, Any]) -> None:
    """By how much the NME of HELEN's held-out faces rises without each source."""
    rows = {name: seeds_of(found, f"without_{name}") for name in LEFT_OUT}
    values = {name: np.array([row["nme_percent"]["ibug51"] for row in seeds])
              for name, seeds in rows.items() if len(seeds) == len(SEEDS)}
    if len(values) < 2 or "nothing" not in values:
        return
    everything = values.pop("nothing")
    titles = [LEFT_OUT[name][0] for name in values]
    rises = [v.mean() - everything.mean() for v in values.values()]
    errors = [np.sqrt((v.var(ddof=1) + everything.var(ddof=1)) / len(v)) for v in values.values()]
    figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axis.barh(titles[::-1], rises[::-1], xerr=errors[::-1], capsize=3)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xlabel("rise of HELEN's NME without the source, points\n"
                    f"(bars: standard error of the difference, {len(SEEDS)} seeds)")
    axis.grid(axis="x", alpha=0.3)
    figure.savefig(OUTPUT / "sources.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
