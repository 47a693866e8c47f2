"""The faces that were found in a photo or a frame."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.annotations.writing.annotated import (
    ANGLE,
    CONFIDENCE,
    EXPECTED_NME,
    SCORE,
    AnnotatedFace,
)
from efld_tf.arrays import Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import align, normalisers, pose, schemas
from efld_tf.landmarks.geometry import squared, tight_box
from efld_tf.runs import path_of

SUFFIXES = (".png", ".jpg", ".jpeg")
# The longest side that a notebook shows, in pixels.
NOTEBOOK_SIDE = 1024


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
      points: [N, 2] float32 in pixels of the image, pixel centres at whole numbers.
      schema: the name of their schema.
      box: [4] float64, (x0, y0, x1, y1) in pixels: in photos the detector's box, or the one that
        was given; in videos, for which the detector does not run in every frame, the tight box of
        the points.
      score: the detector's score, 0 to 1; 1 for a box that was given.
      confidence: 0 to 1, how sure it is that the points lie on a face: by the model, if it tells,
        and by what the detector saw (`agreement`). For boxes that were given, and of a model that
        does not tell, it is 1, or 0 where the points are far from where the model looked.
      track: the number of the person in a video, from 0 on; None in photos.
      depth: [N] float32, how far each point is in front of their mean, in pixels of the image; None
        if the model does not tell.
      errors: [N] float32, how far off each point is expected to be, in pixels of the image; None if
        the model does not tell.
    """

    points: Floats
    schema: str
    box: Floats
    score: float
    confidence: float
    track: int | None = None
    depth: Floats | None = None
    errors: Floats | None = None

    @property
    def angle(self) -> float | None:
        """The degrees by which the face leans, clockwise as seen, -180 to 180: 0 is upright.

        None if the schema has neither eyes nor mouth.
        """
        return pose.lean(np.asarray(self.points), schemas.get(self.schema))

    @property
    def pose(self) -> tuple[float, float, float] | None:
        """Yaw, pitch and roll of the head in degrees, as `pose.estimate` has them.

        Of a model that does not tell depths they are rougher. None if the schema lacks eyes, mouth
        or the tip of the nose.
        """
        depth = None if self.depth is None else np.asarray(self.depth, np.float64)[None]
        points = np.asarray(self.points, np.float64)[None]
        found = pose.estimate(points, schemas.get(self.schema), depth)
        if found is None or not np.isfinite(found).all():
            return None
        yaw, pitch, roll = (float(angle) for angle in found[0])
        return yaw, pitch, roll

    @property
    def expected_nme(self) -> float | None:
        """The expected normalised mean error of the points, as a fraction of the schema's divisor.

        None if the model does not tell, or if the points have no size.
        """
        size = normalisers.size_of(np.asarray(self.points), schemas.get(self.schema))
        if self.errors is None or not size > 0:
            return None
        return float(np.mean(self.errors) / size)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the points, in their order."""
        return schemas.get(self.schema).names

    def annotated(
        self, image: str, extra_attributes: Mapping[str, str | float] | None = None
    ) -> AnnotatedFace:
        """The face as writers take it.

        Args:
          image: the name of the photo or video.
          extra_attributes: further attributes, added to the score, the confidence, the angle and,
            of a model that tells depths, the pose, or expected errors, their mean (NME).
        """
        angles = {} if self.angle is None else {ANGLE: round(self.angle, 1)}
        if self.depth is not None and self.pose is not None:
            angles |= {name: round(angle, 1)
                       for name, angle in zip(pose.ANGLES, self.pose, strict=True)}
        expected = self.expected_nme
        told = {} if expected is None else {EXPECTED_NME: round(expected, 4)}
        return AnnotatedFace(
            points=np.asarray(self.points),
            box=self.box,
            identity=image if self.track is None else f"{image} {self.track}",
            attributes={SCORE: round(self.score, 4), CONFIDENCE: round(self.confidence, 4),
                        **told, **angles, **(extra_attributes or {})},
            track=self.track,
            depth=None if self.depth is None else np.asarray(self.depth),
            errors=None if self.errors is None else np.asarray(self.errors),
        )


def extent(points: Floats, schema: str) -> Floats:
    """The box [4] float64 by which faces [N, 2] of a schema are told apart: that of their points.

    For a part of the face it is a square, since boxes of eyes are too flat to overlap.
    """
    box = tight_box(points).astype(np.float64)
    return squared(box) if schemas.get(schema).missing_anchors else box


class Faces(list[Face]):
    """The faces of one picture, with the picture; a notebook shows both.

    Attributes:
      image: [H, W, 3] uint8 RGB.
    """

    def __init__(self, faces: Iterable[Face], image: Image):
        super().__init__(faces)
        self.image = image

    def draw(self) -> Image:
        """The picture with boxes, points and lines; a small one is enlarged by a whole number.

        Returns:
          [K H, K W, 3] uint8 RGB, K from 1 on.
        """
        from efld_tf.runtime import pictures  # which imports `Face` from here

        return pictures.annotate_photo(self.image, self)

    def aligned(
        self, by: str = "five", size: int = align.SIZE, border: str = "black",
        template: Mapping[str, Sequence[float]] = align.TEMPLATE,
    ) -> list[Image]:
        """Each face as the picture that models of face recognition take.

        Args:
          by, size, border, template: as in `align.Alignment`.

        Returns:
          [size, size, 3] uint8 RGB each.

        Raises:
          EfldError: a value is not one of these, or a face cannot be aligned by its points.
        """
        alignment = align.Alignment(by, size, template, border)
        return [align.align(self.image, np.asarray(face.points), schemas.get(face.schema),
                            alignment, face.depth) for face in self]

    def save(self, path: str | Path) -> Path:
        """Writes what `draw` gives as PNG or JPEG, by the path's suffix; returns the path.

        Raises:
          EfldError: the suffix is another one.
        """
        from efld_tf.runtime import pictures

        path = path_of(path, "path")
        if path.suffix.lower() not in SUFFIXES:
            raise EfldError(f"{path}: expected a name that ends in one of {', '.join(SUFFIXES)}")
        return pictures.write_as(path, self.draw())

    def _repr_png_(self) -> bytes:
        """The picture that a notebook shows."""
        from efld_tf.landmarks import drawing
        from efld_tf.runtime import pictures

        picture = pictures.annotate_to_fit(self.image, self, NOTEBOOK_SIDE, NOTEBOOK_SIDE)
        return drawing.encoded(picture, ".png")
