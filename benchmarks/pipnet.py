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

from common import command
from pipnet_tables import SEEDS, TESTS, draw_heads, draw_rounds, tables

from efld_tf import assets, runs
from efld_tf.benchmarking import compare
from efld_tf.runtime import graph
from efld_tf.training import rounds, run_folder

CONFIGS = Path(__file__).parents[1] / "configs"
OUTPUT = Path(__file__).parent / "pipnet"
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
    draw_heads(found, OUTPUT / "heads.png")
    draw_rounds(found, OUTPUT / "rounds.png")
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


if __name__ == "__main__":
    main()
