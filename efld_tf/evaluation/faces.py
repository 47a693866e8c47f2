"""The faces of an evaluation: inputs of a model with their truth, from photos or packed crops."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import FaceRecord
from efld_tf.data import crops
from efld_tf.data.crop_fit import made_from, rule_like, same_kind
from efld_tf.data.manifest import open_packed
from efld_tf.data.splits import SPLITS
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import normalisers, schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop, tight_box
from efld_tf.landmarks.normalisers import BoxNormaliser
from efld_tf.progress import Progress

LEAVE_OUT = "; on-error skip leaves such faces out"

# A face's crop in its own unit square.
WHOLE = Crop(0.5, 0.5, 1.0)


@dataclass(frozen=True, eq=False)
class EvaluationFaces:
    """Faces cropped for a model; the crops take 49 kB a face at 128 pixels.

    Attributes:
      source: where they come from.
      schema: the name of the schema of their points.
      crop_rule: how they were cropped.
      crop_rule_from: the origin of the rule: `model`, `fitted` to these annotations, or `packed`,
        as they were packed.
      crops: [F, S, S, 3] uint8 RGB.
      points: [F, N, 2] in the crops' unit squares; NaN where not annotated.
      sides: [F, 2] widths and heights of the crops in pixels of the photos; they differ where crops
        are stretched.
      names: the faces' keys in their source.
      people: the person of each face; the face's key if the source does not tell.
      attributes: the attributes in the annotations.
      skipped: one line for each sample that could not be used.
      view: (index, square, size) -> the pixels [size, size, 3] of another square of the photo, at
        their best resolution; the square is given in the unit square of that face's crop. It is
        fastest for faces in their order, since neighbours share a photo.
      reach: side of the largest square around a face's crop that `view` has pixels for, in sides
        of the crop; infinite for photos.
      file_boxes: [F, 4] the boxes (x0, y0, x1, y1) in the annotations' files, in the crops' unit
        squares; NaN for faces without. Of packed faces whose crops are square, it is the square
        with the box's middle and its longest side. None if no face has one.
      depths: [F, N] how far each point is in front, in mean sides of the crops (`Crop.mean_side`);
        NaN where it is not annotated. None if it is for no face.
    """

    source: str
    schema: str
    crop_rule: CropRule
    crop_rule_from: str
    crops: np.ndarray
    points: np.ndarray
    sides: np.ndarray
    names: list[str]
    people: list[str]
    attributes: list[Mapping[str, str]]
    skipped: list[str]
    view: Callable[[int, Crop, int], np.ndarray]
    reach: float
    file_boxes: np.ndarray | None = None
    depths: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.names)

    def in_photo(self, points: np.ndarray) -> np.ndarray:
        """Points [F, ..., 2] in the crops' unit squares, in pixels of the photos.

        They are counted from each crop's corner. Errors are measured in them, since crops may be
        stretched.
        """
        return points * self.sides.reshape(len(self), *[1] * (points.ndim - 2), 2)

    def depths_in_photo(self, depths: np.ndarray) -> np.ndarray:
        """Depths [F, N] in mean sides of the crops, in pixels of the photos."""
        return depths * np.sqrt(self.sides.prod(axis=1, keepdims=True))

    def picture(self, index: int, size: int) -> np.ndarray:
        """A face's crop [size, size, 3] at its best resolution."""
        return self.view(index, WHOLE, size)

    def true_boxes(self, kind: str) -> np.ndarray:
        """The faces' boxes [F, 4] in the crops' unit squares; NaN for faces without.

        Args:
          kind: as in `FaceRecord.source_box`.
        """
        if kind == "file":
            none = np.full((len(self), 4), np.nan)
            return none if self.file_boxes is None else self.file_boxes
        annotated = [points[np.isfinite(points).all(axis=-1)] for points in self.points]
        return np.array([tight_box(points) if len(points) else np.full(4, np.nan)
                         for points in annotated]).reshape(-1, 4)

    def measurable(
        self, predicted: str | None = None, normaliser: str | None = None
    ) -> EvaluationFaces:
        """The faces whose errors can be normalised; the others are among the skipped.

        Args:
          predicted: the schema of the predictions; None for that of the annotations.
          normaliser: as in `evaluate.evaluate`.
        """
        boxes = self.true_boxes("file")
        reasons = [unmeasurable(self.schema, points, box, predicted, normaliser)
                   for points, box in zip(self.points, boxes, strict=True)]
        faces = self.ordered([i for i, reason in enumerate(reasons) if reason is None])
        lines = [f"{name}: {reason}" for name, reason in zip(self.names, reasons, strict=True)
                 if reason is not None]
        return replace(faces, skipped=[*self.skipped, *lines])

    def ordered(self, indices: list[int]) -> EvaluationFaces:
        """These faces in another order."""
        return replace(
            self,
            crops=self.crops[indices],
            points=self.points[indices],
            sides=self.sides[indices],
            names=[self.names[i] for i in indices],
            people=[self.people[i] for i in indices],
            attributes=[self.attributes[i] for i in indices],
            view=lambda index, square, size: self.view(indices[index], square, size),
            file_boxes=None if self.file_boxes is None else self.file_boxes[indices],
            depths=None if self.depths is None else self.depths[indices],
        )


