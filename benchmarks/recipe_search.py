"""What changes to the recipe of `configs/efld/cross_format.yaml`, as it was, do to held-out faces.

    EFLD_DATA=/path/to/data python benchmarks/recipe_search.py [RUNS [ATTEMPT ...]]

Trains every attempt (or those named) and compares the NME of the 51-point head on a fifth of
HELEN's training faces and a twentieth of YouTube Faces', which are held out; test sets are not
touched. Writes benchmarks/recipe_search/: results.json and table.md. What stands in results.json
or RUNS (default runs/recipe_search) is not trained again.
"""

from __future__ import annotations

import sys
from pathlib import Path

from trainings import (
    Attempt,
    Change,
    Recipe,
    Teacher,
    augment,
    best_validation,
    chain,
    check_names,
    held_out,
    known,
    model,
    remember,
    source,
    together,
    train,
    training,
    variant,
)

OUTPUT = Path(__file__).parent / "recipe_search"
RESULTS = OUTPUT / "results.json"
TARGETS = ("helen_51", "youtube_faces_51")
FACES = 256_000  # drawn in training, whatever the batch


def zoom(factor: float) -> Change:
    """Crops of 1 / factor the side."""
    return lambda recipe: recipe["data"].update(pack={"zoom": factor})


def repeat(times: float) -> Change:
    """HELEN's faces, whose format is the target, so often for every other one."""
    return lambda recipe: source(recipe, "helen").update(repeat=times)


def youtube(recipe: Recipe) -> None:
    """YouTube Faces supervises the target head too, by the points that it has."""
    source(recipe, "youtube_faces")["heads"] = ["ibug68", "ibug51"]


def heatmaps(recipe: Recipe) -> None:
    """MapNet on EFLD's backbone, with batch and learning rate of `configs/pipnet`."""
    recipe["model"].update(
        family="mapnet", options={"backbone": "efld", "stride": 4, "channels": 64}
    )
    recipe["training"].update(batch_size=32, learning_rate=0.003)


def pip(recipe: Recipe) -> None:
    """PIPNet's head on EFLD's backbone, with batch and learning rate of `configs/pipnet`."""
    recipe["model"].update(family="pipnet", options={"backbone": "efld", "stride": 16})
    recipe["training"].update(batch_size=32, learning_rate=0.003)


def begun(title: str, name: str) -> Attempt:
    """The weights of another attempt to start with."""

    def change(recipe: Recipe) -> None:
        recipe["training"]["init_from"] = f"{recipe['output_dir']}/{name}"

    return Attempt(title, "combo", change, needs=name)


def taught(title: str, *teachers: Teacher, head: str = "ibug51") -> Attempt:
    """The photos of SCUT and CUHK labelled by teachers, for a head."""
    changes = [teacher.supervises(head) for teacher in teachers]
    needs = next((teacher.run for teacher in teachers if teacher.run), None)
    return Attempt(title, "combo", together(*changes), made=teachers, needs=needs)


def distilled(recipe: Recipe) -> None:
    """MapNet labels the crops of the other sources for the target head."""
    unlabelled = [
        {**{key: value for key, value in one.items() if key != "repeat"},
         "name": f"{one['name']}_taught", "heads": ["ibug51"]}
        for one in recipe["data"]["sources"] if one["name"] != "helen"
    ]
    recipe["self_training"] = {"teacher": f"{recipe['output_dir']}/mapnet",
                               "unlabelled": unlabelled}


def shifted(recipe: Recipe) -> None:
    """YouTube Faces' points read as counted from 1: a pixel up and left of what the files say."""
    source(recipe, "youtube_faces")["source"] += "&origin=1"


