"""Makes crops with and without a face, to fit and to measure a presence output.

Faces come from annotated sources and from scenes (photos of which every face's box is known). The
crops without a face are of several kinds:

- `patch`: squares of scenes, at many scales, that touch no face;
- `alarm`: places that detectors take for a face with little confidence although none is there, and
  the crops around the model's own points there, at which it would look next;
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
from efld_tf.annotations import image_paths, sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.data.crop_fit import crop_rule
from efld_tf.data.options import CropOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation import corruptions
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import LARGEST, Crop, CropRule, extract_crop, zoomed
from efld_tf.runtime import crop_maps
from efld_tf.runtime.boxes import read_boxes
from efld_tf.runtime.detector import FaceDetector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.model_crops import needs_mean_shape
from efld_tf.runtime.predictor import Predictor

FACE, PATCH, ALARM, PARTIAL, BLANK = "face", "patch", "alarm", "partial", "blank"
WITHOUT_FACE = (PATCH, ALARM, PARTIAL, BLANK)

# Longest side of the smallest face's box, in pixels.
SMALLEST_FACE = 32.0
# Boxes of scenes are tight from hairline to chin, as in WIDER FACE. This rule is the median of the
# usual crops around the points that a model finds in such faces, in longest sides of the box.
SCENE_RULE = CropRule("file", "ibug68", 0.95, 0.0, 0.1)
# Standard deviations of the crop around a face: of its centre in sides and of its side's logarithm.
SHIFT, ZOOM = 0.05, 0.08
# How far a partial face is moved, in sides of its usual crop, whatever the zoom.
OFF_FACE = (0.75, 1.1)
PATCHES, PATCH_SIDES = 120, (32.0, 400.0)
PARTIALS, SCENE_LOOKS = 6, 2
# The detectors that give alarms: model and side of the smallest face.
DETECTORS = (("short", 64.0), ("full", 24.0))
ALARM_SCORE = 0.3
BLANKS = 300


@dataclass(frozen=True)
class Variation:
    """The random changes of crops, alike for those with and without a face.

    Attributes:
      roll: standard deviation of the turn, in degrees.
      worsened: the share of crops that are blurred, darkened, covered or made coarse, noisy or
        compressed.
    """

    roll: float = 0.0
    worsened: float = 0.0


AS_IS, FOR_FITTING = Variation(), Variation(10.0, 0.3)


@dataclass(eq=False)
class PresenceCrops:
    """Collects crops.

    Attributes:
      size: the side of the crops in pixels.
      variation: the random changes.
      random: the generator of all random numbers.
      zoom: the zoom of the model's crop rule; crops to add are given without it.
      pixels: [size, size, 3] uint8 of each crop.
      kinds: the kind of each, `face` or one of `WITHOUT_FACE`.
      sources: where each comes from: the source's text, `scenes` or `none`.
      photos: the photo or the person of each, which groups crops.
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
        """Adds a square of an image [H, W, 3] uint8, with the variation."""
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
        """Adds a face whose crop is a little off in place and side."""
        x, y = self.random.normal(0, SHIFT, 2)
        zoom = math.exp(self.random.normal(0, ZOOM))
        moved = Crop(crop.center_x + x * crop.side, crop.center_y + y * crop.side, zoom * crop.side)
        self.add(image, moved.within(zoomed(self.zoom)), FACE, source, photo)

    def add_partial(
        self, image: np.ndarray, crop: Crop, source: str, photo: str, faces: Sequence[Crop]
    ) -> None:
        """Adds a square moved off a face, unless it shows another of these faces."""
        angle, distance = self.random.uniform(0, 2 * math.pi), self.random.uniform(*OFF_FACE)
        side = crop.side * math.exp(self.random.normal(0, 2 * ZOOM))
        moved = Crop(crop.center_x + distance * crop.side * math.cos(angle),
                     crop.center_y + distance * crop.side * math.sin(angle), side)
        if not shows_face(moved, faces):
            self.add(image, moved.within(zoomed(self.zoom)), PARTIAL, source, photo)

    def add_blanks(self, count: int) -> None:
        """Adds flat colours, clouds and noise."""
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
      EfldError: the source cannot be read, has no face, or its points are not of whole faces.
    """
    records = sources.read(sources.parse(source), on_error="skip").records
    schemas.get(records[0].schema).need_anchors(f"source {source}: crops of whole faces")
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
    """Adds the faces, patches, partial faces and false alarms of scenes.

    Args:
      scenes: what `read_scenes` returned.
      predictor: the model; its crop rule is that of the crops, and its points say where it would
        look next.
      rounds: how often crops are added, each time with other variations and patches.

    Raises:
      EfldError: the model's points are not of whole faces, or its crops are not fitted.
    """
    schema, mean_shape = schemas.get(predictor.schema), predictor.mean_shape
    schema.need_anchors(f"{predictor.model}: crops of whole faces")
    predictor.crop_rule.need_scale(f"{predictor.model}: crops of whole faces")
    if mean_shape is not None and needs_mean_shape(schema, predictor.crop_rule, mean_shape):
        raise EfldError(f"{predictor.model}: its crops have a crop.scale of their own; those with "
                        "and without faces are made for fitted crops")
    detectors = [FaceDetector(name, min_score=ALARM_SCORE, min_face=side)
                 for name, side in DETECTORS]
    for path, boxes in scenes:
        image, photo = read_photo(path, upright=True), path.name
        faces = [SCENE_RULE.crop(box) for box in boxes]
        large = [SCENE_RULE.crop(box) for box in boxes if max(box[2:] - box[:2]) >= SMALLEST_FACE]
        alarms = list(_alarms(image, boxes, detectors, predictor))
        face_crops = [crop.within(zoomed(crops.zoom)) for crop in faces]
        alarms = [crop for crop in alarms if not shows_face(crop, face_crops)]
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
    """Reads which scenes there are: photos and the boxes [B, 4] of all their faces.

    The boxes are (x0, y0, x1, y1) in pixels of the upright photo.

    Args:
      folder: the folder of the photos; `${NAME}` is an environment variable, as in `boxes`.
      boxes: a JSON file that lists the boxes in pixels by the photo's name (`runtime.boxes`).
      half: 0 or 1 for half of the photos, by the SHA-256 of their name; None for all.
      form: `xywh` for boxes [x, y, width, height], `xyxy` for [x0, y0, x1, y1].

    Raises:
      DataError: the file is not of that form or names no scene, or a photo is missing.
    """
    path = Path(config.expand(boxes))
    result = []
    for name, rows in sorted(read_boxes(path, form).items()):
        photo = Path(config.expand(folder)) / image_paths.relative_name(name, path)
        if not photo.is_file():
            raise DataError(photo, f"named in {path.name}, but not there")
        if half is None or _hash(name) % 2 == half:
            result.append((photo, rows))
    if not result:
        raise DataError(path, "no scene")
    return result


def shows_face(crop: Crop, faces: Sequence[Crop]) -> bool:
    """Whether a crop shows one of these faces: one that is near and of similar size."""
    for face in faces:
        larger = max(face.side, crop.side)
        distance = math.hypot(face.center_x - crop.center_x, face.center_y - crop.center_y)
        if distance < 0.7 * larger and larger < 2.5 * min(face.side, crop.side):
            return True
    return False


def worsened(
    pixels: np.ndarray, share: float, random: np.random.Generator, zoom: float = 1.0
) -> np.ndarray:
    """A crop [S, S, 3] uint8 of that zoom, of which a share is made coarse, dark, covered, etc."""
    if random.random() >= share:
        return pixels
    size = pixels.shape[0]
    x, y = size * zoomed(zoom).to_unit(np.array([0.5, 0.5]))  # the middle of the usual crop
    box = Crop(x, y, size * zoom / crop_maps.REFERENCE_SCALE)
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
    """Yields squares away from faces and their margins; up to a fifth may be outside the image."""
    height, width = shape[:2]
    margin = 0.3 * (boxes[:, 2:] - boxes[:, :2])
    around = np.concatenate([boxes[:, :2] - margin, boxes[:, 2:] + margin], axis=1)
    count = 0
    for _ in range(10 * PATCHES):
        side = math.exp(random.uniform(*np.log(PATCH_SIDES)))
        if side > min(height, width) or count == PATCHES:
            continue
        x, y = random.uniform(-0.2 * side, np.array([width, height]) - 0.8 * side)
        low = np.maximum([x, y], around[:, :2])
        if not (np.minimum([x + side, y + side], around[:, 2:]) > low).all(axis=1).any():
            count += 1
            yield Crop(x + side / 2, y + side / 2, side)


def _alarms(
    image: np.ndarray, boxes: np.ndarray, detectors: Sequence[FaceDetector], predictor: Predictor
) -> Iterator[Crop]:
    """Yields crops where detectors wrongly see a face, and two where the model would look next."""
    landmarker = FaceLandmarker(predictor)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    for detector in detectors:
        for detection in detector.detect(image):
            middle = (detection.box[:2] + detection.box[2:]) / 2
            inside = ((centres > detection.box[:2]) & (centres < detection.box[2:])).all(axis=1)
            of_face = ((middle > boxes[:, :2]) & (middle < boxes[:, 2:])).all(axis=1)
            if inside.any() or of_face.any():
                continue
            crop = landmarker.crop_of(detection)
            yield crop
            for _ in range(2):
                points = predictor.predict_in(image, [crop]).points
                crop = landmarker.crop_around(points[0])
                if not 8 <= crop.side < LARGEST * max(image.shape[:2]):
                    break
                yield crop


def _hash(text: str) -> int:
    return int(hashlib.sha256(text.encode()).hexdigest(), 16)
