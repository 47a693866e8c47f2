"""One annotated face, and how its image is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import geometry, schemas


@dataclass(frozen=True, eq=False)
class FaceRecord:
    """One annotated face.

    Attributes:
      image: the image file.
      points: [N, 2] float32 in image pixels, pixel centres at whole numbers; NaN where a format
        says that a point is not annotated.
      schema: the name of the landmark schema, which fixes N.
      box: the file's own face box (x0, y0, x1, y1) in pixels, or None.
      visible: [N] bool, False where the annotation says occluded; None where it says nothing.
      attributes: what else the annotation says, e.g. `{"blur": "1"}`.
      identity: the person or photo; faces that share it never end up in different splits.
    """

    image: Path
    points: np.ndarray
    schema: str
    box: np.ndarray | None = None
    visible: np.ndarray | None = None
    attributes: Mapping[str, str] = field(default_factory=dict)
    identity: str | None = None

    def source_box(self, kind: str) -> np.ndarray:
        """The box (x0, y0, x1, y1) that a crop rule of that kind starts from.

        Raises:
          EfldError: `kind` is `file` and the annotation has no box.
        """
        if kind == "points":
            return geometry.tight_box(self.points[np.isfinite(self.points).all(axis=-1)])
        if self.box is None:
            raise EfldError(f"{self.image}: the annotation has no face box of its own")
        return self.box


def checked_points(
    values: np.ndarray, schema: str, path: Path, line: int | None = None
) -> np.ndarray:
    """`values` as [N, 2] float32 of that schema.

    Raises:
      DataError: the number of values is not 2 N, or one is not finite.
    """
    expected = schemas.get(schema).num_points
    if values.size != 2 * expected:
        raise DataError(path, f"expected {expected} points, got {values.size / 2:g}", line)
    points = np.asarray(values, dtype=np.float32).reshape(expected, 2)
    if not np.isfinite(points).all():
        raise DataError(path, "a coordinate is not a finite number", line)
    return points


def read_image(path: Path) -> np.ndarray:
    """The image as [H, W, 3] uint8 RGB, in the pixel order that annotators saw.

    EXIF orientation is ignored: the field's annotation tools read raw pixels.

    Raises:
      DataError: the file is missing or not an image that OpenCV can decode.
    """
    try:
        encoded = np.fromfile(path, dtype=np.uint8)
    except OSError as error:
        raise DataError(path, f"cannot read the image: {error.strerror}") from error
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(encoded, flags) if encoded.size else None
    if image is None:
        raise DataError(path, "not an image that can be decoded")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