def load(
    source: str,
    rule: CropRule,
    size: int,
    *,
    on_error: str = "stop",
    split: str | None = None,
    keep: Callable[[FaceRecord], bool] | None = None,
    measured: bool = True,
    predicted: str | None = None,
    normaliser: str | None = None,
    progress: bool = True,
) -> EvaluationFaces:
    """Reads and crops the faces of `reader:path` or of the packed folder `packed:path`.

    Args:
      rule: the model's crop rule. It is used for annotations of its own format; others are cropped
        by a rule fitted to them, and packed ones as they were packed.
      size: side of the model's input in pixels.
      on_error: `stop` or `skip`.
      split: the split of a packed source; None for `validation`.
      keep: whether to use a record of an unpacked source; None for all.
      measured: whether errors are to be normalised, so that a face that lacks points of the
        normaliser, or its box, is a bad sample.
      predicted: the schema of the predictions; None for that of the annotations.
      normaliser: as in `evaluate.evaluate`.
      progress: whether to show how far it is.

    Raises:
      EfldError: the source cannot be read, is empty, or has a bad sample (with `stop`).
    """
    parsed = sources.parse(source, extra_readers=(sources.PACKED,))
    if parsed.reader == sources.PACKED:
        packed = _from_packed(source, parsed, rule, size, split or "validation")
        return _measurable(packed, parsed.path, predicted, normaliser, on_error) \
            if measured else packed
    if split is not None:
        raise EfldError(f"source {source}: only packed sources have splits")
    annotations = sources.read(parsed, on_error, progress=progress)
    records = [record for record in annotations.records if keep is None or keep(record)]
    if not records:
        raise EfldError(f"source {source}: none of its faces is asked for")
    origin = "model"
    if rule.schema != annotations.schema:
        rule, origin = rule_like(rule, records), "fitted"
    skipped = [str(error) for error in annotations.skipped]
    images = ImageReader()
    samples: list[tuple[FaceRecord, Crop, np.ndarray]] = []
    with Progress("reading faces", len(records), "face", shown=progress) as bar:
        for record in bar.over(records):
            try:
                if measured:
                    check_normaliser(record, predicted, normaliser, on_error)
                samples.append((record, *_crop(images, record, rule, size)))
            except DataError as error:
                if on_error == "stop":
                    raise
                skipped.append(str(error))
    if not samples:
        raise EfldError(f"source {source}: no face can be used: {skipped[0]}")

    def view(index: int, square: Crop, side: int) -> np.ndarray:
        record, crop, _ = samples[index]
        return extract_crop(images.read(record), crop.within(square), side)

    file_boxes = [np.full(4, np.nan) if r.box is None
                  else crop.to_unit(r.box.reshape(2, 2)).ravel() for r, crop, _ in samples]
    depths = [np.full(len(r.points), np.nan) if r.depth is None else r.depth / crop.mean_side
              for r, crop, _ in samples]
    return EvaluationFaces(
        source=source,
        schema=annotations.schema,
        crop_rule=rule,
        crop_rule_from=origin,
        crops=np.stack([pixels for _, _, pixels in samples]),
        points=np.stack([crop.to_unit(r.points) for r, crop, _ in samples]).astype(np.float32),
        sides=np.array([crop.sides for _, crop, _ in samples]),
        names=[record.key for record, _, _ in samples],
        people=[record.identity or record.key for record, _, _ in samples],
        attributes=[record.attributes for record, _, _ in samples],
        skipped=skipped,
        view=view,
        reach=math.inf,
        file_boxes=np.array(file_boxes),
        depths=_if_any(np.stack(depths)),
    )


