"""Real faces for the readers' tests, and what holds for every real face."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import schemas


def coco_faces(data: Path, name: str) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
    """Image, points [N, 2] and box [x0, y0, x1, y1] of each face of a format sample."""
    folder = data / "format_samples" / name
    content = json.loads((folder / f"test_{name}.json").read_text())
    images = {image["id"]: folder / image["file_name"] for image in content["images"]}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        points = np.reshape(annotation["keypoints"], (-1, 3))[:, :2]
        yield images[annotation["image_id"]], points, np.array([x, y, x + width, y + height])


def assert_upright(record: FaceRecord) -> None:
    """The eyes are above the mouth, and a person's right is the image's left."""
    schema = schemas.get(record.schema)
    right_eye, left_eye, mouth_right, mouth_left = schema.anchor_points(record.points)
    assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
    assert max(right_eye[1], left_eye[1]) < min(mouth_right[1], mouth_left[1])
