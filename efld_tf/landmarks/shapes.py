"""Shapes up to similarity: alignment, and the mean face of many annotations.

Shapes are complex numbers x + iy, so that a proper similarity (rotation, scale and shift, no
reflection) is z -> a z + b.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from efld_tf.arrays import Flags, Floats
from efld_tf.landmarks.schema import LandmarkSchema

Shapes = NDArray[np.complex128]


def as_complex(points: Floats) -> Shapes:
    """Points [..., N, 2] as shapes [..., N]; NaN stays NaN."""
    shapes: Shapes = points.astype(np.float64) @ np.array([1, 1j])
    return shapes


def mean_shape(shapes: Shapes, schema: LandmarkSchema) -> Shapes:
    """The median shape [N] of shapes [F, N], centred and of RMS size 1.

    It starts from the faces with eyes and mouth, turned upright; if there are none, from all faces
    as they lie. Faces whose eyes and mouth show them to be mirrored are relabelled first, so that
    even a source with all labels exchanged gives a correct face.

    If the schema has only the eyes or the mouth, faces are turned by these, and the images count as
    upright where that says which faces are mirrored. If it has neither, faces start as they lie.
    """
    down, mirrored = _down(shapes, schema)
    if schema.flip is not None:
        shapes = np.where(mirrored[:, None], shapes[:, list(schema.flip)], shapes)
        down, _ = _down(shapes, schema)
    with np.errstate(invalid="ignore", divide="ignore"):
        upright = normalised(shapes) * (1j * down.conj() / abs(down))[:, None]
    oriented = np.isfinite(down) & (down != 0)
    mean = median(upright[oriented] if oriented.any() else normalised(shapes))
    for _ in range(5):
        mean = median(align(shapes, mean))
    return mean


def _down(shapes: Shapes, schema: LandmarkSchema) -> tuple[Shapes, Flags]:
    """The direction [F] in which each face's chin is, and whether it is mirrored [F]."""
    points = np.stack([shapes.real, shapes.imag], axis=-1)
    way = schema.across(points)
    if way is None:
        return np.full(len(shapes), 1j), np.zeros(len(shapes), bool)
    across = as_complex(way)
    if schema.missing_anchors:
        return across * 1j, across.real < 0
    right_eye, left_eye, *mouth = as_complex(np.moveaxis(schema.anchor_points(points), -2, 0))
    down: Shapes = sum(mouth) / 2 - (right_eye + left_eye) / 2
    return down, (across.conj() * down).imag < 0


def align(shapes: Shapes, mean: Shapes, by: Flags | None = None) -> Shapes:
    """Shapes [F, N] brought onto `mean` [N], each by its best similarity; NaN stays NaN.

    Args:
      by: [N] bool, the points that are fitted; None for all.
    """
    annotated = np.isfinite(shapes)
    if by is not None:
        annotated = annotated & by
    count = np.maximum(annotated.sum(axis=1, keepdims=True), 1)
    centre = np.where(annotated, shapes, 0).sum(axis=1, keepdims=True) / count
    target = np.where(annotated, mean, 0).sum(axis=1, keepdims=True) / count
    offset = np.where(annotated, shapes - centre, 0)
    size = np.maximum((abs(offset) ** 2).sum(axis=1, keepdims=True), 1e-12)
    turn = (offset.conj() * np.where(annotated, mean - target, 0)).sum(axis=1, keepdims=True) / size
    aligned: Shapes = (shapes - centre) * turn + target
    return aligned


def normalised(shapes: Shapes) -> Shapes:
    """Shapes [F, N] centred and of RMS size 1; points that coincide stay in the centre."""
    offset = shapes - np.nanmean(shapes, axis=1, keepdims=True)
    size = np.sqrt(np.nanmean(abs(offset) ** 2, axis=1, keepdims=True))
    result: Shapes = offset / np.maximum(size, 1e-9)
    return result


def median(shapes: Shapes) -> Shapes:
    """The normalised median [N] of shapes [F, N], taken for each coordinate.

    A point that no face has lies in the centre.
    """
    present = np.isfinite(shapes).any(axis=0)
    median = np.zeros(shapes.shape[1], complex)
    points = shapes[:, present]
    median[present] = np.nanmedian(points.real, axis=0) + 1j * np.nanmedian(points.imag, axis=0)
    result: Shapes = normalised(median[None])[0]
    return result
