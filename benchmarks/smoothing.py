"""Jitter on still faces and lag on moving ones, by filter and parameters.

    python benchmarks/smoothing.py

Rendered faces are filmed at 30 frames a second: each frame is moved by a known way, blurred a
little, given a sensor's noise and JPEG compression, all anew. The shipped int8 model finds the
points in a crop that follows the points of the frame before, as a tracker does. Defaults are
chosen on the faces of one seed and all figures measured on those of another. Writes
benchmarks/smoothing/: results.json, table.md, curves.png.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import cv2
import matplotlib
import numpy as np

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import tight_box
from efld_tf.progress import Progress
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.smoothing import OneEuroFilter

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

OUTPUT = Path(__file__).parent / "smoothing"
CHOOSING_SEED, MEASURING_SEED = 100, 200
CHOOSING_FACES, MEASURING_FACES = 8, 16
SIZES = (160, 320)  # sides of the pictures in turns; the faces take about half of them
RATE, SECONDS = 30, 4.0
TIMES = np.arange(int(RATE * SECONDS)) / RATE
SETTLED = TIMES >= 0.5

NOISE, BLUR, QUALITY = 4.0, (0.3, 0.8), (75, 90)  # grey levels, sigma in pixels, of JPEG
HIGH_HZ = 2.0  # what is faster is jitter on a still face

# Way to the right in inter-ocular distances.
MOTIONS: dict[str, np.ndarray] = {
    "still": np.zeros_like(TIMES),
    "drift": 0.05 * np.sin(2 * np.pi * 0.25 * TIMES),
    "sway": 0.5 * np.sin(2 * np.pi * 0.5 * TIMES),
    "shake": 0.3 * np.sin(2 * np.pi * 1.5 * TIMES),
    "steps": 0.5 * sum((np.clip((TIMES - start) / 0.2, 0, 1) * sign
                        for start, sign in ((1, 1), (2, -1), (3, 1))), np.zeros_like(TIMES)),
}
QUICK = ("sway", "shake", "steps")

MIN_CUTOFFS = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 2.0, 3.0, 5.0)
BETAS = (0.0, 3.0, 10.0, 20.0, 30.0, 50.0, 100.0)
DERIVATIVE_CUTOFFS = (1.0, 2.0, 4.0)
WEIGHTS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)

# The defaults are the calmest on still faces whose lag is no more than this.
LARGEST_LAG_MS = {"lag_ms": 10.0, "lag_drift_ms": 50.0}

# And whose points go to their place within a third of a second (1 / (2 pi f)) where nothing moves.
SMALLEST_CUTOFF = 0.5

# Of the inter-ocular distance: faces that the model misses by more in any frame are left out.
LARGEST_ERROR = 0.12

Filter = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Recording:
    """Points [T, N, 2] of a moving face as predicted and in truth, in inter-ocular distances."""

    predicted: np.ndarray
    truth: np.ndarray


def film(
    predictor: LandmarkPredictor, seed: int, index: int, motion: np.ndarray
) -> Recording | None:
    """One face that moves; None if the model loses it."""
    size = SIZES[index % len(SIZES)]
    random = np.random.default_rng([seed, index])
    face = render_face(seed, index, size)
    points = face.points[predictor.schema].astype(np.float64)
    unit = float(schemas.get(predictor.schema).normaliser.distance(points[None])[0])
    box = tight_box(face.points[predictor.crop_rule.schema])
    ways = np.stack([motion, 0.3 * motion], axis=-1) * unit
    predicted, moved = [], np.zeros(2)
    first = None
    for way in ways:
        image = frame(face.image, way, random)
        found = predictor.predict(image, [box + np.tile(moved, 2)])[0]
        if rms(found - points - way) > LARGEST_ERROR * unit:
            return None
        first = found.mean(axis=0) if first is None else first
        moved = found.mean(axis=0) - first
        predicted.append(found)
    return Recording(np.array(predicted) / unit, (points + ways[:, None]) / unit)


def frame(image: np.ndarray, way: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The picture of a camera: moved by `way` pixels, blurred, noisy, compressed."""
    matrix = np.array([[1, 0, way[0]], [0, 1, way[1]]])
    moved = cv2.warpAffine(image, matrix, image.shape[1::-1], flags=cv2.INTER_CUBIC,
                           borderMode=cv2.BORDER_REFLECT)
    blurred = cv2.GaussianBlur(moved, (0, 0), random.uniform(*BLUR))
    noisy = np.clip(blurred + random.normal(0, NOISE, image.shape), 0, 255).astype(np.uint8)
    quality = int(random.integers(*QUALITY))
    encoded = cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(encoded, cv2.IMREAD_COLOR)


def one_euro(min_cutoff: float, beta: float, derivative_cutoff: float) -> Filter:
    """The filter of the package."""

    def smooth(points: np.ndarray) -> np.ndarray:
        run = OneEuroFilter(min_cutoff, beta, derivative_cutoff)
        sizes = np.ptp(points, axis=1).max(axis=1)
        return np.array([run.update(*frame) for frame in zip(points, TIMES, sizes, strict=True)])

    return smooth


