"""A real face, and ways to annotate it so that its place is to be told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.sources import Annotations
from tests.annotations.writers import dlib_box, dlib_text, ibug_text, numbers

COLUMNS = ",".join(["image", *(f"{axis}{i}" for i in range(68) for axis in "xy")])


def real_face(shared_data: Path) -> tuple[np.ndarray, np.ndarray]:
    """A real photo that is not square, and its 68 points, which are well inside."""
    record = sources.read(f"ibug:{shared_data}/ibug/helen/testset").records[3]
    image = read_image(record)[: int(0.93 * 400)]
    assert image.shape[0] != image.shape[1] and record.points.min() > 5
    return image, record.points.round()


def write(kind: str, folder: Path, points: np.ndarray, size: tuple[int, int] | None) -> str:
    """Annotates `a.jpg` in a folder in a format; the source."""
    folder.mkdir(exist_ok=True)
    if kind == "coco":
        stated = {} if size is None else {"width": size[0], "height": size[1]}
        keypoints = np.column_stack([points.astype(float), np.full(68, 2)]).ravel().tolist()
        (folder / "a.json").write_text(json.dumps({
            "images": [{"id": 1, "file_name": "a.jpg", **stated}],
            "annotations": [{"id": 1, "image_id": 1, "keypoints": keypoints}],
        }))
        return f"coco:{folder}/a.json"
    if kind == "dlib":
        (folder / "a.xml").write_text(dlib_text([("a.jpg", [dlib_box(points)])]))
        return f"dlib:{folder}/a.xml"
    if kind == "ibug":
        (folder / "a.pts").write_text(ibug_text(points))
        return f"ibug:{folder}"
    (folder / "a.csv").write_text(f"{COLUMNS}\na.jpg,{numbers(points, ',')}\n")
    return f"csv:{folder}/a.csv?schema=ibug68"


def with_option(source: str, option: str) -> str:
    return f"{source}{'&' if '?' in source else '?'}{option}"


def only(found: Annotations) -> FaceRecord:
    (record,) = found.records
    return record
