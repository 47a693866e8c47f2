"""How well a model can tell how far off its points are, by what it sees.

    EFLD_DATA=/path/to/data python benchmarks/expected_errors.py

Fits expected errors to the shipped float weights of `research` on looks at HELEN's training faces,
which they have learnt, and judges them on LFPW's, which they have not: how often a look of more
than 5% NME has a higher score than another one (area under the ROC curve), and so for points that
are off by more than 10%. Beside them: the model's confidence, and how far the points moved from the
first look to the last one. Writes benchmarks/expected_errors/: results.json, table.md and
reliability.png.
"""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib
import numpy as np

from efld_tf import assets
from efld_tf.evaluation import expected_errors
from efld_tf.evaluation.evaluate import BAD_FIT
from efld_tf.evaluation.expected_errors import AS_IS, Looks
from efld_tf.landmarks import metrics
from efld_tf.landmarks.metrics import auroc
from efld_tf.models import checkpoint, registry
from efld_tf.models.predictor import FloatPredictor
from efld_tf.models.trained import TrainedModel
from efld_tf.training import expected_errors as fitting
from efld_tf.training import presence

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, NullLocator

OUTPUT = Path(__file__).parent / "expected_errors"
FITTED = "ibug:${EFLD_DATA}/ibug/helen/trainset"
JUDGED = "ibug:${EFLD_DATA}/lfpw/trainset"
HEAD = "ibug51"
RANKS = (1, 2, 4, 8, 51)
WORSE = 3
BAD_POINT = 0.10
TICKS = (1, 2, 3, 5, 10, 20, 30)


def row(name: str, looks: Looks, nme: np.ndarray, points: np.ndarray | None = None) -> dict:
    """How well scores [E], and perhaps those of points [E, N], tell bad looks and points."""
    true = np.array(looks.nme)
    far = np.stack(looks.errors) / np.array(looks.sizes)[:, None] > BAD_POINT
    found: dict[str, str | float] = {"score": name}
    for kind, title in ((AS_IS, "as_is"), (None, "all")):
        some = looks.of(kind)
        found[f"{title}_auroc"] = round(auroc(nme[some], true[some] > BAD_FIT), 4)
        if points is not None:
            found[f"{title}_points_auroc"] = round(
                auroc(points[some].ravel(), far[some].ravel()), 4)
            found[f"{title}_expected_percent"] = round(100 * float(nme[some].mean()), 3)
    return found


def draw(path: Path, looks: Looks, expected: np.ndarray) -> None:
    """The mean error by the expected one, in tenths of the looks."""
    figure, axes = plt.subplots(figsize=(5, 4.6))
    for kind, title, colour in ((AS_IS, "photos as they are", "tab:blue"),
                                (None, "and made worse", "tab:orange")):
        some = looks.of(kind)
        bins = metrics.reliability(expected[some], np.array(looks.nme)[some])
        axes.plot(*(100 * np.array(bins)[:, :2].T), "o-", color=colour, label=title, markersize=4)
    axes.plot([1.5, 30], [1.5, 30], color="grey", linewidth=0.8, label="as expected")
    axes.set(xscale="log", yscale="log", xlabel="expected NME, %", ylabel="NME, %",
             title="LFPW's training faces, tenths of the looks")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(FixedLocator(TICKS))
        axis.set_major_formatter("{x:g}")
        axis.set_minor_locator(NullLocator())
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Fits, judges and writes the table."""
    OUTPUT.mkdir(exist_ok=True)
    spec, model = checkpoint.load(assets.FLOAT_MODEL)
    predictor = FloatPredictor(TrainedModel.of(assets.FLOAT_MODEL, spec, model, HEAD))
    fitted, judged = Looks(), Looks()
    counts = [expected_errors.add_source(looks, predictor, source, WORSE)
              for looks, source in ((fitted, FITTED), (judged, JUDGED))]
    x, y = (presence.features(spec.architecture, model, np.stack(looks.crops))
            for looks in (fitted, judged))
    sizes = np.array(judged.sizes)[:, None]
    rows = [row("confidence", judged, -np.array(judged.confidence)),
            row("movement of the points", judged, np.array(judged.moved))]
    for rank in RANKS:
        layers = fitting.fit(x, np.stack(fitted.errors), fitted.photos, rank)
        points = layers(y) / sizes
        rows.append(row(f"expected errors, {rank} latents", judged, points.mean(axis=1), points))
        if rank == registry.ERROR_LATENTS:
            draw(OUTPUT / "reliability.png", judged, points.mean(axis=1))
    true = np.array(judged.nme)
    some = judged.of(AS_IS)
    about = {"fitted": FITTED, "judged": JUDGED, "faces": counts, "worse_copies": WORSE,
             "as_is_nme_percent": round(100 * float(true[some].mean()), 3),
             "all_nme_percent": round(100 * float(true.mean()), 3),
             "as_is_bad_percent": round(100 * float((true[some] > BAD_FIT).mean()), 2),
             "all_bad_percent": round(100 * float((true > BAD_FIT).mean()), 2), "rows": rows}
    (OUTPUT / "results.json").write_text(json.dumps(about, indent=1) + "\n")
    (OUTPUT / "table.md").write_text(table(about))


def table(about: dict) -> str:
    """The results as Markdown."""
    lines = [
        f"Area under the ROC curve for looks with an NME above {100 * BAD_FIT:.0f}% and for points "
        f"that are off by more than {100 * BAD_POINT:.0f}%, on {about['faces'][1]} faces of LFPW, "
        "which the weights have not learnt: the photos as they are "
        f"({about['as_is_bad_percent']}% of the looks are bad, the NME is "
        f"{about['as_is_nme_percent']}%), and with {about['worse_copies']} worse copies of each "
        f"({about['all_bad_percent']}%, {about['all_nme_percent']}%). Fitted on "
        f"{about['faces'][0]} training faces of HELEN.", "",
        "| by | looks, as they are | all looks | points, as they are | all points | expected NME, "
        "as they are | all |", "|---" * 7 + "|"]
    for one in about["rows"]:
        cells = [one.get(name) for name in (
            "as_is_auroc", "all_auroc", "as_is_points_auroc", "all_points_auroc",
            "as_is_expected_percent", "all_expected_percent")]
        texts = ["" if cell is None else f"{cell:.3f}" for cell in cells[:4]]
        texts += ["" if cell is None else f"{cell:.2f}%" for cell in cells[4:]]
        lines.append(f"| {one['score']} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