MESH = Teacher("mesh", "ibug68")
ONE_VIEW = Teacher("mesh_one_view", "ibug68", views=1)
VERTICES = Teacher("vertices", "mediapipe468")
OWN = Teacher("own", "ibug51", run="mapnet")
FULL = augment(rotation=12.0, scale=0.08, translation=0.03, occlusion=0.3, noise=0.03, blur=0.2)
LIGHT = augment(rotation=6.0, scale=0.04, translation=0.015, occlusion=0.1, noise=0.02, blur=0.1)
AS_IT_WAS = together(model(decoder="batch_norm"), training(batch_size=128, learning_rate=0.002))
ATTEMPTS = {
    "base": Attempt("the recipe as it was", None, AS_IT_WAS, FACES),
    "rate_006": Attempt("learning rate 0.006", "base", training(learning_rate=0.006)),
    "batch_64": Attempt("batch 64", "rate_006", training(batch_size=64)),
    "combo": Attempt("half the augmentation, zoom 1.3", "batch_64", together(LIGHT, zoom(1.3))),
    "combo_rate_012": Attempt("learning rate 0.012", "combo", training(learning_rate=0.012)),
    "zoom_16": Attempt("zoom 1.6", "combo", zoom(1.6)),
    "stored_288": Attempt("crops stored at 288 pixels, not 192", "combo",
                          lambda recipe: recipe["data"]["pack"].update(size=288)),
    "mesh": taught("SCUT and CUHK labelled by MediaPipe's mesh", MESH),
    "mesh_one_view": taught("... from one view instead of four", ONE_VIEW),
    "mesh_head": taught("... all its 468 vertices, for a head of their own", VERTICES,
                        head="mediapipe468"),
    "mapnet": Attempt("MapNet on the same backbone", "combo", heatmaps),
    "own": taught("SCUT and CUHK labelled by that MapNet", OWN),
    "mesh_and_own": taught("... by both, each face twice", MESH, OWN),
    "init": begun("starting with the backbone of that MapNet", "mapnet"),
    "pip": Attempt("PIPNet's head on the same backbone", "combo", pip),
    "init_pip": begun("starting with the backbone of that PIPNet", "pip"),
    "init_rate_012": Attempt("learning rate 0.012", "init", training(learning_rate=0.012)),
    "init_full": Attempt("all of the augmentation", "init", FULL),
    "init_mesh": Attempt("SCUT and CUHK labelled by MediaPipe's mesh", "init",
                         MESH.supervises("ibug51"), made=(MESH,)),
    "init_youtube": Attempt("YouTube Faces for the 51 points too", "init", youtube),
    "init_youtube_repeat_9": Attempt("HELEN's faces 9 times instead of 3", "init_youtube",
                                     repeat(9)),
    "init_youtube_shifted": Attempt("YouTube Faces' points counted from 1", "init_youtube",
                                    shifted),
    "init_all": Attempt("YouTube Faces for the 51 points too", "init_mesh", youtube),
    "init_distilled": Attempt("that MapNet labels the crops of all other sources, too", "init",
                              distilled),
    "init_distilled_repeat_9": Attempt("HELEN's faces 9 times instead of 3", "init_distilled",
                                       repeat(9)),
    "init_longer": Attempt("4 times as long, all of the augmentation", "init_mesh", FULL,
                           4 * FACES),
    "youtube": Attempt("YouTube Faces for the 51 points too", "combo", youtube),
    "norm_099": Attempt("batch norm momentum 0.99", "combo", model(batch_norm_momentum=0.99)),
    "decoder_linear": Attempt("no batch norm nor activation at the decoder's end", "combo",
                              model(decoder="linear")),
    "linear_rate_003": Attempt("learning rate 0.003", "decoder_linear",
                               training(learning_rate=0.003)),
    "linear_rate_012": Attempt("learning rate 0.012", "decoder_linear",
                               training(learning_rate=0.012)),
    "linear_zoom_115": Attempt("zoom 1.15", "decoder_linear", zoom(1.15)),
    "linear_full": Attempt("all of the augmentation", "decoder_linear", FULL),
    "linear_repeat_9": Attempt("HELEN's faces 9 times instead of 3", "decoder_linear", repeat(9)),
    "linear_average": Attempt("average of the weights", "decoder_linear",
                              training(weight_average=0.998)),
    "linear_head_norm": Attempt("batch norms in the heads", "decoder_linear",
                                model(head_batch_norm=True)),
    "linear_clip": Attempt("gradients clipped at a norm of 0.1", "decoder_linear",
                           training(gradient_clip_norm=0.1)),
    "linear_warmup": Attempt("warm-up of 1,000 steps instead of 300", "decoder_linear",
                             training(warmup_steps=1000)),
    "head_norm": Attempt("batch norms in the heads", "combo", model(head_batch_norm=True)),
    "dropout": Attempt("dropout 0.1 before the heads", "combo", model(dropout=0.1)),
    "wing": Attempt("wing loss", "rate_006", training(loss="wing")),
    "focus": Attempt("points weighted by their error", "combo",
                     training(loss="nme", loss_options={"focus": 1.0})),
    "longer": Attempt("4 times as long", "combo", together(), 4 * FACES),
}


