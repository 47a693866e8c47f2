"""How well the shipped model's confidence tells faces, against tests of its points.

    EFLD_DATA=/path/to/data python benchmarks/presence.py

Measured on what nothing was fitted to: the half of the scenes' photos that `tools/fit_presence.py`
leaves out, and faces of test sets. The other two see the model's points alone, and are fitted to
the scenes' other half and the training faces: logistic regression on the coordinates, and the
Mahalanobis distance from the mean shape of faces. Writes benchmarks/presence/: results.json,
table.md, curves.png.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
from common import HELEN_TEST, YOUTUBE_TEST

from efld_tf import assets, files
from efld_tf.evaluation import presence as crops_of
from efld_tf.landmarks.metrics import auroc
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.training import presence

matplotlib.use("Agg")
import matplotlib.pyplot as plt

OUTPUT = Path(__file__).parent / "presence"
SCENES = "${EFLD_DATA}/wider_scenes", "${EFLD_DATA}/wider_scenes/boxes_xywh.json"
FITTED = {
    "HELEN train": "ibug:${EFLD_DATA}/ibug/helen/trainset",
    "YouTube Faces train": "youtube_faces:${EFLD_DATA}/youtube_faces?identities=train",
    "SCUT": "scut:${EFLD_DATA}/scut_fbp5500",
    "CUHK train": "mtfl:${EFLD_DATA}/net7876/trainImageList.txt",
}
# Not CUHK's test photos: a teacher of the shipped model learnt a face mesh's points of them.
MEASURED = {
    "HELEN test": HELEN_TEST,
    "YouTube Faces test": YOUTUBE_TEST,
    "AFLW2000 (poses)": "aflw2000:${EFLD_DATA}/aflw2000",
}
SCENE_FACES = "scenes"
FACES_FITTED = 700
RECALLS = (0.95, 0.98, 0.99)
METHODS = {
    "confidence": "the model's confidence",
    "linear": "logistic regression on the points",
    "shape": "Mahalanobis distance of the points",
}


def crops(sources: dict[str, str], half: int, variation: crops_of.Variation, limit: int | None,
          predictor: LandmarkPredictor) -> crops_of.PresenceCrops:
    """Faces of sources, all kinds of a half of the scenes, and blank pictures."""
    found = crops_of.PresenceCrops(predictor.input_size, variation,
                                   np.random.default_rng(half), predictor.crop_rule.zoom)
    for source in sources.values():
        crops_of.add_source(found, source, limit)
    crops_of.add_scenes(found, crops_of.read_scenes(*SCENES, half), predictor)
    found.add_blanks(crops_of.BLANKS)
    return found


def scores(predictor: LandmarkPredictor) -> tuple[crops_of.PresenceCrops, dict[str, np.ndarray]]:
    """What is measured on, and each method's score of it: more for a face."""
    fitted = crops(FITTED, 0, crops_of.FOR_FITTING, FACES_FITTED, predictor)
    held = crops(MEASURED, 1, crops_of.AS_IS, None, predictor)
    points = [predictor.predict_crops(c.stacked).reshape(len(c.kinds), -1).astype(np.float64)
              for c in (fitted, held)]
    face = np.array(fitted.kinds) == crops_of.FACE
    weight = np.where(face, 1 / face.sum(), 1 / (~face).sum())
    layer = presence.fit(points[0], face, weight, fitted.photos)
    mean, covariance = points[0][face].mean(axis=0), np.cov(points[0][face].T)
    inverse = np.linalg.inv(covariance + 1e-6 * np.eye(len(mean)))
    away = points[1] - mean
    return held, {
        "confidence": predictor.predict_outputs(held.stacked).confidence,
        "linear": points[1] @ layer.kernel + layer.bias,
        "shape": -np.einsum("ij,jk,ik->i", away, inverse, away),
    }


def measured(held: crops_of.PresenceCrops, found: dict[str, np.ndarray]) -> dict:
    """The numbers of all methods, in percent."""
    kinds, sources = np.array(held.kinds), np.array(held.sources)
    face = kinds == crops_of.FACE
    origins = {**MEASURED, SCENE_FACES: SCENE_FACES}
    own = {name: face & (sources == text) for name, text in origins.items()}
    groups = {kind: kinds == kind for kind in crops_of.WITHOUT_FACE}
    some = own[SCENE_FACES] | ~face
    result: dict = {
        "model": assets.INT8_MODEL.name, "sha256": files.sha256(assets.INT8_MODEL),
        "faces": {name: int(group.sum()) for name, group in own.items()},
        "without_face": {kind: int(group.sum()) for kind, group in groups.items()},
        "at_half": {
            "recall_percent": rates(found["confidence"], own, 0.5),
            "false_alarm_percent": rates(found["confidence"], groups, 0.5),
        },
        "methods": {},
    }
    for name, score in found.items():
        row: dict = {
            "area": round(auroc(score, face), 4),
            "area_scenes": round(auroc(score[some], own[SCENE_FACES][some]), 4),
        }
        for recall in RECALLS:
            threshold = float(np.quantile(score[face], 1 - recall))
            row[f"at_recall_{100 * recall:g}"] = {
                "false_alarm_percent": rates(score, groups, threshold),
                "scenes_recall_percent": rates(score, own, threshold)[SCENE_FACES],
            }
        result["methods"][name] = row
    return result


