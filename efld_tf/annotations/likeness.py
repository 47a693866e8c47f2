"""Finds faces whose coordinates were read in other places, by the other faces of their source.

A line of a table that lacks a cell and has a blank at its end is as long as the others, and so is
one that has all x before all y. The latter can be told face by face if points are many, see `axes`.
What remains is told by comparison: such a face is unlike the others, and like them if its cells are
arranged otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from efld_tf.annotations import axes
from efld_tf.annotations.record import FaceRecord
from efld_tf.arrays import Floats
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas, shapes
from efld_tf.landmarks.shapes import Shapes

# Faces are compared whenever so many have been read, with so many, if there are enough.
CHUNK, MOST, FEWEST = 200, 400, 8

# A similarity brings any two points onto any other two.
FEWEST_POINTS = 4

# Distances are RMS, in the RMS size of a face. Of real faces that were read rightly, none that is
# farther from the others than the first number comes nearer than the second, in its distance, if it
# is arranged in another order; nor does 1 in 1,000 if its missing points are others.
FAR, NEARER = 0.45, 0.65
FAR_PLACES, NEARER_PLACES = 0.15, 0.45
# So many of a face's points may be missing if others could be in their place.
MOST_MISSING = 0.25

# Faces that are read in another order are 1.5 times as unlike one another, and more. Copies of one
# face say nothing.
MORE_ALIKE, LEAST_UNLIKE = 0.8, 0.05


def checked(
    items: Iterator[FaceRecord | DataError], folder: Path
) -> Iterator[FaceRecord | DataError]:
    """The items in their order, with errors in the place of faces that were read wrongly.

    Args:
      items: faces with keys and with points in pixels.
      folder: the folder of the source, to which keys are relative.
    """
    schemas_seen: dict[str, _Comparison] = {}
    chunk: list[FaceRecord | DataError] = []
    for item in items:
        chunk.append(item)
        if len(chunk) == CHUNK:
            yield from _compared(chunk, schemas_seen, folder)
            chunk = []
    yield from _compared(chunk, schemas_seen, folder)


def _compared(
    chunk: list[FaceRecord | DataError], schemas_seen: dict[str, _Comparison], folder: Path
) -> Iterator[FaceRecord | DataError]:
    of_schema: dict[str, list[FaceRecord]] = {}
    for item in chunk:
        if isinstance(item, FaceRecord) and len(item.points) >= FEWEST_POINTS:
            of_schema.setdefault(item.schema, []).append(item)
    wrong: dict[str, str] = {}
    for schema, faces in of_schema.items():
        points = np.stack([face.points for face in faces]).astype(np.float64)
        comparison = schemas_seen.setdefault(schema, _Comparison(schema))
        reasons = comparison.reasons(points)
        wrong |= {face.key: reason for face, reason in zip(faces, reasons, strict=True) if reason}
    for item in chunk:
        if isinstance(item, FaceRecord) and item.key in wrong:
            yield DataError(folder / item.key, wrong[item.key])
        else:
            yield item


class _Comparison:
    """Compares faces of one schema with those before."""

    def __init__(self, schema: str) -> None:
        self._names = schemas.get(schema).names
        self._right: Shapes = np.zeros((0, len(self._names)), complex)
        self._order = ""
        self._mean: Shapes | None = None

    def reasons(self, points: Floats) -> list[str]:
        """What is wrong with each face [F, N, 2]; "" for nothing."""
        few = points.shape[1] < axes.FEWEST
        if few and (order := _order_of_all(points)) is not None:
            self._order = order
        if few and self._order:
            return [axes.refusal(self._order)] * len(points)
        faces = shapes.as_complex(points)
        reasons = [""] * len(faces)
        shown = np.isfinite(faces).any(axis=1)
        enough = len(self._right) + shown.sum() >= FEWEST
        if enough and (few or not np.isfinite(faces).all()):
            mean = self._mean_with(faces[shown])
            distances = _distances(faces, mean)
            for i in np.flatnonzero(distances > FAR_PLACES):
                reasons[i] = _other_places(faces[i], mean, distances[i], self._names)
                if few and not reasons[i] and distances[i] > FAR:
                    reasons[i] = _other_order(points[i], mean, distances[i])
        right = faces[shown & [not reason for reason in reasons]]
        self._right = np.concatenate([self._right, right])[:MOST]
        return reasons

    def _mean_with(self, faces: Shapes) -> Shapes:
        """The mean of faces that were right and of those [F, N], as long as the former are few."""
        if self._mean is None:
            mean = _mean(np.concatenate([self._right, faces])[:MOST])
            self._mean = mean if len(self._right) >= MOST else None
            return mean
        return self._mean


def _order_of_all(points: Floats) -> str | None:
    """The order in which the cells of all faces [F, N, 2] seem to stand; "" if it is as read.

    None if there are too few faces to tell.
    """
    complete = points[np.isfinite(points).all(axis=(1, 2))]
    if len(complete) < FEWEST:
        return None
    unlike = _unlike(complete)
    if unlike < LEAST_UNLIKE * np.median(shapes.as_complex(complete).std(axis=1)):
        return None
    for order in (axes.X_FIRST, axes.IN_TURN):
        if _unlike(axes.arranged(complete, order)) < MORE_ALIKE * unlike:
            return order
    return ""


def _unlike(points: Floats) -> float:
    """The median distance of complete faces from their mean, in pixels.

    In the size of the face it would say nothing: in another order, a small face far from the
    diagonal of its photo is two heaps of points, and all such heaps are alike.
    """
    faces = shapes.as_complex(points)
    return float(np.median(_distances(faces, _mean(faces)) * faces.std(axis=1)))


def _other_order(points: Floats, mean: Shapes, distance: float) -> str:
    """What is wrong with a face [N, 2] if its cells are those of other coordinates; else ""."""
    for order in (axes.X_FIRST, axes.IN_TURN):
        face = shapes.as_complex(axes.arranged(points[None], order))
        if np.isfinite(face).sum() >= FEWEST_POINTS \
                and _distances(face, mean)[0] < NEARER * distance:
            return axes.refusal(order)
    return ""


def _other_places(face: Shapes, mean: Shapes, distance: float, names: Sequence[str]) -> str:
    """What is wrong with a face [N] of which the missing points must be others; else ""."""
    missing = np.flatnonzero(~np.isfinite(face))
    count = len(missing)
    points = np.delete(face, missing)
    if not 0 < count <= MOST_MISSING * len(face) or len(points) < FEWEST_POINTS \
            or missing[-1] - missing[0] != count - 1:
        return ""
    moved = np.full((len(points) + 1, len(face)), np.nan, complex)
    for start, row in enumerate(moved):
        row[:start], row[start + count :] = points[:start], points[start:]
    distances = _distances(moved, mean)
    best = int(distances.argmin())
    if not distances[best] < NEARER_PLACES * distance:
        return ""
    return (f"its points lie as if {names[best]} were missing, not {names[missing[0]]}: are cells "
            "of points in the places of others?")


def _mean(faces: Shapes) -> Shapes:
    """The median shape [N] of faces [F, N], of which some may be wrong."""
    annotated = np.isfinite(faces).sum(axis=1)
    means = []
    for start in np.argsort(-annotated, kind="stable")[: FEWEST // 2]:
        mean = shapes.normalised(np.nan_to_num(faces[start : start + 1]))[0]
        for _ in range(5):
            mean = shapes.median(_aligned(faces, mean))
        means.append(mean)
    return min(means, key=lambda mean: float(np.median(_distances(faces, mean))))


def _distances(faces: Shapes, mean: Shapes) -> Floats:
    """The RMS distance [F] of each face's points [F, N] from the mean face; NaN without a point."""
    annotated = np.isfinite(faces).sum(axis=1)
    squares = np.nansum(abs(_aligned(faces, mean) - mean) ** 2, axis=1)
    return np.sqrt(squares / np.where(annotated, annotated, np.nan))


def _aligned(faces: Shapes, mean: Shapes) -> Shapes:
    """Faces [F, N] brought onto the mean face; mirrored as profiles of the other side are."""
    aligned, mirrored = shapes.align(faces, mean), shapes.align(faces.conj(), mean)
    far = np.nansum(abs(aligned - mean) ** 2, axis=1)
    near = np.nansum(abs(mirrored - mean) ** 2, axis=1)
    return np.where((near < far)[:, None], mirrored, aligned)
