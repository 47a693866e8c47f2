"""A landmark format: the names of its points, its mirror, normalisers, lines and subsets.

Left and right are always the subject's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from efld_tf.arrays import Flags, Floats
from efld_tf.errors import EfldError

# The places that faces have in every format; they align crops across formats. They come in two
# pairs, EYES and MOUTH, of which a format of a part of the face may lack one or both.
ANCHORS = ("right_eye", "left_eye", "mouth_right", "mouth_left")
EYES, MOUTH = ANCHORS[:2], ANCHORS[2:]

# A shape of which a point lies further from its mirror image has no two sides, in RMS distances of
# the points from their centre: mean shapes of 20 real faces or more are within 0.56, those of half
# jaws and half faces beyond 0.85.
MOST_ASYMMETRY = 0.7


@dataclass(frozen=True)
class Part:
    """A named run of points.

    Attributes:
      name, points: its name, and the indices of its points.
      closed: whether its polyline returns to its start.
      line: whether it has a polyline; if not, its points have no order, such as a surface's.
    """

    name: str
    points: tuple[int, ...]
    closed: bool = False
    line: bool = True

    @property
    def polyline(self) -> tuple[int, ...]:
        """The points in the order in which they are joined, with the first again if closed."""
        if not self.line:
            return ()
        return (*self.points, self.points[0]) if self.closed else self.points


@dataclass(frozen=True)
class Normaliser:
    """The distance between two places, each the mean of a group of points."""

    name: str
    right: tuple[int, ...]
    left: tuple[int, ...]

    def distance(self, points: Floats) -> Floats:
        """The distances [...] for points [..., N, 2], in their unit."""
        right = points[..., list(self.right), :].mean(axis=-2)
        left = points[..., list(self.left), :].mean(axis=-2)
        distance: Floats = np.linalg.norm(right - left, axis=-1)
        return distance


@dataclass(frozen=True)
class Conversion:
    """A conversion of annotations to another schema whose definitions differ.

    Attributes:
      points: for each point of the target, the indices of the points whose mean it is; none where
        the target has a point that is not annotated.
      note: how the definitions differ.
    """

    points: tuple[tuple[int, ...], ...]
    note: str


@dataclass(frozen=True)
class LandmarkSchema:
    """One landmark format.

    Attributes:
      name: the identifier used in configs, file names and metadata.
      title: its common name.
      names: the names of the points, in order.
      parts: runs of points for drawing and per-region figures; together they cover every point.
      flip: `points[flip]`, mirrored in x, is the annotation of the mirrored image (an involution);
        None until it is inferred from the first faces that are read (`with_flip`).
      normalisers: the distances to normalise by; the first is the default.
      anchors: groups of points whose means are the `ANCHORS`: all four, or one pair, or none.
      subsets: for each schema that is a true subset, the indices of its points in this one.
      box: the box that a face's crop is made from: `points`, their tight box, or `file`, the
        annotation's own box, for points that do not span a face.
      nose_tip: the points whose mean is the tip of the nose; empty if there is none.
      conversions: the inexact conversions to other schemas, by the name of the target.
      divisor: what errors are divided by if nothing else is said: one of `normalisers`, or of
        `normalisers.BOX_NORMALISERS`, for heads in any pose; "" for the first one.
    """

    name: str
    title: str
    names: tuple[str, ...]
    parts: tuple[Part, ...]
    flip: tuple[int, ...] | None
    normalisers: tuple[Normaliser, ...]
    anchors: Mapping[str, tuple[int, ...]]
    subsets: Mapping[str, tuple[int, ...]]
    box: str = "points"
    nose_tip: tuple[int, ...] = ()
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    divisor: str = ""

    @property
    def num_points(self) -> int:
        """The number of points of an annotation."""
        return len(self.names)

    @property
    def normaliser(self) -> Normaliser:
        """The schema's first normaliser, which is the default unless it has a `divisor`."""
        return self.normalisers[0]

    @property
    def known_flip(self) -> tuple[int, ...]:
        """The flip, which must be known.

        Raises:
          EfldError: the flip has not been inferred yet.
        """
        if self.flip is None:
            raise EfldError(f"schema {self.name}: its flip is not inferred yet")
        return self.flip

    def find_normaliser(self, name: str | None = None) -> Normaliser:
        """The normaliser of that name, or the schema's default for None.

        Raises:
          EfldError: the schema does not define it.
        """
        if name is None:
            return self.normaliser
        for normaliser in self.normalisers:
            if normaliser.name == name:
                return normaliser
        available = ", ".join(n.name for n in self.normalisers)
        raise EfldError(f"schema {self.name} has no normaliser {name!r}; it has {available}")

    def mirror(self, points: Floats, width: float) -> Floats:
        """The annotation of the mirrored image, for points [..., N, 2] and a `width` in pixels.

        Pixel centres are whole numbers, so x becomes width - 1 - x.

        Raises:
          EfldError: the flip has not been inferred yet.
        """
        flipped = np.array(points[..., list(self.known_flip), :])
        flipped[..., 0] = width - 1 - flipped[..., 0]
        return flipped

    @property
    def missing_anchors(self) -> tuple[str, ...]:
        """Those of the `ANCHORS` that the schema does not have."""
        return tuple(name for name in ANCHORS if name not in self.anchors)

    def need_anchors(self, purpose: str, names: Sequence[str] = ANCHORS) -> None:
        """Checks that the schema has anchors.

        Args:
          purpose: what needs them, for the message.
          names: the anchors that are needed.

        Raises:
          EfldError: the schema lacks one of them.
        """
        if missing := [name for name in names if name in self.missing_anchors]:
            raise EfldError(f"{purpose}: schema {self.name} has no anchors {', '.join(missing)}, "
                            "which that needs")

    def anchor_points(self, points: Floats) -> Floats:
        """The `ANCHORS` of points [..., N, 2]: [..., 4, 2], NaN for those that the schema lacks."""
        missing = np.full((*points.shape[:-2], 2), np.nan)
        return np.stack([
            points[..., list(self.anchors[name]), :].mean(axis=-2) if name in self.anchors
            else missing for name in ANCHORS
        ], axis=-2)

    def across(self, points: Floats) -> Floats | None:
        """The way from the right eye to the left one of points [..., N, 2]: [..., 2].

        A schema without eyes has that from corner to corner of the mouth; one without either, None.
        """
        for right, left in (EYES, MOUTH):
            if right in self.anchors:
                ends = (points[..., list(self.anchors[name]), :] for name in (right, left))
                start, end = (places.mean(axis=-2) for places in ends)
                way: Floats = end - start
                return way
        return None

    def subset_indices(self, target: str) -> tuple[int, ...]:
        """The indices of the points of schema `target` in this one.

        Raises:
          EfldError: `target` is neither this schema nor a true subset of it.
        """
        if target == self.name:
            return tuple(range(self.num_points))
        if target not in self.subsets:
            raise EfldError(
                f"schema {self.name} does not contain {target}; "
                f"it can supervise {', '.join([self.name, *self.subsets])}"
            )
        return self.subsets[target]

    def _groups(self, target: str) -> tuple[tuple[int, ...], ...]:
        """The points of each point of `target`; errors as in `convert`."""
        if target in self.conversions:
            return self.conversions[target].points
        if target == self.name or target in self.subsets:
            return tuple((index,) for index in self.subset_indices(target))
        available = ", ".join([*self.subsets, *self.conversions]) or "none"
        raise EfldError(f"schema {self.name} cannot be converted to {target}; known: {available}")

    def convert_values(self, values: Floats, target: str) -> Floats:
        """Values [N, ...] of points, for those of `target`: [M, ...], means; as in `convert`."""
        unknown = np.full(values.shape[1:], np.nan)
        converted: Floats = np.stack([
            values[list(group)].mean(axis=0) if group else unknown
            for group in self._groups(target)]).astype(values.dtype)
        return converted

    def convert(
        self, points: Floats, visible: Flags | None, target: str
    ) -> tuple[Floats, Flags | None]:
        """Converts an annotation [N, 2], [N] to one of schema `target`: [M, 2], [M].

        A point that is the mean of several is visible if all of them are, and missing if one is.

        Raises:
          EfldError: `target` is not a subset, and there is no conversion to it.
        """
        converted, groups = self.convert_values(points, target), self._groups(target)
        if visible is not None:
            visible = np.array([bool(group) and visible[list(group)].all() for group in groups])
        return converted, visible

    def with_flip(self, mean_shape: Floats) -> LandmarkSchema:
        """This schema with the flip of a mean shape [N, 2]; errors as in `infer_flip`."""
        return replace(self, flip=infer_flip(mean_shape))


def infer_flip(mean_shape: Floats) -> tuple[int, ...]:
    """The flip permutation of a format without a published one, from its mean shape [N, 2].

    The shape is mirrored about its centre and its points are matched one to one by distance
    (linear assignment).

    Raises:
      EfldError: the matching is not an involution, or a point lies beyond `MOST_ASYMMETRY` from its
        partner's image, so the shape is not symmetric enough.
    """
    from scipy.optimize import linear_sum_assignment

    mirrored = mean_shape * [-1, 1] + [2 * mean_shape[:, 0].mean(), 0]
    distance = np.linalg.norm(mean_shape[:, None] - mirrored[None], axis=-1)
    _, flip = linear_sum_assignment(distance**2)
    size = np.sqrt(((mean_shape - mean_shape.mean(axis=0)) ** 2).sum(axis=-1).mean())
    if not np.array_equal(flip[flip], np.arange(len(flip))) \
            or distance[np.arange(len(flip)), flip].max() > MOST_ASYMMETRY * size:
        raise EfldError("the mean shape is not symmetric enough to infer its flip; declare it "
                        "(points of one side of the face alone stay as they are: [0, 1, 2, ...])")
    return tuple(int(i) for i in flip)
