"""What the toolkit computes, for the tests of its ports: tools/web/test/vectors.json.

    python -m tests.tools.web_vectors

writes the file anew.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations.synthetic.render import render_face
from efld_tf.arrays import Array, Floats
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop
from efld_tf.runtime import agreement, crop_maps, detector, overlap, portable
from efld_tf.runtime.detector import Detection
from efld_tf.runtime.faces import Face
from efld_tf.runtime.model_crops import ModelCrops
from efld_tf.runtime.smoothing import OneEuroFilter

FILE = Path(__file__).parents[2] / "tools" / "web" / "test" / "vectors.json"
SIZE = 24
# Of a whole face with and without a tip of the nose, and of parts: by a rule of other points, of
# the points themselves, and without a mouth; errors of the last are divided by their box.
MODELS = {
    "ibug51": CropRule("points", "ibug68", 0.9615, -0.002, -0.0638, 1.3),
    "mtfl5": CropRule("file", "mtfl5", 1.1, 0.01, 0.02),
    "eyes": CropRule("points", "ibug68", 0.8, 0.0, -0.2),
    "own_eyes": CropRule("points", "own_eyes", 1.6, 0.01, 0.03),
}
PARTS = ("eyes", "own_eyes")
EYES = slice(19, 31)  # of the 51 points


class Model:
    """What `portable.fields` takes of a model."""

    input_size, has_confidence = 128, True

    def __init__(self, name: str):
        self.schema, self.crop_rule = name, MODELS[name]
        self.mean_shape: Floats | None = None
        if name in PARTS:
            points = _points()[EYES]
            low, high = points.min(axis=0), points.max(axis=0)
            self.mean_shape = (points - (low + high) / 2) / (1.6 * max(high - low)) + 0.5


def vectors() -> dict[str, Any]:
    """The content of the file."""
    for name in PARTS:
        schemas.declare(_eyes(name))
    random = np.random.default_rng(3)
    image = random.integers(0, 256, (60, 80, 3), np.uint8)
    image[20:40, 20:60] = np.linspace(0, 255, 40, dtype=np.uint8)[None, :, None]
    return {
        "image": {"width": 80, "height": 60, "rgb": _base64(image)},
        "crops": [{"crop": _crop(crop), "size": SIZE,
                   "rgb": _base64(extract_crop(image, crop, SIZE))} for crop in _crops()],
        "squares": [{"left": left, "top": top, "step": step, "size": SIZE, "rgb": _base64(
            detector._View(image, 0).sampled(left, top, step, SIZE))}
            for left, top, step in ((0.0, -10.0, 80 / 24), (3.3, 4.1, 0.77))],
        "rows": _suppression(random),
        "models": [_model(name) for name in MODELS],
        "smoothing": _smoothing(random),
    }


def _crops() -> list[Crop]:
    """Enlarged, shrunk by blocks, turned, over each edge, and outside."""
    return [Crop(40.2, 30.7, 17.3), Crop(40.0, 29.5, 24.0), Crop(39.1, 31.9, 47.9, 0.4),
            Crop(41.0, 30.0, 55.0, -1.2), Crop(3.0, 5.0, 30.0, 2.0), Crop(78.2, 57.1, 50.0, -2.8),
            Crop(40.0, 30.0, 200.0, 0.1), Crop(300.0, 30.0, 20.0)]


def _eyes(name: str) -> dict[str, Any]:
    return {
        "name": name, "title": name,
        "parts": {"right_eye": {"points": "0-5", "closed": True},
                  "left_eye": {"points": "6-11", "closed": True}},
        "flip": [9, 8, 7, 6, 11, 10, 3, 2, 1, 0, 5, 4],
        "normalisers": {"interocular": {"right": 0, "left": 9}},
        "anchors": {"right_eye": "0,3", "left_eye": "6,9"},
        **({"divisor": "box_size"} if name == "own_eyes" else {}),
    }


def _points() -> Floats:
    """Those of a rendered face as `ibug51`."""
    points: Floats = render_face(seed=4, index=2, size=128).points["ibug51"]
    return points


def _turned(name: str, angle: float) -> Floats:
    """The points of a model's schema on that face, turned."""
    points = _points().astype(np.float64)
    if name in PARTS:
        points = points[EYES]
    elif name == "mtfl5":
        anchors = schemas.get("ibug51").anchor_points(points)
        points = np.stack([anchors[0], anchors[1], points[13], anchors[2], anchors[3]])
    cosine, sine = np.cos(angle), np.sin(angle)
    return 1.7 * points @ np.array([[cosine, sine], [-sine, cosine]]) + [300, 200]


