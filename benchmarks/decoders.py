"""How exactly points are read from heatmaps: on drawn Gaussians, with noise, and on real faces.

    EFLD_DATA=/path/to/data python benchmarks/decoders.py [RUN ...]

Each decoder of `codecs.HeatmapCodec`, and the middle of the highest pixel, reads the same maps: of
points that lie anywhere in the crop, in float and on the 255 steps of an int8 export, clean and
with noise; and, where folders of runs are given, what these trained networks predict in float for
HELEN's test set; without, what results.json has of them stays. Its runs are three of
benchmarks/lite_hrnet_plus.py, of the first seed: small, `small, MSE` and MapNet on EFLD's backbone.
Writes benchmarks/decoders/: results.json, table.md and errors.png.
"""

from __future__ import annotations

import itertools
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import tensorflow as tf
from common import HELEN_TEST
from scipy import ndimage
from trainings import known

from efld_tf import runs
from efld_tf.evaluation import evaluate, faces
from efld_tf.models.codecs import DECODERS, MAPS, WINDOW, HeatmapCodec, best_cells
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "decoders"
RESULTS = OUTPUT / "results.json"
HIGHEST = "argmax"
READERS = (HIGHEST, *reversed(DECODERS))
# Pixels of the map a side, and sigma: of Lite-HRNet Plus at 96 pixels, and a finer one.
GRIDS = ((24, 1.0), (64, 1.5))
POINTS, SEED = 5_000, 0
# Log-odds of drawn maps end here: at the lower end those of trained networks do.
LOWEST, HIGHEST_ODDS = -30.0, 10.0
STEPS = 255  # between the lowest and the highest number of int8
# Deviation of the noise: of values, in heights of a Gaussian, and of log-odds.
NOISES: dict[str, dict[str, float]] = {
    "none": dict.fromkeys(MAPS, 0.0),
    "a little": {"values": 0.05, "log_odds": 0.5},
    "much": {"values": 0.15, "log_odds": 1.5},
}
# The other kind of noise varies as slowly as the Gaussians do.
KINDS = ("single pixels", "smooth")


