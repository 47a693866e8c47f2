"""What errors are divided by: a schema's own distances, or sizes of the true box of a face.

Sizes of a box are for faces in any pose, of which no two points keep their distance.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.errors import EfldError
from efld_tf.landmarks.schema import LandmarkSchema, Normaliser


@dataclass(frozen=True)
class BoxNormaliser:
    """A size of the true box of a face.

    Attributes:
      name: the name of the normaliser.
      box: which box it is of: `points`, the tight box of all points of the source's annotation that
        are annotated, also where fewer points are compared; or `file`, the annotation's own box.
      title: what it is, in words.
      size: widths and heights [...] -> sizes [...], in their unit; arrays or tensors.
    """

    name: str
    box: str
    title: str
    size: Callable[[Any, Any], Any]

    def distance(self, boxes: Floats) -> Floats:
        """The sizes [...] of boxes [..., 4] (x0, y0, x1, y1), in their unit; NaN where unknown."""
        boxes = np.asarray(boxes, np.float64)
        sizes: Floats = self.size(boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1])
        return sizes


# Every schema has these beside its own. The first two are S. Zafeiriou et al., "The Menpo Facial
# Landmark Localisation Challenge", CVPRW 2017, and X. Zhu et al., "Face Alignment Across Large
# Poses: A 3D Solution", CVPR 2016 (AFLW2000-3D). PIPNet (Section 4.1.3) divides AFLW's errors by
# the size of the image, which its code cuts out by the annotation's box as it is.
BOX_NORMALISERS = {
    normaliser.name: normaliser for normaliser in (
        BoxNormaliser("box_diagonal", "points",
                      "diagonal of the tight box of all annotated points",
                      lambda width, height: (width**2 + height**2) ** 0.5),
        BoxNormaliser("box_size", "points",
                      "sqrt(width * height) of the tight box of all annotated points",
                      lambda width, height: (width * height) ** 0.5),
        BoxNormaliser("image_size", "file",
                      "longest side of the face's box in its file, which is the image's side where "
                      "images are cut out by that box",
                      lambda width, height: (width + height + abs(width - height)) / 2),
    )
}


def find(schema: LandmarkSchema, name: str | None = None) -> Normaliser | BoxNormaliser:
    """The normaliser of that name; for None the schema's `divisor`, or its first one.

    Raises:
      EfldError: it is neither the schema's own nor of a box.
    """
    name = name or schema.divisor or None
    if name in BOX_NORMALISERS:
        return BOX_NORMALISERS[name]
    try:
        return schema.find_normaliser(name)
    except EfldError as error:
        raise EfldError(f"{error}, {', '.join(BOX_NORMALISERS)}") from error


def size_of(points: Floats, schema: LandmarkSchema) -> float:
    """The distance by which errors of a face [N, 2] are divided, of its own box where it is one's.

    NaN where points that it needs are missing.
    """
    chosen = find(schema)
    if not isinstance(chosen, BoxNormaliser):
        return float(chosen.distance(points))
    return float(chosen.distance(known_box(points)))


def known_box(points: Floats) -> Floats:
    """The tight boxes [..., 4] of those of points [..., N, 2] that are not NaN; NaN without any."""
    points = np.asarray(points, np.float64)
    ends = np.fmin.reduce(points, axis=-2), np.fmax.reduce(points, axis=-2)
    return np.concatenate(ends, axis=-1)


def title(schema: LandmarkSchema, name: str) -> str:
    """What a normaliser is, in words; errors as in `find`."""
    chosen = find(schema, name)
    if isinstance(chosen, BoxNormaliser):
        return chosen.title
    right, left = (", ".join(schema.names[point] for point in end)
                   for end in (chosen.right, chosen.left))
    return f"distance of {right} and {left}"
