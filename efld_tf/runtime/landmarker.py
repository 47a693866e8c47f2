"""A photo -> the landmarks of all its faces: detector, crop, model, and the crop once more."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, overload

import numpy as np

from efld_tf.annotations.images import read_photo
from efld_tf.arrays import Boxes, Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import LARGEST, Crop, CropRule, tight_box
from efld_tf.runtime import crop_maps
from efld_tf.runtime.detector import Detection, FaceDetector, TwoRangeDetector, iou
from efld_tf.runtime.faces import Face, Faces
from efld_tf.runtime.predictor import Predictor, check_boxes, check_image

if TYPE_CHECKING:
    from efld_tf.runtime.tracker import FaceTracker, TrackerOptions

# A detector's box says roughly where a face is. The points found by it say it better, and a third
# look by them is nearly as good as one by the annotated box (benchmarks/detector.py).
PASSES = 3
MIN_CONFIDENCE = 0.5
# Boxes of points that overlap by more are of one face.
SAME_POINTS_IOU = 0.5
# On a face, the points say that it is where the model was told to look: their crop is not further
# away than this share of the side, nor larger or smaller by this factor.
FARTHEST, LARGEST_CHANGE = 0.4, 1.8


# A file, or pixels [H, W, 3] uint8 RGB.
Photo = str | os.PathLike[str] | Image


class Detector(Protocol):
    """What finds face boxes: `FaceDetector`, `TwoRangeDetector`, or your own."""

    def detect(self, image: Image) -> list[Detection]:
        """The faces of an image [H, W, 3] uint8 RGB."""


class FaceLandmarker:
    """Finds the faces of photos and their landmarks: `landmarker("photo.jpg")`.

    Not safe to share between threads, like the models it runs.

    Attributes:
      predictor: the model.
      schema: name of the schema of the points.
      crop_rule: of the model.
      has_confidence: whether the model says how sure it is.
      detector: what finds faces; None where boxes are always given.
      min_confidence: faces that are less sure are left out.
    """

    def __init__(
        self,
        predictor: Predictor,
        detector: Detector | None = None,
        *,
        passes: int = PASSES,
        min_confidence: float = MIN_CONFIDENCE,
    ):
        """Combines a model with a detector.

        Args:
          passes: how often the model looks at a detected face, each time by the crop that follows
            from the points before.
          min_confidence: faces that are less sure are left out, 0 to 1.

        Raises:
          EfldError: a value is out of range.
        """
        if passes < 1 or not 0 <= min_confidence <= 1:
            raise EfldError("expected passes from 1 on and a min_confidence from 0 to 1")
        self.schema: str = predictor.schema
        self.crop_rule: CropRule = predictor.crop_rule
        self.has_confidence: bool = predictor.has_confidence
        self.detector = detector
        self._around = crop_maps.CropAround(schemas.get(predictor.schema))
        self.predictor, self.min_confidence = predictor, min_confidence
        self._passes = passes

    @overload
    def __call__(self, photos: Photo) -> Faces: ...

    @overload
    def __call__(self, photos: list[Photo] | tuple[Photo, ...]) -> list[Faces]: ...

    def __call__(
        self, photos: Photo | list[Photo] | tuple[Photo, ...]
    ) -> Faces | list[Faces]:
        """The faces of a photo, or of each in a list.

        Args:
          photos: a path, or an array [H, W, 3] uint8 RGB, upright; a photo that is stored turned
            is turned upright.

        Raises:
          DataError: a file that cannot be read.
          EfldError: neither, or no detector.
        """
        if isinstance(photos, list | tuple):
            return [self(photo) for photo in photos]
        if isinstance(photos, str | os.PathLike):
            image = read_photo(Path(photos), upright=True)
        else:
            image = photos
        check_image(image)
        return Faces(self.find(image), image)

    def track(self, options: TrackerOptions | None = None) -> FaceTracker:
        """What follows the faces of a video: `tracker(frame, seconds)` for one frame after another.

        In frames, the detector looks for smaller faces than it can see in the whole picture only
        where that was asked for.

        Args:
          options: None for the usual ones, with this landmarker's `min_confidence`.

        Raises:
          EfldError: the landmarker has no detector.
        """
        from efld_tf.runtime.tracker import FaceTracker, TrackerOptions  # it needs landmarkers

        following = copy.copy(self)
        if isinstance(self.detector, FaceDetector | TwoRangeDetector):
            following.detector = self.detector.for_video()
        options = options or TrackerOptions(min_confidence=self.min_confidence)
        return FaceTracker(following, options)

    def find(self, image: Image, boxes: Boxes | None = None) -> list[Face]:
        """The faces of an image.

        Args:
          image: [H, W, 3] uint8 RGB, upright.
          boxes: (x0, y0, x1, y1) of each face in pixels, of the kind that the model's crop rule
            names, instead of the detector. The model looks once, by these boxes, and all faces
            are given.

        Returns:
          In the order of the boxes, or of the detector's scores.

        Raises:
          EfldError: not such an image or boxes, or neither boxes nor a detector.
        """
        check_image(image)
        if boxes is not None:
            check_boxes(boxes)
            crops = [self.crop_rule.crop(box) for box in boxes]
            points, confidence, _ = self.look(image, crops)
            return [Face(p, self.schema, np.asarray(box, np.float64), 1.0, float(c))
                    for p, box, c in zip(points, boxes, confidence, strict=True)]
        if self.detector is None:
            raise EfldError("boxes: expected, for there is no detector")
        return self.landmarks(image, self.detector.detect(image))

    def landmarks(self, image: Image, detections: Sequence[Detection]) -> list[Face]:
        """The faces of an image [H, W, 3] that a detector found: without those that are none."""
        references = [crop_maps.from_detection(d.box, d.keypoints, d.detector) for d in detections]
        crops = [crop_maps.to_model(c, self.crop_rule) for c in references]
        for _ in range(self._passes):
            points, confidence, crops = self.look(image, crops)
        faces = [Face(p, self.schema, d.box, d.score, float(c))
                 for p, d, c in zip(points, detections, confidence, strict=True)]
        return distinct([face for face in faces if face.confidence >= self.min_confidence])

    def crop_around(self, points: Floats) -> Crop:
        """The model's crop around landmarks [N, 2] in pixels, of its schema."""
        return crop_maps.to_model(self._around(points), self.crop_rule)

    def look(
        self, image: Image, crops: Sequence[Crop]
    ) -> tuple[Floats, Floats, list[Crop]]:
        """The model's points in squares of an image, and how sure it is that there is a face.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: where to look; one that no face of the image can have gives a confidence of 0.

        Returns:
          [F, N, 2] float32 in pixels; [F] float32 from 0 to 1; and the crops around the points,
          for the next look. A model without a confidence is sure wherever the points say that the
          face is where it was told to look.
        """
        # Points of no face may ask for any square; there is nothing to see in these.
        limit = LARGEST * max(image.shape[:2])
        possible = [crop if crop.side < limit else Crop(0.0, 0.0, 1.0) for crop in crops]
        points, confidence = self.predictor.predict_in(image, possible)
        if confidence is None:
            confidence = np.ones(len(points), np.float32)
        around = [self.crop_around(p) for p in points]
        for index, (crop, place) in enumerate(zip(crops, around, strict=True)):
            if crop is not possible[index] or not _consistent(crop, place):
                confidence[index] = 0
        return points, confidence, around


def _consistent(crop: Crop, around: Crop) -> bool:
    """Whether points whose crop is `around` may be of the face that `crop` shows."""
    change = around.side / crop.side
    return (
        abs(around.center_x - crop.center_x) < FARTHEST * crop.side
        and abs(around.center_y - crop.center_y) < FARTHEST * crop.side
        and 1 / LARGEST_CHANGE < change < LARGEST_CHANGE
    )


def distinct(faces: Sequence[Face]) -> list[Face]:
    """Faces without those whose points lie on those of a surer one; the order stays."""
    kept: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        boxes = np.array([tight_box(other.points) for other in kept]).reshape(-1, 4)
        if not (iou(tight_box(face.points), boxes) > SAME_POINTS_IOU).any():
            kept.append(face)
    return [face for face in faces if any(face is other for other in kept)]