def check_normaliser(
    record: FaceRecord, predicted: str | None = None, normaliser: str | None = None,
    on_error: str = "stop",
) -> None:  # fmt: skip
    """Refuses a face whose errors cannot be normalised.

    Args:
      predicted, normaliser: as in `load`.
      on_error: `stop` says in the message how to go on.

    Raises:
      DataError: points that the normaliser needs are not annotated or coincide, or there is no box.
    """
    if reason := unmeasurable(record.schema, record.points, record.box, predicted, normaliser):
        raise DataError(record.image, reason + (LEAVE_OUT if on_error == "stop" else ""))


def unmeasurable(
    schema: str, points: np.ndarray, file_box: np.ndarray | None, predicted: str | None = None,
    normaliser: str | None = None,
) -> str | None:  # fmt: skip
    """Why the errors of a face cannot be normalised; None if they can.

    Args:
      schema, points: its annotation, [N, 2].
      file_box: the box in its file; None or NaN if there is none.
      predicted: the schema of the predictions, which are compared in what both schemas have; None
        for that of the annotation.
      normaliser: as in `evaluate.evaluate`.

    Raises:
      EfldError: there is no such normaliser.
    """
    compared = schemas.get((predicted and comparable(predicted, schema)) or schema)
    chosen = normalisers.find(compared, normaliser)
    if isinstance(chosen, BoxNormaliser):
        annotated = points[np.isfinite(points).all(axis=-1)]
        box = file_box if chosen.box == "file" else tight_box(annotated) if len(annotated) else None
        if box is None or not np.isfinite(box).all():
            return f"no box in its file, which the normaliser {chosen.name} needs" \
                if chosen.box == "file" else "no point is annotated"
        return None if chosen.distance(box) > 0 else \
            f"the box of the normaliser {chosen.name} is empty"
    points = points[list(schemas.get(schema).subset_indices(compared.name))]
    if chosen.distance(points) > 0:
        return None
    missing = [compared.names[i] for i in sorted({*chosen.right, *chosen.left})
               if not np.isfinite(points[i]).all()]
    if not missing:
        return f"the points of the normaliser {chosen.name} coincide"
    return f"not annotated: {', '.join(missing)}, which the normaliser {chosen.name} needs"


def _measurable(
    packed: EvaluationFaces, path: Path, predicted: str | None, normaliser: str | None,
    on_error: str,
) -> EvaluationFaces:  # fmt: skip
    faces = packed.measurable(predicted, normaliser)
    unmeasured = faces.skipped[len(packed.skipped):]
    if unmeasured and on_error == "stop":
        raise DataError(path, unmeasured[0] + LEAVE_OUT)
    if not len(faces):
        raise DataError(path, f"no face can be used: {unmeasured[0]}")
    return faces


def _crop(
    images: ImageReader, record: FaceRecord, rule: CropRule, size: int
) -> tuple[Crop, np.ndarray]:
    """A record's crop, and its pixels [size, size, 3]."""
    image = images.read(record)
    try:
        crop = rule.crop(record.source_box(rule.box))
        return crop, extract_crop(image, crop, size)
    except EfldError as error:
        raise DataError(record.image, str(error)) from error


