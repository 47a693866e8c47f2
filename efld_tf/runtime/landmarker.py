"""Finds the landmarks of all faces of a photo with a detector and a model of crops."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, overload

import numpy as np

from efld_tf.annotations.images import read_photo
from efld_tf.arrays import Boxes, Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import LARGEST, Crop, CropRule
from efld_tf.runtime.agreement import agreement
from efld_tf.runtime.any_angle import AnyAngleDetector, apart
from efld_tf.runtime.detector import Detection, FaceDetector
from efld_tf.runtime.faces import Face, Faces, extent
from efld_tf.runtime.model_crops import ModelCrops
from efld_tf.runtime.overlap import iou
from efld_tf.runtime.predictor import Predictor, check_boxes, check_image
from efld_tf.urls import scheme_of

if TYPE_CHECKING:
    from efld_tf.runtime.tracker import FaceTracker, TrackerOptions

# A detector's box says roughly where a face is. The points found in it say it better, and a third
# look at the crop around them is nearly as good as a look by the annotated box
# (benchmarks/detector.py).
PASSES = 3
MIN_CONFIDENCE = 0.5
# Boxes of points (`faces.extent`) that overlap by more belong to one face.
SAME_POINTS_IOU = 0.5
# Points of a face confirm that it is where the model was told to look: the crop around them is not
# further away than this share of the side, nor larger or smaller by this factor.
FARTHEST, LARGEST_CHANGE = 0.4, 1.8
# The most that a face's confidence can be if the detector sees its eyes, nose and mouth elsewhere.
ELSEWHERE = 0.2
# Whose box stands for a face that is known already.
DETECTOR = "short"
# A further look tells nothing new if its crop differs by less, in sides and in radians: with this
# number two looks are enough for most faces, and the error is that of three.
STILL = 0.02


# A file, an address, or pixels [H, W, 3] uint8 RGB.
Photo = str | os.PathLike[str] | Image


@dataclass(frozen=True, eq=False)
class Found:
    """A face that a detector found.

    Attributes:
      face: the face.
      crop: the square in which its points lie, that of the model's last look.
      agreed: its `agreement`.
    """

    face: Face
    crop: Crop
    agreed: float


class Looks(NamedTuple):
    """What a model tells of F squares of an image.

    Attributes:
      points: [F, N, 2] float32 in pixels.
      confidence: [F] float32 from 0 to 1. That of a model that gives none is 1 where the points are
        consistent with the square, and 0 elsewhere.
      depths: [N] float32 of each face, how far its points are in front, in pixels; None of a model
        that does not tell.
      errors: [N] float32 of each face, how far off its points may be, in pixels; None likewise.
      around: the crops around the points for the next look.
    """

    points: Floats
    confidence: Floats
    depths: list[Floats | None]
    errors: list[Floats | None]
    around: list[Crop]


class Detector(Protocol):
    """A finder of face boxes: `AnyAngleDetector`, `FaceDetector`, or your own."""

    def detect(self, image: Image) -> list[Detection]:
        """The faces of an image [H, W, 3] uint8 RGB."""


class FaceLandmarker:
    """Finds the faces of photos and their landmarks: `landmarker("photo.jpg")`.

    It is not safe to share between threads, like the models that it runs.

    Attributes:
      predictor: the model.
      schema: name of the schema of the points.
      crop_rule: the crop rule of the model.
      has_confidence: whether the model says how sure it is.
      detector: what finds faces; None if boxes are always given.
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
          passes: how often the model looks at a detected face at most, each time at the crop
            around the points of the last look.
          min_confidence: faces that are less sure are left out; 0 to 1.

        Raises:
          EfldError: a value is out of range, the model's points have neither eyes nor mouth,
            without which a detector's faces give no crops, or its crops are stretched: the model is
            then for annotated boxes, by its own `predict`.
        """
        if passes < 1 or not 0 <= min_confidence <= 1:
            raise EfldError("expected passes from 1 on and a min_confidence from 0 to 1")
        self.schema: str = predictor.schema
        self.crop_rule: CropRule = predictor.crop_rule
        self.has_confidence: bool = predictor.has_confidence
        self.detector = detector
        self._crops = ModelCrops(
            schemas.get(predictor.schema), predictor.crop_rule, predictor.mean_shape)
        if detector is not None:
            self._crops.check_detector()
        self.predictor, self.min_confidence = predictor, min_confidence
        self._passes = passes

    @overload
    def __call__(self, photos: Photo) -> Faces: ...

    @overload
    def __call__(self, photos: list[Photo] | tuple[Photo, ...]) -> list[Faces]: ...

    def __call__(
        self, photos: Photo | list[Photo] | tuple[Photo, ...]
    ) -> Faces | list[Faces]:
        """The faces of a photo, or of each photo in a list.

        Args:
          photos: a path, an address of `http` or `https`, or an upright array [H, W, 3] uint8
            RGB; a file that is stored turned is turned upright.

        Raises:
          DataError: a file cannot be read.
          EfldError: a photo is neither a path nor such an array, or there is no detector.
        """
        if isinstance(photos, list | tuple):
            return [self(photo) for photo in photos]
        if isinstance(photos, str) and scheme_of(photos) and not os.path.lexists(photos):
            from efld_tf.runtime import remote  # photos on disk need no HTTP

            image = remote.read_photo(photos)
        elif isinstance(photos, str | os.PathLike):
            image = read_photo(Path(photos), upright=True)
        else:
            image = photos
        check_image(image)
        return Faces(self.find(image), image)

    def track(self, options: TrackerOptions | None = None) -> FaceTracker:
        """A tracker for the faces of a video: call `tracker(frame, seconds)` frame by frame.

        In frames, the detector looks for smaller faces than it can see in the whole picture only
        if that was asked for.

        Args:
          options: None for the default ones, with this landmarker's `min_confidence`.

        Raises:
          EfldError: the landmarker has no detector.
        """
        from efld_tf.runtime.tracker import FaceTracker, TrackerOptions  # which imports this module

        landmarker = copy.copy(self)
        if isinstance(self.detector, AnyAngleDetector | FaceDetector):
            landmarker.detector = self.detector.for_video()
        options = options or TrackerOptions(min_confidence=self.min_confidence)
        return FaceTracker(landmarker, options)

    def find(self, image: Image, boxes: Boxes | None = None) -> list[Face]:
        """The faces of an image.

        Args:
          image: [H, W, 3] uint8 RGB, upright.
          boxes: (x0, y0, x1, y1) of each face in pixels, of the kind that the model's crop rule
            names. They replace the detector: the model looks once at each, and all faces are
            returned.

        Returns:
          The faces in the order of the boxes, or of the detector's scores.

        Raises:
          EfldError: the image or the boxes have another form, or there are neither boxes nor a
            detector.
        """
        check_image(image)
        if boxes is not None:
            check_boxes(boxes)
            crops = [self.crop_rule.crop(box) for box in boxes]
            looks = self.look(image, crops)
            return [Face(p, self.schema, np.asarray(box, np.float64), 1.0, float(c), None, *told)
                    for p, box, c, *told in
                    zip(looks.points, boxes, looks.confidence, looks.depths, looks.errors,
                        strict=True)]
        return [found.face for found in self.find_in_crops(image)]

    def find_in_crops(self, image: Image) -> list[Found]:
        """The detected faces that `find` gives, with what else is known; errors are as there."""
        check_image(image)
        return self._looked_at(image, self._detector.detect(image))

    def look_out(
        self, image: Image, crops: Sequence[Crop], points: Sequence[Floats]
    ) -> tuple[list[Found], list[float | None]]:
        """The faces that `find` gives, but for known ones, and how well the points of those agree.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: the model's crops of the known faces.
          points: their points [N, 2].

        Returns:
          The others, and for each known face the `agreement` of its points with what the detector
          sees there: 0 where it should see a face and does not, None where it may not have looked.

        Raises:
          EfldError: the image has another form, or there is no detector.
        """
        check_image(image)
        known = [self._crops.as_detection(crop, DETECTOR) for crop in crops]
        schema = schemas.get(self.schema)
        detector = self._detector
        if isinstance(detector, AnyAngleDetector):
            others = detector.detect(image, known)
            seen = detector.seen_again(image, known)
        else:
            all_faces = detector.detect(image)
            others = [found for found in all_faces if apart(found, known)]
            seen = [next((found for found in all_faces if not apart(found, [face])), None)
                    for face in known]
        agreed: list[float | None] = []
        for place, face, one in zip(points, known, seen, strict=True):
            if one is not None:
                agreed.append(agreement(place, schema, one))
            else:  # those at the border are not seen from near by
                looked = isinstance(detector, AnyAngleDetector) and _is_inside(face.box, image)
                agreed.append(0.0 if looked else None)
        return self._looked_at(image, others), agreed

    def landmarks(self, image: Image, detections: Sequence[Detection]) -> list[Face]:
        """The faces of an image [H, W, 3] among a detector's boxes, without those that are none."""
        return [found.face for found in self._looked_at(image, detections)]

    @property
    def _detector(self) -> Detector:
        if self.detector is None:
            raise EfldError("boxes: expected, for there is no detector")
        return self.detector

    def _looked_at(self, image: Image, detections: Sequence[Detection]) -> list[Found]:
        crops = [self.crop_of(detection) for detection in detections]
        points, confidence, depths, errors, around = self.look(image, crops)
        for _ in range(self._passes - 1):
            moved = [i for i, crop in enumerate(crops) if not _same(crop, around[i])]
            looks = self.look(image, [around[i] for i in moved])
            for i, *look in zip(moved, *looks, strict=True):
                crops[i] = around[i]
                points[i], confidence[i], depths[i], errors[i], around[i] = look
        schema = schemas.get(self.schema)
        found = []
        for place, detection, crop, shown, *told in zip(
                points, detections, crops, confidence, depths, errors, strict=True):
            agreed = agreement(place, schema, detection)
            face = Face(place, self.schema, detection.box, detection.score,
                        float(shown) * weight(agreed), None, *told)
            found.append(Found(face, crop, agreed))
        sure = [one.face for one in found if one.face.confidence >= self.min_confidence]
        kept = distinct(sure)
        return [one for one in found if any(one.face is face for face in kept)]

    @property
    def shown(self) -> Crop | None:
        """The part of the reference crop that the model sees; None if that is not known."""
        return self._crops.shown

    def crop_of(self, detection: Detection) -> Crop:
        """The model's crop of a face that a detector found.

        Raises:
          EfldError: the model's points have neither eyes nor mouth.
        """
        return self._crops.of_detection(detection)

    def crop_around(self, points: Floats) -> Crop:
        """The model's crop around landmarks [N, 2] of its schema, in pixels."""
        return self._crops.around(points)

    def as_detection(self, points: Floats) -> Detection:
        """What a detector would find of a face with landmarks [N, 2] of the model's schema.

        Raises:
          EfldError: the schema has neither eyes nor mouth by which to place it.
        """
        return self._crops.as_detection(self.crop_around(points), DETECTOR)

    def look(self, image: Image, crops: Sequence[Crop]) -> Looks:
        """What the model tells of squares of an image.

        Args:
          image: [H, W, 3] uint8 RGB.
          crops: the squares to look at; one that no face of the image can have gives a confidence
            of 0.
        """
        # Points that lie on no face may ask for any square; the model is not run on those.
        limit = LARGEST * max(image.shape[:2])
        possible = [crop if crop.side < limit else Crop(0.0, 0.0, 1.0) for crop in crops]
        points, confidence, *told = self.predictor.predict_in(image, possible)
        if confidence is None:
            confidence = np.ones(len(points), np.float32)
        around = [self.crop_around(p) for p in points]
        for index, (crop, place) in enumerate(zip(crops, around, strict=True)):
            if crop is not possible[index] or not _consistent(crop, place):
                confidence[index] = 0
        distances: list[list[Floats | None]] = [
            [None] * len(points) if values is None else [*values] for values in told]
        depths, errors = distances
        return Looks(points, confidence, depths, errors, around)


