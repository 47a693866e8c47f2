"""The faces of an evaluation: model inputs with their truth, from photos or from packed crops."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np
from tqdm import tqdm

from efld_tf.annotations import sources
from efld_tf.annotations.record import FaceRecord, read_image
from efld_tf.data.crop_fit import crop_rule
from efld_tf.data.options import CropOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, extract_crop

PACKED = "packed"


@dataclass(frozen=True, eq=False)
class EvaluationFaces:
    """Faces cropped for a model; the crops take 49 kB a face at 128 pixels.

    Attributes:
      source: where they come from.
      schema: of their points.
      crop_rule: how they were cropped.
      crops: [F, S, S, 3] uint8 RGB.
      points: [F, N, 2] in the crops' unit squares; NaN where not annotated.
      sides: [F] sides of the crops in pixels of the photos.
      names: of the photos.
      attributes: of the annotations.
      skipped: one line for each sample that could not be used.
      picture: (index, size) -> the face's crop [size, size, 3] at its best resolution, for drawing.
    """

    source: str
    schema: str
    crop_rule: CropRule
    crops: np.ndarray
    points: np.ndarray
    sides: np.ndarray
    names: list[str]
    attributes: list[Mapping[str, str]]
    skipped: list[str]
    picture: Callable[[int, int], np.ndarray]

    def __len__(self) -> int:
        return len(self.names)


def load(
    source: str,
    rule: CropRule,
    size: int,
    *,
    on_error: str = "stop",
    split: str = "validation",
    keep: Callable[[FaceRecord], bool] | None = None,
    progress: bool = True,
) -> EvaluationFaces:
    """Reads and crops the faces of `reader:path` or of the packed folder `packed:path`.

    Args:
      rule: the model's crop rule. It is used where it speaks of the same kind of box; annotations
        of another format are cropped by a rule fitted to them, packed ones as they were packed.
      size: side of the model's input in pixels.
      on_error: `stop` or `skip`.
      split: of a packed source.
      keep: which records of an unpacked source to use; None for all.

    Raises:
      EfldError: the source cannot be read, is empty, or has a bad sample (with `stop`).
    """
    parsed = sources.parse(source, known=(PACKED,))
    if parsed.reader == PACKED:
        return _from_packed(source, parsed, size, split)
    annotations = sources.read(parsed, on_error)
    records = [record for record in annotations.records if keep is None or keep(record)]
    if not records:
        raise EfldError(f"source {source}: none of its faces is asked for")
    if rule.schema != annotations.schema:
        rule = crop_rule(records, CropOptions())
    base = parsed.path if parsed.path.is_dir() else parsed.path.parent
    skipped = [str(error) for error in annotations.skipped]
    used, crops, points, sides = [], [], [], []
    for record in tqdm(records, desc="reading faces", unit="face", disable=not progress):
        try:
            crop = _crop(record, rule)
            crops.append(extract_crop(read_image(record.image), crop, size))
        except DataError as error:
            if on_error == "stop":
                raise
            skipped.append(str(error))
            continue
        used.append(record)
        points.append(crop.to_unit(record.points))
        sides.append(crop.side)
    if not used:
        raise EfldError(f"source {source}: no face could be read")

    def picture(index: int, side: int) -> np.ndarray:
        return extract_crop(read_image(used[index].image), _crop(used[index], rule), side)

    return EvaluationFaces(
        source=source,
        schema=annotations.schema,
        crop_rule=rule,
        crops=np.stack(crops),
        points=np.stack(points).astype(np.float32),
        sides=np.array(sides),
        names=[os.path.relpath(record.image, base) for record in used],
        attributes=[record.attributes for record in used],
        skipped=skipped,
        picture=picture,
    )


def _crop(record: FaceRecord, rule: CropRule):
    try:
        return rule.crop(record.source_box(rule.box))
    except DataError:
        raise
    except EfldError as error:
        raise DataError(record.image, str(error)) from error


def _from_packed(source: str, parsed: sources.Source, size: int, split: str) -> EvaluationFaces:
    from efld_tf.data import pack, shards  # TensorFlow reads records

    manifest = pack.read_manifest(parsed.path)
    if parsed.options or split not in pack.SPLITS:
        raise EfldError(f"source {source}: expected packed:FOLDER and a split of {pack.SPLITS}")
    if not manifest.faces(split):
        raise EfldError(f"source {source}: its {split} split is empty")
    margin = manifest.pack.margin
    stored = list(shards.read(parsed.path, manifest, split).as_numpy_iterator())

    def picture(index: int, side: int) -> np.ndarray:
        image = cv2.imdecode(np.frombuffer(stored[index]["jpeg"], np.uint8), cv2.IMREAD_COLOR)
        whole = CropRule("file", manifest.schema, 1 / margin)
        crop = whole.crop(np.array([-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5]))
        return extract_crop(image[..., ::-1], crop, side)

    points = np.stack([face["points"] for face in stored])
    return EvaluationFaces(
        source=source,
        schema=manifest.schema,
        crop_rule=manifest.crop_rule,
        crops=np.stack([picture(i, size) for i in range(len(stored))]),
        points=(points - 0.5) * margin + 0.5,
        sides=np.array([face["side"] for face in stored]) / margin,
        names=[face["name"].decode() for face in stored],
        attributes=[{} for _ in stored],
        skipped=manifest.skipped,
        picture=picture,
    )


def common_points(predicted: str, annotated: str) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """The schema in which predictions and annotations of two schemas can be compared.

    Returns:
      Its name, and the indices of its points in either schema.

    Raises:
      EfldError: neither is a true subset of the other.
    """
    first, second = schemas.get(predicted), schemas.get(annotated)
    for name in (predicted, annotated):
        if all(name in (s.name, *s.subsets) for s in (first, second)):
            return name, first.subset_indices(name), second.subset_indices(name)
    raise EfldError(f"a model of {predicted} cannot be compared with annotations of {annotated}")
