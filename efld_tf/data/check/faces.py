"""Measures the pixels of each face, in worker processes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from efld_tf import files
from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import geometry
from efld_tf.landmarks.geometry import Crop
from efld_tf.quiet import silenced_stderr

# Photos that a worker gets at once; the images of a video or container stay together up to
# BATCH_FRAMES.
BATCH_PHOTOS = 16
BATCH_FRAMES = 1024

# Side of the crops that face hashes and thumbnails are made of.
FACE_PIXELS = 64
THUMBNAIL = 16

# No photo has more bytes; the end of a longer file is not checked.
MOST_BYTES = 1 << 28

JPEG_START, JPEG_SCAN, JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
PNG_START = b"\x89PNG\r\n\x1a\n"
PNG_END = b"\0\0\0\0IEND\xaeB`\x82"  # an empty chunk, whose checksum is always the same


@dataclass(frozen=True, eq=False)
class FaceCrop:
    """The face of a photo, from eyes to mouth.

    Attributes:
      hash: 64-bit perceptual hash.
      thumbnail: [THUMBNAIL, THUMBNAIL] uint8, grey.
    """

    hash: int
    thumbnail: np.ndarray


@dataclass(frozen=True, eq=False)
class Measured:
    """The measurements on the pixels of one face.

    Attributes:
      error: why there are no pixels; beside it, only `truncated` can be set then.
      truncated: what is missing at the image file's end; None if nothing is.
      width, height: the size of the image in pixels.
      digest: the digest of the decoded pixels.
      photo_hash: 64-bit perceptual hash of the photo.
      crop: the face; None if it is outside the image, or blank.
    """

    error: str | None = None
    truncated: str | None = None
    width: int = 0
    height: int = 0
    digest: bytes = b""
    photo_hash: int = 0
    crop: FaceCrop | None = None


def batches(records: Iterable[FaceRecord]) -> Iterator[list[tuple[FaceRecord, np.ndarray]]]:
    """Yields consecutive records with their face boxes, in work items that never split a photo.

    The boxes are computed here because worker processes do not know the schemas that users declare.
    """
    batch: list[tuple[FaceRecord, np.ndarray]] = []
    photos = 0
    for record in records:
        if batch:
            previous, _ = batch[-1]
            same_file = record.image == previous.image
            photos += not (same_file and record.frame == previous.frame)
            if photos > (BATCH_FRAMES if same_file else BATCH_PHOTOS):
                yield batch
                batch = []
        photos = photos if batch else 1
        batch.append((record, record.face_box()))
    if batch:
        yield batch


def measure(faces: list[tuple[FaceRecord, np.ndarray]]) -> list[Measured]:
    """Measures the faces (from `batches`) of some photos; errors are part of the result."""
    cv2.setNumThreads(1)  # one process a core already
    reader = ImageReader()
    measured: list[Measured] = []
    photo: tuple[Path, int | None] | None = None
    with silenced_stderr():  # libjpeg writes there what `truncated` says
        for record, box in faces:
            if (record.image, record.frame) != photo:
                photo = (record.image, record.frame)
                of_photo = _measure_photo(reader, record)
            measured.append(
                of_photo if of_photo.error else _measure_face(reader, record, box, of_photo))
    return measured


def perceptual_hash(grey: np.ndarray) -> int:
    """64 bits of a grey picture: which of its lowest frequencies are above their median (pHash).

    The picture is shrunk to 32 x 32 pixels. The bits are the 8 x 8 lowest frequencies of its cosine
    transform, of which the constant is set to 0.
    """
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8].ravel()
    low[0] = 0  # the brightness
    return int.from_bytes(np.packbits(low > np.median(low)).tobytes(), "big")


def truncation(content: bytes) -> str | None:
    """What is missing at the end of a JPEG or PNG file; None for whole files and other formats.

    `cv2.imread` silently decodes JPEG files that were cut off, and paints the rest grey.
    """
    if content.startswith(PNG_START):
        return None if PNG_END in content else "no IEND chunk"
    if not content.startswith(JPEG_START):
        return None
    # Segments state their length; a thumbnail in one of them has an end marker of its own. In the
    # scan behind them, 0xFF is always followed by 0 or a restart's number.
    place = 2
    while place + 4 <= len(content) and content[place] == 0xFF and content[place + 1] != JPEG_SCAN:
        if content[place + 1] == 0xFF:  # padding
            place += 1
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    return None if content.find(JPEG_END, place) >= 0 else "no end-of-image marker"


def _measure_photo(reader: ImageReader, record: FaceRecord) -> Measured:
    truncated = _missing_end(record)
    try:
        image = reader.read(record)
    except DataError as error:
        return Measured(error=error.reason, truncated=truncated)
    height, width = image.shape[:2]
    digest = hashlib.sha256(f"{width} {height} ".encode())
    digest.update(np.ascontiguousarray(image).data)
    photo_hash = perceptual_hash(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))
    return Measured(None, truncated, width, height, digest.digest(), photo_hash)


def _missing_end(record: FaceRecord) -> str | None:
    """`truncation` of a photo's file; None for files that hold several images."""
    try:
        if record.frame is None and record.image.stat().st_size <= MOST_BYTES:
            return truncation(files.read_bytes(record.image, MOST_BYTES))
    except (OSError, DataError):  # reading the image gives the reason
        pass
    return None


def _measure_face(
    reader: ImageReader, record: FaceRecord, box: np.ndarray, photo: Measured
) -> Measured:
    x0, y0, x1, y1 = box
    try:
        crop = Crop((x0 + x1) / 2, (y0 + y1) / 2, x1 - x0)
        if not crop.side > 0:
            return photo
        pixels = geometry.extract_crop(reader.read(record), crop, FACE_PIXELS)
    except EfldError:  # the face is absurdly large; that its points are far outside is a finding
        return photo
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if grey.min() == grey.max():  # outside the image, or a blank one
        return photo
    thumbnail = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    return replace(photo, crop=FaceCrop(perceptual_hash(grey), thumbnail))
