"""Cuts face crops as they are packed, in several processes.

TensorFlow is not imported, since the processes import this module.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.sources import Annotations
from efld_tf.arrays import Flags, Floats, Image
from efld_tf.data.options import PackOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.parallel import bounded_map

# Faces that a worker process crops at a time, enough to hide the cost of handing them over.
BATCH_FACES = 16
BATCH_FACES_MOST = 256


@dataclass(frozen=True)
class PackedFace:
    """One face as it is stored.

    Attributes:
      jpeg: the crop with its margin, RGB.
      points: [N, 2] float32 in the unit square of the stored crop; NaN where not annotated.
      side: the side of the stored crop, in pixels of the photo; of a stretched one, its width.
      name: the record's key: the image's path relative to the source, for reports.
      aspect: height / width of what is stretched into the stored crop; 1 for a square.
      depth: [N] float32, how far each point is in front of their mean, in sides of the stored crop;
        NaN where not annotated, None where no point is. A side of a stretched crop is the root of
        width times height.
      visible: [N] bool, False for points that are annotated as hidden; None if that is not told.
    """

    jpeg: bytes
    points: Floats
    side: float
    name: str
    aspect: float = 1.0
    depth: Floats | None = None
    visible: Flags | None = None


def decoded(jpeg: bytes, folder: Path) -> Image:
    """The pixels [S, S, 3] uint8 RGB of a stored crop.

    Args:
      folder: the packed folder, for the message.

    Raises:
      DataError: it is damaged.
    """
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(folder, "a stored crop cannot be decoded; delete the folder and pack again")
    return image[..., ::-1]


def cropped(
    annotations: Annotations, rule: CropRule, storage: PackOptions, workers: int | None
) -> Iterator[tuple[FaceRecord, PackedFace | DataError]]:
    """Yields the records with their stored faces; those of one image follow each other."""
    work = partial(crop_faces, rule=rule, storage=storage, folder=annotations.source.folder)
    workers = workers or os.cpu_count() or 1
    if len(annotations.records) < 64:  # starting processes takes longer
        workers = 1
    for pairs in bounded_map(work, _batches(annotations.records), workers, 3 * workers):
        yield from pairs


def _batches(records: list[FaceRecord]) -> Iterator[list[FaceRecord]]:
    """Yields the records in pieces of work, in which an image's faces stay together.

    So an image is read once. Images come in the order of their first faces; a video's frames are
    cut into pieces that are so long that decoding up to their start does not matter.
    """
    images: dict[Path, list[FaceRecord]] = {}
    for record in records:
        images.setdefault(record.image, []).append(record)
    batch: list[FaceRecord] = []
    for faces in images.values():
        # The sorting is stable: faces of a frame keep their order.
        batch.extend(sorted(faces, key=lambda record: record.frame or 0))
        while len(batch) > BATCH_FACES_MOST:
            yield batch[:BATCH_FACES_MOST]
            batch = batch[BATCH_FACES_MOST:]
        if len(batch) >= BATCH_FACES:
            yield batch
            batch = []
    if batch:
        yield batch


def crop_faces(
    records: list[FaceRecord], rule: CropRule, storage: PackOptions, folder: Path
) -> list[tuple[FaceRecord, PackedFace | DataError]]:
    """Crops faces with their margin; a face that cannot be cropped gives an error instead.

    Args:
      folder: the folder to which the names of stored faces are relative.
    """
    cv2.setNumThreads(1)  # one process a core already
    images = ImageReader()
    return [(record, _crop_face(record, images, rule, storage, folder)) for record in records]


def _crop_face(
    record: FaceRecord, images: ImageReader, rule: CropRule, storage: PackOptions, folder: Path
) -> PackedFace | DataError:
    try:
        image = images.read(record)
        crop = rule.crop(record.source_box(rule.box)).scaled(storage.margin)
        pixels = extract_crop(image, crop, storage.size)
    except DataError as error:
        return error
    except EfldError as error:
        return DataError(record.image, str(error))
    _, jpeg = cv2.imencode(
        ".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, storage.jpeg_quality]
    )
    return PackedFace(
        jpeg=jpeg.tobytes(),
        points=crop.to_unit(record.points).astype(np.float32),
        side=crop.side,
        name=record.key or os.path.relpath(record.image, folder),
        aspect=crop.aspect,
        depth=None if record.depth is None else _centred(record.depth) / np.float32(
            crop.mean_side),
        visible=record.visible,
    )


def _centred(depth: Floats) -> Floats:
    """Depths [N] from the mean of those that are annotated."""
    known = np.isfinite(depth)
    centred: Floats = depth - depth[known].mean() if known.any() else depth
    return centred


