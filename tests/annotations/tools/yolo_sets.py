"""Small data sets of Ultralytics for pose, with five points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml

from efld_tf.annotations.tools import yolo
from tests.annotations.writers import write_image, yolo_line

POINTS = np.array([[0.3, 0.4], [0.6, 0.41], [0.45, 0.5], [0.35, 0.6], [0.55, 0.62]])
BOX = np.array([0.2, 0.3, 0.7, 0.75])
FACE = yolo_line(0, POINTS, BOX)
NAMES = ["right_eye_centre", "left_eye_centre", "nose_tip", "mouth_right_corner",
         "mouth_left_corner"]  # fmt: skip


def write_set(folder: Path, images: dict[str, str | None], data: Any = None) -> Path:
    """Images with the texts of their labels, and a data.yaml; what a source names."""
    for image, text in images.items():
        write_image(folder / image)
        if text is not None:
            place = "labels/".join(image.rsplit("images/", 1))
            label = (folder / place).with_suffix(".txt")
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text(text)
    if data is None:
        return folder
    path = folder / "data.yaml"
    path.write_text(data if isinstance(data, str) else yaml.safe_dump(data, sort_keys=False))
    return path


def data_yaml(**changes: Any) -> dict[str, Any]:
    """The content of a data.yaml."""
    return {"train": "images/train", "kpt_shape": [5, 3], "names": {0: "face"}} | changes


def one_label(folder: Path, text: str, **changes: Any) -> Path:
    """A data set of one image with that label, and changes of its data.yaml."""
    return write_set(folder, {"images/train/a.jpg": text}, data_yaml(**changes))


def read_set(path: Path, schema: str = "mtfl5", **options: str) -> list[Any]:
    """The faces, errors and notes of a data set."""
    return list(yolo.read(path, schema=schema, **options))
