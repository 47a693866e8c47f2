"""The shipped model with faces that a detector finds, against boxes of the annotation.

    EFLD_DATA=/path/to/data python benchmarks/detector.py

On HELEN's test set, the photos as they are, in which the face is in the middle, and each face
pasted into a larger scene at a random place and size; and on the scenes of WIDER FACE, whose every
face has a box, on the half of the photos by which nothing was chosen. Writes benchmarks/detector/:
results.json and table.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf import assets
from efld_tf.annotations.images import read_photo
from efld_tf.benchmarking.latency import current_conditions
from efld_tf.evaluation import detected
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.boxes import read_boxes
from efld_tf.runtime.detector import FaceDetector
from efld_tf.runtime.landmarker import PASSES, Detector, FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

OUTPUT = Path(__file__).parent / "detector"
DATA = Path(os.environ["EFLD_DATA"])
DETECTORS = ("short", "full", "both")


def landmarks() -> list[dict[str, Any]]:
    """NME with every detector, in both kinds of pictures, and by the number of looks."""
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    rows = []
    cases = [(name, scenes, PASSES) for scenes in (False, True) for name in DETECTORS]
    cases += [("both", True, passes) for passes in (1, 2, 4)]
    for name, scenes, passes in cases:
        landmarker = FaceLandmarker(predictor, open_detector(name), passes=passes)
        found = detected.measure_landmarks(
            landmarker, f"ibug:{DATA}/ibug/helen/testset", detector=name, scenes=scenes
        )
        rows.append({**found.summary(), "detector": name, "passes": passes})
    return rows


def boxes() -> list[dict[str, Any]]:
    """Recall and precision of every detector, alone and with the model's confidence."""
    folder = DATA / "wider_scenes"
    chosen = {
        name: rows for name, rows in read_boxes(folder / "boxes_xywh.json", "xywh").items()
        if hashlib.sha256(name.encode()).digest()[-1] % 2
    }
    predictor, rows = LandmarkPredictor(assets.INT8_MODEL), []
    finders: dict[str, Detector] = {
        **{name: open_detector(name, threads=1) for name in DETECTORS},
        "short, tiles": FaceDetector("short", min_face=64), "full, no tiles": FaceDetector("full")}
    for name, finder in finders.items():
        measured = detected.measure_boxes(FaceLandmarker(predictor, finder), folder, chosen)
        rows.append({"detector": name, "photos": len(chosen),
                     "alone": measured.without_model.summary(),
                     "with_model": measured.with_model.summary(),
                     "ms": milliseconds(finder, folder, list(chosen))})
    return rows


def milliseconds(finder: Detector, folder: Path, names: list[str]) -> float:
    """Median time of a photo."""
    times = []
    for name in names:
        image = read_photo(folder / name)
        for _ in range(3):
            begin = time.perf_counter()
            finder.detect(image)
            times.append(time.perf_counter() - begin)
    return round(1000 * float(np.median(times)), 2)


def table(found: dict[str, Any]) -> str:
    """The results as Markdown."""
    lines = [
        f"HELEN test set, {found['landmarks'][0]['faces']} faces, 51 points, inter-ocular, shipped "
        "int8 model.",
        "",
        "| pictures | detector | looks | missed | NME of those found | NME by annotated box "
        "| ratio | FR@10% with missed | within 5 px of all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in found["landmarks"]:
        ratio = row["nme_found_percent"] / row["nme_annotated_box_percent"]
        lines.append(
            f"| {'in scenes' if row['in_scenes'] else 'as they are'} | {row['detector']} "
            f"| {row['passes']} | {row['missed']} | {row['nme_found_percent']:.2f}% "
            f"| {row['nme_annotated_box_percent']:.2f}% | {ratio:.3f} "
            f"| {row['failure_rate_10_percent']:.2f}% | {row['accuracy_5px_percent']:.1f}% |")
    first = found["boxes"][0]
    sizes = list(first["alone"]["by_size_px"])
    lines += [
        "",
        f"WIDER FACE, {first['photos']} scenes, {first['alone']['faces']} faces; recall with "
        "the model, which leaves out what it takes for no face, by the longest side of the face's "
        "box in pixels. Time of the detector, one thread of "
        f"{found['conditions']['device']}.",
        "",
        "| detector | precision | precision with the model | "
        + " | ".join(f"{s} px ({first['alone']['by_size_px'][s]['faces']})" for s in sizes)
        + " | ms a photo |",
        "|---" * (4 + len(sizes)) + "|",
    ]
    for row in found["boxes"]:
        alone, model = row["alone"], row["with_model"]
        recalls = " | ".join(f"{model['by_size_px'][s]['recall_percent']:.0f}%" for s in sizes)
        lines.append(
            f"| {row['detector']} | {alone['precision_percent']:.0f}% "
            f"| {model['precision_percent']:.0f}% | {recalls} | {row['ms']:.1f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures everything and writes the table."""
    OUTPUT.mkdir(exist_ok=True)
    found = {"conditions": asdict(current_conditions()), "landmarks": landmarks(),
             "boxes": boxes()}
    (OUTPUT / "results.json").write_text(json.dumps(found, indent=2) + "\n")
    (OUTPUT / "table.md").write_text(table(found))
    print((OUTPUT / "table.md").read_text())


if __name__ == "__main__":
    main()
