"""The tables and charts of benchmarks/pipnet.py, from what it has measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SEEDS = (1, 2, 3)
TESTS = {"helen": HELEN_TEST, "youtube_faces": YOUTUBE_TEST}
TITLES = {"helen": "HELEN test set", "youtube_faces": "YouTube Faces"}


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


def draw_heads(found: dict[str, Any], path: Path) -> None:
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
        axis.set_title(TITLES[test])
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("NME, % of the outer eye distance")
    axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_rounds(found: dict[str, Any], path: Path) -> None:
    """NME by round of self-training."""
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    for axis, test in zip(axes, TESTS, strict=True):
        for title, rows in found["paradigms"].items():
            axis.plot([row[test]["nme_interocular_percent"] for row in rows], "o-", label=title)
        axis.set_title(TITLES[test])
        axis.set_xlabel("round")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("NME, % of the outer eye distance")
    axes[1].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)
