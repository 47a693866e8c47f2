"""Finds the faces of a photo at any angle, with one detector or both.

A detector finds many faces that stand on their head, but takes their chin for the forehead, as
surely as it finds upright ones. So each face that is not very sure is looked at once more from near
by, at four angles: its score is highest where it is upright. Where no face is very sure, or one
leans far, the photo is looked at upside down, too; where one leans far, also as it lies.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats, Image
from efld_tf.errors import DataError
from efld_tf.landmarks.geometry import LARGEST, Crop, extract_crop
from efld_tf.runtime.blazeface import KEYPOINTS, MODELS
from efld_tf.runtime.detector import SAME_FACE_IOU, Detection, FaceDetector
from efld_tf.runtime.overlap import iou

DETECTORS = ("both", *MODELS)
# The models have too little work for more threads.
MOST_THREADS = 4

# These numbers were chosen on photos of HELEN's and LFPW's training sets, turned by 24 angles.
# Up to this lean the short-range model sees a face as it is, if its score is the first one or more,
# and the second for faces of so large a share of the photo's longest side. Where it sees none with
# the second score, faces may stand on their heads.
UPRIGHT, SURE, SURE_LARGE, LARGE = math.radians(60), 0.9, 0.88, 0.25
# A face seen from near by fills this share of the square, and its middle is near to that of the
# square, in its side. From this score on it is upright; most upright ones have it.
SHARE, NEAR, SURE_NEAR = 0.5, 0.25, 0.86
CELLS = 4  # squares that the model sees at once
# Below this score, a look from near by says nothing; from the second on it tells that a face leans,
# and below that only if it is better by the third than the look by the first detection's lean. That
# one is preferred to others that are better by less than the fourth.
LEAST_NEAR, SURE_TURNED, CLEARLY, HARDLY = 0.5, 0.8, 0.15, 0.05
# A face that is less sure than `SURE_TURNED` is no other one if so much of its box lies in that of
# another, or so much of another's in its own.
MOST_INSIDE = 0.7
# A face that the short-range model sees in the whole photo alone has at least this score.
SURE_BORDER = 0.7
# A detection below the least score, but not below this share of it, is a face if it is upright from
# near by, and both scores are this much together, of which the second look has the other at least.
DOUBTFUL, BOTH_LOOKS, SECOND_LOOK = 0.5, 1.15, 0.7


@dataclass(frozen=True)
class _Found:
    """What was found in a photo turned by so many quarters."""

    detection: Detection
    turn: int

    @property
    def upright(self) -> bool:
        """Whether it is upright in the turned photo."""
        angle = self.detection.angle - self.turn * math.pi / 2
        return abs(math.remainder(angle, 2 * math.pi)) <= UPRIGHT


@dataclass(frozen=True)
class _Face:
    """A face as it leans, and whether that is certain; if not, there may be none."""

    detection: Detection
    certain: bool

    @property
    def score(self) -> float:
        return self.detection.score

    @property
    def leans(self) -> bool:
        """Whether it leans so far that others in the photo may, too."""
        return self.certain and abs(self.detection.angle) > UPRIGHT


@dataclass(frozen=True)
class _Look:
    """A face seen from near by, in a square that is turned by an angle.

    Attributes:
      crop: the square.
      row: [17] score, box and keypoints in the unit square of the crop.
    """

    crop: Crop
    row: Floats

    @property
    def score(self) -> float:
        return float(self.row[0])

    def detection(self, score: float) -> Detection:
        """The face in pixels of the image; its box has the same middle and side, not turned."""
        low, high = self.row[1:3], self.row[3:5]
        middle = self.crop.from_unit((low + high) / 2)
        half = float((high - low).max()) / 2 * self.crop.side
        keypoints = self.crop.from_unit(self.row[5:].reshape(-1, 2))
        return Detection(np.concatenate([middle - half, middle + half]), keypoints, score, "short")


class AnyAngleDetector:
    """Searches photos with the short-range model, the full-range one, or both.

    Large faces are found best by the first, all others by the second, which also searches tiles.
    It is not safe to share between threads, like the models.
    """

    def __init__(
        self,
        name: str | Path = "both",
        *,
        threads: int = 1,
        min_score: float | None = None,
        min_face: float | None = None,
    ):
        """Loads the models; arguments and errors are those of `FaceDetector`.

        Args:
          name: `both`, of which only the full-range model searches tiles, or one of them.
        """
        self._min_score = min_score
        self._finders: list[FaceDetector] = []
        if name != "both":
            self._finders.append(FaceDetector(
                name, threads=threads, min_score=min_score, min_face=min_face))
        if name != "both" and self._finders[0].name == "short":
            self._short = self._finders[0]
        else:
            self._short = FaceDetector("short", threads=threads, min_score=min_score)
        if name == "both":
            self._finders += [self._short, FaceDetector(
                "full", threads=threads, min_score=min_score, min_face=min_face)]
        for finder in self._finders:
            # Beside the other model, hardly any of the short-range one's doubtful ones is a face.
            if name != "both" or finder is not self._short:
                finder.doubtful_score = DOUBTFUL * finder.min_score
        self._min_scores = {finder.name: finder.min_score
                            for finder in (self._short, *self._finders)}

    def for_video(self) -> AnyAngleDetector:
        """A copy that is quicker; see `FaceDetector.for_video`."""
        detector = copy.copy(self)
        detector._finders = [finder.for_video() for finder in self._finders]
        return detector

    def detect(self, image: Image, known: Sequence[Detection] = ()) -> list[Detection]:
        """The faces of an image, largest score first.

        Args:
          image: [H, W, 3] uint8 RGB.
          known: faces that need not be found again, and are left out.

        Raises:
          EfldError: the image has another form.
        """
        faces = [_Face(face, True) for face in known]
        faces = self._settled(image, self._found(image, 0), faces, doubtful=True)
        if not faces or faces[0].score < SURE_LARGE or any(face.leans for face in faces):
            flipped = self._short.without_tiles().detect(image, 2)
            faces = self._settled(image, [_Found(d, 2) for d in flipped], faces)
        if not faces:
            faces = self._settled(image, [found for turn in (1, 2, 3)
                                          for found in self._found(image, turn, tiles=False)], [])
        # Where one face lies on its side, others do that only the turned search finds.
        for turn in sorted({face.detection.quarters for face in faces if face.leans} - {0}):
            faces = self._settled(image, self._found(image, turn), faces, doubtful=True)
        return [face.detection for face in faces
                if face.certain and (self._min_score is None or face.score >= self._min_score)
                and not any(face.detection is other for other in known)]

    def seen_again(self, image: Image, faces: Sequence[Detection]) -> list[Detection | None]:
        """Faces whose places are known, as the short-range model sees them from near by.

        Args:
          image: [H, W, 3] uint8 RGB.
          faces: of these, box and lean are used.

        Returns:
          One for each; None where it sees none.
        """
        seen: list[Detection | None] = []
        for start in range(0, len(faces), CELLS):
            crops = [_around(face) for face in faces[start : start + CELLS]]
            seen += [look.detection(look.score) if look.score >= LEAST_NEAR else None
                     for look in self._looks_in(image, crops)]
        return seen

    def _found(self, image: Image, turn: int, tiles: bool = True) -> list[_Found]:
        """What all models find in an image that is turned by so many quarters."""
        found: list[Detection] = []
        for finder in self._finders if tiles else [f.without_tiles() for f in self._finders]:
            found += finder.detect(image, turn)
        return [_Found(d, turn) for d in found]

    def _settled(
        self, image: Image, found: Sequence[_Found], faces: Sequence[_Face], doubtful: bool = False
    ) -> list[_Face]:
        """Faces, and others that were found, as they lean, largest score first.

        Args:
          doubtful: whether to look again at those below the least score, too.
        """
        known = [face.detection for face in faces if face.score >= SURE_NEAR]
        settled = [*faces]
        by_score = sorted(found, key=lambda one: -one.detection.score)
        for one in by_score:
            if self._reaches_least(one) and _is_another(one.detection, known):
                known.append(one.detection)
                settled += self._settle(image, one)
        if doubtful:
            settled += self._confirmed(image, [
                one.detection for one in by_score
                if not self._reaches_least(one) and _is_another(one.detection, known)])
        distinct: list[_Face] = []
        for face in sorted(settled, key=lambda face: -face.score):
            if _is_another(face.detection, [other.detection for other in distinct]):
                distinct.append(face)
        return distinct

    def _reaches_least(self, found: _Found) -> bool:
        return found.detection.score >= self._min_scores[found.detection.detector]

    def _settle(self, image: Image, found: _Found) -> list[_Face]:
        """A face as it leans, if there is one."""
        detection = found.detection
        large = np.ptp(detection.box[::2]) >= LARGE * max(image.shape[:2])
        sure = SURE_LARGE if large else SURE
        if found.upright and detection.detector == "short" and detection.score >= sure:
            return [_Face(detection, True)]
        looks = self._looks(image, detection)
        best = _upright(looks)
        if LEAST_NEAR <= best.score < SURE_NEAR:  # the place may have been rough, too
            looks += self._looks(image, best.detection(0))
            best = max(best, _upright(looks[CELLS:]), key=lambda look: look.score)
        upright = found.turn == 0 and found.upright
        if best.score < LEAST_NEAR:
            # Those that reach to the borders of the photo are not seen from near by.
            kept = upright and detection.detector == "short" and detection.score >= SURE_BORDER
            return [_Face(detection, True)] * kept
        # The full-range model finds faces that the other hardly sees, if they are upright.
        if upright and best.score < max(SURE_TURNED, detection.score) \
                and best.score - looks[0].score < CLEARLY:
            return [_Face(detection, True)]
        near = best.detection(max(best.score, detection.score))
        return [_Face(near, best.score >= SURE_TURNED or abs(near.angle) <= UPRIGHT)]

    def _confirmed(self, image: Image, doubtful: Sequence[Detection]) -> list[_Face]:
        """Those of doubtful detections that are upright faces from near by."""
        faces = []
        for start in range(0, len(doubtful), CELLS):
            ones = doubtful[start : start + CELLS]
            looks = self._looks_in(image, [_around(one) for one in ones])
            for one, look in zip(ones, looks, strict=True):
                least = max(SECOND_LOOK, BOTH_LOOKS - one.score)
                if look.score >= least:
                    turned = self._looks(image, look.detection(look.score))
                    best = _upright(turned)
                    if best is turned[0] and best.score >= least:
                        faces.append(_Face(best.detection(best.score), True))
        return faces

    def _looks(self, image: Image, detection: Detection) -> list[_Look]:
        """Looks at a face from near by, turned by none to three quarters."""
        return self._looks_in(
            image, [_around(detection, turn * math.pi / 2) for turn in range(CELLS)])

    def _looks_in(self, image: Image, crops: Sequence[Crop]) -> list[_Look]:
        """Looks at up to four squares by one run of the model, which sees them in two rows."""
        size = self._short.model.architecture.input_size // 2
        limit = LARGEST * max(image.shape[:2])  # no face of the image has a larger square
        cells = [extract_crop(image, crop if crop.side < limit else Crop(0.0, 0.0, 1.0), size)
                 for crop in crops]
        cells += [np.zeros_like(cells[0])] * (CELLS - len(cells))
        rows = self._short.model.look(
            np.vstack([np.hstack(cells[:2]), np.hstack(cells[2:])]), LEAST_NEAR)
        looks = []
        for crop, corner in zip(crops, ((0, 0), (1, 0), (0, 1), (1, 1)), strict=False):
            own = rows.copy()
            own[:, 1:] = 2 * rows[:, 1:] - np.tile(corner, 2 + len(KEYPOINTS))
            middles = (own[:, 1:3] + own[:, 3:5]) / 2
            own = own[np.linalg.norm(middles - 0.5, axis=1) < NEAR]
            best = own[own[:, 0].argmax()] if len(own) else np.zeros(rows.shape[1])
            looks.append(_Look(crop, best))
        return looks


def _upright(looks: Sequence[_Look]) -> _Look:
    """The one of four looks, each turned by a quarter, in which the face is upright."""
    best = max(looks, key=lambda look: look.score)
    first = looks[0]
    return first if first.score >= max(SURE_TURNED, best.score - HARDLY) else best


def _around(detection: Detection, turn: float = 0.0) -> Crop:
    """The square around a face in which it is looked at from near by, turned by an angle."""
    low, high = detection.box[:2], detection.box[2:]
    x, y = (low + high) / 2
    side = float((high - low).max()) / SHARE
    return Crop(float(x), float(y), side, detection.angle + turn).on_grid()


def apart(detection: Detection, others: Sequence[Detection]) -> bool:
    """Whether a face is none of the others."""
    boxes = np.array([other.box for other in others]).reshape(-1, 4)
    return not (iou(detection.box, boxes) > SAME_FACE_IOU).any()


def _is_another(detection: Detection, others: Sequence[Detection]) -> bool:
    """Whether a detection is of a face that is none of others, which are surer."""
    if not apart(detection, others):
        return False
    if detection.score >= SURE_TURNED:
        return True
    low, high = detection.box[:2], detection.box[2:]
    for other in others:
        common = np.minimum(high, other.box[2:]) - np.maximum(low, other.box[:2])
        smaller = min((high - low).prod(), (other.box[2:] - other.box[:2]).prod())
        if np.maximum(common, 0).prod() > MOST_INSIDE * smaller:
            return False
    return True


def open_detector(
    name: str | Path = "both",
    *,
    threads: int | None = None,
    min_score: float | None = None,
    min_face: float | None = None,
) -> AnyAngleDetector:
    """The detector that `--detector` names: `both`, `short`, `full` or a model's file.

    Args:
      threads: None for as many as the machine has cores, up to four.

    Raises:
      EfldError, DataError: as in `FaceDetector`.
    """
    if name not in DETECTORS and not Path(name).exists():
        raise DataError(name, f"no such file, nor a detector ({', '.join(DETECTORS)})")
    if threads is None:
        threads = min(os.cpu_count() or 1, MOST_THREADS)
    return AnyAngleDetector(name, threads=threads, min_score=min_score, min_face=min_face)