class HighestPixel(HeatmapCodec):
    """Takes the middle of the highest pixel for the point."""

    def decode(self, raw: tf.Tensor) -> tf.Tensor:
        """As in `HeatmapCodec`."""
        cell = best_cells(raw)
        place = tf.stack([cell % self.size, cell // self.size], axis=-1)
        return (tf.cast(place, tf.float32) + 0.5) / self.size


def codec(reader: str, points: int, size: int, sigma: float, maps: str) -> HeatmapCodec:
    """The codec that reads maps so."""
    if reader == HIGHEST:
        return HighestPixel(points, size, sigma, maps=maps)
    return HeatmapCodec(points, size, sigma, reader, maps)


def main() -> None:
    """Reads drawn maps and those of the runs, and writes."""
    OUTPUT.mkdir(exist_ok=True)
    given = [real(Path(run)) for run in sys.argv[1:]]
    rows = [row for grid in GRIDS for maps in MAPS for row in drawn(*grid, maps)]
    found = {
        "points": POINTS, "window_sigmas": WINDOW, "drawn": rows,
        "real": given or known(RESULTS).get("real", []),
    }
    RESULTS.write_text(json.dumps(found, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(tables(found))
    draw(rows)
    print((OUTPUT / "table.md").read_text())


def drawn(size: int, sigma: float, maps: str) -> list[dict[str, Any]]:
    """The errors of every reader on maps of that kind, by noise and by numbers."""
    generator = np.random.default_rng(SEED)
    points = generator.uniform(size=(POINTS, 1, 2)).astype(np.float32)
    values = HeatmapCodec(1, size, sigma).encode(points, np.ones((POINTS, 1))).numpy()
    clean = values if maps == "values" else log_odds(values)
    rows = []
    for noise, kind in [("none", ""), *((noise, kind) for noise in list(NOISES)[1:]
                                        for kind in KINDS)]:
        added = NOISES[noise][maps]
        raw = clean + added * noise_of(generator, kind, clean.shape, sigma) if added else clean
        for numbers, held in (("float", raw), ("int8", on_steps(raw))):
            for reader in READERS:
                read = codec(reader, 1, size, sigma, maps).decode(tf.constant(held)).numpy()
                rows.append({"size": size, "sigma": sigma, "maps": maps, "noise": noise,
                             "kind": kind, "deviation": added, "numbers": numbers,
                             "reader": reader, **errors(read, points, WINDOW * sigma / size)})
    return rows


def log_odds(values: np.ndarray) -> np.ndarray:
    """Heights of Gaussians as log-odds from `LOWEST` to `HIGHEST_ODDS`."""
    with np.errstate(divide="ignore"):
        return np.clip(np.log(values) - np.log1p(-values), LOWEST, HIGHEST_ODDS)


def noise_of(
    generator: np.random.Generator, kind: str, shape: tuple[int, ...], sigma: float
) -> np.ndarray:
    """Normal noise of deviation 1 for maps [P, G, G, 1]."""
    noise = generator.standard_normal(shape, np.float32)
    if kind == "smooth":
        noise = ndimage.gaussian_filter(noise, (0, sigma, sigma, 0), mode="wrap")
        noise /= noise.std()
    return noise


def on_steps(raw: np.ndarray) -> np.ndarray:
    """Maps rounded to the steps between their lowest and highest value, as int8 holds them."""
    low, high = min(0.0, raw.min()), max(0.0, raw.max())
    step = (high - low) / STEPS
    zero = np.round(-low / step)
    return ((np.clip(np.round(raw / step) + zero, 0, STEPS) - zero) * step).astype(np.float32)


def errors(read: np.ndarray, points: np.ndarray, border: float) -> dict[str, float]:
    """Distances in percent of the crop's side; `inside` is without points so near to a border."""
    distance = 100 * np.linalg.norm(read - points, axis=-1)[:, 0]
    inside = ((points > border) & (points < 1 - border)).all(axis=-1)[:, 0]
    return {"mean": float(distance.mean()), "p99": float(np.percentile(distance, 99)),
            "mean_inside": float(distance[inside].mean()),
            "mean_border": float(distance[~inside].mean())}


def real(run: Path) -> dict[str, Any]:
    """The NME of a trained network on HELEN's test set by each reader of its maps."""
    model = TrainedModel.load(runs.trained_model(run))
    if not isinstance(model.codec, HeatmapCodec):
        raise SystemExit(f"{run}: the heads of {model.spec.family} predict no heatmaps")
    own = model.codec
    count = len(model.head_spec.mean_shape)
    test = faces.load(HELEN_TEST, model.crop_rule, model.input_size, predicted=model.head,
                      progress=False)
    nme, failures = {}, {}
    for reader in READERS:
        changed = replace(model, codec=codec(reader, count, own.size, own.sigma, own.maps))
        about = evaluate.evaluate(FloatPredictor(changed), test).summary()
        nme[reader] = about["nme_interocular_percent"]
        failures[reader] = about["failure_rate_10_percent"]
    return {"run": run.name, "family": model.spec.family, "maps": own.maps, "size": own.size,
            "sigma": own.sigma, "faces": len(test), "own": own.decoder, "nme_percent": nme,
            "failure_rate_10_percent": failures}


def tables(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"Errors of the decoders of heatmaps, and of the middle of the highest pixel ({HIGHEST}), "
        f"in percent of the crop's side. {found['points']:,} points lie evenly in the whole crop, "
        f"also at its border, where Gaussians are cut off; \"inside\" is without the points that "
        f"are nearer to it than {WINDOW} sigma. int8 are maps rounded to {STEPS} steps between "
        f"their lowest and highest value. Log-odds end at {LOWEST:g} and "
        f"{HIGHEST_ODDS:g}.",
    ]
    for size, sigma in GRIDS:
        rows = [row for row in found["drawn"] if (row["size"], row["sigma"]) == (size, sigma)]
        clean = [row for row in rows if row["noise"] == "none"]
        lines += [
            "", f"Clean Gaussians, {size} x {size} pixels, sigma {sigma:g}.", "",
            "| maps | decoder | float: mean | 99th percentile | inside | at the border "
            "| int8: mean | 99th percentile | inside | at the border |",
            "|---|---|---|---|---|---|---|---|---|---|",
        ]
        for maps in MAPS:
            for reader in READERS:
                cells = [f"{row[key]:.3f}" for row in chosen(clean, maps, reader)
                         for key in ("mean", "p99", "mean_inside", "mean_border")]
                lines.append(f"| {maps} | {reader} | {' | '.join(cells)} |")
        lines += ["", *noise_table(rows, size, sigma)]
    if found["real"]:
        lines += ["", *real_table(found["real"])]
    return "\n".join(lines) + "\n"


def chosen(rows: list[dict[str, Any]], maps: str, reader: str) -> list[dict[str, Any]]:
    """The rows of a reader on maps of a kind, in their order."""
    return [row for row in rows if row["maps"] == maps and row["reader"] == reader]


def noise_table(rows: list[dict[str, Any]], size: int, sigma: float) -> list[str]:
    """The mean errors in float under noise."""
    noisy = [row for row in rows if row["noise"] != "none" and row["numbers"] == "float"]
    titles = list(dict.fromkeys((row["noise"], row["kind"]) for row in noisy))
    deviations = "; ".join(
        f"{noise} is {about['values']:g} of a Gaussian's height, or {about['log_odds']:g} of "
        "log-odds" for noise, about in list(NOISES.items())[1:])
    lines = [
        f"With normal noise on every pixel, {size} x {size} pixels, sigma {sigma:g}, float: mean "
        f"(99th percentile). Its deviation: {deviations}. Smooth noise was blurred by a Gaussian "
        "of the same sigma as the points' and brought to the same deviation.", "",
        "| maps | decoder | " + " | ".join(", ".join(title) for title in titles) + " |",
        "|---|---|" + "---|" * len(titles),
    ]
    for maps in MAPS:
        for reader in READERS:
            cells = [f"{row['mean']:.2f} ({row['p99']:.2f})"
                     for row in chosen(noisy, maps, reader)]
            lines.append(f"| {maps} | {reader} | {' | '.join(cells)} |")
    return lines


def real_table(rows: list[dict[str, Any]]) -> list[str]:
    """The errors of trained networks."""
    lines = [
        f"The same weights on the {rows[0]['faces']} faces of HELEN's test set, float: NME (share "
        "of faces above 10%) in percent, 51 points, by the distance between the outer eye "
        "corners. The decoder that the network is exported with is marked.", "",
        f"| run | maps | {' | '.join(READERS)} |", "|---|---|" + "---|" * len(READERS),
    ]
    for row in rows:
        cells = []
        for reader in READERS:
            mark = "**" if reader == row["own"] else ""
            cells.append(f"{mark}{row['nme_percent'][reader]:.2f} "
                         f"({row['failure_rate_10_percent'][reader]:.2f}){mark}")
        lines.append(f"| {row['run']} | {row['maps']}, {row['size']} x {row['size']}, sigma "
                     f"{row['sigma']:g} | {' | '.join(cells)} |")
    return lines


def draw(rows: list[dict[str, Any]]) -> None:
    """Mean errors by decoder, maps and noise."""
    figure, axes = plt.subplots(len(MAPS), len(GRIDS), figsize=(11, 6), layout="constrained",
                                sharex=True, sharey="col")
    for (maps, (size, sigma)), axis in zip(itertools.product(MAPS, GRIDS), axes.flat, strict=True):
        bars = [row for row in rows if (row["size"], row["maps"]) == (size, maps)
                and (row["numbers"] == "float" or row["noise"] == "none")]
        for place, reader in enumerate(READERS):
            heights = [row["mean"] for row in chosen(bars, maps, reader)]
            axis.bar(np.arange(len(heights)) + 0.27 * (place - 1), heights, 0.25, label=reader)
        titles = [f"clean,\n{row['numbers']}" if row["noise"] == "none" else
                  f"{row['noise']} noise,\n{row['kind']}" for row in chosen(bars, maps, HIGHEST)]
        axis.set_xticks(np.arange(len(titles)), titles, fontsize=7)
        axis.set_title(f"{maps.replace('_', '-')}, {size} x {size} pixels, sigma {sigma:g}",
                       fontsize=10)
        axis.grid(axis="y", alpha=0.3)
        axis.set_axisbelow(True)
    for axis in axes[:, 0]:
        axis.set_ylabel("mean error, % of the crop's side")
    axes[0, 0].legend(fontsize=8, loc="upper left")
    figure.savefig(OUTPUT / "errors.png", dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
