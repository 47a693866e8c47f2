"""COCO-WholeBody (version 1.0): 68 points of the faces of people in COCO's photos.

It is COCO's keypoint JSON (`coco.py`) with more fields in each person's annotation: `face_valid`,
`face_box` (x, y, width, height) and `face_kpts` (68 times x, y, v), in iBUG's order. Coordinates
count from 0. Only valid faces have points; for others all numbers are 0.

v is 0 for a point that is not labelled. Faces that are plainly visible have 1 throughout, and the
authors say no more than that all points above 0 may be used, so that v does not tell of occlusion.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import coco_files, json_values
from efld_tf.annotations.declared import MIN_FACE, image_folders, pixels
from efld_tf.annotations.format import Format, Note
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from efld_tf.text import counted

SCHEMA = "ibug68"
VALID, BOX, POINTS = "face_valid", "face_box", "face_kpts"
FIELDS = ("id", "image_id", VALID, BOX, POINTS)


def read(
    path: Path, *, images: str | None = None, min_face: str = MIN_FACE
) -> Iterator[FaceRecord | DataError | Note]:
    """The valid faces of a file, in its order; the identity is the photo.

    People without a valid face, and faces of fewer than `min_face` pixels, are left out and
    counted.

    Args:
      images: the folder of the photos; by default the file's, or `images`, `train2017` or
        `val2017` in it, or those beside a folder `annotations`.
      min_face: the longer side of a face's box in pixels from which on faces are read.

    Raises:
      DataError: `path` is not a readable file of that layout.
      EfldError: an option has an unknown value.
    """
    subset = "val2017" if "val" in path.stem else "train2017"
    folders = image_folders(
        images, [*coco_files.image_places(path, subset), path.parent / subset])
    least = pixels("min_face", min_face)
    content = coco_files.load(path, _kept)
    annotations, photos = content["annotations"], coco_files.Images(
        content["images"], folders, path)
    if annotations and not any(isinstance(a, dict) and VALID in a for a in annotations):
        raise DataError(path, f"no annotation has {VALID!r}: expected COCO-WholeBody's file; "
                              "coco:FILE reads others")
    without = small = 0
    for number, annotation in enumerate(annotations):
        try:
            if not isinstance(annotation, dict):
                raise DataError(path, "expected an object")
            points = _points(annotation, path)
            if points is None:
                without += 1
                continue
            box = coco_files.box_of(annotation, BOX, path)
            if box is not None and (box[2:] - box[:2]).max() < least:
                small += 1
                continue
            yield _record(annotation, points, box, photos, path)
        except DataError as error:
            yield coco_files.annotation_error(error, annotation, number)
    if without:
        yield Note(f"left out: {counted(without, 'annotation')} without a valid face")
    if small:
        yield Note(f"left out: {counted(small, 'face')} smaller than min_face, {least:g} pixels")


def _kept(item: dict[str, Any]) -> dict[str, Any]:
    """What is kept of an object of the file, most of which are polygons and hands."""
    if POINTS not in item and VALID not in item:
        return item
    kept = {field: item[field] for field in FIELDS if field in item}
    if not kept.get(VALID):
        kept.pop(POINTS, None)
    return kept


def _points(annotation: dict[str, Any], path: Path) -> np.ndarray | None:
    """The points [68, 2] of an annotation, NaN where not labelled; None if it has no valid face."""
    if not annotation.get(VALID):
        return None
    values = json_values.numbers(annotation.get(POINTS), path, POINTS)
    expected = 3 * schemas.get(SCHEMA).num_points
    if len(values) != expected:
        raise DataError(path, f"{POINTS}: expected {expected} numbers, x, y, v for each point, got "
                              f"{len(values)}")
    rows = values.reshape(-1, 3)
    if (rows[:, 2] < 0).any():
        raise DataError(path, f"{POINTS}: expected 0 or more as v of a point")
    labelled = rows[:, 2] > 0
    return np.where(labelled[:, None], rows[:, :2], np.nan) if labelled.any() else None


def _record(
    annotation: dict[str, Any], points: np.ndarray, box: np.ndarray | None,
    photos: coco_files.Images, path: Path,
) -> FaceRecord:  # fmt: skip
    photo = photos.of(annotation)
    return FaceRecord(
        image=photo.file,
        points=checked_points(points, SCHEMA, path, missing=True),
        schema=SCHEMA,
        box=box,
        identity=photo.name,
        image_size=photo.size,
    )


FORMAT = Format(
    "coco_wholebody", "COCO-WholeBody: the faces of people in COCO's photos", read, (SCHEMA,),
    "FILE.json",
    "coco_wholebody_{train,val}_v1.0.json in annotations/, COCO's train2017/ or val2017/ beside it",
    "annotations CC BY-NC 4.0, research only; photos under Flickr's terms",
)
