"""Follows faces from frame to frame, and runs the detector only when it is needed."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from efld_tf.arguments import check_number
from efld_tf.arrays import Image
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import Crop, tight_box
from efld_tf.runtime.faces import Face, Faces, extent
from efld_tf.runtime.landmarker import (
    SAME_POINTS_IOU,
    FaceLandmarker,
    weight,
)
from efld_tf.runtime.overlap import iou
from efld_tf.runtime.predictor import check_image
from efld_tf.runtime.smoothing import OneEuroFilter

# A face whose points' box overlaps that of a track by more than this IoU is the same person.
SAME_PLACE_IOU = 0.2
# With less confidence nobody is there any more, however little is asked for.
NOBODY = 0.05
# Times of frames are rounded: what comes so many seconds early is in time.
EARLY = 1e-3


@dataclass(frozen=True)
class TrackerOptions:
    """How faces are followed.

    Attributes:
      detect_seconds: how often new faces are looked for while some are followed; the detector
        also runs as soon as a face is lost. A newcomer is mostly found at the first to third time
        (benchmarks/clear_faces.py).
      search_seconds: how often faces are looked for while there is none; 0 for every frame.
      min_confidence: a face with a lower confidence counts as lost; 0 to 1.
      remember_seconds: how long a lost face keeps its number, which it gets back if it is found
        again near its last place.
      smooth: whether the points are filtered (`OneEuroFilter`).
    """

    detect_seconds: float = 0.1
    search_seconds: float = 0.1
    min_confidence: float = 0.5
    remember_seconds: float = 1.0
    smooth: bool = True

    def __post_init__(self) -> None:
        if min(self.detect_seconds, self.search_seconds, self.remember_seconds) < 0 \
                or not 0 <= self.min_confidence <= 1:
            raise EfldError("tracker: expected times from 0 on and a min_confidence from 0 to 1")


@dataclass
class _Track:
    """A person who is followed.

    Attributes:
      face: the last face, as the model saw it.
      crop: where to look for it in the next frame.
      agreed: how well its points agreed with what the detector saw the last times.
      seen: the time of the last face in seconds.
      filter: what smooths its points.
    """

    face: Face
    crop: Crop
    agreed: float
    seen: float
    filter: OneEuroFilter = field(default_factory=OneEuroFilter)

    def shown(self, smooth: bool) -> Face:
        """The face with its number, smoothed or not, and the tight box of its points."""
        points, depth = self.face.points, self.face.depth
        if smooth:
            box = tight_box(points)
            size = float(max(box[2:] - box[:2]))
            in_space = points if depth is None else np.column_stack([points, depth])
            in_space = self.filter.update(in_space, self.seen, size)
            points, depth = in_space[:, :2], None if depth is None else in_space[:, 2]
        return replace(self.face, points=points, box=tight_box(points).astype(np.float64),
                       depth=depth)


class FaceTracker:
    """Follows the faces of a video.

    In each frame the model looks where every face was in the last one. The detector, which takes
    many times longer, runs only to find newcomers and lost faces. A model without a confidence
    cannot tell that a face is gone: its faces go when the detector does not see them. A tracker is
    not safe to share between threads, and needs the frames in their order.
    """

    def __init__(self, landmarker: FaceLandmarker, options: TrackerOptions | None = None):
        """Makes a tracker that follows nobody yet.

        Raises:
          EfldError: the landmarker has no detector.
        """
        if landmarker.detector is None:
            raise EfldError("a tracker needs a detector")
        self._options = options or TrackerOptions()
        self._landmarker = copy.copy(landmarker)
        self._landmarker.min_confidence = self._options.min_confidence
        self._tracks: list[_Track] = []
        self._lost: list[_Track] = []
        self._next = 0
        self._detected = -np.inf  # when the detector ran last
        self._seconds = -np.inf

    def __call__(self, frame: Image, seconds: float) -> Faces:
        """The faces of the next frame, ready to draw; arguments and errors are as in `update`."""
        return Faces(self.update(frame, seconds), frame)

    def update(self, image: Image, seconds: float) -> list[Face]:
        """The faces of the next frame.

        Args:
          image: [H, W, 3] uint8 RGB.
          seconds: the frame's time, later than the last one's.

        Returns:
          The faces in the order of their numbers, `Face.track`, which a person keeps while
          followed. `box` is the tight box of the points.

        Raises:
          EfldError: the time does not go on, or the image has another form.
        """
        check_image(image)
        check_number(seconds, "seconds")
        if not seconds > self._seconds:
            raise EfldError(f"tracker: a frame at {seconds:g} s after one at {self._seconds:g} s")
        self._seconds = seconds
        lost = self._follow(image)
        wait = self._options.detect_seconds if self._tracks else self._options.search_seconds
        if lost or seconds - self._detected >= wait - EARLY:
            self._detect(image)
        return [track.shown(self._options.smooth) for track in sorted(self._tracks, key=_number)]

    def _follow(self, image: Image) -> bool:
        """Moves every track to its place in this frame and returns whether one was lost."""
        points, confidence, depths, errors, crops = self._landmarker.look(
            image, [track.crop for track in self._tracks])
        confidence = confidence * [weight(track.agreed) for track in self._tracks]
        followed: list[_Track] = []
        # If two tracks end on one face, the surer one keeps it.
        for index in np.argsort(-confidence, kind="stable"):
            track = self._tracks[index]
            schema = track.face.schema
            others = np.array(
                [extent(other.face.points, schema) for other in followed]).reshape(-1, 4)
            if confidence[index] < max(self._options.min_confidence, NOBODY) \
                    or (iou(extent(points[index], schema), others) > SAME_POINTS_IOU).any():
                self._lost.append(track)
                continue
            track.face = replace(
                track.face, points=points[index], confidence=float(confidence[index]),
                depth=depths[index], errors=errors[index])
            track.crop, track.seen = crops[index], self._seconds
            followed.append(track)
        lost = len(followed) < len(self._tracks)
        self._tracks = followed
        return lost

    def _detect(self, image: Image) -> None:
        """Looks for faces that are not followed, and gives them numbers."""
        self._detected = self._seconds
        agreed: Sequence[float | None]
        horizon = self._seconds - self._options.remember_seconds
        self._lost = [track for track in self._lost if track.seen >= horizon]
        if self._landmarker.has_confidence:
            newcomers, agreed = self._landmarker.look_out(
                image, [track.crop for track in self._tracks],
                [track.face.points for track in self._tracks])
        else:
            # Nobody but the detector can tell that a face is gone.
            newcomers = self._landmarker.find_in_crops(image)
            faces = [found.face for found in newcomers]
            places = [overlapped(track.face, faces) for track in self._tracks]
            seen = [(track, newcomers[place].agreed) for track, place
                    in zip(self._tracks, places, strict=True) if place is not None]
            self._lost += [track for track, place in zip(self._tracks, places, strict=True)
                           if place is None]
            self._tracks, agreed = [track for track, _ in seen], [value for _, value in seen]
        for track, value in zip(self._tracks, agreed, strict=True):
            if value is not None:  # heads turn; the mean with the last times, for a look may err
                track.agreed = (track.agreed + value) / 2
        for found in newcomers:
            face = found.face
            if overlapped(face, [track.face for track in self._tracks]) is not None:
                continue
            lost_index = overlapped(face, [track.face for track in self._lost])
            if lost_index is None:
                number, self._next = self._next, self._next + 1
            else:
                number = _number(self._lost.pop(lost_index))
            crop = self._landmarker.crop_around(face.points)
            self._tracks.append(
                _Track(replace(face, track=number), crop, found.agreed, self._seconds))


def overlapped(face: Face, others: Sequence[Face]) -> int | None:
    """The index of the face whose points' box a face overlaps most; None if it overlaps none."""
    if not others:
        return None
    boxes = np.array([extent(other.points, other.schema) for other in others])
    overlap = iou(extent(face.points, face.schema), boxes)
    best = int(np.argmax(overlap))
    return best if overlap[best] > SAME_PLACE_IOU else None


def _number(track: _Track) -> int:
    return track.face.track if track.face.track is not None else -1