def own_faces(name: str) -> int:
    """How many faces an attempt's training draws."""
    return next(attempt.faces for attempt in reversed(chain(ATTEMPTS, name)) if attempt.faces)


def drawn(name: str) -> int:
    """The same with the trainings of what it needs."""
    return own_faces(name) + sum(map(drawn, {a.needs for a in chain(ATTEMPTS, name) if a.needs}))


def recipe_of(name: str, runs: Path) -> Recipe:
    """An attempt's recipe; its steps follow from the number of faces and the batch."""
    steps = chain(ATTEMPTS, name)
    recipe = variant(name, runs, *(attempt.change for attempt in steps))
    source(recipe, "helen")["validation_fraction"] = 0.2
    number = own_faces(name) // recipe["training"]["batch_size"]
    recipe["training"].update(steps=number, validation_interval=number // 4,
                              checkpoint_interval=number // 4)
    return recipe


def trained(name: str, runs: Path) -> Path:
    """The folder of an attempt's run, after everything that it needs."""
    for attempt in chain(ATTEMPTS, name):
        if attempt.needs:
            trained(attempt.needs, runs)
        for maker in attempt.made:
            maker.make(runs)
    return train(recipe_of(name, runs))


def main() -> None:
    """Trains, compares and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/recipe_search")
    asked = sys.argv[2:] or [name for name in ATTEMPTS if name not in known(RESULTS)]
    check_names(asked, ATTEMPTS)
    for name in asked:
        folder = trained(name, runs)
        remember(RESULTS, name, {
            "helen_51": held_out(folder, "helen"),
            "youtube_faces_51": held_out(folder, "youtube_faces"),
            **best_validation(folder)["nme_percent"],
        })
        (OUTPUT / "table.md").write_text(table(known(RESULTS)))
    print((OUTPUT / "table.md").read_text())


def table(found: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    lines = [
        "One seed; NME in percent of training faces that are held out, but for those that a "
        "teacher has labelled. Faces are those drawn in training, with what it starts from or is "
        "taught by.", "",
        "| attempt | added to | faces | HELEN (51 points) | gain | YouTube Faces (51) | gain "
        "| YouTube Faces (68) | SCUT (86) | CUHK (5) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, attempt in ATTEMPTS.items():
        if name not in found:
            continue
        nme = found[name]
        before = found.get(attempt.against) if attempt.against else None
        cells = [attempt.title, ATTEMPTS[attempt.against].title if attempt.against else "",
                 f"{drawn(name):,}"]
        for target in TARGETS:
            cells.append(f"{nme[target]:.2f}")
            cells.append(f"{before[target] - nme[target]:+.2f}" if before else "")
        labelled = any(step.made for step in chain(ATTEMPTS, name))
        cells += [f"{nme[head]:.2f}" if head == "ibug68" or not labelled else ""
                  for head in ("ibug68", "scut86", "mtfl5")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