def weight(agreed: float) -> float:
    """The factor of a face's confidence whose points agree so far with what a detector sees."""
    return ELSEWHERE + (1 - ELSEWHERE) * agreed


def _is_inside(box: Floats, image: Image) -> bool:
    """Whether a box (x0, y0, x1, y1) lies in an image."""
    height, width = image.shape[:2]
    return bool((box >= 0).all() and (box[2:] <= (width, height)).all())


def _same(crop: Crop, around: Crop) -> bool:
    """Whether a look at `around` would show what one at `crop` did."""
    return (
        abs(around.center_x - crop.center_x) < STILL * crop.side
        and abs(around.center_y - crop.center_y) < STILL * crop.side
        and abs(around.side / crop.side - 1) < STILL
        and abs(math.remainder(around.angle - crop.angle, 2 * math.pi)) < STILL
    )


def _consistent(crop: Crop, around: Crop) -> bool:
    """Whether points whose crop is `around` may belong to the face that `crop` shows."""
    change = around.side / crop.side
    return (
        abs(around.center_x - crop.center_x) < FARTHEST * crop.side
        and abs(around.center_y - crop.center_y) < FARTHEST * crop.side
        and 1 / LARGEST_CHANGE < change < LARGEST_CHANGE
    )


def distinct(faces: Sequence[Face]) -> list[Face]:
    """The faces, in their order, without those whose points lie on those of a surer one."""
    distinct_faces: list[Face] = []
    for face in sorted(faces, key=lambda face: -face.confidence):
        boxes = np.array([extent(f.points, f.schema) for f in distinct_faces]).reshape(-1, 4)
        if not (iou(extent(face.points, face.schema), boxes) > SAME_POINTS_IOU).any():
            distinct_faces.append(face)
    return [face for face in faces if any(face is other for other in distinct_faces)]
