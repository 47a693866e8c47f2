"""One annotated face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from efld_tf.errors import DataError
from efld_tf.landmarks import geometry, schemas
from efld_tf.landmarks.schema import LandmarkSchema

# The attribute with the licence of the weights that made the points.
LICENSE = "weights_license"


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One annotated face.

    Attributes:
      image: the image file, or the file that holds the image.
      points: [N, 2] float32 in image pixels, pixel centres at whole numbers; NaN for points that
        are not annotated.
      schema: the name of the landmark schema, which fixes N.
      box: the file's own face box (x0, y0, x1, y1) in pixels, or None.
      visible: [N] bool, False for occluded points; None if the annotation does not tell.
      depth: [N] float32, how far each point lies in front of a plane that is parallel to the image,
        in image pixels; which plane, is not said. NaN for points whose depth is not annotated; None
        if the annotation has none.
      attributes: further attributes in the annotation, e.g. `{"blur": "1"}`.
      identity: the person or photo; faces that share it never end up in different splits.
      frame: the image in a file that holds several: a frame of a video or an index, as `images.py`
        counts them; None for an ordinary photo.
      upright: whether the coordinates are of the photo turned as its EXIF orientation says, rather
        than of the pixels as they lie in the file; None if neither the annotation nor the program
        that wrote it tells. Sources decide it.
      image_size: the width and height in pixels of the image that was annotated, if the annotation
        states them.
      normalised: whether points and box are shares of the image's width and height. Sources turn
        them into pixels.
      scalable: whether they were shares of `image_size`, so that they are right for the image in
        any size.
      key: `PATH[#FRAME][@K]`, unique in its source and the same wherever the source lies: the
        image's path in the source, and for the second and further faces of an image their number
        from 1 on. Sources set it.
    """

    image: Path
    points: np.ndarray
    schema: str
    box: np.ndarray | None = None
    visible: np.ndarray | None = None
    depth: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    identity: str | None = None
    frame: int | None = None
    upright: bool | None = None
    image_size: tuple[int, int] | None = None
    normalised: bool = False
    scalable: bool = False
    key: str = ""

    def source_box(self, kind: str) -> np.ndarray:
        """The box (x0, y0, x1, y1) from which a crop rule of that kind starts.

        The box of `points` is around the annotated ones; if outer points are missing, it is
        smaller, and so is the crop.

        Raises:
          DataError: `kind` is `file` and the annotation has no box.
        """
        if kind == "points":
            return geometry.tight_box(self.points[np.isfinite(self.points).all(axis=-1)])
        if self.box is None:
            raise DataError(self.image, "its annotation has no face box, from which crops of kind "
                                        "'file' start; those of kind 'points' need none")
        return self.box

    def face_box(self) -> np.ndarray:
        """The square (x0, y0, x1, y1) around eyes and mouth, in pixels, alike in all formats.

        If an eye or a mouth corner is not annotated, or the schema has none, it is the square
        around all points.
        """
        return face_square(self.points, schemas.get(self.schema))


def checked_points(
    values: np.ndarray,
    schema: str,
    path: Path,
    line: int | None = None,
    *,
    missing: bool = False,
) -> np.ndarray:
    """`values` as [N, 2] float32 of that schema.

    Args:
      missing: whether to accept NaN, NaN for points that are not annotated.

    Raises:
      DataError: the number of values is not 2 N, one is not finite, a point has one of x and y
        alone, or all points are missing.
    """
    expected = schemas.get(schema).num_points
    if values.size != 2 * expected:
        raise DataError(path, f"expected {expected} points, got {values.size / 2:g}", line)
    points = np.array(values, dtype=np.float32).reshape(expected, 2)
    if missing:
        absent = np.isnan(points)
        if (half := absent[:, 0] != absent[:, 1]).any():
            name = schemas.get(schema).names[int(np.argmax(half))]
            raise DataError(path, f"the point {name} has one of x and y alone", line)
        if absent.all():
            raise DataError(path, "no point is annotated", line)
        if np.isinf(points).any():
            raise DataError(path, "a coordinate is not a finite number", line)
        return points
    if not np.isfinite(points).all():
        raise DataError(path, "a coordinate is not a finite number", line)
    return points


def face_square(points: np.ndarray, schema: LandmarkSchema) -> np.ndarray:
    """The square of `FaceRecord.face_box`, [4] float64, for points [N, 2] of that schema."""
    anchors = schema.anchor_points(points)
    if np.isfinite(anchors).all():
        return box_around(anchors).astype(np.float64)
    return geometry.squared(geometry.tight_box(points[np.isfinite(points).all(axis=-1)]))


def box_around(anchors: np.ndarray) -> np.ndarray:
    """A square box (x0, y0, x1, y1) for formats without boxes whose few points span no face.

    Its centre is the mean of the anchors. Its side is 2.4 times the larger of the distances between
    the eyes and from the eyes to the mouth, about the face from brows to chin, whatever the roll.
    Crop rules are fitted to a source, so that the box only has to be consistent.

    Args:
      anchors: [4, 2], the schema's `anchor_points`.
    """
    eyes, mouth = anchors[:2].mean(axis=0), anchors[2:].mean(axis=0)
    across = np.linalg.norm(anchors[1] - anchors[0])
    half = 1.2 * max(across, np.linalg.norm(mouth - eyes))
    centre = anchors.mean(axis=0)
    return np.concatenate([centre - half, centre + half]).astype(np.float32)
