"""PIPNet's comparisons on EFLD's backbone: heads, and self-training across domains.

    EFLD_DATA=/path/to/data python benchmarks/pipnet.py [RUNS]

Trains every row of the tables (hours on 2 cores; what RUNS, default runs/pipnet, has already is not
trained again) and measures each on HELEN's test set and on the people of youtube_faces that no
training face shows; then what heads predict where no face is, and what they learn from black images
(Section 3.4 and Figure 9), neighbours by correlation instead of distance (Section 3.2), and how
often the cell of a grid is right (Figure 7). Exports EFLD+PIP as int8 and times it beside EFLD.
Writes benchmarks/pipnet/: results.json, table.md, heads.png and rounds.png.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST, command

from efld_tf import assets, runs
from efld_tf.benchmarking import compare
from efld_tf.runtime import graph
from efld_tf.training import rounds, run_folder

matplotlib.use("Agg")
import matplotlib.pyplot as plt

CONFIGS = Path(__file__).parents[1] / "configs"
OUTPUT = Path(__file__).parent / "pipnet"
SEEDS = (1, 2, 3)
# Title -> config and options; EFLD's own head and those of Section 4.3, in as many steps.
HEADS = {
    "EFLD": ("efld/single_format", ["training.steps=3000", "training.batch_size=32",
                                    "training.learning_rate=0.003", "training.warmup_steps=100"]),
    "CoordNet": ("pipnet/efld_coordnet", []),
    "MapNet, stride 4": ("pipnet/efld_mapnet", []),
    "PIP": ("pipnet/efld_pip", ["model.options.neighbours=0"]),
    "PIP + NRM": ("pipnet/efld_pip", []),
}
# Section 3.2's other neighbours.
CORRELATED = ("pipnet/efld_pip", ["model.options.neighbours_by=correlation"])
# Figure 7's larger strides; PIP has 8 x 8 cells.
WIDER = ["model.options.neighbours=0", "model.options.channels=64"]
GRIDS = {"4 x 4": ("pipnet/efld_pip", [*WIDER, "model.options.stride=32"]),
         "2 x 2": ("pipnet/efld_pip", [*WIDER, "model.options.stride=64"])}
# Figure 9a's heads.
BLACK = ("CoordNet", "MapNet, stride 4", "PIP + NRM")
# Section 4.5's paradigms.
PARADIGMS = {
    "UDA, self-training": "uda_self_training",
    "UDA, curriculum": "uda_curriculum",
    "GSSL, curriculum": "gssl_curriculum",
}
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
SCENES = "${EFLD_DATA}/wider_scenes/boxes_xywh.json"
KEPT = ("nme_interocular_percent", "failure_rate_10_percent", "mean_shift_percent",
        "point_variance_percent2", "nme_by_region_percent")
LATENCY_RUNS = 2000


def main() -> None:
    """Trains, measures and writes."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/pipnet")
    OUTPUT.mkdir(exist_ok=True)
    heads = {
        title: [measured(trained(folder, config, [*options, f"training.seed={seed}"],
                                 f"{slug(title)}_{seed}")) for seed in SEEDS]
        for title, (config, options) in HEADS.items()
    }
    correlated = [measured(trained(folder, CORRELATED[0], [*CORRELATED[1], f"training.seed={seed}"],
                                   f"pip_nrm_correlated_{seed}")) for seed in SEEDS]
    paradigms = {}
    for title, config in PARADIGMS.items():
        run = trained(folder, f"pipnet/{config}", [], config)
        paradigms[title] = [measured(run / entry["round"]) for entry in rounds.history(run)]
    prior = {title: [prior_of(folder / f"{slug(title)}_{seed}") for seed in SEEDS]
             for title in HEADS}
    prior["EFLD int8, as shipped"] = [prior_of(assets.INT8_MODEL, folder / "efld_prior.json")]
    last = folder / f"{slug('PIP + NRM')}_{SEEDS[0]}"
    faces = json.loads((last / run_folder.DATA_FILE).read_text())["helen"]["train"]
    found = {"faces": faces, "heads": heads, "correlated": correlated, "paradigms": paradigms,
             "prior": prior, "black": black(folder), "exported": exported(last),
             "grids": grids(folder)}  # the last, since TensorFlow's threads would disturb the times
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(tables(found))
    draw_heads(found)
    draw_rounds(found)
    print((OUTPUT / "table.md").read_text())


