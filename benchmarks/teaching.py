"""What EFLD learns from MediaPipe's attention mesh, from rendered faces and from other losses.

    EFLD_DATA=/path/to/data python benchmarks/teaching.py [RUNS [ATTEMPT ...]]

Trains every attempt (or those named) from the shipped weights, and measures what people notice on
held-out faces (`noticed.py`). Labels by the attention mesh and rendered faces are made first, once.
Writes benchmarks/teaching/: results.json and table.md. What stands in results.json or RUNS (default
runs/teaching) is not trained again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from common import command
from noticed import HELD_OUT, noticed
from trainings import (
    Attempt,
    Change,
    Recipe,
    augment,
    chain,
    check_names,
    known,
    remember,
    source,
    together,
    train,
    training,
    variant,
)

import efld_tf
from efld_tf import config
from efld_tf.annotations import sources
from efld_tf.data.splits import in_validation

OUTPUT = Path(__file__).parent / "teaching"
RESULTS = OUTPUT / "results.json"
BASE = Path(__file__).parents[1] / "configs" / "efld" / "taught.yaml"
SHIPPED = Path(efld_tf.__file__).parent / "assets" / "research" / "efld.h5"
HEAD, ALL = "ibug51", "ibug68"
VIEWS = 4
# Photos that the attention mesh labels, but for those that are held out.
LABELLED = {
    "youtube_faces": HELD_OUT["youtube_faces"],
    "scut": ("scut:${EFLD_DATA}/scut_fbp5500", 0.0),
    "net7876": ("mtfl:${EFLD_DATA}/net7876/trainImageList.txt", 0.0),
}
# Rendered sets: arguments of `efld-data synth`.
RENDERED = {
    "turned": ["--count", 2000, "--seed", 77, "--yaw", 75],
    "rare": ["--count", 2000, "--seed", 78, "--yaw", 60, "--rare", "closed_eyes=0.4", "hand=0.1",
             "mask=0.15", "sunglasses=0.1", "hard_light=0.15"],
}


def labels(runs: Path, name: str) -> Path:
    """The attention mesh's labels of a source's photos; made once."""
    path = runs / f"{name}.jsonl"
    if not path.exists():
        spec, share = LABELLED[name]
        records = sources.read(spec, on_error="skip", progress=False).records
        photos = sorted({record.image for record in records if not in_validation(record, share)})
        command("efld-data", "label", *photos, "--model", "attention_mesh", "--convert", ALL,
                "--views", VIEWS, "--output", path, "--quiet")
    return path


def render(runs: Path, name: str) -> Path:
    """A rendered set; made once."""
    command("efld-data", "synth", runs / name, "--schema", HEAD, "--size", 192, "--quiet",
            *RENDERED[name])
    return runs / name


def base(recipe: Recipe) -> None:
    """HELEN and LFPW with their points, YouTube Faces with its own for a head of all 68."""
    del recipe["self_training"]
    recipe["heads"][ALL] = {"weight": 0.25}
    recipe["data"]["sources"].append(
        {"name": "youtube_faces", "source": HELD_OUT["youtube_faces"][0], "heads": [ALL]})
    for name, (_, share) in HELD_OUT.items():
        source(recipe, name)["validation_fraction"] = share
    recipe["training"].update(learning_rate=0.003, validation_interval=2000)


def repeat(times: float) -> Change:
    """Faces with points of their own, so often for every other one."""

    def change(recipe: Recipe) -> None:
        for name in ("helen", "lfpw"):
            source(recipe, name)["repeat"] = times

    return change


def taught(recipe: Recipe) -> None:
    """The attention mesh's labels, for the target head."""
    runs = Path(recipe["output_dir"])
    for name in LABELLED:
        path = labels(runs, name)
        images = sources.read(config.expand(LABELLED[name][0]), on_error="skip",
                              progress=False).records
        root = os.path.commonpath([record.image.parent for record in images])
        recipe["data"]["sources"].append({
            "name": f"{name}_taught", "source": f"json:{path}?schema={ALL}&images={root}",
            "heads": [HEAD]})


def with_rendered(name: str) -> Change:
    """A rendered set, for the target head."""

    def change(recipe: Recipe) -> None:
        folder = render(Path(recipe["output_dir"]), name)
        recipe["data"]["sources"].append(
            {"name": name, "source": f"ibug:{folder}", "heads": [HEAD]})

    return change


