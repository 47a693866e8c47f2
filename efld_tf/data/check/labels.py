"""Finds faces whose points are labelled wrongly: mirrored, scrambled, shifted or unlikely ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from efld_tf.annotations.record import FaceRecord
from efld_tf.data.check import findings, shapes
from efld_tf.data.check.findings import Finding
from efld_tf.data.check.shapes import ShapeTests
from efld_tf.landmarks import schemas, stance
from efld_tf.landmarks.schema import LandmarkSchema

MOST_PAIRS = 6  # pairs of points that a note lists

# How badly faces fit their mirror images has a median below 0.42 in all sets at hand, profiles
# among them, and above 0.84 if x and y are in another order than is read. Of profiles, which may be
# as asymmetric, the eyes are near to each other, in the distance to the mouth: 4 % at most of a set
# are beyond both limits (tests).
MOST_ASYMMETRIC, LEAST_WIDTH = 0.75, 0.6


def flip_notes(points: np.ndarray, schema: LandmarkSchema) -> list[str]:
    """A note if the schema's flip contradicts the faces' points [F, N, 2]."""
    wrong = shapes.doubtful_flip(points, schema)
    if not wrong:
        return []
    pairs = [f"{schema.names[i]} with {schema.names[j] if i != j else 'itself'}"
             for i, j in wrong.items() if i <= j or wrong.get(j) != i]
    more = f" and {len(pairs) - MOST_PAIRS} more" if len(pairs) > MOST_PAIRS else ""
    doubt = "contradicts the faces"
    if schema.flip == tuple(range(schema.num_points)):
        doubt = "suits points of one side alone; if these are of both sides, it is wrong"
    return [f"the flip of {schema.name} {doubt}: mirrored, they pair "
            f"{', '.join(pairs[:MOST_PAIRS])}{more}; correct it, or the order of the points"]


def label_findings(
    index: int, records: Sequence[FaceRecord], tests: ShapeTests | None
) -> tuple[list[Finding], list[str]]:
    """The findings and notes on the labels of faces of one schema.

    Args:
      index: the number of the source in the check.
      tests: the tests of their shapes; None for few faces, of which each is told by its eyes and
        mouth alone.
    """
    schema = schemas.get(records[0].schema)
    points = np.stack([record.points for record in records]).astype(np.float64)
    stances = stance.stances(schema.anchor_points(points))
    swapped = stances.mirrored if tests is None else tests.swapped
    asymmetry = np.full(len(records), np.nan)
    if schema.flip not in (None, tuple(range(schema.num_points))):  # of both sides
        asymmetry = shapes.asymmetry(points, schema)
    scrambled = stances.scrambled | (
        (asymmetry > MOST_ASYMMETRIC) & (stances.width > LEAST_WIDTH))
    # Among many faces, a single odd one is told by its shape; if all are odd, that is their shape.
    if 2 * np.count_nonzero(scrambled) <= len(records):
        scrambled = stances.scrambled & (tests is None)
    found = []
    for face, record in enumerate(records):
        residual = 1.0 if tests is None else float(tests.residual[face])
        if scrambled[face]:
            kind, message = findings.OUTLIER, "its points lie as in no face"
        elif swapped[face]:
            kind, message = findings.SWAPPED, stance.exchange(float(stances.turn[face]))
        elif tests is not None and face in tests.shifts:
            kind, message = findings.SHIFT, f"labels are shifted: {tests.shifts[face]}"
        elif tests is not None and tests.outlier[face]:
            kind, message = findings.OUTLIER, _unlikely(tests, face, schema)
        else:
            continue
        found.append(Finding(index, record.key, kind, residual, message))
    notes = _notes(schema, stances.turn, swapped & ~scrambled, scrambled)
    known = asymmetry[np.isfinite(asymmetry)]
    if not notes and len(known) and np.median(known) > MOST_ASYMMETRIC:
        notes = [f"most of {len(records)} faces are unlike their mirror images: unless they are "
                 f"profiles, are x and y, and the points of {schema.name}, in the file's order?"]
    return found, notes


def _unlikely(tests: ShapeTests, face: int, schema: LandmarkSchema) -> str:
    return f"an unlikely shape: {float(tests.residual[face]):.3f} face sizes RMS from the " \
        f"model's fit, {float(tests.largest[face]):.2f} at {schema.names[tests.worst[face]]}"


def _notes(
    schema: LandmarkSchema, turn: np.ndarray, swapped: np.ndarray, scrambled: np.ndarray
) -> list[str]:
    """What is true of most faces, and so of how the file or the schema was understood."""
    if 2 * np.count_nonzero(scrambled) > len(scrambled):
        return [f"the points of {np.count_nonzero(scrambled)} of {len(scrambled)} faces lie as in "
                f"no face: are x and y, and the points of {schema.name}, in the file's order?"]
    if 2 * np.count_nonzero(swapped) <= len(swapped):
        return []
    faces = f"{np.count_nonzero(swapped)} of {len(swapped)} faces"
    known = turn[swapped & np.isfinite(turn)]
    middle = float(np.median(known)) if len(known) else 0.0
    sides = f"the anchors of {schema.name} those of the person's own sides, and its" \
        if schema.anchors else f"the {schema.name}"
    question = f"are {sides} points in the file's order?"
    if middle < stance.NEAR:
        return [f"{faces} have left and right exchanged: {question}"]
    cause = stance.exchange(middle).partition(":")[0]
    return [f"of {faces}, {cause}: is x before y, and y counted downwards? If so, {question}"]