def slug(title: str) -> str:
    """A title as the name of a run."""
    return title.lower().replace(" + ", "_").replace(", ", "_").replace(" ", "")


def trained(folder: Path, config: str, options: list[str], name: str) -> Path:
    """The folder of a run; nothing is trained where that is done."""
    settings = [*options, f"name={name}", f"output_dir={folder}"]
    command("efld-train", CONFIGS / f"{config}.yaml",
            *(word for setting in settings for word in ("--set", setting)))
    return folder / name


def measured(folder: Path) -> dict[str, Any]:
    """A run on both test sets; measured once."""
    result = {}
    for name, source in TESTS.items():
        path = folder / f"{name}.json"
        if not path.exists():
            command("efld-eval", folder, "--source", source, "--output", path, "--quiet")
        evaluation = json.loads(path.read_text())["evaluation"]
        result[name] = {key: evaluation[key] for key in KEPT}
    return result


def prior_of(model: Path, path: Path | None = None) -> dict[str, Any]:
    """What a model predicts where no face is, by kind of input; measured once."""
    path = path or model / "prior.json"
    if not path.exists():
        command("efld-eval", model, "--source", TESTS["helen"], "--prior", "--boxes",
                os.path.expandvars(SCENES), "--box-format", "xywh", "--output", path, "--quiet")
    kinds = json.loads(path.read_text())["implicit_prior"]["kinds"]
    keys = ("variation_crop_percent", "residual_interocular_percent")
    return {kind: {key: row[key] for key in keys if key in row} for kind, row in kinds.items()}


def black(folder: Path) -> dict[str, dict[str, Any]]:
    """What a black image makes of heads that have learnt from photos, and from black images."""
    result = {}
    for title in BLACK:
        config, options = HEADS[title]
        photos = folder / f"{slug(title)}_{SEEDS[0]}"
        run = trained(folder, config, [*options, f"training.seed={SEEDS[0]}", "data.black=true"],
                      f"{slug(title)}_black_{SEEDS[0]}")
        prior_of(run)
        kinds = {taught: json.loads((model / "prior.json").read_text())["implicit_prior"]["kinds"]
                 for taught, model in (("photos", photos), ("black", run))}
        result[title] = {taught: kind["black"] for taught, kind in kinds.items()}
    return result


def grids(folder: Path) -> dict[str, dict[str, float]]:
    """The accuracy of the classification on grids, in percent by test set; measured once."""
    folders = {"8 x 8": folder / f"pip_{SEEDS[0]}"}
    for title, (config, options) in GRIDS.items():
        name = f"pip_{title.replace(' ', '')}_{SEEDS[0]}"
        folders[title] = trained(folder, config, [*options, f"training.seed={SEEDS[0]}"], name)
    return {title: grid_accuracy(run) for title, run in folders.items()}


def grid_accuracy(folder: Path) -> dict[str, float]:
    """The share of points whose cell has their highest score, in percent by test set."""
    path = folder / "grid.json"
    if not path.exists():
        from efld_tf.evaluation import faces, grid
        from efld_tf.models.trained import TrainedModel

        model = TrainedModel.load(runs.trained_model(folder))
        shares = {
            name: 100 * grid.accuracy(model, faces.load(
                source, model.crop_rule, model.input_size, predicted=model.head, progress=False))
            for name, source in TESTS.items()
        }
        path.write_text(json.dumps(shares) + "\n")
    shares = json.loads(path.read_text())
    return {name: shares[name] for name in TESTS}


