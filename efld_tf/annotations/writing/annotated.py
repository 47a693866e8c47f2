"""An image with its faces, as every writer takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from efld_tf.annotations.decoding import unturned_points
from efld_tf.annotations.header import Header
from efld_tf.annotations.record import LICENSE, FaceRecord

# The orientation that turns a picture back.
_BACK = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}

# The attributes of `efld-predict`'s faces, which are columns of a table. Beside them are
# `pose.ANGLES` of a model that tells depths.
SCORE, CONFIDENCE, ANGLE = "score", "confidence", "angle"
EXPECTED_NME = "expected_nme"


@dataclass(frozen=True, eq=False)
class AnnotatedFace:
    """One face; points and box are in pixels of the image, pixel centres at whole numbers.

    Attributes:
      points: [N, 2]; NaN for points that are not annotated.
      box: [4], x0, y0, x1, y1; None if there is none.
      visible: [N] bool, False for occluded points; None if it is not known.
      depth: [N], how far each point lies in front of a plane that is parallel to the image, in
        pixels; None if it is not known.
      identity: the person or photo; None for the image.
      attributes: texts and numbers that describe the face.
      track: the number of the person in a video.
      errors: [N], how far off a model expects each point to be, in pixels; None if none tells.
    """

    points: np.ndarray
    box: np.ndarray | None = None
    visible: np.ndarray | None = None
    depth: np.ndarray | None = None
    identity: str | None = None
    attributes: Mapping[str, str | float] = field(default_factory=dict)
    track: int | None = None
    errors: np.ndarray | None = None

    @property
    def present(self) -> np.ndarray:
        """[N] bool: which points are annotated."""
        present: np.ndarray = np.isfinite(self.points).all(axis=-1)
        return present


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """One photo, or one frame of a video.

    Attributes:
      name: its path relative to the folder that a reader is given as `images`, with `/`.
      stem: the name for files of its own: `name` without its suffix, unlike that of any other.
      header: what its file says of its size and orientation; None for a frame.
      upright: whether the faces are in pixels of the photo as it is shown.
      frame, seconds: the number and the time of a frame.
    """

    name: str
    stem: str
    faces: Sequence[AnnotatedFace]
    header: Header | None = None
    upright: bool = True
    frame: int | None = None
    seconds: float | None = None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the image in which the faces are."""
        return None if self.header is None else self.header.size(self.upright)

    def turned(self, upright: bool) -> AnnotatedImage:
        """The same with its faces in pixels of the photo as it is shown, or as it is stored."""
        header = self.header
        if header is None or upright == self.upright or header.orientation == 1:
            return replace(self, upright=upright)
        orientation = _BACK[header.orientation] if upright else header.orientation
        width, height = header.size(not upright)

        def turn(points: np.ndarray) -> np.ndarray:
            return unturned_points(points, orientation, width, height)

        faces = []
        for face in self.faces:
            box = None
            if face.box is not None:
                corners = turn(np.reshape(face.box, (2, 2)))
                box = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
            faces.append(replace(face, points=turn(face.points), box=box))
        return replace(self, faces=faces, upright=upright)


def face_number(face: AnnotatedFace, index: int) -> int:
    """The number K in the names of a face's files: the person's, or its place in the photo."""
    return index if face.track is None else face.track


def face_of(record: FaceRecord) -> AnnotatedFace:
    """The face of a record of a source."""
    return AnnotatedFace(
        record.points, record.box, record.visible, record.depth, record.identity,
        dict(record.attributes))


def licence_of(image: AnnotatedImage) -> set[str]:
    """The licences of the models that made an image's faces."""
    return {str(face.attributes[LICENSE]) for face in image.faces if face.attributes.get(LICENSE)}
