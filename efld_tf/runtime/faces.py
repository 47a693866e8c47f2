"""A face that was found in a photo or a frame."""

from __future__ import annotations

from dataclasses import dataclass

from efld_tf.arrays import Floats


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
      points: [N, 2] float32 in pixels of the image, pixel centres at whole numbers.
      schema: of the points.
      box: [4] float64, the detector's box (x0, y0, x1, y1) in pixels, or the one that was given;
        while tracking, the tight box of the points.
      score: of the detector, 0 to 1; 1 for a box that was given.
      confidence: 0 to 1, how sure it is that the points lie on a face; by a model that does not
        say, 1, or 0 where they are far from where it looked.
      track: the number of the person in a video, from 0 on; None in photos.
    """

    points: Floats
    schema: str
    box: Floats
    score: float
    confidence: float
    track: int | None = None
