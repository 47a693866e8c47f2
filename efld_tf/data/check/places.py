"""Finds faces that are not where their image or their box is, and points that mean nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from efld_tf.annotations import missing
from efld_tf.annotations.record import FaceRecord
from efld_tf.data.check import duplicates, findings
from efld_tf.data.check.faces import Measured
from efld_tf.data.check.findings import Finding, Thresholds
from efld_tf.landmarks import schemas
from efld_tf.text import counted


def place_findings(
    index: int, records: Sequence[FaceRecord], measured: Sequence[Measured], limits: Thresholds
) -> Iterator[Finding]:
    """Finds points outside the image, points that may be missing, and boxes away from them.

    Args:
      index: the number of the source in the check.
      records, measured: its faces, and what was measured of each.
    """
    suspicion = missing.Suspicion()
    for record, pixels in zip(records, measured, strict=True):
        suspicion.add(record.points, (pixels.width, pixels.height) if not pixels.error else None)
    suspected = suspicion.marks()
    for record, pixels in zip(records, measured, strict=True):
        box = record.face_box()
        if record.box is None and schemas.get(record.schema).box == "file":
            yield Finding(index, record.key, findings.NO_BOX, 1.0,
                          f"no face box, but the crops of {record.schema} are made from it; those "
                          "of crop.box points need none")
        there = {mark: int(missing.at(record.points, mark).sum()) for mark in suspected}
        if found := [f"{counted(count, 'point')} at {missing.place(mark)}"
                     for mark, count in there.items() if count]:
            yield Finding(index, record.key, findings.MISSING, float(sum(there.values())),
                          f"{' and '.join(found)}: missing=X,Y says that they are not annotated")
        if not pixels.error:
            distance, count = _outside(record.points, pixels.width, pixels.height)
            relative = distance / max(float(box[2] - box[0]), 1e-6)
            if relative > limits.outside:
                subject = "1 point lies" if count == 1 else f"{count} points lie"
                message = f"{subject} up to {distance:.1f} px ({relative:.2f} face sizes) " \
                    f"outside the image of {pixels.width} x {pixels.height}"
                yield Finding(index, record.key, findings.OUTSIDE, relative, message)
        if record.box is not None and (fault := _box_fault(record, box, limits.box)):
            yield Finding(index, record.key, findings.BOX, *fault)


def _box_fault(
    record: FaceRecord, face_box: np.ndarray, least: float
) -> tuple[float, str] | None:
    """How far a face's own box [4] is off and a text that says so; None if it is not.

    Points of a part of the face do not tell how large the box of the face is, only where.
    """
    assert record.box is not None
    schema = schemas.get(record.schema)
    annotated = record.points[np.isfinite(record.points).all(axis=-1)]
    inside = ((annotated >= record.box[:2]) & (annotated <= record.box[2:])).all(axis=-1)
    held = f"the box holds {int(inside.sum())} of {len(annotated)} points"
    if schema.missing_anchors:
        share = float(inside.mean())
        return (1 - share, held) if share < least else None
    if schema.box == "points":
        face_box = record.source_box("points")
    overlap = duplicates.iou(record.box, face_box)
    if overlap >= least:
        return None
    return 1 - overlap, f"{held}; its intersection over union with the face is {overlap:.2f}"


def _outside(points: np.ndarray, width: int, height: int) -> tuple[float, int]:
    """The distance of the farthest point outside the image in pixels, and the number outside."""
    annotated = points[np.isfinite(points).all(axis=-1)].astype(np.float64)
    limit = np.array([width, height]) - 0.5
    over = np.linalg.norm(np.maximum(np.maximum(-0.5 - annotated, annotated - limit), 0), axis=1)
    return float(over.max(initial=0)), int((over > 0).sum())
