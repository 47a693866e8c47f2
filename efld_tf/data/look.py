"""The faces of any source, annotated photos or packed crops, for drawing and measuring them."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import FaceRecord
from efld_tf.data import crops
from efld_tf.data.manifest import Manifest, open_packed
from efld_tf.data.splits import SPLITS
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import drawing, schemas
from efld_tf.landmarks.drawing import Colour

Item = TypeVar("Item")


@dataclass(frozen=True, eq=False)
class Face:
    """A face to look at.

    Attributes:
      record: its annotation, in pixels of the image that `pixels` gives.
      pixels: reads its image, [H, W, 3] uint8 RGB, or raises DataError.
      scale: pixels of the photo for one pixel of that image; 1 except for packed crops.
      packed: whether the image is a stored crop of the face.
    """

    record: FaceRecord
    pixels: Callable[[], np.ndarray]
    scale: float = 1.0
    packed: bool = False


@dataclass(frozen=True)
class Remarks:
    """What the user should know of a source beside its faces.

    Attributes:
      errors: an error for each annotation or image that cannot be used.
      notes: texts about the faces.
    """

    errors: list[DataError] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def faces(source: str, remarks: Remarks, split: str | None = None) -> Iterator[Face]:
    """Yields the faces of `reader:path` or `packed:folder` one by one.

    Args:
      remarks: gets the errors of unusable faces, and notes.
      split: the split of a packed folder; None for `train`.

    Raises:
      EfldError: the source is malformed or does not exist, or has no splits.
    """
    parsed = sources.parse(source, extra_readers=(sources.PACKED,))
    if parsed.reader == sources.PACKED:
        if parsed.options:
            raise EfldError(f"source {source}: packed folders have no options")
        if split not in (None, *SPLITS):
            names = ", ".join(SPLITS)
            raise EfldError(f"source {source}: expected a split of {names}, got {split!r}")
        manifest = open_packed(parsed.path)
        remarks.notes.extend(manifest.notes)
        if not manifest.faces(split or "train"):
            raise EfldError(f"source {source}: its {split or 'train'} split is empty; see --split")
        return _packed_faces(parsed.path, manifest, split or "train")
    if split is not None:
        raise EfldError(f"source {source}: only packed sources have splits")
    return _source_faces(sources.stream(parsed, remarks.notes), remarks)


def no_face(source: str, remarks: Remarks) -> EfldError:
    """The error of a source in which `faces` found no face: its first one, or that it is empty."""
    if remarks.errors:
        return remarks.errors[0]
    return sources.no_face(sources.parse(source), remarks.notes)


def _source_faces(items: Iterable[FaceRecord | DataError], remarks: Remarks) -> Iterator[Face]:
    reader = ImageReader()
    for item in items:
        if isinstance(item, DataError):
            remarks.errors.append(item)
        else:
            yield Face(item, partial(reader.read, item))


def _packed_faces(folder: Path, manifest: Manifest, split: str) -> Iterator[Face]:
    from efld_tf.data import shards  # which imports TensorFlow

    size = manifest.pack.size
    for face in shards.load(folder, manifest, split):
        name = face["name"].decode()
        # A crop that was stretched into a square gets its height back.
        height = max(1, round(size * float(face["side_y"] / face["side"])))
        record = FaceRecord(
            folder, face["points"] * np.array([size, height], np.float32) - 0.5, manifest.schema,
            key=name,
        )
        pixels = partial(_of_height, face["jpeg"], folder, height)
        yield Face(record, pixels, float(face["side"]) / size, packed=True)


def _of_height(jpeg: bytes, folder: Path, height: int) -> np.ndarray:
    image = crops.decoded(jpeg, folder)
    if height == len(image):
        return image
    return cv2.resize(image, (image.shape[1], height), interpolation=cv2.INTER_LINEAR)


def sample(items: Iterable[Item], count: int, seed: int = 0) -> list[Item]:
    """Draws `count` items of a stream of any length, all equally likely, in the stream's order.

    The same seed draws the same places of equally long streams (reservoir sampling, algorithm R;
    Vitter, ACM TOMS 1985).
    """
    chosen: list[tuple[int, Item]] = []
    generator = random.Random(seed)
    for index, item in enumerate(items):
        if len(chosen) < count:
            chosen.append((index, item))
        elif (place := generator.randrange(index + 1)) < count:
            chosen[place] = (index, item)
    return [item for _, item in sorted(chosen, key=lambda pair: pair[0])]


def picture(
    record: FaceRecord,
    image: np.ndarray,
    side: int,
    span: float | None,
    *,
    numbers: bool = False,
    part_colours: Sequence[Colour] | None = None,
) -> np.ndarray:
    """The face with its points, and its box if it has one: [side, side, 3] uint8 RGB.

    Args:
      image: the image of the record, [H, W, 3] uint8 RGB.
      span: the side of the shown part of the image, in face boxes; the whole image is shown for
        None, or if most of the face's points are outside the image.
      numbers, part_colours: as in `drawing.draw_landmarks`.
    """
    height, width = image.shape[:2]
    x, y, extent = width / 2 - 0.5, height / 2 - 0.5, float(max(width, height))
    if span is not None:
        annotated = record.points[np.isfinite(record.points).all(axis=-1)]
        # The median is where the face is, even if some points are far off.
        middle = np.median(annotated, axis=0)
        x0, _, x1, _ = record.face_box()
        if 0 <= middle[0] < width and 0 <= middle[1] < height:
            (x, y), extent = middle, float(np.clip(span * (x1 - x0), 16, 1.2 * extent))
        else:
            extent *= 1.2
    scale = side / extent
    shift = side / 2 - 0.5 - np.array([x, y]) * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    drawn = cv2.warpAffine(
        image, matrix, (side, side), flags=interpolation, borderValue=drawing.BACKGROUND)
    drawn = drawing.draw_landmarks(
        drawn, record.points * scale + shift, schemas.get(record.schema), numbers=numbers,
        visible=record.visible, part_colours=part_colours,
    )
    if record.box is not None:
        drawn = drawing.draw_box(drawn, record.box * scale + np.tile(shift, 2))
    return drawn