def _model(name: str) -> dict[str, Any]:
    model = Model(name)
    schema = schemas.get(name)
    crops = ModelCrops(schema, model.crop_rule, model.mean_shape)
    cases = []
    for angle in (0.0, 0.5, -2.9):
        points = _turned(name, angle)
        around = crops.around(points)
        seen = crops.as_detection(around, portable.DETECTOR)
        keypoints = seen.keypoints + np.array([[2.0, 1.0], [-1.0, 2.0], [0.5, 3.0], [1.0, -2.0],
                                               [0.0, 0.0], [0.0, 0.0]])
        box = seen.box + np.array([1.0, -2.0, 3.0, 0.0])
        found = Detection(box, keypoints, 0.9, portable.DETECTOR)
        face = Face(points, name, box, 0.9, 1.0, errors=np.linspace(1, 9, len(points)))
        cases.append({
            "points": _places(points), "around": _crop(around),
            "seen": _detection(seen),
            "detection": _detection(found),
            "crop": _crop(crops.of_detection(found)),
            "side": crop_maps.from_detection(found.box, found.keypoints, found.detector).side,
            "agreement": agreement.agreement(points, schema, found),
            "errors": np.asarray(face.errors).tolist(),
            "expected_nme": face.expected_nme,
        })
    return {"description": portable.fields(model), "cases": cases}


def _suppression(random: np.random.Generator) -> dict[str, Any]:
    """Three faces, of which two have several boxes."""
    boxes = np.array([[10, 10, 50, 52], [12, 9, 51, 50], [9, 12, 49, 55], [80, 15, 120, 60],
                      [84, 18, 119, 58], [200, 10, 230, 45]], np.float64)
    rows = np.concatenate([random.uniform(0.5, 1, (6, 1)), boxes, random.uniform(0, 50, (6, 12))],
                          axis=1).round(3)
    merged = overlap.weighted_suppression(rows, detector.SAME_FACE_IOU)
    return {"rows": rows.tolist(), "min_iou": detector.SAME_FACE_IOU, "merged": merged.tolist()}


def _smoothing(random: np.random.Generator) -> list[dict[str, Any]]:
    one_euro, frames, seconds = OneEuroFilter(), [], 0.0
    points = _points()[:5].astype(np.float64)
    for index in range(8):
        seconds += (0.033, 0.05, 0.2)[index % 3]
        points = points + random.normal(0, 1 + index, points.shape)
        smooth = one_euro.update(points, seconds, 90.0)
        frames.append({"points": _places(points), "seconds": seconds, "size": 90.0,
                       "smooth": _places(smooth)})
    return frames


def _crop(crop: Crop) -> dict[str, float]:
    return {"x": crop.center_x, "y": crop.center_y, "side": crop.side, "angle": crop.angle}


def _detection(detection: Detection) -> dict[str, Any]:
    return {"box": detection.box.tolist(), "keypoints": _places(detection.keypoints),
            "score": detection.score}


def _places(points: Floats) -> list[dict[str, float]]:
    return [{"x": float(x), "y": float(y)} for x, y in points]


def _base64(pixels: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(pixels).tobytes()).decode()


def text() -> str:
    """The file's text."""
    rounded = json.loads(json.dumps(vectors()), parse_float=lambda number: round(float(number), 6))
    return json.dumps(rounded, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
