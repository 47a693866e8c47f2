"""Brings faces to one place, size and turn, as models of face recognition take them.

The similarity is the least-squares one of S. Umeyama, "Least-Squares Estimation of Transformation
Parameters Between Two Point Patterns", TPAMI 13(4), 1991. In the plane, points are complex numbers
and a similarity without reflection is z -> a z + b, so that the best a has a closed form.
"""

from __future__ import annotations

import numpy as np

from efld_tf.arrays import Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import geometry
from efld_tf.landmarks.schema import EYES, LandmarkSchema
from efld_tf.landmarks.shapes import as_complex

SIZE = 112

# The places in pixels of the aligned face, with pixel centres at whole numbers, of J. Deng et al.,
# "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019, as InsightFace
# writes them. The first eye is on the image's left, which is the person's right one.
TEMPLATE = {
    "right_eye": (38.2946, 51.6963),
    "left_eye": (73.5318, 51.5014),
    "nose_tip": (56.0252, 71.7366),
    "mouth_right": (41.5493, 92.3655),
    "mouth_left": (70.7299, 92.2041),
}


def check(schema: LandmarkSchema) -> None:
    """Raises EfldError if the schema has no eyes, without which a face cannot be placed."""
    schema.need_anchors("alignment", EYES)


def five_points(points: Floats, schema: LandmarkSchema) -> dict[str, Floats]:
    """Eye centres, nose tip and mouth corners [2] of points [N, 2], named as in `TEMPLATE`.

    A schema without a nose tip or a mouth has fewer of them.

    Raises:
      EfldError: the schema has no eyes, without which a face cannot be placed.
    """
    check(schema)
    groups = dict(schema.anchors)
    if schema.nose_tip:
        groups["nose_tip"] = schema.nose_tip
    return {name: points[list(groups[name])].mean(axis=0) for name in TEMPLATE if name in groups}


def similarity(source: Floats, target: Floats) -> Floats:
    """The similarity [2, 3] without reflection that brings `source` closest to `target`.

    Args:
      source, target: [K, 2] each, K at least 2.

    Raises:
      EfldError: a point is not finite, or no similarity is better than shrinking `source` to a
        point, because its points coincide or are mirrored.
    """
    if not np.isfinite(source).all():
        raise EfldError("cannot align a face of which a point is missing")
    start, end = as_complex(source), as_complex(target)
    start_centre, end_centre = start.mean(), end.mean()
    offset, aim = start - start_centre, end - end_centre
    spread = (abs(offset) ** 2).sum()
    fit = (offset.conj() * aim).sum()
    # The limit is a thousandth of the value for a perfect match.
    if not abs(fit) > 1e-3 * np.sqrt(spread * (abs(aim) ** 2).sum()) > 0:
        raise EfldError("cannot align a face whose points coincide or are mirrored")
    a = fit / spread
    b = end_centre - a * start_centre
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align(image: Image, points: Floats, schema: LandmarkSchema) -> Image:
    """A face as the 112 x 112 picture that models of face recognition take.

    A face that shrinks is averaged first, as for a crop; outside the image it is black.

    Args:
      image: [H, W, 3] uint8 RGB.
      points: [N, 2], the points of the face in pixels.

    Returns:
      [112, 112, 3] uint8 RGB.

    Raises:
      EfldError: the schema has no eyes, or the points are not those of a face; see `similarity`.
    """
    named_points = five_points(points, schema)
    template = np.array([TEMPLATE[name] for name in named_points])
    matrix = similarity(np.array([*named_points.values()]), template)
    return geometry.extract_aligned(image, matrix, SIZE)