def exported(folder: Path) -> dict[str, Any]:
    """EFLD+PIP as int8: what it loses, and its time beside EFLD's in one run."""
    command("efld-export", folder, "--int8")
    path = folder / "pipnet_ibug51_int8" / "pipnet_ibug51_int8.tflite"
    results = folder / "int8.json"
    results.unlink(missing_ok=True)
    command("efld-eval", path, "--source", TESTS["helen"], "--output", results, "--quiet")
    models = {"EFLD int8": assets.INT8_MODEL, "EFLD+PIP int8": path}
    times = compare.measure(list(models.values()), runs=LATENCY_RUNS)
    return {
        "nme_interocular_percent":
            json.loads(results.read_text())["evaluation"]["nme_interocular_percent"],
        "conditions": asdict(times.conditions), "runs": LATENCY_RUNS,
        "models": [
            {"name": name, "size_bytes": model.stat().st_size, "macs": graph.total_macs(model),
             "latency_ms_p50": row.latency_ms_p50, "latency_ms_low": row.latency_ms_low,
             "latency_ms_high": row.latency_ms_high, "times_efld": 1 / row.speedup}
            for (name, model), row in zip(models.items(), times.rows, strict=True)
        ],
    }


def spread(rows: list[dict[str, Any]], test: str, key: str) -> tuple[float, float]:
    """Mean and standard deviation over the seeds."""
    values = [row[test][key] for row in rows]
    return float(np.mean(values)), float(np.std(values, ddof=1))


def tables(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        "EFLD's backbone, 128 x 128 pixels, 51 points, trained on "
        f"{found['faces']} faces of HELEN's training set, float. NME in percent of the distance "
        "between the outer eye corners; Point-Var in percent^2 of it. Mean and standard deviation "
        f"over {len(SEEDS)} seeds.", "",
        "| head | HELEN NME | HELEN Point-Var | YouTube Faces NME | YouTube Faces Point-Var |",
        "|---|---|---|---|---|",
    ]
    for title, rows in found["heads"].items():
        cells = ["{:.2f} ± {:.2f}".format(*spread(rows, test, key)) for test in TESTS
                 for key in ("nme_interocular_percent", "point_variance_percent2")]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    lines += [
        "", "Self-training of PIP + NRM, one seed. Round 0 has learnt from labelled faces alone.",
        "", "| paradigm | rounds | HELEN NME | YouTube Faces NME | NME there round by round |",
        "|---|---|---|---|---|",
    ]
    for title, rows in found["paradigms"].items():
        nme = {t: [row[t]["nme_interocular_percent"] for row in rows] for t in TESTS}
        change = {t: f"{v[-1]:.2f} ({100 * (v[-1] / v[0] - 1):+.1f}%)" for t, v in nme.items()}
        steps = ", ".join(f"{value:.2f}" for value in nme["youtube_faces"])
        lines.append(f"| {title} | {len(rows) - 1} | {change['helen']} "
                     f"| {change['youtube_faces']} | {steps} |")
    lines += ["", *correlated_table(found), "", *grid_table(found["grids"]), "",
              *prior_table(found["prior"]), "", *black_table(found["black"]), "",
              *conclusions(found), "", exported_table(found)]
    return "\n".join(lines) + "\n"


def correlated_table(found: dict[str, Any]) -> list[str]:
    """Neighbours by distance and by correlation."""
    nme = "nme_interocular_percent"
    rows = {"distance in the mean face": found["heads"]["PIP + NRM"],
            "correlation in the training faces": found["correlated"]}
    lines = ["PIP + NRM with neighbours by distance and by correlation, which the paper finds "
             "similar (Section 3.2).", "",
             "| neighbours by | HELEN NME | YouTube Faces NME |", "|---|---|---|"]
    for title, seeds in rows.items():
        cells = ["{:.2f} ± {:.2f}".format(*spread(seeds, test, nme)) for test in TESTS]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    near, far = ([[row[test][nme] for row in seeds] for test in TESTS] for seeds in rows.values())
    lower = [verdict(*pair, 0.0) for pair in zip(near, far, strict=True)]
    return [*lines, f"| distance is lower | {' | '.join(lower)} |"]


