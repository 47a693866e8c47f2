"""The faces that were found in a photo or a frame."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from efld_tf.arrays import Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

SUFFIXES = (".png", ".jpg", ".jpeg")
# The longest side that a notebook shows, in pixels.
NOTEBOOK_SIDE = 1024


@dataclass(frozen=True, eq=False)
class Face:
    """One face.

    Attributes:
      points: [N, 2] float32 in pixels of the image, pixel centres at whole numbers.
      schema: the name of their schema.
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

    @property
    def names(self) -> tuple[str, ...]:
        """What each point is, in their order."""
        return schemas.get(self.schema).names


class Faces(list[Face]):
    """The faces of one picture, and the picture; a notebook shows it with them.

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
        from efld_tf.runtime import pictures  # it draws `Face`

        return pictures.annotate_photo(self.image, self)

    def save(self, path: str | Path) -> Path:
        """Writes what `draw` gives as PNG or JPEG, by the path's suffix; returns the path.

        Raises:
          EfldError: another suffix.
        """
        from efld_tf.runtime import pictures

        path = Path(path)
        if path.suffix.lower() not in SUFFIXES:
            raise EfldError(f"{path}: expected a name that ends in one of {', '.join(SUFFIXES)}")
        return pictures.write_as(path, self.draw())

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from efld_tf.landmarks import drawing
        from efld_tf.runtime import pictures

        shown = pictures.annotate_to_fit(self.image, self, NOTEBOOK_SIDE, NOTEBOOK_SIDE)
        return drawing.encoded(shown, ".png")
