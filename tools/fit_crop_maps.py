"""Fits how crops follow from detectors' boxes and from landmarks, and writes the package's numbers.

    python tools/fit_crop_maps.py ibug:PATH/helen/trainset

Every face of an iBUG-68 source is pasted into a larger scene (`evaluation.scenes`), where the
detectors look for it. Half of the faces are fitted to; for the other half it prints how far the
crops are off: standard deviations of the centre in x and y in crop sides, and of the logarithm of
the side. `--check` only prints that for the numbers that the package has.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from efld_tf import files
from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader
from efld_tf.cli import common
from efld_tf.errors import EfldError
from efld_tf.evaluation.scenes import paste
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, tight_box
from efld_tf.landmarks.schema import LandmarkSchema
from efld_tf.progress import Progress
from efld_tf.runtime import crop_maps
from efld_tf.runtime.blazeface import MODELS
from efld_tf.runtime.detector import Detection, FaceDetector
from efld_tf.runtime.overlap import iou

# Ridge of the points' weights, so that nearly equal points share theirs.
RIDGE = 1e-2
SEED = 0


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, prints the errors and writes the file.

    Raises:
      EfldError: the source cannot be read, or has other points.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("source", help="annotated faces of ibug68")
    parser.add_argument("--check", action="store_true", help="fit nothing")
    arguments = parser.parse_args(argv)
    records = sources.read(sources.parse(arguments.source), "stop").records
    if records[0].schema != "ibug68":
        raise EfldError(f"{arguments.source}: expected faces of ibug68, got {records[0].schema}")
    faces: list[np.ndarray] = []
    found: dict[str, list[Detection | None]] = {name: [] for name in MODELS}
    detectors = {name: FaceDetector(name) for name in MODELS}
    reader = ImageReader()
    with Progress("detecting", len(records), "face") as bar:
        for record in bar.over(records):
            scene = paste(reader.read(record), record.points, record.key, SEED)
            image, points = scene.image, scene.place(record.points)
            faces.append(points)
            box = tight_box(points)
            for name, detector in detectors.items():
                right = [d for d in detector.detect(image) if iou(d.box, box[None])[0] > 0.3]
                found[name].append(right[0] if right else None)
    if not arguments.check:
        fitted = {
            "fitted_on": arguments.source,
            "detectors": {name: fit_box(d[::2], faces[::2]) for name, d in found.items()},
            "points": {kind: fit_points(faces[::2], kind) for kind in ("without_nose",
                                                                      "with_nose")},
        }
        files.write_json(crop_maps.FILE, fitted)
        crop_maps.maps.cache_clear()
    report(found, faces)


def target(points: np.ndarray, angle: float) -> Crop:
    """The reference crop by the annotation of a face that was turned upright by an angle."""
    turned = Crop(0.0, 0.0, 1.0, angle)
    crop = crop_maps.REFERENCE.crop(tight_box(turned.to_unit(points)))
    return turned.within(crop)


def fit_box(detections: list[Detection | None], faces: list[np.ndarray]) -> dict[str, float]:
    """Medians over the faces; mirrored faces count too, so that there is no offset in x."""
    rows = []
    for found, points in zip(detections, faces, strict=True):
        if found is not None:
            box = found.box
            longest = float(max(box[2:] - box[:2]))
            right, left = found.keypoints[:2]
            angle = math.atan2(*(left - right)[::-1])
            crop = target(points, angle)
            x, y = (box[:2] + box[2:]) / 2
            upright = Crop(x, y, longest, angle)
            _, y = upright.to_unit(np.array([crop.center_x, crop.center_y]))
            rows.append([crop.side / longest, y - 0.5])
    scale, offset_y = np.median(rows, axis=0)
    return {"scale": round(float(scale), 4), "offset_x": 0.0, "offset_y": round(float(offset_y), 4)}


def fit_points(faces: list[np.ndarray], kind: str) -> list[list[float]]:
    """Weights by ridge regression, over the faces and their mirror images."""
    schema = schema_for(kind)
    around = crop_maps.CropAround(schema)
    inputs, outputs = [], []
    for face in faces:
        for points in (face, schema.mirror(face, 1)):
            features, upright = around.features(points)
            crop = target(points, upright.angle)
            inputs.append(features)
            x, y = upright.to_unit(np.array([crop.center_x, crop.center_y]))
            outputs.append([x, y, math.log(crop.side / upright.side)])
    x, y = np.array(inputs), np.array(outputs)
    weights = np.linalg.solve(x.T @ x + RIDGE * np.eye(x.shape[1]), x.T @ y)
    return np.round(weights, 5).tolist()


def schema_for(kind: str) -> LandmarkSchema:
    """The 68 points, with or without their tip of the nose."""
    schema = schemas.get("ibug68")
    return schema if kind == "with_nose" else dataclasses.replace(schema, nose_tip=())


def report(found: dict[str, list[Detection | None]], faces: list[np.ndarray]) -> None:
    """Prints how far the crops of the other half are off."""
    rows = {f"{name}'s boxes": [
        (crop_maps.from_detection(d.box, d.keypoints, name), points)
        for d, points in zip(detections[1::2], faces[1::2], strict=True) if d is not None
    ] for name, detections in found.items()}
    for kind in ("without_nose", "with_nose"):
        around = crop_maps.CropAround(schema_for(kind))
        rows[f"points {kind}"] = [(around(points), points) for points in faces[1::2]]
    for name, pairs in rows.items():
        errors = []
        for crop, points in pairs:
            true = target(points, crop.angle)
            x, y = true.to_unit(np.array([crop.center_x, crop.center_y]))
            errors.append([x, y, math.log(crop.side / true.side)])
        print(f"{name:20} {len(pairs)} of {len(faces[1::2])} faces, off by "
              + " ".join(f"{value:.3f}" for value in np.std(errors, axis=0)))


if __name__ == "__main__":
    raise SystemExit(common.run(main))