def rates(score: np.ndarray, groups: dict[str, np.ndarray], threshold: float) -> dict[str, float]:
    """The share of each group from the threshold on, in percent."""
    return {name: round(100 * float((score[group] >= threshold).mean()), 2)
            for name, group in groups.items()}


def table(result: dict) -> str:
    """The numbers as Markdown."""
    at_half = result["at_half"]
    lines = [
        f"`{result['model']}` on faces and scenes that nothing was fitted to.", "",
        "| crops that show a face | number | confidence of 0.5 and more |", "|---|---|---|",
    ]
    for name, count in result["faces"].items():
        lines.append(f"| {name} | {count} | {at_half['recall_percent'][name]:.1f}% |")
    lines += ["", "| crops that show none | number | confidence of 0.5 and more |", "|---|---|---|"]
    for name, count in result["without_face"].items():
        lines.append(f"| {name} | {count} | {at_half['false_alarm_percent'][name]:.1f}% |")
    kinds = list(result["without_face"])
    lines += ["", "At thresholds that let pass the same share of all these faces:", "",
              "| by | area under ROC | of it, scenes' faces | faces kept | "
              + " | ".join(f"{kind} kept" for kind in kinds) + " |",
              "|---|---|---|---|" + "---|" * len(kinds)]
    for name, row in result["methods"].items():
        for recall in RECALLS:
            found = row[f"at_recall_{100 * recall:g}"]["false_alarm_percent"]
            lines.append(
                f"| {METHODS[name]} | {row['area']:.4f} | {row['area_scenes']:.4f} "
                f"| {100 * recall:g}% | "
                + " | ".join(f"{found[kind]:.1f}%" for kind in kinds) + " |")
    return "\n".join(lines) + "\n"


def draw(held: crops_of.PresenceCrops, found: dict[str, np.ndarray]) -> None:
    """ROC curves, and how the confidence is spread over the kinds."""
    kinds, sources = np.array(held.kinds), np.array(held.sources)
    face = kinds == crops_of.FACE
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for name, score in found.items():
        thresholds = np.quantile(score[face], np.linspace(0, 1, 400))
        kept = [(score[face] >= t).mean() for t in thresholds]
        alarms = [(score[~face] >= t).mean() for t in thresholds]
        left.plot(100 * np.array(alarms), 100 * np.array(kept), label=METHODS[name])
    at = found["confidence"] >= 0.5
    left.plot(100 * at[~face].mean(), 100 * at[face].mean(), "ko", label="confidence 0.5")
    left.set(xlim=(0, 60), ylim=(80, 100.5), xlabel="crops without a face that are kept, %",
             ylabel="faces kept, %")
    groups = {"faces of test sets": face & (sources != SCENE_FACES),
              "faces of scenes": face & (sources == SCENE_FACES),
              **{kind: kinds == kind for kind in crops_of.WITHOUT_FACE}}
    for index, (name, group) in enumerate(groups.items()):
        values = np.sort(found["confidence"][group])
        right.plot(values, 100 * (1 - np.arange(len(values)) / len(values)), label=name,
                   linestyle="-" if index < 2 else "--")
    right.axvline(0.5, color="0.7", lw=1, zorder=0)
    right.set(xlabel="confidence", ylabel="crops with at least that, %", xlim=(0, 1))
    left.legend(fontsize=8, loc="lower right")
    right.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))  # the curves fill the axes
    for axis in (left, right):
        axis.grid(alpha=0.3)
    figure.savefig(OUTPUT / "curves.png", dpi=110)


def main() -> None:
    """Measures everything and writes the files."""
    OUTPUT.mkdir(exist_ok=True)
    held, found = scores(LandmarkPredictor(assets.INT8_MODEL))
    result = measured(held, found)
    files.write_json(OUTPUT / "results.json", result)
    files.write_text(OUTPUT / "table.md", table(result))
    draw(held, found)
    print(table(result))


if __name__ == "__main__":
    main()