def exponential(weight: float) -> Filter:
    """The plain filter with a fixed weight of the new frame."""

    def smooth(points: np.ndarray) -> np.ndarray:
        result = [points[0]]
        for new in points[1:]:
            result.append(result[-1] + weight * (new - result[-1]))
        return np.array(result)

    return smooth


def jitter(points: np.ndarray) -> float:
    """RMS of what moves faster than HIGH_HZ, in the units of points [T, N, 2], over both axes."""
    points = points[SETTLED]
    spectrum = np.fft.rfft(points - points.mean(axis=0), axis=0)
    spectrum[np.fft.rfftfreq(len(points), 1 / RATE) < HIGH_HZ] = 0
    return rms(np.fft.irfft(spectrum, len(points), axis=0))


def rms(offsets: np.ndarray) -> float:
    """Root mean square length of offsets [..., 2]."""
    return float(np.sqrt((offsets**2).sum(axis=-1).mean()))


DELAYS = np.arange(-0.05, 0.35, 0.005)


def lag_ms(points: np.ndarray, truth: np.ndarray) -> float:
    """The delay by which the true way, delayed, correlates best with the found one."""
    found = points.mean(axis=1)[SETTLED, 0]
    true = truth.mean(axis=1)[:, 0]
    scores = [np.corrcoef(np.interp(TIMES - delay, TIMES, true)[SETTLED], found)[0, 1]
              for delay in DELAYS]
    best = int(np.clip(np.argmax(scores), 1, len(scores) - 2))
    before, at, after = scores[best - 1 : best + 2]
    # Between the delays by a parabola.
    shift = 0.5 * (before - after) / (before - 2 * at + after)
    return 1000 * float(DELAYS[best] + np.clip(shift, -1, 1) * (DELAYS[1] - DELAYS[0]))


def measure(recordings: dict[str, list[Recording]], smooth: Filter) -> dict[str, float]:
    """A filter's mean figures over faces: lengths in percent of the inter-ocular distance."""
    found: dict[str, float] = {}
    for motion, faces in recordings.items():
        errors, lags, jitters = [], [], []
        for face in faces:
            points = smooth(face.predicted)
            # The model's own constant error is no matter of the filter.
            constant = (face.predicted - face.truth).mean(axis=0)
            errors.append(rms((points - constant - face.truth)[SETTLED]))
            if motion == "still":
                jitters.append(jitter(points))
            else:
                lags.append(lag_ms(points, face.truth))
        found[f"error_{motion}_percent"] = round(100 * float(np.mean(errors)), 4)
        if jitters:
            found["jitter_percent"] = round(100 * float(np.mean(jitters)), 4)
        if lags:
            found[f"lag_{motion}_ms"] = round(float(np.mean(lags)), 1)
    found["lag_ms"] = round(float(np.mean([found[f"lag_{motion}_ms"] for motion in QUICK])), 1)
    return found


def record(predictor: LandmarkPredictor, seed: int, count: int) -> dict[str, list[Recording]]:
    """The first `count` faces of a seed that the model finds, in all motions."""
    result: dict[str, list[Recording]] = {motion: [] for motion in MOTIONS}
    with Progress(f"faces of seed {seed}", count, "face") as bar:
        for index in range(10 * count):
            films = {motion: film(predictor, seed, index, way) for motion, way in MOTIONS.items()}
            faces = {motion: face for motion, face in films.items() if face is not None}
            if len(faces) == len(MOTIONS):
                for motion, face in faces.items():
                    result[motion].append(face)
                bar.update()
            if len(result["still"]) == count:
                break
    return result


def sweep(recordings: dict[str, list[Recording]], cutoffs: tuple[float, ...]) -> list[dict]:
    """Every filter's figures; of One-Euro filters those with the given derivative cutoffs."""
    rows = [{"filter": "none", **measure(recordings, lambda points: points)}]
    for weight in WEIGHTS:
        rows.append({"filter": "exponential", "weight": weight,
                     **measure(recordings, exponential(weight))})
    filters = list(product(MIN_CUTOFFS, BETAS, cutoffs))
    with Progress("filters", len(filters), "filter") as bar:
        for values in bar.over(filters):
            named = dict(zip(("min_cutoff", "beta", "derivative_cutoff"), values, strict=True))
            rows.append({"filter": "one euro", **named, **measure(recordings, one_euro(*values))})
    return rows


def choose(rows: list[dict]) -> dict:
    """The row that becomes the default."""
    good = [row for row in rows if row["filter"] == "one euro"
            and row["min_cutoff"] >= SMALLEST_CUTOFF and all(
                row[name] <= largest for name, largest in LARGEST_LAG_MS.items())]
    return min(good, key=lambda row: row["jitter_percent"])