def grid_table(grids: dict[str, dict[str, float]]) -> list[str]:
    """Coarser grids, which Section 3.3 says to be easier."""
    return [
        "How often the cell of a point has its highest score, in percent of the points: PIP "
        "without NRM on grids of larger strides (Figure 7), one seed.", "",
        "| cells | HELEN | YouTube Faces |", "|---|---|---|",
        *(f"| {title} | " + " | ".join(f"{shares[test]:.1f}" for test in TESTS) + " |"
          for title, shares in grids.items()),
    ]


def black_table(black: dict[str, dict[str, Any]]) -> list[str]:
    """How near to the mean face a prediction for a black image is."""
    keys = ("from_reference_crop_percent", "residual_interocular_percent")
    lines = [
        "What is predicted for a black image after training on photos, and on black images alone "
        "(Figure 9a), one seed: the distance to HELEN's mean face in percent of the crop, and what "
        "is left of it after a similarity, in percent of the outer eye distance.", "",
        "| head | photos: distance | shape | black images: distance | shape |",
        "|---|---|---|---|---|",
    ]
    for title, row in black.items():
        cells = [f"{row[taught][key]:.1f}" for taught in ("photos", "black") for key in keys]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def prior_table(prior: dict[str, list[dict[str, Any]]]) -> list[str]:
    """How alike, and how much like a face, predictions are where no face is."""
    kinds = ("noise", "patch", "face")
    lines = [
        "Where no face is (`efld-eval --prior`, mean over the seeds): how far predictions are "
        "from their mean, in percent of the crop, and what is left of the distance to the mean "
        "face after a similarity, in percent of the outer eye distance.", "",
        "| head | variation: noise | patches | faces | shape: noise | patches | faces |",
        "|---|---|---|---|---|---|---|",
    ]
    for title, rows in prior.items():
        cells = [f"{np.mean([row[kind][key] for row in rows]):.1f}"
                 for key in ("variation_crop_percent", "residual_interocular_percent")
                 for kind in kinds]
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return lines


def conclusions(found: dict[str, Any]) -> list[str]:
    """What the paper concludes, and whether it was seen here."""
    nme, variance = "nme_interocular_percent", "point_variance_percent2"
    heads, prior = found["heads"], found["prior"]

    def over_seeds(title: str, test: str, key: str) -> list[float]:
        return [row[test][key] for row in heads[title]]

    def after(paradigm: str) -> list[float]:
        return [found["paradigms"][paradigm][-1]["youtube_faces"][nme]]

    noise = {title: [row["noise"]["variation_crop_percent"] for row in rows]
             for title, rows in prior.items()}
    home, abroad = "helen", "youtube_faces"
    supervised = over_seeds("PIP + NRM", abroad, nme)
    # Section and claim, then what it says to be lower and what higher.
    claims = [
        ("4.3.2: PIP is less biased than coordinates: its NME is lower",
         over_seeds("PIP", home, nme), over_seeds("CoordNet", home, nme)),
        ("4.3.2: ... which vary less on other faces (Point-Var, YouTube Faces)",
         over_seeds("CoordNet", abroad, variance), over_seeds("PIP", abroad, variance)),
        ("4.3.2: ... and less than heatmaps",
         over_seeds("CoordNet", abroad, variance),
         over_seeds("MapNet, stride 4", abroad, variance)),
        ("4.2.2: NRM lowers the NME",
         over_seeds("PIP + NRM", home, nme), over_seeds("PIP", home, nme)),
        ("4.3.2: ... on other faces too", supervised, over_seeds("PIP", abroad, nme)),
        ("4.3.2: NRM lowers the variance on other faces",
         over_seeds("PIP + NRM", abroad, variance), over_seeds("PIP", abroad, variance)),
        ("4.3.2: PIP + NRM has a lower NME than heatmaps",
         over_seeds("PIP + NRM", home, nme), over_seeds("MapNet, stride 4", home, nme)),
        ("4.3.2: ... on other faces too",
         supervised, over_seeds("MapNet, stride 4", abroad, nme)),
        ("3.4: coordinates have the strongest prior: they vary least on noise (against PIP)",
         noise["CoordNet"], noise["PIP"]),
        ("3.4: ... (against heatmaps)", noise["CoordNet"], noise["MapNet, stride 4"]),
        ("4.5: self-training lowers the NME on its unlabelled faces' domain",
         after("UDA, self-training"), supervised),
        ("4.5: a curriculum lowers it more", after("UDA, curriculum"), after("UDA, self-training")),
        ("4.5: a curriculum on faces of a third domain lowers it too",
         after("GSSL, curriculum"), supervised),
    ]
    return [
        "What the paper concludes (Section: claim), as seen here, with the figure that it says to "
        "be lower and the one to be higher. A difference within two standard errors is not told "
        "from chance; the error of a single run is taken to be what seeds do to PIP + NRM.", "",
        "| conclusion | lower | higher | seen |", "|---|---|---|---|",
        *(f"| {claim} | {np.mean(low):.2f} | {np.mean(high):.2f} "
          f"| {verdict(low, high, float(np.std(supervised, ddof=1)))} |"
          for claim, low, high in claims),
    ]


