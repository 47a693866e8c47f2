"""The two-stage model's ablation with 65 points, and the model beside other families.

    EFLD_DATA=/path/to/data python benchmarks/two_stage.py [RUNS]

Table 1 of the paper: trains its four rows with three seeds on HELEN's and LFPW's training faces
(hours on 2 cores; what runs.json has is not trained again). Of the 65 points, 53 are annotated
there; the other 12, the lower edges of the eyebrows and the wings of the nose, are those of
MediaPipe's face mesh in the same photos. The errors are those of the 53 on HELEN's test set, by the
distance between the pupils. Then trains the model with 51 points at two sizes, for a comparison
with the networks of benchmarks/lite_hrnet_plus.py, which learn from the same faces in as many
steps. Writes benchmarks/two_stage/: runs.json and table.md.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from pathlib import Path

import lite_hrnet_plus
import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST, command
from lite_hrnet_plus import slug, verdict
from trainings import Recipe, evaluate, known, mean_spread, remember, train, variant

from efld_tf.annotations import sources
from efld_tf.landmarks import schemas
from efld_tf.landmarks.regions import regions
from efld_tf.models import costs, registry

OUTPUT = Path(__file__).parent / "two_stage"
RUNS = OUTPUT / "runs.json"
RECIPE = Path(__file__).parents[1] / "configs" / "two_stage" / "demo.yaml"
SEEDS = (1, 2, 3)
FAMILY, HEAD, FEW = "two_stage", "makeup65", "ibug51"
TRAINING = {"helen": "ibug/helen/trainset", "lfpw": "lfpw/trainset"}
# A mesh that is farther than this from the annotated points, in distances of the pupils, is of
# another face or wrong.
FARTHEST = 0.15
FULL, NO_MAPS, NO_PLACES = "full model", "without heatmap loss", "without L2"
ONE_STAGE = "without second stage"
# Table 1: options of the loss, and stages.
ABLATION: dict[str, tuple[dict[str, float], int]] = {
    NO_MAPS: ({"heatmaps": 0.0}, 2), NO_PLACES: ({"coordinates": 0.0}, 2),
    ONE_STAGE: ({}, 1), FULL: ({}, 2),
}
# Its errors of inner points and contour.
PRINTED = {NO_MAPS: (3.53, 9.01), NO_PLACES: (4.45, 12.3), ONE_STAGE: (3.50, 9.32),
           FULL: (3.21, 9.00)}
INNER, CONTOUR = "inner_nme_interpupil_percent", "contour_nme_interpupil_percent"
TITLES = {INNER: "inner points", CONTOUR: "contour"}
# With 51 points: the sizes of the input.
SIZES = (160, 96)
OTHERS = (lite_hrnet_plus.EFLD, lite_hrnet_plus.PIP, lite_hrnet_plus.MAPNET, lite_hrnet_plus.SMALL,
          lite_hrnet_plus.LARGE)
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}


def main() -> None:
    """Trains, measures and writes."""
    runs = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/two_stage")
    runs.mkdir(parents=True, exist_ok=True)
    for name, recipe in recipes(runs).items():
        if name not in known(RUNS):
            found = by_part(train(recipe)) if HEAD in recipe["heads"] \
                else lite_hrnet_plus.measured(train(recipe))
            remember(RUNS, name, found)
            (OUTPUT / "table.md").write_text(table())
    (OUTPUT / "table.md").write_text(table())
    print(table())


def recipes(runs: Path) -> dict[str, Recipe]:
    """All runs by name, those first that are compared first."""
    result = {}
    for seed in SEEDS:
        for title in ABLATION:
            result[f"{slug(title)}_{seed}"] = ablation(runs, title, seed)
        for size in SIZES:
            result[f"at_{size}_{seed}"] = with_51_points(runs, size, seed)
    return result


def ablation(runs: Path, title: str, seed: int) -> Recipe:
    """The recipe of a row of Table 1."""
    options, stages = ABLATION[title]

    def change(changed: Recipe) -> None:
        changed["model"]["options"]["stages"] = stages
        changed["heads"] = {HEAD: {}}
        for source in changed["data"]["sources"]:
            labels = completed(runs, source["name"])
            images = f"${{EFLD_DATA}}/{TRAINING[source['name']]}"
            source.update(source=f"json:{labels}?schema={HEAD}&images={images}", heads=[HEAD])
        changed["training"].update(seed=seed, target_head=HEAD, loss_options=options)

    return variant(f"{slug(title)}_{seed}", runs, change, base=RECIPE)


def with_51_points(runs: Path, size: int, seed: int) -> Recipe:
    """The recipe of the model with 51 points."""

    def change(changed: Recipe) -> None:
        changed["model"]["input_size"] = size
        changed["training"].update(seed=seed)

    return variant(f"at_{size}_{seed}", runs, change, base=RECIPE)


def completed(runs: Path, name: str) -> Path:
    """Annotations of a training set with all 65 points; made once."""
    path = runs / f"{name}65.jsonl"
    if not path.exists():
        photos = Path(os.path.expandvars("${EFLD_DATA}")) / TRAINING[name]
        mesh = runs / f"{name}_mesh.jsonl"
        command("efld-data", "label", photos, "--model", "mesh", "--convert", HEAD,
                "--views", "4", "--output", mesh, "--force")
        meshes = defaultdict(list)
        for record in sources.read(f"json:{mesh}?schema={HEAD}&images={photos}").records:
            meshes[record.image.name].append(record.points)
        records = sources.read(f"ibug:{photos}?convert={HEAD}").records
        lines = []
        for record in records:
            points = with_mesh(record.points, meshes[record.image.name])
            rows = [None if np.isnan(row).any() else row.tolist()
                    for row in points.round(3).astype(float)]
            lines.append(json.dumps({"image": record.image.name, "points": rows}))
        path.write_text("\n".join(lines) + "\n")
    return path


def with_mesh(points: np.ndarray, meshes: list[np.ndarray]) -> np.ndarray:
    """Annotated points [65, 2] with those that are missing from the nearest mesh that fits."""
    annotated = np.isfinite(points).all(axis=1)
    scale = schemas.get(HEAD).normaliser.distance(points)
    away = [float(np.linalg.norm(mesh - points, axis=1)[annotated].mean() / scale)
            for mesh in meshes]
    if not away or min(away) > FARTHEST:
        return points
    return np.where(annotated[:, None], points, meshes[int(np.argmin(away))])


def by_part(folder: Path) -> dict[str, float]:
    """Errors of a run on the annotated points of HELEN's test set, inside and of the contour."""
    evaluation = evaluate(
        folder, f"{HELEN_TEST}?convert={HEAD}", folder / "helen.json")["evaluation"]
    errors = evaluation["nme_by_region_percent"]
    schema = schemas.get(HEAD)
    annotated = {index for index, group in
                 enumerate(schemas.get("ibug68").conversions[HEAD].points) if group}
    counts = {name: len(annotated.intersection(points))
              for name, points in regions(schema).items()}
    jaw = {"right_cheek", "left_cheek", "chin"}
    result = {}
    for key, names in ((INNER, counts.keys() - jaw), (CONTOUR, counts.keys() & jaw)):
        weights = [counts[name] for name in sorted(names)]
        result[key] = round(float(np.average(
            [errors[name] for name in sorted(names)], weights=weights)), 4)
    return result