def _from_packed(
    source: str, parsed: sources.Source, rule: CropRule, size: int, split: str
) -> EvaluationFaces:
    from efld_tf.data import shards  # which imports TensorFlow

    manifest = open_packed(parsed.path)
    if parsed.options or split not in SPLITS:
        raise EfldError(f"source {source}: expected packed:FOLDER and a split of {SPLITS}")
    if manifest.crop_rule.stretched != rule.stretched:
        one, other = ("stretched", "square") if rule.stretched else ("square", "stretched")
        raise EfldError(f"source {source}: its crops are {other}, but the model's are {one}; "
                        "evaluate the source it was packed from")
    if not same_kind(manifest.crop_rule, rule):
        raise EfldError(f"source {source}: its crops show other parts of faces than the model's: "
                        f"they are of {made_from(manifest.crop_rule)}, and the model's of "
                        f"{made_from(rule)}")
    if manifest.crop_rule.zoom != rule.zoom:
        raise EfldError(
            f"source {source}: packed with zoom {manifest.crop_rule.zoom:g}, but the model's crops "
            f"have {rule.zoom:g}; evaluate the source it was packed from"
        )
    if not manifest.faces(split):
        raise EfldError(f"source {source}: its {split} split is empty; see --split")
    margin = manifest.pack.margin
    stored = list(shards.load(parsed.path, manifest, split))

    @functools.lru_cache(maxsize=1)
    def decoded(index: int) -> np.ndarray:
        return crops.decoded(stored[index]["jpeg"], parsed.path)

    def view(index: int, square: Crop, side: int) -> np.ndarray:
        image = decoded(index)
        whole = CropRule("file", manifest.schema, 1 / margin)
        crop = whole.crop(np.array([-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5]))
        return extract_crop(image, crop.within(square), side)

    file_boxes, own = None, manifest.crop_rule
    if own.box == "file":  # The crop is `scales` times the box's sides, moved by the offsets.
        scales = np.array(own.scales)
        middle = 0.5 - np.array([own.offset_x, own.offset_y]) / scales
        box = np.concatenate([middle - 0.5 / scales, middle + 0.5 / scales])
        file_boxes = np.tile(box, (len(stored), 1))
    points = np.stack([face["points"] for face in stored])
    names = [face["name"].decode() for face in stored]
    return EvaluationFaces(
        source=source,
        schema=manifest.schema,
        crop_rule=manifest.crop_rule,
        crop_rule_from="model" if manifest.crop_rule == rule else "packed",
        crops=np.stack([view(i, WHOLE, size) for i in range(len(stored))]),
        points=(points - 0.5) * margin + 0.5,
        sides=np.array([[face["side"], face["side_y"]] for face in stored]) / margin,
        names=names,
        people=names,
        attributes=[{} for _ in stored],
        skipped=manifest.skipped,
        view=view,
        reach=margin,
        file_boxes=file_boxes,
        depths=_if_any(np.stack([face["depth"] for face in stored]) * margin),
    )


def _if_any(depths: np.ndarray) -> np.ndarray | None:
    """Depths [F, N]; None if there are none but NaN."""
    return depths if np.isfinite(depths).any() else None


def comparable(predicted: str, annotated: str) -> str | None:
    """The schema in which predictions and annotations can be compared; None if there is none."""
    schemas_of_both = schemas.get(predicted), schemas.get(annotated)
    for name in (predicted, annotated):
        if all(name in (schema.name, *schema.subsets) for schema in schemas_of_both):
            return name
    return None


def common_points(predicted: str, annotated: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The schema in which predictions and annotations of two schemas are compared.

    Returns:
      The name of the schema, and the indices of its points in the two schemas.

    Raises:
      EfldError: neither of the two is a true subset of the other.
    """
    name = comparable(predicted, annotated)
    if name is None:
        raise EfldError(
            f"a model of {predicted} cannot be compared with annotations of {annotated}")
    predicted_schema, annotated_schema = schemas.get(predicted), schemas.get(annotated)
    return name, predicted_schema.subset_indices(name), annotated_schema.subset_indices(name)
