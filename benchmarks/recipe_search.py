"""What changes to the recipe of `configs/efld/cross_format.yaml` do to held-out training faces.

    EFLD_DATA=/path/to/data python benchmarks/recipe_search.py [RUNS [ATTEMPT ...]]

Trains every attempt (or those named, without writing tables) on the same number of faces and
compares the NME of the 51-point head on a fifth of HELEN's training faces, which is held out; test
sets are not touched. What RUNS (default runs/recipe_search) has already is not trained again.
Writes benchmarks/recipe_search/: results.json and table.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from trainings import (
    Change,
    Recipe,
    Teacher,
    augment,
    best_validation,
    model,
    source,
    together,
    train,
    training,
    variant,
)

OUTPUT = Path(__file__).parent / "recipe_search"
FACES = 256_000  # drawn in training, whatever the batch


@dataclass(frozen=True)
class Attempt:
    """Something tried.

    Attributes:
      title: what it is.
      against: the attempt that it changes, or None.
      change: of that.
    """

    title: str
    against: str | None
    change: Change


def zoom(factor: float) -> Change:
    """Crops of 1 / factor the side."""
    return lambda recipe: recipe["data"].update(pack={"zoom": factor})


def repeat(times: float) -> Change:
    """HELEN's faces, whose format is the target, so often for every other one."""
    return lambda recipe: source(recipe, "helen").update(repeat=times)


def youtube(recipe: Recipe) -> None:
    """YouTube Faces supervises the target head too, by the points that it has."""
    source(recipe, "youtube_faces")["heads"] = ["ibug68", "ibug51"]


MESH = Teacher("mesh", "ibug68")
ONE_VIEW = Teacher("mesh_one_view", "ibug68", views=1)
VERTICES = Teacher("vertices", "mediapipe468")
LIGHT = augment(rotation=6.0, scale=0.04, translation=0.015, occlusion=0.1, noise=0.02, blur=0.1)
ATTEMPTS = {
    "base": Attempt("the recipe as it was", None, together()),
    "rate_006": Attempt("learning rate 0.006", "base", training(learning_rate=0.006)),
    "rate_012": Attempt("learning rate 0.012", "base", training(learning_rate=0.012)),
    "light": Attempt("half the augmentation", "rate_006", LIGHT),
    "zoom": Attempt("zoom 1.3", "rate_006", zoom(1.3)),
    "batch_64": Attempt("batch 64", "rate_006", training(batch_size=64)),
    "batch_64_rate_012": Attempt("learning rate 0.012", "batch_64", training(learning_rate=0.012)),
    "combo": Attempt("half the augmentation, zoom 1.3", "batch_64", together(LIGHT, zoom(1.3))),
    "mesh": Attempt("SCUT and CUHK labelled by the mesh", "combo", MESH.supervises("ibug51")),
    "mesh_one_view": Attempt("... from one view", "combo", ONE_VIEW.supervises("ibug51")),
    "mesh_head": Attempt("all 468 points of the mesh, with a head of their own", "combo",
                         VERTICES.supervises("mediapipe468")),
    "youtube": Attempt("YouTube Faces for the 51 points too", "combo", youtube),
    "repeat_1": Attempt("HELEN's faces not oversampled", "combo", repeat(1)),
    "repeat_6": Attempt("HELEN's faces 6 times instead of 3", "combo", repeat(6)),
    "norm_090": Attempt("batch norm momentum 0.9 instead of 0.95", "combo",
                        model(batch_norm_momentum=0.9)),
    "norm_099": Attempt("batch norm momentum 0.99", "combo", model(batch_norm_momentum=0.99)),
    "relu": Attempt("ReLU instead of ReLU6", "combo", model(activation="relu")),
    "average": Attempt("average of the weights", "rate_006", training(weight_average=0.8)),
    "wing": Attempt("wing loss", "rate_006", training(loss="wing")),
    "decay_0": Attempt("no weight decay", "rate_006", training(weight_decay=0.0)),
    "decay_001": Attempt("weight decay 0.01", "rate_006", training(weight_decay=0.01)),
}


def held_out(recipe: Recipe) -> None:
    """A fifth of HELEN's faces is held out, and the steps follow from the batch."""
    source(recipe, "helen")["validation_fraction"] = 0.2
    steps = FACES // recipe["training"]["batch_size"]
    recipe["training"].update(steps=steps, validation_interval=steps // 4,
                              checkpoint_interval=steps // 4)


def change_of(name: str) -> Change:
    """Everything that makes an attempt's recipe of the base."""
    attempt = ATTEMPTS[name]
    before = [change_of(attempt.against)] if attempt.against else []
    return together(*before, attempt.change)


def main() -> None:
    """Trains, compares and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/recipe_search")
    for teacher in (MESH, ONE_VIEW, VERTICES):
        teacher.label(runs)
    for name in sys.argv[2:] or ATTEMPTS:
        train(variant(name, runs, change_of(name), held_out))
    if sys.argv[2:]:
        return
    found = {name: best_validation(runs / name)["nme_percent"] for name in ATTEMPTS}
    OUTPUT.mkdir(exist_ok=True)
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


def table(found: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    lines = [
        f"{FACES:,} faces of training; NME in percent of training faces that are held out.", "",
        "| attempt | added to | HELEN (51 points) | gain | YouTube Faces (68) | SCUT (86) "
        "| CUHK (5) |", "|---|---|---|---|---|---|---|",
    ]
    for name, attempt in ATTEMPTS.items():
        nme, against = found[name], attempt.against
        gain = f"{found[against]['ibug51'] - nme['ibug51']:+.2f}" if against else ""
        over = ATTEMPTS[against].title if against else ""
        cells = [f"{nme[head]:.2f}" for head in ("ibug51", "ibug68", "scut86", "mtfl5")]
        cells = [attempt.title, over, cells[0], gain, *cells[1:]]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