def over_seeds(name: str, *keys: str) -> list[float]:
    """A figure of the runs of that name that are there."""
    result = []
    for seed in SEEDS:
        if found := known(RUNS).get(f"{name}_{seed}"):
            for key in keys:
                found = found[key]
            result.append(found)
    return result


def table() -> str:
    """The results as Markdown."""
    return "\n".join([*ablation_table(), "", *claims(), "", *comparison()]) + "\n"


def ablation_table() -> list[str]:
    """Table 1, as printed and as seen here."""
    lines = [
        "65 points at 160 x 160 pixels, the demo's size, trained on HELEN's and LFPW's training "
        "faces, float. Errors of the 50 inner points and the 3 of the contour that HELEN's test "
        "set is annotated with, in percent of the distance between the pupils; in brackets those "
        "of the paper's Table 1, on other faces and points. Mean and standard deviation over the "
        "seeds.", "",
        "| model | seeds | inner points | contour |", "|---|---|---|---|",
    ]
    for title in ABLATION:
        cells = [over_seeds(slug(title), key) for key in TITLES]
        if cells[0]:
            shown = [f"{mean_spread(cell)} ({printed})"
                     for cell, printed in zip(cells, PRINTED[title], strict=True)]
            lines.append(f"| {title} | {len(cells[0])} | {' | '.join(shown)} |")
    return lines


def claims() -> list[str]:
    """What Table 1 says, and whether it was seen."""
    lines = [
        "What the table says, as seen here. A difference within two standard errors is not told "
        "from chance.", "", "| claim | points | lower | higher | seen |", "|---|---|---|---|---|",
    ]
    for title in (NO_MAPS, NO_PLACES, ONE_STAGE):
        for key, points in TITLES.items():
            values = [over_seeds(slug(name), key) for name in (FULL, title)]
            if min(map(len, values)) > 1:
                lines.append(f"| the full model is better than {title} | {points} "
                             f"| {np.mean(values[0]):.2f} | {np.mean(values[1]):.2f} "
                             f"| {verdict(*values)} |")
    return lines


def comparison() -> list[str]:
    """The model with 51 points beside other families."""
    lines = [
        "51 points, trained on the same faces in as many steps as the networks of "
        "[Lite-HRNet Plus' table](../lite_hrnet_plus/table.md), which see 96 x 96 pixels. NME in "
        "percent of the distance between the outer eye corners.", "",
        "| network | pixels | MFLOPs | seeds | HELEN | YouTube Faces |",
        "|---|---|---|---|---|---|",
    ]
    for size in SIZES:
        cells = [over_seeds(f"at_{size}", test, lite_hrnet_plus.NME) for test in TESTS]
        if cells[0]:
            network = registry.architecture(FAMILY, {}, size).build({FEW: 51})
            flops = costs.total(network).flops / 1e6
            lines.append(f"| two-stage, demo | {size} | {flops:.1f} | {len(cells[0])} "
                         f"| {' | '.join(map(mean_spread, cells))} |")
    for title in OTHERS:
        cells = [lite_hrnet_plus.over_seeds(title, test, lite_hrnet_plus.NME) for test in TESTS]
        lines.append(f"| {title} | {lite_hrnet_plus.SIZE} | {lite_hrnet_plus.mflops(title):.1f} "
                     f"| {len(cells[0])} | {' | '.join(map(mean_spread, cells))} |")
    return lines


if __name__ == "__main__":
    main()
