"""Face boxes from a photo: MediaPipe's BlazeFace models, run by LiteRT.

V. Bazarevsky et al., "BlazeFace: Sub-millisecond Neural Face Detection on Mobile GPUs", 2019,
describe a single-shot detector that has anchors of one size and takes the mean of overlapping boxes
instead of suppressing them. The models are files of the installed mediapipe package; the package
itself, which takes ten seconds to import, is never imported. For the same pixels, the results are
MediaPipe's.
"""

from __future__ import annotations

import copy
import importlib.util
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from efld_tf.arrays import Flags, Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import litert
from efld_tf.runtime.predictor import check_image

KEYPOINTS = ("right_eye", "left_eye", "nose_tip", "mouth", "right_ear", "left_ear")

# Boxes that overlap by more are the same face (MediaPipe's min_suppression_threshold).
SAME_FACE_IOU = 0.3
# The longest side: OpenCV cannot warp larger images. Larger panoramas are subsampled.
MOST_PIXELS = 32766
# Tiles overlap by this share of their side, so that a face up to that size is whole in one of them.
TILE_OVERLAP = 0.4
# The smallest face in pixels and as a share of the photo's side. Smaller ones tell a landmark model
# of 128 pixels little, and looking for them costs time and brings false alarms.
MIN_FACE, MIN_FACE_SHARE = 40.0, 1 / 50


@dataclass(frozen=True)
class Architecture:
    """A detection model of MediaPipe.

    Attributes:
      file: its path below the mediapipe package.
      input_size: side of the input in pixels.
      grids: cells a side and anchors a cell, in the order of the output.
      smallest: side of the smallest face that is found reliably, divided by the side of the square
        that the model looks at.
      min_score: the score below which MediaPipe itself reports nothing by default.
      tiled: whether tiles are searched unless the user says otherwise; half of what the short-range
        model finds in them is no face (benchmarks/detector.py).
    """

    file: str
    input_size: int
    grids: tuple[tuple[int, int], ...]
    smallest: float
    min_score: float
    tiled: bool

    def anchors(self) -> Floats:
        """Centres [A, 2] of the anchors, in sides of the input."""
        centres = []
        for cells, count in self.grids:
            steps = (np.arange(cells) + 0.5) / cells
            grid = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
            centres.append(np.repeat(grid, count, axis=0))
        return np.concatenate(centres)


MODELS = {
    "short": Architecture(
        "modules/face_detection/face_detection_short_range.tflite", 128, ((16, 2), (8, 6)), 0.16,
        0.5, False,
    ),
    "full": Architecture(
        "modules/face_detection/face_detection_full_range_sparse.tflite", 192, ((48, 1),), 0.06,
        0.6, True,
    ),
}


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


