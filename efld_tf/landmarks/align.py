"""Brings faces to one place, size and turn, as models of face recognition take them.

The similarity is the least-squares one of S. Umeyama, "Least-Squares Estimation of Transformation
Parameters Between Two Point Patterns", TPAMI 13(4), 1991. In the plane, points are complex numbers
and a similarity without reflection is z -> a z + b, so that the best a has a closed form.

Three ways lead to it:

- `five`: the eye centres, the tip of the nose and the mouth corners are brought closest to the
  template's. This is what most published models were trained on.
- `inner`: all inner points are brought closest to those of the mean head, seen from in front, whose
  five lie as the template's.
- `head`: the mean head is fitted to the points in space (`mean_head.fit`), with their depths if
  they are known; its size, the middle of its face and its way up give the similarity. By right
  points, a head that turns keeps both, where the other two shrink and tilt a profile. (J. Guo et
  al., "Stacked Dense U-Nets with Dual Transformers for Robust Face Alignment", BMVC 2018, Section
  4.5, aligns by 68 points in space, but does not say how.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from efld_tf import config, trees
from efld_tf.arrays import Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import geometry, mean_head, schemas
from efld_tf.landmarks.schema import EYES, MOUTH, LandmarkSchema
from efld_tf.landmarks.shapes import as_complex
from efld_tf.text import shown

SIZE, MOST_SIZE = 112, 1024
# How far apart eyes and mouth are in a template at least, in pixels of 112.
LEAST_SPREAD = 8
# A picture that is continued at its border is not made larger than so many times its longer side.
MOST_CONTINUED = 4
WAYS = ("five", "inner", "head")
# What is outside of the image: black, its last pixels repeated, or the image mirrored at its edge.
BORDERS = {"black": cv2.BORDER_CONSTANT, "repeat": cv2.BORDER_REPLICATE,
           "mirror": cv2.BORDER_REFLECT_101}

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


@dataclass(frozen=True)
class Alignment:
    """How faces are aligned.

    Attributes:
      by: one of `WAYS`.
      size: side of the picture in pixels, up to `MOST_SIZE`.
      template: where the eyes, the tip of the nose and the mouth corners go, in pixels of a picture
        of 112 x 112, pixel centres at whole numbers; other sizes are in proportion.
      border: one of `BORDERS`.
    """

    by: str = "five"
    size: int = SIZE
    template: Mapping[str, Sequence[float]] = field(default_factory=lambda: TEMPLATE)
    border: str = "black"

    def __post_init__(self) -> None:
        for name, value, known in (("by", self.by, WAYS), ("border", self.border, tuple(BORDERS))):
            if value not in known:
                raise EfldError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
        whole = isinstance(self.size, int | np.integer) and not isinstance(self.size, bool)
        if not whole or not 1 <= self.size <= MOST_SIZE:
            raise EfldError(f"size: expected 1 to {MOST_SIZE} pixels, got {self.size!r}")
        if {*self.template} != {*TEMPLATE}:
            raise EfldError(f"template: expected {', '.join(TEMPLATE)}, got "
                            f"{shown(', '.join(self.template)) or 'nothing'}")
        for name, place in self.template.items():
            if len(place) != 2 or not all(-SIZE <= value <= 2 * SIZE for value in place):
                raise EfldError(f"{name}: expected x and y in pixels of a picture of {SIZE} x "
                                f"{SIZE}, got {list(place)}")
        (right, right_y), (left, left_y) = (self.template[name] for name in EYES)
        mouth_y = min(self.template[name][1] for name in MOUTH)
        if left - right < LEAST_SPREAD or mouth_y - max(right_y, left_y) < LEAST_SPREAD:
            raise EfldError(f"template: expected right_eye left of left_eye, and the mouth below "
                            f"them, by {LEAST_SPREAD} pixels of {SIZE} or more")

    @property
    def places(self) -> dict[str, Floats]:
        """The template's places [2] in pixels of the picture."""
        # Pixel centres are whole numbers, and outer corners stay where they are.
        return {name: (np.array(place) + 0.5) * self.size / SIZE - 0.5
                for name, place in self.template.items()}


ARCFACE = Alignment()


def read_template(path: str | Path) -> dict[str, Sequence[float]]:
    """The template of a YAML file: x and y by the names of `TEMPLATE`.

    Raises:
      DataError: the file cannot be read, or is no template.
    """
    tree = config.read_tree(path)
    try:
        places = trees.checked(tree, dict[str, list[float]], "")
        return dict(Alignment(template=places).template)
    except EfldError as error:
        raise DataError(path, str(error)) from error


