"""Crops with and without a face: what a presence output is fitted to and measured on.

Faces come from annotated sources and from scenes (photos of which every face's box is known). What
must not be taken for a face comes in kinds:

- `patch`: squares of scenes, at many scales, that touch no face;
- `alarm`: what detectors take for a face with little confidence though none is there, and what the
  model looks at next from there, by the crop that follows from its own points;
- `partial`: squares moved off a face by three quarters of the side of its usual crop or more;
- `blank`: flat colours, clouds and noise, as a covered lens and a dark room give.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np

from efld_tf import config
from efld_tf.annotations import parsing, sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.data.crop_fit import crop_rule
from efld_tf.data.options import CropOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation import corruptions
from efld_tf.landmarks.geometry import LARGEST, Crop, CropRule, extract_crop, zoomed
from efld_tf.runtime import crop_maps
from efld_tf.runtime.boxes import read_boxes
from efld_tf.runtime.detector import FaceDetector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import Predictor

FACE, PATCH, ALARM, PARTIAL, BLANK = "face", "patch", "alarm", "partial", "blank"
WITHOUT_FACE = (PATCH, ALARM, PARTIAL, BLANK)

# Longest side of the smallest face's box, in pixels.
SMALLEST_FACE = 32.0
# Boxes of scenes are tight from hairline to chin, as in WIDER FACE: the median of the usual crop
# around the points that a model finds in such faces, in longest sides of the box.
SCENE_RULE = CropRule("file", "ibug68", 0.95, 0.0, 0.1)
# Standard deviations of the crop around a face: of its centre in sides and of its side's logarithm.
SHIFT, ZOOM = 0.05, 0.08
# How far a partial face is off, in sides of its usual crop, whatever the zoom.
OFF_FACE = (0.75, 1.1)
PATCHES, PATCH_SIDES = 120, (32.0, 400.0)
PARTIALS, SCENE_LOOKS = 6, 2
# Detectors that are asked for alarms: model and side of the smallest face.
DETECTORS = (("short", 64.0), ("full", 24.0))
ALARM_SCORE = 0.3
BLANKS = 300


@dataclass(frozen=True)
class Variation:
    """What is changed of a crop, alike for those with and without a face.

    Attributes:
      roll: standard deviation of the turn, in degrees.
      worsened: the share that is blurred, darkened, covered or made coarse, noisy or compressed.
    """

    roll: float = 0.0
    worsened: float = 0.0


AS_IS, FOR_FITTING = Variation(), Variation(10.0, 0.3)


@dataclass(eq=False)
class PresenceCrops:
    """Crops in the making.

    Attributes:
      size: their side in pixels.
      variation: what is changed.
      random: what all that is random is drawn from.
      zoom: of the model's crop rule; crops that are given show the usual part of a face.
      pixels: [size, size, 3] uint8 of each.
      kinds: `face` or one of `WITHOUT_FACE`.
      sources: where it comes from: the source's text, `scenes` or `none`.
      photos: its photo, or the person: what belongs together.
    """

    size: int
    variation: Variation
    random: np.random.Generator
    zoom: float = 1.0
    pixels: list[np.ndarray] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    photos: list[str] = field(default_factory=list)

    def add(self, image: np.ndarray, crop: Crop, kind: str, source: str, photo: str) -> None:
        """Cuts a square out of an image [H, W, 3] uint8, with the variation."""
        roll = math.radians(self.random.normal(0, 1) * self.variation.roll)
        turned = replace(crop, angle=crop.angle + roll)
        self._append(extract_crop(image, turned, self.size), kind, source, photo)

    def _append(self, pixels: np.ndarray, kind: str, source: str, photo: str) -> None:
        if self.variation.worsened:
            pixels = worsened(pixels, self.variation.worsened, self.random, self.zoom)
            if self.random.random() < 0.5:
                pixels = np.ascontiguousarray(pixels[:, ::-1])
        self.pixels.append(pixels)
        self.kinds.append(kind)
        self.sources.append(source)
        self.photos.append(photo)

    def add_face(self, image: np.ndarray, crop: Crop, source: str, photo: str) -> None:
        """Cuts a face, a little off its place and side."""
        x, y = self.random.normal(0, SHIFT, 2)
        zoom = math.exp(self.random.normal(0, ZOOM))
        near = Crop(crop.center_x + x * crop.side, crop.center_y + y * crop.side, zoom * crop.side)
        self.add(image, near.within(zoomed(self.zoom)), FACE, source, photo)

    def add_partial(
        self, image: np.ndarray, crop: Crop, source: str, photo: str, faces: Sequence[Crop]
    ) -> None:
        """Cuts a square moved off a face, unless it shows another of these faces."""
        angle, away = self.random.uniform(0, 2 * math.pi), self.random.uniform(*OFF_FACE)
        side = crop.side * math.exp(self.random.normal(0, 2 * ZOOM))
        off = Crop(crop.center_x + away * crop.side * math.cos(angle),
                   crop.center_y + away * crop.side * math.sin(angle), side)
        if not shows_face(off, faces):
            self.add(image, off.within(zoomed(self.zoom)), PARTIAL, source, photo)

    def add_blanks(self, count: int) -> None:
        """Flat colours, clouds and noise."""
        for index in range(count):
            cells = int(self.random.choice([1, 2, 4, 8, self.size]))
            middle, spread = self.random.uniform(0, 255, 3), self.random.uniform(5, 80)
            grid = middle + spread * self.random.standard_normal((cells, cells, 3))
            grid = np.clip(grid, 0, 255).astype(np.uint8)
            pixels = cv2.resize(grid, (self.size, self.size), interpolation=cv2.INTER_CUBIC)
            self._append(pixels, BLANK, "none", f"blank {index}")

    @property
    def stacked(self) -> np.ndarray:
        """All crops [F, size, size, 3] uint8."""
        return np.stack(self.pixels)


def add_source(
    crops: PresenceCrops, source: str, limit: int | None = None, *, partial: bool = True
) -> int:
    """Adds the faces of an annotated source, and squares beside half of them.

    Args:
      source: `reader:path`.
      limit: the most faces, spread evenly by the hash of their key.
      partial: whether to add those squares.

    Returns:
      The number of faces; smaller ones than `SMALLEST_FACE` are left out.

    Raises:
      EfldError: the source cannot be read, or has no face.
    """
    records = sources.read(sources.parse(source), on_error="skip").records
    rule = crop_rule(records, CropOptions())
    order = sorted(records, key=lambda record: _hash(record.key))[:limit]
    reader, count = ImageReader(), 0
    for record in sorted(order, key=lambda record: record.key):  # neighbours share a photo
        box = record.source_box(rule.box)
        if max(box[2] - box[0], box[3] - box[1]) < SMALLEST_FACE:
            continue
        image, crop = reader.read(record), rule.crop(box)
        person = record.identity or record.key
        crops.add_face(image, crop, source, person)
        count += 1
        if partial and count % 2:
            crops.add_partial(image, crop, source, person, [crop])
    return count


def add_scenes(
    crops: PresenceCrops,
    scenes: Sequence[tuple[Path, np.ndarray]],
    predictor: Predictor,
    *,
    rounds: int = 1,
) -> None:
    """Adds what scenes have: faces, patches, partial faces and false alarms.

    Args:
      scenes: of `read_scenes`.
      predictor: whose crop rule is that of the crops, and whose points say where it looks next.
      rounds: how often that is done, each time with other variations and patches.
    """
    detectors = [FaceDetector(name, min_score=ALARM_SCORE, min_face=side)
                 for name, side in DETECTORS]
    for path, boxes in scenes:
        image, photo = read_photo(path, upright=True), path.name
        faces = [SCENE_RULE.crop(box) for box in boxes]
        large = [SCENE_RULE.crop(box) for box in boxes if max(box[2:] - box[:2]) >= SMALLEST_FACE]
        alarms = list(_alarms(image, boxes, detectors, predictor))
        seen = [crop.within(zoomed(crops.zoom)) for crop in faces]
        alarms = [crop for crop in alarms if not shows_face(crop, seen)]
        for _ in range(rounds):
            for crop in large:
                for _ in range(SCENE_LOOKS):
                    crops.add_face(image, crop, "scenes", photo)
                for _ in range(PARTIALS):
                    crops.add_partial(image, crop, "scenes", photo, faces)
            for crop in patches(image.shape, boxes, crops.random):
                crops.add(image, crop, PATCH, "scenes", photo)
            for crop in alarms:
                crops.add(image, crop, ALARM, "scenes", photo)


def read_scenes(
    folder: str, boxes: str, half: int | None = None, form: str = "xywh"
) -> list[tuple[Path, np.ndarray]]:
    """Photos and the boxes [B, 4] of all their faces: (x0, y0, x1, y1) in pixels when upright.

    Args:
      folder: of the photos; `${NAME}` is an environment variable, as in `boxes`.
      boxes: a JSON file: by the photo's name, a list of boxes in pixels (`runtime.boxes`).
      half: 0 or 1 for the photos of a half, by the SHA-256 of their name; None for all.
      form: `xywh` for boxes [x, y, width, height], `xyxy` for [x0, y0, x1, y1].

    Raises:
      DataError: the file is not of that form, or a photo is missing.
    """
    path = Path(config.expand(boxes))
    result = []
    for name, rows in sorted(read_boxes(path, form).items()):
        photo = Path(config.expand(folder)) / parsing.relative_name(name, path)
        if not photo.is_file():
            raise DataError(photo, f"named in {path.name}, but not there")
        if half is None or _hash(name) % 2 == half:
            result.append((photo, rows))
    if not result:
        raise EfldError(f"{path}: no scene")
    return result


def shows_face(crop: Crop, faces: Sequence[Crop]) -> bool:
    """Whether one of these faces could be meant: it is near and of like size."""
    for face in faces:
        larger = max(face.side, crop.side)
        away = math.hypot(face.center_x - crop.center_x, face.center_y - crop.center_y)
        if away < 0.7 * larger and larger < 2.5 * min(face.side, crop.side):
            return True
    return False


def worsened(
    pixels: np.ndarray, share: float, random: np.random.Generator, zoom: float = 1.0
) -> np.ndarray:
    """A crop [S, S, 3] uint8 of that zoom; with a chance made coarse, dark, covered and so on."""
    if random.random() >= share:
        return pixels
    size = pixels.shape[0]
    x, y = size * zoomed(zoom).to_unit(np.array([0.5, 0.5]))  # the middle of the usual crop
    box = Crop(x, y, size * zoom / crop_maps.REFERENCE.scale)
    for change, low, high, chance in (
        (corruptions.covered, 5.0, 30.0, 0.25), (corruptions.coarse, 20.0, 80.0, 0.35),
        (corruptions.blurred, 0.5, 2.5, 0.25), (corruptions.darkened, 0.5, 4.0, 0.35),
        (corruptions.noisy, 3.0, 25.0, 0.2), (corruptions.compressed, 15.0, 70.0, 0.2),
    ):
        if random.random() < chance:
            pixels = change(pixels, box, random.uniform(low, high), random)
            pixels = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR)
    return pixels


def patches(
    shape: tuple[int, ...], boxes: np.ndarray, random: np.random.Generator
) -> Iterator[Crop]:
    """Squares that touch no face nor what is close around it; up to a fifth may be outside."""
    height, width = shape[:2]
    margin = 0.3 * (boxes[:, 2:] - boxes[:, :2])
    around = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    found = 0
    for _ in range(10 * PATCHES):
        side = math.exp(random.uniform(*np.log(PATCH_SIDES)))
        if side > min(height, width) or found == PATCHES:
            continue
        x, y = random.uniform(-0.2 * side, np.array([width, height]) - 0.8 * side)
        low = np.maximum([x, y], around[:, :2])
        if not (np.minimum([x + side, y + side], around[:, 2:]) > low).all(axis=1).any():
            found += 1
            yield Crop(x + side / 2, y + side / 2, side)


def _alarms(
    image: np.ndarray, boxes: np.ndarray, detectors: Sequence[FaceDetector], predictor: Predictor
) -> Iterator[Crop]:
    """Where detectors see a face and none is, and where the model would look next, twice."""
    landmarker = FaceLandmarker(predictor)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for detector in detectors:
        for found in detector.detect(image):
            middle = (found.box[:2] + found.box[2:]) / 2
            inside = ((centres > found.box[:2]) & (centres < found.box[2:])).all(axis=1)
            of_face = ((middle > boxes[:, :2]) & (middle < boxes[:, 2:])).all(axis=1)
            if inside.any() or of_face.any():
                continue
            around = crop_maps.from_detection(found.box, found.keypoints, found.detector)
            crop = crop_maps.to_model(around, predictor.crop_rule)
            yield crop
            for _ in range(2):
                points, _ = predictor.predict_in(image, [crop])
                crop = landmarker.crop_around(points[0])
                if not 8 <= crop.side < LARGEST * max(image.shape[:2]):
                    break
                yield crop


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
