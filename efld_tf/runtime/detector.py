"""Face boxes from a photo, by MediaPipe's detectors: for the same pixels, MediaPipe's results.

MediaPipe takes the mean of overlapping boxes instead of suppressing them. What it does not do is to
search parts of the photo, and the photo turned.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from efld_tf.arrays import Flags, Floats, Image
from efld_tf.errors import EfldError
from efld_tf.landmarks.geometry import apply_affine, compose_affines
from efld_tf.runtime.blazeface import KEYPOINTS, BlazeFace
from efld_tf.runtime.overlap import iou, weighted_suppression
from efld_tf.runtime.predictor import check_image

# Boxes that overlap by more are the same face (MediaPipe's min_suppression_threshold).
SAME_FACE_IOU = 0.3
# The longest side: OpenCV cannot warp larger images. Larger panoramas are subsampled.
MOST_PIXELS = 32766
# Tiles overlap by this share of their side, so that a face up to that size is whole in one of them.
# It is `Architecture.smallest` times the factor between levels of tiles: faces from there on are
# seen well in larger tiles. In videos they are found in the whole frame.
TILE_OVERLAP, TILE_FACTOR, VIDEO_OVERLAP = 0.25, 2.5, 0.2
# The smallest tiles are worth their time up to this share of the photo's side.
WORTHWHILE = 0.75
# The smallest face in pixels and as a share of the photo's side. Smaller ones tell a landmark model
# of 128 pixels little, and looking for them costs time and brings false alarms.
MIN_FACE, MIN_FACE_SHARE = 40.0, 1 / 50


@dataclass(frozen=True, eq=False)
class Detection:
    """A face box.

    Attributes:
      box: [4] float64, (x0, y0, x1, y1) in pixels of the image, pixel centres at whole numbers; it
        may reach beyond the image.
      keypoints: [6, 2] float64 in pixels, the `KEYPOINTS`; left and right are the person's own.
      score: 0 to 1.
      detector: `short` or `full`; the boxes of the two differ.
    """

    box: Floats
    keypoints: Floats
    score: float
    detector: str

    @property
    def angle(self) -> float:
        """The radians by which the face leans, clockwise as seen, by its eyes."""
        x, y = self.keypoints[1] - self.keypoints[0]
        return math.atan2(y, x)

    @property
    def quarters(self) -> int:
        """The right angles by which it leans, 0 to 3."""
        return round(self.angle / (math.pi / 2)) % 4


class FaceDetector:
    """Finds faces in photos with one model.

    It is not safe to share between threads, like the model.

    Attributes:
      name: `short` or `full`; crop rules are fitted for each.
      model: the model.
      min_score: the lowest score of a detection.
      min_face: side in pixels of the smallest face to look for. Where it is smaller than the model
        can find in the whole photo, tiles of the photo are searched too. None stands for 40 pixels
        or 1/50 of the photo's longest side, whichever is more, and with `short` for 0.16 of that
        side, which needs no tiles.
      doubtful_score: detections with a score from this one to `min_score` are given, too, if they
        are of no face with a higher one.
    """

    def __init__(
        self,
        model: str | Path = "short",
        *,
        threads: int = 1,
        min_score: float | None = None,
        min_face: float | None = math.inf,
    ):
        """Loads a detector.

        Args:
          model: `short` (for faces from 1/6 of the photo on, the fastest), `full` (from 1/10 on),
            or a file of one of these two models.
          min_score: None for the model's own, which is 0.5 or 0.6.

        Raises:
          EfldError: mediapipe is not installed, or a value is out of range.
          DataError: the file is not one of these models.
        """
        if min_score is not None and not 0 < min_score < 1:
            raise EfldError(f"min_score: expected a number between 0 and 1, got {min_score}")
        if min_face is not None and not min_face >= 8:
            raise EfldError(f"min_face: expected at least 8 pixels, got {min_face}")
        self.model = BlazeFace(model, threads)
        self.name = self.model.name
        self._architecture = self.model.architecture
        self.min_score = self._architecture.min_score if min_score is None else min_score
        self.doubtful_score = self.min_score
        self.min_face = min_face
        self._calls: int | None = None  # of a detector that looks at squares in turn

    def without_tiles(self) -> FaceDetector:
        """A detector with the same model that looks at whole photos only."""
        detector = copy.copy(self)
        detector.min_face, detector._calls = math.inf, None
        return detector

    def for_video(self) -> FaceDetector:
        """A copy that searches no tiles, which take long, unless a `min_face` was asked for.

        Where tiles would be searched, it looks in turn at squares of the frame that are as large as
        its shorter side, two of them in 16:9, and at the whole frame: at one in a call, and where
        the call is for the same frame turned, at the one whose turn it is.
        """
        detector = copy.copy(self)
        if self.min_face is None:
            detector.min_face = math.inf
            detector._calls = -1 if self._architecture.tiled else None
        return detector

    def detect(self, image: Image, quarter_turns: int = 0) -> list[Detection]:
        """The faces of an image, largest score first.

        Args:
          image: [H, W, 3] uint8 RGB.
          quarter_turns: how the image is turned before the model sees it, counterclockwise: faces
            that lean clockwise by as many right angles are upright then.

        Raises:
          EfldError: the image has another form.
        """
        check_image(image)
        block = -(-max(image.shape[:2]) // MOST_PIXELS)
        small = image if block == 1 else np.ascontiguousarray(image[::block, ::block])
        smallest = None if self.min_face is None else self.min_face / block
        view = _View(small, quarter_turns % 4)
        if self._calls is not None and view.upright:
            self._calls += 1
        rows = self._detect(view, smallest)
        return [view.detection(row, self.name, block) for row in rows]

    def _detect(self, view: _View, smallest: float | None) -> Floats:
        """The faces [F, 17] of an image that is not too large: score, box and keypoints.

        Args:
          smallest: side in pixels of the smallest face to look for; None as for `min_face`.
        """
        width, height = view.width, view.height
        longest = max(height, width)
        whole = (width - longest) / 2, (height - longest) / 2
        if self._calls is not None:
            square = min(height, width)
            places = [(tile, square) for tile in _tiles(width, height, square, VIDEO_OVERLAP)]
            places += [(whole, longest)] * (square < longest)
            return self._merged(self._in_tile(view, *places[self._calls % len(places)]))
        if smallest is None:
            smallest = max(MIN_FACE, longest * MIN_FACE_SHARE) if self._architecture.tiled \
                else longest * self._architecture.smallest
        parts = [self._look(view, *whole, float(longest))]
        side = smallest / self._architecture.smallest
        if side < WORTHWHILE * longest:
            while side < longest:
                parts += [self._in_tile(view, tile, side) for tile in _tiles(width, height, side)]
                side *= TILE_FACTOR
        return self._merged(np.concatenate(parts))

    def _merged(self, rows: Floats) -> Floats:
        """One row for each face; doubtful ones do not change the boxes of others."""
        sure = rows[:, 0] >= self.min_score
        merged = weighted_suppression(rows[sure], SAME_FACE_IOU)
        if sure.all():
            return merged
        doubtful = [row for row in weighted_suppression(rows[~sure], SAME_FACE_IOU)
                    if not (iou(row[1:5], merged[:, 1:5]) > SAME_FACE_IOU).any()]
        return np.concatenate([merged, np.array(doubtful).reshape(-1, rows.shape[1])])

    def _in_tile(self, view: _View, tile: tuple[float, float], side: float) -> Floats:
        """What a look at a tile finds as a whole."""
        found = self._look(view, *tile, side)
        return found[_whole(found, tile, side, view.width, view.height)]

    def _look(self, view: _View, left: float, top: float, side: float) -> Floats:
        """Raw detections [D, 17] in a square of the image: score, box, keypoints, in pixels."""
        step = side / self._architecture.input_size
        rows = self.model.look(
            view.sampled(left, top, step, self._architecture.input_size),
            min(self.doubtful_score, self.min_score))
        # u of the input is its pixel u * size - 0.5, which was taken at that number times the step.
        rows[:, 1:] = rows[:, 1:] * side - 0.5 * step + np.tile([left, top], 2 + len(KEYPOINTS))
        return rows


class _View:
    """An image that is turned by quarters, which copies no pixels.

    Attributes:
      width, height: its size, turned.
      upright: whether it is not turned.
    """

    def __init__(self, image: Image, quarter_turns: int):
        self.upright = quarter_turns == 0
        height, width = image.shape[:2]
        self._image = image
        self.width, self.height = (height, width) if quarter_turns % 2 else (width, height)
        cosine, sine = ((1, 0), (0, 1), (-1, 0), (0, -1))[quarter_turns]
        right, bottom = width - 1, height - 1
        corner = ((0, 0), (right, 0), (right, bottom), (0, bottom))[quarter_turns]
        # From pixels of the turned image to those of the image.
        self._matrix = np.array([[cosine, -sine, corner[0]], [sine, cosine, corner[1]]], np.float64)

    def sampled(self, left: float, top: float, step: float, size: int) -> Image:
        """A square [size, size, 3] of the turned image, one pixel of every `step`.

        This samples as MediaPipe does: pixel j is taken at j * step, not at the middle of the
        pixels that it stands for, and without averaging them.
        """
        matrix = compose_affines(self._matrix, np.array([[step, 0, left], [0, step, top]]))
        sampled: Image = cv2.warpAffine(
            self._image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        return sampled

    def detection(self, row: Floats, detector: str, block: int) -> Detection:
        """A row [17] in pixels of the turned image, as a detection in those of `block` times it."""
        places = apply_affine(self._matrix, row[1:].reshape(-1, 2)) * block
        box = np.concatenate([places[:2].min(axis=0), places[:2].max(axis=0)])
        return Detection(box, places[2:], float(row[0]), detector)


def _tiles(
    width: int, height: int, side: float, overlap: float = TILE_OVERLAP
) -> Iterator[tuple[float, float]]:
    """Left and top of squares that cover an image and overlap by so much of their side at least."""

    def starts(length: int) -> Floats:
        if length <= side:
            return np.array([(length - side) / 2])
        count = int(np.ceil((length - side) / (side * (1 - overlap)))) + 1
        return np.linspace(0, length - side, count)

    for top in starts(height):
        for left in starts(width):
            yield float(left), float(top)


def _whole(
    rows: Floats, tile: tuple[float, float], side: float, width: int, height: int
) -> Flags:
    """Which rows are whole faces, not cut by a border of the tile inside the image: [D] bool."""
    left, top = tile
    x0, y0, x1, y1 = rows[:, 1:5].T
    complete: Flags = (
        ((x0 > left) | (left <= 0)) & ((y0 > top) | (top <= 0))
        & ((x1 < left + side) | (left + side >= width))
        & ((y1 < top + side) | (top + side >= height))
    )
    return complete