def draw(rows: list[dict], default: dict, recordings: dict[str, list[Recording]]) -> None:
    """Jitter against lag of all filters, and one face's way with the default."""
    figure, (curves, ways) = plt.subplots(1, 2, figsize=(12, 4.8), layout="constrained")
    for beta in BETAS:
        points = [row for row in rows if row["filter"] == "one euro" and row["beta"] == beta]
        curves.plot([row["lag_ms"] for row in points], [row["jitter_percent"] for row in points],
                    ".-", label=f"One-Euro, beta {beta:g}")
    points = [row for row in rows if row["filter"] == "exponential"]
    curves.plot([row["lag_ms"] for row in points], [row["jitter_percent"] for row in points],
                "k.--", label="exponential")
    curves.plot(rows[0]["lag_ms"], rows[0]["jitter_percent"], "ks", label="no smoothing")
    curves.plot(default["lag_ms"], default["jitter_percent"], "r*", markersize=16, zorder=5,
                label=f"default: {default['min_cutoff']:g} Hz, beta {default['beta']:g}")
    curves.set(xscale="symlog", xlabel="lag in quick motion, ms", xlim=(-1, 400), ylim=(0, 0.7),
               ylabel="jitter of a still face, % of the inter-ocular distance",
               title="One-Euro: from 0.1 Hz (calm) to 5 Hz, derivative cutoff "
                     f"{default['derivative_cutoff']:g} Hz")
    curves.set_xticks([0, 1, 3, 10, 30, 100, 300], ["0", "1", "3", "10", "30", "100", "300"])
    curves.legend(fontsize="small", ncols=3, loc="upper center")
    draw_way(ways, default, recordings["steps"][0])
    figure.savefig(OUTPUT / "curves.png", dpi=110)


def draw_way(axes: Axes, default: dict, face: Recording) -> None:
    """The way of one point of a face that moves in steps."""
    smooth = one_euro(default["min_cutoff"], default["beta"], default["derivative_cutoff"])
    constant = (face.predicted - face.truth).mean(axis=0)
    shown = {"truth": (face.truth + constant, "0.6"), "as predicted": (face.predicted, "tab:blue"),
             "exponential, weight 0.3": (exponential(0.3)(face.predicted), "k"),
             "default": (smooth(face.predicted), "r")}
    for label, (points, colour) in shown.items():
        axes.plot(TIMES, 100 * (points[:, 0, 0] - face.truth[0, 0, 0] - constant[0, 0]),
                  color=colour, linewidth=3 if label == "truth" else 1, label=label,
                  linestyle="--" if label.startswith("exp") else "-")
    axes.set(xlim=(0.7, 2.7), xlabel="s", ylabel="way of one point, % of the inter-ocular distance",
             title="A face that moves in steps")
    axes.legend(fontsize="small")


def table(found: dict) -> str:
    """The results as Markdown."""
    default = found["default"]
    lines = [
        f"{found['faces']} rendered faces at {RATE} frames a second, found by the shipped int8 "
        "model; lengths in % of the inter-ocular distance. Jitter: RMS above "
        f"{HIGH_HZ:g} Hz of a still face. Error: RMS distance from the truth without the model's "
        "constant error. Lag: by cross-correlation. Quick: "
        f"{', '.join(QUICK)} (peak speeds 1.6 to 2.8 inter-ocular distances a second); slow: "
        "0.08.", "",
        "| filter | jitter | error still | error slow | error quick | lag slow | lag quick |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["rows"]:
        if row["filter"] == "one euro":
            same = [row[name] == default[name] for name in ("min_cutoff", "beta")]
            if not any(same):
                continue
            name = f"One-Euro {row['min_cutoff']:g} Hz, beta {row['beta']:g}"
            if all(same):
                name = f"**{name} (default)**"
        else:
            name = row["filter"] + (f" {row['weight']:g}" if "weight" in row else "")
        quick = np.mean([row[f"error_{motion}_percent"] for motion in QUICK])
        lines.append(
            f"| {name} | {row['jitter_percent']:.2f}% | {row['error_still_percent']:.2f}% "
            f"| {row['error_drift_percent']:.2f}% | {quick:.2f}% | {row['lag_drift_ms']:.0f} ms "
            f"| {row['lag_ms']:.1f} ms |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Chooses the defaults on one seed, measures all filters on another."""
    OUTPUT.mkdir(exist_ok=True)
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    chosen = choose(sweep(record(predictor, CHOOSING_SEED, CHOOSING_FACES), DERIVATIVE_CUTOFFS))
    recordings = record(predictor, MEASURING_SEED, MEASURING_FACES)
    rows = sweep(recordings, (chosen["derivative_cutoff"],))
    names = ("min_cutoff", "beta", "derivative_cutoff")
    default = next(row for row in rows if all(row.get(name) == chosen[name] for name in names))
    found = {"faces": MEASURING_FACES, "chosen_on": chosen, "default": default, "rows": rows}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    draw(rows, default, recordings)
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
