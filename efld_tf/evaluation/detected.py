"""Evaluates a model as it is used: a detector finds the faces, and missed ones count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from efld_tf.annotations import image_paths, sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.annotations.record import FaceRecord
from efld_tf.data.crop_fit import rule_like
from efld_tf.errors import DataError, EfldError
from efld_tf.evaluation.evaluate import ACCURACY_PIXELS, percent
from efld_tf.evaluation.faces import check_normaliser, common_points
from efld_tf.evaluation.measured import Measured
from efld_tf.evaluation.scenes import paste
from efld_tf.landmarks import metrics, normalisers, schemas
from efld_tf.landmarks.geometry import Crop, CropRule
from efld_tf.progress import Progress
from efld_tf.runtime.crop_maps import REFERENCE_SCALE
from efld_tf.runtime.faces import extent
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.overlap import iou
from efld_tf.runtime.predictor import Predictor

# A found face matches an annotated one if their boxes overlap by more than this IoU. The boxes are
# those of the points, or the detector's and the annotator's; the definitions of these two differ
# too much for the customary 0.5.
MATCH_IOU = 0.3
# Where the box of a face lies in its reference crop.
FACE_CORNERS = 0.5 + np.array([[-0.5, -0.5], [0.5, 0.5]]) / REFERENCE_SCALE
# The lower ends of the groups of annotated faces by their longest side in pixels.
SIZES = (0, 16, 32, 64, 128)


@dataclass
class DetectedFaces(Measured):
    """The annotated faces of a source, and those among them that were found.

    Attributes:
      landmarker: the landmarker that was measured, with its detector.
      source: the source of the faces.
      detector: the name of the detector.
      in_scenes: whether each face was pasted into a scene.
      schema: the schema in which predictions and truth are compared.
      predicted, truth: [N, 2] in pixels, for each face that was found.
      missed: number of annotated faces that were not found.
      unmatched: number of found faces that are not annotated; some may be right, in photos where
        not every face is annotated.
      by_box: the NME of all annotated faces by the box of their annotation, as fractions.
      passed_over: errors of faces that could not be used.
    """

    section = "detection"

    landmarker: FaceLandmarker
    source: str
    detector: str
    in_scenes: bool
    schema: str
    predicted: list[np.ndarray] = field(default_factory=list)
    truth: list[np.ndarray] = field(default_factory=list)
    missed: int = 0
    unmatched: int = 0
    by_box: list[float] = field(default_factory=list)
    passed_over: list[DataError] = field(default_factory=list)

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.landmarker.predictor

    @property
    def skipped(self) -> Sequence[object]:
        """Why faces could not be used."""
        return self.passed_over

    def report(self) -> str:
        """The summary for a terminal."""
        return f"detection:\n{super().report()}"

    def summary(self) -> dict[str, Any]:
        """The `detection` section of `results.json`; numbers in percent unless named otherwise."""
        schema, faces = schemas.get(self.schema), len(self.truth) + self.missed
        if not self.truth:
            raise EfldError(f"the detector found none of the {faces} annotated faces")
        predicted, truth = np.array(self.predicted), np.array(self.truth)
        nme = metrics.nme(predicted, truth, schema)
        # All points of a missed face are wrong.
        within = metrics.accuracy_within(predicted, truth, ACCURACY_PIXELS) * len(truth) / faces
        all_nme = np.concatenate([nme, np.full(self.missed, np.inf)])
        return {
            "source": self.source,
            "detector": self.detector,
            "in_scenes": self.in_scenes,
            "faces": faces,
            "missed": self.missed,
            "skipped": len(self.passed_over),
            "unmatched": self.unmatched,
            "schema": self.schema,
            "normaliser": normalisers.find(schema).name,
            "nme_found_percent": percent(nme.mean()),
            "nme_found_median_percent": percent(np.median(nme)),
            "nme_annotated_box_percent": percent(np.mean(self.by_box)),
            "failure_rate_10_percent": percent((all_nme > 0.1).mean()),
            "accuracy_5px_percent": percent(within),
        }


def measure_landmarks(
    landmarker: FaceLandmarker,
    source: str,
    *,
    detector: str = "",
    scenes: bool = False,
    on_error: str = "stop",
    limit: int | None = None,
    progress: bool = True,
) -> DetectedFaces:
    """Finds the faces of an annotated source and their landmarks.

    Args:
      source: `READER:PATH` of photos.
      detector: the name of the landmarker's detector, for the results.
      scenes: whether to paste each face into a larger scene at a random place and size
        (`evaluation.scenes`), for photos that show the face in the middle.
      on_error: `stop` or `skip`, for photos that cannot be read and faces whose error cannot be
        normalised.
      limit: how many of the source's first faces to use; None for all.

    Raises:
      EfldError: the source cannot be read, or its schema cannot be compared with the model's.
    """
    parsed = sources.parse(source)
    annotations = sources.read(parsed, on_error, progress=progress)
    records = annotations.records[:limit]
    name, predicted_indices, truth_indices = common_points(landmarker.schema, records[0].schema)
    result = DetectedFaces(landmarker, source, detector, scenes, name,
                           passed_over=list(annotations.skipped))
    rule = landmarker.crop_rule
    if rule.schema != records[0].schema:
        rule = rule_like(rule, records)
    part = landmarker.shown if schemas.get(landmarker.schema).missing_anchors else None
    with Progress("detecting", len(records), "face", shown=progress) as bar:
        for image, faces in _images(records, rule, scenes, on_error, result.passed_over, part):
            found_faces = landmarker.find(image)
            truth = [points[list(truth_indices)] for points, _ in faces]
            points = [face.points[list(predicted_indices)] for face in found_faces]
            pairs = matched(np.array([_overlaps(t, points, name) for t in truth]))
            result.predicted += [points[index] for index in pairs.values()]
            result.truth += [truth[index] for index in pairs]
            result.missed += len(truth) - len(pairs)
            result.unmatched += len(points) - len(pairs)
            direct = landmarker.look(image, [crop for _, crop in faces]).points
            result.by_box += metrics.nme(
                direct[:, list(predicted_indices)], np.array(truth), schemas.get(name)
            ).tolist()
            bar.update(len(faces))
    return result


def _images(
    records: Sequence[FaceRecord], rule: CropRule, scenes: bool, on_error: str,
    skipped: list[DataError], part: Crop | None = None,
) -> Iterator[tuple[np.ndarray, list[tuple[np.ndarray, Crop]]]]:
    """Yields each image with its faces' points in pixels and their crops by annotation.

    Errors of faces that are passed over are added to `skipped`.

    Args:
      part: for points of a part of the face, the part of the reference crop that the crops show:
        in scenes it is the face that has a random size.
    """
    reader = ImageReader()
    for _, group in groupby(records, key=lambda record: (record.image, record.frame)):
        faces = []
        for face in group:
            try:
                check_normaliser(face, on_error=on_error)
                image = reader.read(face)
                faces.append(face)
            except DataError as error:
                if on_error == "stop":
                    raise
                skipped.append(error)
        if not faces:
            continue
        crops = [rule.crop(face.source_box(rule.box)) for face in faces]
        if not scenes:
            yield image, [(face.points, crop) for face, crop in zip(faces, crops, strict=True)]
            continue
        for face, crop in zip(faces, crops, strict=True):
            # The corners of the box of the whole face.
            extremes = face.points if part is None else crop.from_unit(part.to_unit(FACE_CORNERS))
            scene = paste(image, extremes, face.key)
            x, y = scene.place(np.array([crop.center_x, crop.center_y]))
            placed = Crop(float(x), float(y), crop.side * scene.factor)
            yield scene.image, [(scene.place(face.points), placed)]


def _overlaps(truth: np.ndarray, predicted: Sequence[np.ndarray], schema: str) -> np.ndarray:
    """The IoU [F] of a face [N, 2] with predicted ones, by the points that are annotated."""
    annotated = np.isfinite(truth).all(axis=-1)
    boxes = np.array([extent(points[annotated], schema) for points in predicted]).reshape(-1, 4)
    return iou(extent(truth[annotated], schema), boxes)


@dataclass
class FoundBoxes:
    """Counts the annotated boxes of photos, and those that were found.

    Attributes:
      sizes: for each of `SIZES`, the numbers of annotated and of found faces.
      right, wrong: the numbers of found faces that are annotated, and that are not.
    """

    sizes: dict[int, list[int]] = field(default_factory=lambda: {size: [0, 0] for size in SIZES})
    right: int = 0
    wrong: int = 0

    def add(self, truth: np.ndarray, found_boxes: Sequence[np.ndarray]) -> None:
        """Counts the faces of a photo, given the boxes [F, 4] of all, and those that were found."""
        boxes = np.array(found_boxes, np.float64).reshape(-1, 4)
        pairs = matched(np.array([iou(box, boxes) for box in truth]))
        self.right += len(pairs)
        self.wrong += len(found_boxes) - len(pairs)
        for index, (x0, y0, x1, y1) in enumerate(truth):
            size = max(low for low in SIZES if low <= max(x1 - x0, y1 - y0))
            self.sizes[size][0] += 1
            self.sizes[size][1] += index in pairs

    def summary(self) -> dict[str, Any]:
        """The counts, and the shares in percent."""
        annotated = sum(count for count, _ in self.sizes.values())
        found_count = self.right + self.wrong
        return {
            "faces": annotated,
            "found": found_count,
            "recall_percent": percent(self.right / max(annotated, 1)),
            "precision_percent": percent(self.right / max(found_count, 1)),
            "false_alarms": self.wrong,
            "by_size_px": {
                f"from {size}": {"faces": count, "recall_percent": percent(hits / max(count, 1))}
                for size, (count, hits) in self.sizes.items()
            },
        }


@dataclass(frozen=True)
class DetectedBoxes(Measured):
    """Recall and precision on photos in which every face has a box.

    Attributes:
      landmarker: the landmarker that was measured, with its detector.
      boxes: the file of the boxes.
      detector: the name of the detector.
      with_model: the faces that the detector finds and the model is sure of.
      without_model: all faces that the detector finds.
      passed_over: errors of photos that could not be read.
    """

    section = "box_detection"

    landmarker: FaceLandmarker
    boxes: str
    detector: str
    with_model: FoundBoxes
    without_model: FoundBoxes
    passed_over: tuple[DataError, ...]

    @property
    def subject(self) -> Predictor:
        """What was measured."""
        return self.landmarker.predictor

    @property
    def skipped(self) -> Sequence[object]:
        """Why photos could not be used."""
        return self.passed_over

    def summary(self) -> dict[str, Any]:
        """The `box_detection` section of `results.json`; shares in percent."""
        without_model = self.without_model.summary()
        return {
            "boxes": self.boxes,
            "detector": self.detector,
            **self.with_model.summary(),
            **{f"without_the_model_{key}": without_model[key]
               for key in ("recall_percent", "precision_percent", "false_alarms")},
        }

    def report(self) -> str:
        """The summary for a terminal, with a line for each size of faces."""
        sizes = [f"  {size:4} px: {group['recall_percent']:.1f}% of {group['faces']} faces found"
                 for size, group in self.summary()["by_size_px"].items()]
        return "\n".join(["box detection:", super().report(), *sizes])


def measure_boxes(
    landmarker: FaceLandmarker,
    folder: Path,
    boxes: Mapping[str, np.ndarray],
    *,
    boxes_from: str = "",
    detector: str = "",
    on_error: str = "stop",
    progress: bool = True,
) -> DetectedBoxes:
    """Looks for all faces of photos.

    Args:
      folder: the folder of the photos.
      boxes: [F, 4] by the photo's name, in pixels of the upright photo.
      boxes_from, detector: the file of the boxes and the detector's name, for the results.
      on_error: `stop` or `skip`, for photos that cannot be read.

    Raises:
      EfldError: the landmarker has no detector.
      DataError: a photo cannot be read, with `stop`.
    """
    finder = landmarker.detector
    if finder is None:
        raise EfldError("boxes: expected a landmarker with a detector")
    with_model, without_model = FoundBoxes(), FoundBoxes()
    skipped: list[DataError] = []
    with Progress("detecting", len(boxes), "photo", shown=progress) as bar:
        for name, truth in bar.over(boxes.items()):
            try:
                image = read_photo(folder / image_paths.relative_name(name, folder), upright=True)
            except DataError as error:
                if on_error == "stop":
                    raise
                skipped.append(error)
                continue
            detections = finder.detect(image)
            without_model.add(truth, [face.box for face in detections])
            with_model.add(truth, [face.box for face in landmarker.landmarks(image, detections)])
    return DetectedBoxes(
        landmarker, boxes_from, detector, with_model, without_model, tuple(skipped))


def matched(overlaps: np.ndarray) -> dict[int, int]:
    """Pairs annotated and found faces in the order of falling IoU above `MATCH_IOU`, each once.

    Args:
      overlaps: [T, F], the IoU of every annotated face with every found one.

    Returns:
      For the index of an annotated face, that of the found face.
    """
    table, pairs = overlaps.copy(), {}
    while table.size and table.max() > MATCH_IOU:
        row, column = np.unravel_index(np.argmax(table), table.shape)
        pairs[int(row)] = int(column)
        table[row], table[:, column] = 0, 0
    return pairs