def openings(weight: float) -> Change:
    """The weight of the loss of openings, of the target head."""
    return lambda recipe: recipe["heads"][HEAD].update(openings=weight)


def emphasis(**often: int) -> Change:
    """How often faces of a kind are drawn, of all sources of the target head."""

    def change(recipe: Recipe) -> None:
        for one in recipe["data"]["sources"]:
            if HEAD in one["heads"]:
                one["emphasis"] = often

    return change


LIGHT = augment(rotation=6.0, scale=0.04, translation=0.015, occlusion=0.1, noise=0.02, blur=0.1)
STEPS = 8000
ATTEMPTS = {
    "own": Attempt("trained on, with LFPW too, and no teacher", None, together(base, repeat(6))),
    "taught": Attempt("SCUT, CUHK and YouTube Faces labelled by the attention mesh", "own", taught),
    "openings": Attempt("a loss of openings, weight 1", "taught", openings(1.0)),
    "emphasis": Attempt("closed eyes drawn 6 times, turned heads 3 times", "openings",
                        emphasis(closed_eyes=6, turned=3)),
    "turned": Attempt("2,000 rendered faces up to a yaw of 75 degrees", "emphasis",
                      with_rendered("turned")),
    "rare": Attempt("2,000 rendered faces with closed eyes, masks, hands and such", "turned",
                    with_rendered("rare")),
    "light": Attempt("half the augmentation", "rare", LIGHT),
    "no_flip": Attempt("nothing mirrored", "light", augment(flip=0.0)),
    "longer": Attempt("4 times as long", "light", training(steps=4 * STEPS)),
}


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/teaching").absolute()
    runs.mkdir(parents=True, exist_ok=True)
    asked = sys.argv[2:] or [name for name in ATTEMPTS if name not in known(RESULTS)]
    check_names(asked, ATTEMPTS)
    if "shipped" not in known(RESULTS):
        remember(RESULTS, "shipped", noticed(SHIPPED))
    for name in asked:
        recipe = variant(name, runs, *(one.change for one in chain(ATTEMPTS, name)), base=BASE)
        remember(RESULTS, name, noticed(train(recipe) / "best.h5"))
        (OUTPUT / "table.md").write_text(table(known(RESULTS)))
    print((OUTPUT / "table.md").read_text())


COLUMNS = {
    "helen": "HELEN", "helen_last_look": "last look", "lfpw": "LFPW", "lfpw_last_look": "last look",
    "youtube_faces": "YouTube Faces", "brows": "brows", "eyes": "eyes", "mouth": "mouth",
    "turned": "turned by 25 degrees", "small": "small", "blurred": "blurred", "jitter": "jitter",
    "helen_opening_correlation": "openings of eyes, HELEN", "lfpw_opening_correlation": "LFPW",
    "rendered": "rendered", "rendered_closed_seen_percent": "closed eyes seen",
    "rendered_open_seen_closed_percent": "open ones seen closed",
    "shape_yaw_0_30": "shapes, yaw 0 to 30", "shape_yaw_30_60": "30 to 60",
    "shape_yaw_60_90": "60 to 90", "shape_yaw_0_30_covered": "covered, yaw 0 to 30",
}


def table(found: dict[str, dict[str, float]]) -> str:
    """The results as Markdown."""
    lines = [
        "One seed, float; 51 points of held-out faces. NME in percent of the distance of the outer "
        "eye corners: HELEN, LFPW and YouTube Faces (whose own points differ) at the first look in "
        "the true box, and at the last as detected faces get it; by part, of turned heads, where "
        "photos are made small and blurred, and how far points move with a pixel of the crop, on "
        "HELEN and LFPW. Then how the openings of eyes correlate with the true ones, rendered "
        "faces with their closed eyes, and every other of AFLW2000-3D's shapes in percent of the "
        "box.", "",
        f"| attempt | added to | {' | '.join(COLUMNS.values())} |",
        "|---" * (2 + len(COLUMNS)) + "|"]
    rows = {"shipped": ("as shipped", ""), **{
        name: (one.title, ATTEMPTS[one.against].title if one.against else "")
        for name, one in ATTEMPTS.items()}}
    for name, titles in rows.items():
        if name in found:
            cells = [f"{found[name][key]:.2f}" for key in COLUMNS]
            lines.append(f"| {' | '.join((*titles, *cells))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