def verdict(low: list[float], high: list[float], deviation: float) -> str:
    """Whether `low` is lower; `deviation` is that of seeds, for where there is one run alone."""
    variances = [np.var(v, ddof=1) / len(v) if len(v) > 1 else deviation**2 for v in (low, high)]
    difference = np.mean(high) - np.mean(low)
    if abs(difference) <= 2 * np.sqrt(sum(variances)):
        return "within the spread"
    return "yes" if difference > 0 else "no, the opposite"


def exported_table(found: dict[str, Any]) -> str:
    """int8 against float, and against EFLD in time and size."""
    about = found["exported"]
    trained_nme = found["heads"]["PIP + NRM"][0]["helen"]["nme_interocular_percent"]
    lines = [
        f"int8 export of PIP + NRM, seed {SEEDS[0]}: {about['nme_interocular_percent']:.3f}% on "
        f"HELEN, float {trained_nme:.3f}%. One thread of {about['conditions']['device']}, "
        f"{about['runs']} runs of each in turns:", "",
        "| model | p50 (95% interval) | time of EFLD | size | MACs |", "|---|---|---|---|---|",
    ]
    for row in about["models"]:
        lines.append(
            f"| {row['name']} | {row['latency_ms_p50']:.3f} ms ({row['latency_ms_low']:.3f} to "
            f"{row['latency_ms_high']:.3f}) | x {row['times_efld']:.2f} "
            f"| {row['size_bytes'] / 1e6:.3f} MB | {row['macs'] / 1e6:.1f} M |")
    return "\n".join(lines)


def draw_heads(found: dict[str, Any]) -> None:
    """NME by head and region of the face on both test sets (as Figures 6 and 12 of the paper)."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained", sharey=True)
    for axis, test in zip(axes, TESTS, strict=True):
        for place, (title, rows) in enumerate(found["heads"].items()):
            regions = [row[test]["nme_by_region_percent"] for row in rows]
            names = list(regions[0])
            values = np.array([[region[name] for name in names] for region in regions])
            offset = 0.17 * (place - (len(found["heads"]) - 1) / 2)
            axis.bar(np.arange(len(names)) + offset, values.mean(axis=0), 0.15,
                     yerr=values.std(axis=0, ddof=1), capsize=2, label=title)
        axis.set_xticks(np.arange(len(names)), [name.replace("_", "\n") for name in names])
        axis.set_title({"helen": "HELEN test set", "youtube_faces": "YouTube Faces"}[test])
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("NME, % of the outer eye distance")
    axes[0].legend()
    figure.savefig(OUTPUT / "heads.png", dpi=110)
    plt.close(figure)


def draw_rounds(found: dict[str, Any]) -> None:
    """NME by round of self-training."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, test in zip(axes, TESTS, strict=True):
        for title, rows in found["paradigms"].items():
            axis.plot([row[test]["nme_interocular_percent"] for row in rows], "o-", label=title)
        axis.set_title({"helen": "HELEN test set", "youtube_faces": "YouTube Faces"}[test])
        axis.set_xlabel("round")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("NME, % of the outer eye distance")
    axes[1].legend()
    figure.savefig(OUTPUT / "rounds.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
