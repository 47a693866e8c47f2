"""Fits how well points agree with a detector's eyes, nose and mouth where they are right.

    python tools/fit_agreement.py research

A shipped model, or a `.tflite`, looks at rendered heads that are turned by up to 90 degrees. Points
are right if their mean error is below 8% of the face's size, the root of the area of their tight
box, and wrong above 11%; what is between counts for neither. Writes the package's numbers, and
prints the shares of right and of wrong points of other heads at a confidence of 0.5 and more.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np

from efld_tf import files
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.cli import common
from efld_tf.landmarks import schemas
from efld_tf.progress import Progress
from efld_tf.runtime import agreement
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.detector import SAME_FACE_IOU
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.overlap import iou
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.training.presence import logistic

HEADS, SEED, OTHER_SEED = 1000, 7, 8
SIZE, MOST_YAW = 256, 90.0
RIGHT, WRONG = 0.08, 0.11
# Of the heads whose points are right, so many have a confidence of 0.5 and more. The others are
# turned, too.
RECALL = 0.98
PENALTY = 2e-3


def main(argv: Sequence[str] | None = None) -> None:
    """Fits, writes the file and prints the shares."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model", nargs="?", default="research")
    arguments = parser.parse_args(argv)
    landmarker = FaceLandmarker(
        LandmarkPredictor(arguments.model), open_detector(), min_confidence=0)
    x, right = looked_at(landmarker, SEED)
    kernel, bias = fitted(x, right)
    files.write_json(agreement.FILE, {
        "fitted_on": f"{len(x)} rendered heads up to {MOST_YAW:g} degrees of yaw, seed {SEED}",
        "distance": round(float(kernel[0]), 2), "eyes": round(float(kernel[1]), 2),
        "bias": round(float(bias), 3)})
    agreement.weights.cache_clear()
    x, right = looked_at(landmarker, OTHER_SEED)
    sure = x @ kernel + bias >= 0
    print(f"other heads: {sure[right].mean():.1%} of {right.sum()} that are right have a "
          f"confidence of 0.5 and more, {sure[~right].mean():.1%} of {(~right).sum()} wrong ones")


def looked_at(landmarker: FaceLandmarker, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The features [F, 2] of heads that are right or wrong, and whether they are right [F]."""
    assert landmarker.detector is not None
    schema, rows, right = schemas.get(landmarker.schema), [], []
    with Progress("looking", HEADS, "head") as bar:
        for index in bar.over(range(HEADS)):
            yaw = np.random.default_rng([seed, index, 1]).uniform(-MOST_YAW, MOST_YAW)
            head = render_face(seed, index, SIZE, float(yaw))
            truth = head.points[landmarker.schema]
            low, high = truth.min(axis=0), truth.max(axis=0)
            for detection in landmarker.detector.detect(head.image):
                if iou(detection.box, np.concatenate([low, high])[None])[0] < SAME_FACE_IOU:
                    continue
                for face in landmarker.landmarks(head.image, [detection]):
                    error = np.linalg.norm(face.points - truth, axis=1).mean()
                    error /= np.sqrt((high - low).prod())
                    if not RIGHT <= error <= WRONG:
                        rows.append(agreement.features(face.points, schema, detection))
                        right.append(error < RIGHT)
    return np.array(rows), np.array(right)


def fitted(x: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
    """Kernel [2] and bias of a logistic regression, in which right and wrong faces weigh alike."""
    mean, spread = x.mean(axis=0), x.std(axis=0)
    z = (x - mean) / spread
    weight = 1 / np.where(right, right.sum(), (~right).sum())
    kernel = logistic(z, right, weight, PENALTY)[0] / spread
    return kernel, -float(np.quantile(x[right] @ kernel, 1 - RECALL))


if __name__ == "__main__":
    raise SystemExit(common.run(main))