def check(schema: LandmarkSchema, alignment: Alignment = ARCFACE) -> None:
    """Raises EfldError if faces cannot be aligned so by points of a schema."""
    schema.need_anchors("alignment", EYES)
    if alignment.by != "five":
        mean_head.places_of(schema.name)
    if alignment.by == "head" and len(mean_head.places_of(schema.name).head) < mean_head.LEAST:
        raise EfldError(f"alignment by head: schema {schema.name} lacks eyes, mouth or the tip of "
                        "the nose")


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
    return _matrix(a, end_centre - a * start_centre)


def _matrix(a: complex, b: complex) -> Floats:
    """z -> a z + b as an affine [2, 3]."""
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def matrix(
    points: Floats, schema: LandmarkSchema, alignment: Alignment = ARCFACE,
    depth: Floats | None = None,
) -> Floats:
    """The similarity [2, 3] from pixels of an image to those of the aligned picture of a face.

    Args:
      points: [N, 2] in pixels.
      depth: [N] in pixels, how far each point is in front, for `head`; None if it is not known.

    Raises:
      EfldError: as in `check`, `similarity` and `mean_head.fit`.
    """
    check(schema, alignment)
    if alignment.by == "five":
        named = five_points(points, schema)
        template = alignment.places
        return similarity(np.array([*named.values()]), np.array([template[n] for n in named]))
    to_template = _mean_head_in(alignment)
    if alignment.by == "inner":
        places = mean_head.places_of(schema.name)
        seen = places.of(points)
        known = np.isfinite(seen).all(axis=-1)
        if known.sum() < 2:
            raise EfldError("cannot align a face of which nearly all points are missing")
        target = geometry.apply_affine(to_template, places.head[known, :2] * [1, -1])
        return similarity(seen[known], target)
    placed = mean_head.fit(points, schema, depth)
    middle = _five_of(mean_head.mean_head()).mean(axis=0)
    start = as_complex(placed.project(middle))
    up = as_complex(placed.rotation[:2, 1] * [1, -1])
    if abs(up) < 1e-3:
        raise EfldError("cannot align a head that is seen from above or below")
    upright = complex(to_template[0, 0], to_template[1, 0])
    a = upright / placed.scale * -1j * up.conjugate() / abs(up)
    end = as_complex(geometry.apply_affine(to_template, middle[:2] * [1, -1]))
    return _matrix(complex(a), complex(end - a * start))


def _five_of(head: Floats) -> Floats:
    """The template's places on a head [68, 3]: [5, 3]."""
    return np.array([*five_points(head, schemas.get(mean_head.HEAD)).values()])


def _mean_head_in(alignment: Alignment) -> Floats:
    """The similarity [2, 3] from the mean head, seen from in front with y down, to the picture."""
    five = _five_of(mean_head.mean_head())[:, :2] * [1, -1]
    return similarity(five, np.array([alignment.places[name] for name in TEMPLATE]))


def align(
    image: Image, points: Floats, schema: LandmarkSchema, alignment: Alignment = ARCFACE,
    depth: Floats | None = None,
) -> Image:
    """A face as the picture that models of face recognition take.

    A face that shrinks is averaged first, as for a crop.

    Args:
      image: [H, W, 3] uint8 RGB.
      points, depth: as in `matrix`.

    Returns:
      [size, size, 3] uint8 RGB, 112 pixels by default.

    Raises:
      EfldError: as in `matrix`.
    """
    placing, size = matrix(points, schema, alignment, depth), alignment.size
    if alignment.border != "black":
        image, placing = _extended(image, placing, size, BORDERS[alignment.border])
    return geometry.extract_aligned(image, placing, size)


def _extended(image: Image, placing: Floats, size: int, border: int) -> tuple[Image, Floats]:
    """The part of an image that an aligned picture shows, continued where it ends; and its matrix.

    Raises:
      EfldError: the picture shows many times as much as there is.
    """
    crop = geometry.Crop.of_similarity(placing, size)
    corners = crop.from_unit(np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]))
    room = 2 + 2 * int(crop.side / size)  # for the pixels that are averaged
    low = np.floor(corners.min(axis=0)).astype(int) - room
    high = np.ceil(corners.max(axis=0)).astype(int) + room + 1
    ends = np.array(image.shape[1::-1])
    if (high - low).max() > MOST_CONTINUED * ends.max() + 4 * room:
        raise EfldError(f"cannot align a face so near to the border of a picture that it would be "
                        f"continued to more than {MOST_CONTINUED} times its size; leave the rest "
                        "black")
    before, after = np.maximum(-low, 0), np.maximum(high - ends, 0)
    # As much of the image as is mirrored is needed, too.
    first = np.maximum(np.minimum(low, ends - after - 1), 0)
    last = np.minimum(np.maximum(high, before + 1), ends)
    part = image[first[1] : last[1], first[0] : last[0]]
    (left, top), (right, bottom) = before.tolist(), after.tolist()
    part = cv2.copyMakeBorder(part, top, bottom, left, right, border)
    x, y = first - before
    return part, geometry.compose_affines(placing, np.array([[1.0, 0, x], [0, 1, y]]))