class FaceDetector:
    """Finds faces in photos.

    It is not safe to share between threads, because the interpreter holds its tensors.

    Attributes:
      name: `short` or `full`; crop rules are fitted for each.
      min_score: the lowest score of a detection.
      min_face: side in pixels of the smallest face to look for. Where it is smaller than the model
        can find in the whole photo, tiles of the photo are searched too. None stands for 40 pixels
        or 1/50 of the photo's longest side, whichever is more, and with `short` for 0.16 of that
        side, which needs no tiles.
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
          model: `short` (for faces from 1/6 of the photo on, the fastest), `full` (from 1/16 on),
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
        path = bundled(MODELS[model].file) if model in MODELS else Path(model)
        self._path = path
        self._interpreter = litert.load(path, threads)
        self.name, self._architecture = self._recognise(path)
        self.min_score = self._architecture.min_score if min_score is None else min_score
        self.min_face = min_face
        self._anchors = self._architecture.anchors()

    def for_video(self) -> FaceDetector:
        """A copy that searches no tiles, which take long, unless a `min_face` was asked for."""
        detector = copy.copy(self)
        detector.min_face = math.inf if self.min_face is None else self.min_face
        return detector

    def _recognise(self, path: Path) -> tuple[str, Architecture]:
        """Tells which of the models a file is by the shapes of its input and outputs."""
        inputs = self._interpreter.get_input_details()
        outputs = self._interpreter.get_output_details()
        shapes = [tuple(d["shape"].tolist()) for d in (*inputs, *outputs)]
        for name, architecture in MODELS.items():
            size, count = architecture.input_size, sum(n * n * k for n, k in architecture.grids)
            if sorted(shapes) == sorted([(1, size, size, 3), (1, count, 16), (1, count, 1)]):
                self._input = inputs[0]["index"]
                self._boxes, self._scores = (
                    next(d["index"] for d in outputs if d["shape"][2] == width)
                    for width in (4 + 2 * len(KEYPOINTS), 1)
                )
                return name, architecture
        raise DataError(path, "expected one of MediaPipe's face detectors (short or full range)")

    def detect(self, image: Image) -> list[Detection]:
        """The faces of an image [H, W, 3] uint8 RGB, largest score first.

        Raises:
          EfldError: the image has another form.
        """
        check_image(image)
        block = -(-max(image.shape[:2]) // MOST_PIXELS)
        smallest = None if self.min_face is None else self.min_face / block
        if block == 1:
            return self._detect(image, smallest)
        detections = self._detect(np.ascontiguousarray(image[::block, ::block]), smallest)
        return [replace(d, box=d.box * block, keypoints=d.keypoints * block) for d in detections]

    def _detect(self, image: Image, smallest: float | None) -> list[Detection]:
        """The faces of an image that is not too large.

        Args:
          smallest: side in pixels of the smallest face to look for; None as for `min_face`.
        """
        detections = self._merged([self._look(image, *self._whole(image))])
        height, width = image.shape[:2]
        longest = max(height, width)
        if smallest is None:
            smallest = max(MIN_FACE, longest * MIN_FACE_SHARE) if self._architecture.tiled \
                else longest * self._architecture.smallest
        # Each level halves the squares that are looked at.
        side = longest / 2
        while side * 2 * self._architecture.smallest > smallest:
            parts = [_rows(detections)]
            for tile in _tiles(width, height, side):
                rows = self._look(image, *tile, side)
                parts.append(rows[_inside(rows, tile, side, width, height)])
            detections = self._merged(parts)
            side /= 2
        return detections

    @staticmethod
    def _whole(image: Image) -> tuple[float, float, float]:
        """Left, top and side of the square around an image."""
        height, width = image.shape[:2]
        side = max(height, width)
        return (width - side) / 2, (height - side) / 2, float(side)

    def _look(self, image: Image, left: float, top: float, side: float) -> Floats:
        """Raw detections [D, 17] in a square of the image: score, box, keypoints, in pixels."""
        size = self._architecture.input_size
        step = side / size
        # This samples as MediaPipe does: pixel j of the input is taken at j * step, not at the
        # middle of the pixels that it stands for, and without averaging them.
        matrix = np.array([[step, 0, left], [0, step, top]])
        pixels = cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        )
        self._interpreter.set_tensor(self._input, (pixels / np.float32(127.5) - 1)[None])
        litert.invoke(self._interpreter, self._path)
        logits = np.clip(self._interpreter.get_tensor(self._scores)[0, :, 0], -100, 100)
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        chosen = scores >= self.min_score
        raw = self._interpreter.get_tensor(self._boxes)[0, chosen].astype(np.float64) / size
        anchors = self._anchors[chosen]
        centre, half = raw[:, :2] + anchors, raw[:, 2:4] / 2
        keypoints = raw[:, 4:].reshape(-1, len(KEYPOINTS), 2) + anchors[:, None]
        places = np.concatenate([(centre - half)[:, None], (centre + half)[:, None], keypoints], 1)
        # u of the input is its pixel u * size - 0.5, which was taken at that number times the step.
        places = places * side - 0.5 * step + [left, top]
        return np.concatenate([scores[chosen, None], places.reshape(-1, 16)], axis=1)

    def _merged(self, parts: Sequence[Floats]) -> list[Detection]:
        return [
            Detection(row[1:5].copy(), row[5:].reshape(-1, 2).copy(), float(row[0]), self.name)
            for row in weighted_suppression(np.concatenate(parts))
        ]


class TwoRangeDetector:
    """Searches the whole photo with the short-range model, and photo and tiles with the full-range.

    Large faces are found best by the first, all others by the second. A face that both find is
    taken from the better one.
    """

    def __init__(
        self,
        *,
        threads: int = 1,
        min_score: float | None = None,
        min_face: float | None = None,
    ):
        """Loads both models; arguments and errors are those of `FaceDetector`.

        Only the full-range model searches tiles.
        """
        self._short = FaceDetector("short", threads=threads, min_score=min_score)
        self._full = FaceDetector("full", threads=threads, min_score=min_score, min_face=min_face)

    def for_video(self) -> TwoRangeDetector:
        """A copy for videos; see `FaceDetector.for_video`."""
        detector = copy.copy(self)
        detector._full = self._full.for_video()
        return detector

    def detect(self, image: Image) -> list[Detection]:
        """The faces of an image [H, W, 3] uint8 RGB, largest score first."""
        reliable = MODELS["short"].smallest * max(image.shape[:2])
        short_range = self._short.detect(image)
        large = [d for d in short_range if max(d.box[2:] - d.box[:2]) >= reliable]
        small = [d for d in short_range if max(d.box[2:] - d.box[:2]) < reliable]
        # The detections come in the order in which their boxes can be trusted.
        merged: list[Detection] = []
        for detection in (*large, *self._full.detect(image), *small):
            boxes = np.array([d.box for d in merged]).reshape(-1, 4)
            if not (iou(detection.box, boxes) > SAME_FACE_IOU).any():
                merged.append(detection)
        return sorted(merged, key=lambda d: -d.score)


DETECTORS = ("both", *MODELS)


def open_detector(
    name: str | Path = "both",
    *,
    threads: int = 1,
    min_score: float | None = None,
    min_face: float | None = None,
) -> FaceDetector | TwoRangeDetector:
    """The detector that `--detector` names: `both`, `short`, `full` or a model's file.

    Raises:
      EfldError, DataError: as in `FaceDetector`.
    """
    if name == "both":
        return TwoRangeDetector(threads=threads, min_score=min_score, min_face=min_face)
    if name not in MODELS and not Path(name).exists():
        raise DataError(name, f"no such file, nor a detector (both, {', '.join(MODELS)})")
    return FaceDetector(name, threads=threads, min_score=min_score, min_face=min_face)


def bundled(file: str) -> Path:
    """A model file of the installed mediapipe package, which is not imported.

    Raises:
      EfldError: the package or the file is missing.
    """
    spec = importlib.util.find_spec("mediapipe")
    if spec is None or spec.origin is None:
        raise EfldError("mediapipe is not installed: its package holds the detector's model")
    path = Path(spec.origin).parent / file
    if not path.is_file():
        raise EfldError(f"the installed mediapipe has no {file}: 0.10.21 is expected")
    return path


def weighted_suppression(rows: Floats, min_iou: float = SAME_FACE_IOU) -> Floats:
    """One row for each group of overlapping boxes: the mean by score, with the highest score.

    Args:
      rows: [D, 5 + K], score, box (x0, y0, x1, y1) and further coordinates.
      min_iou: rows whose box overlaps the best remaining one's by a larger IoU join its group.

    Returns:
      [G, 5 + K], highest score first.
    """
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    merged = []
    while len(rows):
        group = iou(rows[0, 1:5], rows[:, 1:5]) > min_iou
        group[0] = True  # also where its box is empty
        weights = rows[group, :1]
        mean = (weights * rows[group, 1:]).sum(axis=0) / weights.sum()
        merged.append(np.concatenate([rows[0, :1], mean]))
        rows = rows[~group]
    return np.array(merged).reshape(-1, rows.shape[1])


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box [4] with boxes [B, 4], (x0, y0, x1, y1): [B]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    union = areas + np.maximum(box[2:] - box[:2], 0).prod() - common
    return np.divide(common, union, out=np.zeros(len(boxes)), where=union > 0)


def _rows(detections: Sequence[Detection]) -> Floats:
    rows = [np.concatenate([[d.score], d.box, d.keypoints.ravel()]) for d in detections]
    return np.array(rows).reshape(-1, 17)


def _tiles(width: int, height: int, side: float) -> Iterator[tuple[float, float]]:
    """Left and top of squares that cover an image and overlap by `TILE_OVERLAP` at least."""

    def starts(length: int) -> Floats:
        if length <= side:
            return np.array([(length - side) / 2])
        count = int(np.ceil((length - side) / (side * (1 - TILE_OVERLAP)))) + 1
        return np.linspace(0, length - side, count)

    for top in starts(height):
        for left in starts(width):
            yield float(left), float(top)


def _inside(
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
