"""Packing: annotated photos -> shards of face crops with a manifest that says what is in them."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil
from tqdm import tqdm

from efld_tf import files, licenses
from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader
from efld_tf.annotations.record import LICENSE, FaceRecord
from efld_tf.data.check import exclusions
from efld_tf.data.crop_fit import crop_rule
from efld_tf.data.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    SPLITS,
    Manifest,
    Shard,
    read_manifest,
    write_manifest,
)
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule, extract_crop
from efld_tf.parallel import bounded_map

if TYPE_CHECKING:
    from efld_tf.data import shards as shards_io

# Faces that a worker process crops at a time: enough to hide the cost of handing them over.
BATCH_FACES = 16
BATCH_FACES_MOST = 256


@dataclass(frozen=True)
class PackedFace:
    """One face as it is stored.

    Attributes:
      jpeg: the crop with its margin, RGB.
      points: [N, 2] float32 in the unit square of the stored crop; NaN where not annotated.
      side: of the stored crop, in pixels of the photo.
      name: the record's key: the image's path relative to the source, for reports.
    """

    jpeg: bytes
    points: np.ndarray
    side: float
    name: str


def pack(
    options: SourceOptions,
    folder: str | Path,
    pack_options: PackOptions,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Manifest:
    """Packs a source into `folder`, or does nothing where that is already done.

    Args:
      options: the source, its crop rule, hold-out and error policy.
      folder: where to write; an older packing of the same source is replaced in one step.
      workers: processes; None for one a core.
      progress: whether to show a progress bar.

    Raises:
      EfldError: the source cannot be read, a sample is bad (`on_error: stop`), or `folder` holds
        something that is not a packed source.
    """
    folder = Path(folder)
    annotations, excluded = _read_source(options)
    rule = crop_rule(annotations.records, options.crop, pack_options.zoom)
    fingerprint = _fingerprint(annotations, rule, options, pack_options, excluded)
    terms = {licenses.checked(record.attributes.get(LICENSE, "")) for record in annotations.records}
    told = {"validation_fraction": options.validation_fraction,
            "excluded": sorted(annotations.excluded), "licenses": sorted(terms - {""})}
    if folder.exists():
        if not (folder / MANIFEST).exists():
            raise EfldError(f"{folder} exists and is not a packed source; choose another folder")
        existing = read_manifest(folder)
        if existing.source != options.source:
            raise EfldError(
                f"{folder} holds {existing.source}, not {options.source}; choose another folder"
            )
        if existing.fingerprint == fingerprint:
            # An older version has not written all of it down.
            complete = replace(existing, **told)
            if complete != existing:
                write_manifest(folder, complete)
            return complete
    with replacing(folder) as temporary:
        shards, mean_shape, skipped = _write_splits(
            annotations, rule, options, pack_options, temporary, workers, progress
        )
        manifest = Manifest(
            source=options.source,
            schema=annotations.schema,
            crop_rule=rule,
            pack=pack_options,
            shards=shards,
            mean_shape=mean_shape,
            skipped=[*excluded, *skipped],
            fingerprint=fingerprint,
            notes=annotations.notes,
            schema_fields=schemas.declared_fields(annotations.schema),
            **told,
        )
        write_manifest(temporary, manifest)
    return manifest


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """A new folder that takes the place of `folder` once it is complete: when the block ends."""
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    _sweep(folder)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def in_validation(record: FaceRecord, fraction: float) -> bool:
    """Whether a face is held out: decided by its identity (or photo), not by the order of files."""
    key = record.identity or record.image.stem
    digest = hashlib.sha256(key.encode()).digest()
    return int.from_bytes(digest[:8], "big") < fraction * 2**64


def _read_source(options: SourceOptions) -> tuple[sources.Annotations, list[str]]:
    """The faces to pack, and one line for each that the source's list excludes."""
    if options.exclude is None:
        return sources.read(options.source, options.on_error), []
    reasons = exclusions.read(options.exclude, options.source)
    annotations = sources.read(options.source, options.on_error, frozenset(reasons))
    met = annotations.excluded
    lines = [f"excluded: {key}: {reason}" for key, reason in reasons.items() if key in met]
    unknown = exclusions.unknown(reasons, met, options.exclude)
    return annotations, [*lines, *([unknown] if unknown else [])]


def _write_splits(
    annotations: sources.Annotations,
    rule: CropRule,
    options: SourceOptions,
    pack_options: PackOptions,
    folder: Path,
    workers: int | None,
    progress: bool,
) -> tuple[dict[str, list[Shard]], list[list[float]], list[str]]:
    """Writes the shards of both splits; returns them, the mean shape and what was skipped."""
    skipped = [str(error) for error in annotations.skipped]
    faces = _packed_faces(annotations, rule, pack_options, workers)
    total, count = 0.0, 0.0  # of the training faces, point by point
    with (
        tqdm(total=len(annotations.records), unit="face", desc=f"packing {options.name}",
             disable=not progress) as bar,
        SplitWriters(folder, pack_options.shard_faces) as writers,
    ):
        for record, face in faces:
            bar.update()
            if isinstance(face, DataError):
                if options.on_error == "stop":
                    raise face
                skipped.append(str(face))
                continue
            split = "train"
            if in_validation(record, options.validation_fraction):
                split = "validation"
            writers.add(split, face)
            if split == "train":
                shape = (face.points.astype(float) - 0.5) * pack_options.margin + 0.5
                total = total + np.nan_to_num(shape)
                count = count + np.isfinite(shape)
    if progress:
        seconds = bar.format_dict["elapsed"]
        print(f"packed {bar.n} faces in {seconds:.1f} s: {bar.n / seconds:.0f} faces/s",
              file=sys.stderr)
    if not writers.shards["train"]:
        raise EfldError(f"source {annotations.source}: no face is left for training")
    with np.errstate(invalid="ignore"):
        mean_shape = np.asarray(total / count)
    if not np.isfinite(mean_shape).all():
        missing = np.flatnonzero(~np.isfinite(mean_shape).all(axis=-1)).tolist()
        raise EfldError(f"source {annotations.source}: no face is annotated with points {missing}")
    return writers.shards, mean_shape.round(6).tolist(), skipped


class SplitWriters:
    """Writes faces to the shards of their splits as they come: memory does not grow with them."""

    def __init__(self, folder: Path, shard_faces: int):
        self._folder, self._shard_faces = folder, shard_faces
        self._open: dict[str, shards_io.ShardWriter] = {}
        self.shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}

    def __enter__(self) -> SplitWriters:
        return self

    def add(self, split: str, face: PackedFace) -> None:
        """Appends a face to the last shard of its split."""
        from efld_tf.data import shards as shards_io  # TensorFlow; packing workers must not load it

        if split not in self._open:
            name = f"{split}-{len(self.shards[split]):05d}.tfrecord"
            self._open[split] = shards_io.ShardWriter(self._folder / name)
        writer = self._open[split]
        writer.add(face)
        if writer.faces == self._shard_faces:
            self._finish(split)

    def __exit__(self, *_: object) -> None:
        for split in list(self._open):
            self._finish(split)

    def _finish(self, split: str) -> None:
        writer = self._open.pop(split)
        writer.close()
        self.shards[split].append(
            Shard(writer.path.name, writer.faces, files.sha256(writer.path))
        )


def _packed_faces(
    annotations: sources.Annotations, rule: CropRule, options: PackOptions, workers: int | None
) -> Iterator[tuple[FaceRecord, PackedFace | DataError]]:
    """The records with their stored faces; those of one image follow each other."""
    work = partial(pack_faces, rule=rule, options=options, folder=annotations.source.folder)
    workers = workers or os.cpu_count() or 1
    if len(annotations.records) < 64:  # starting processes takes longer
        workers = 1
    for pairs in bounded_map(work, _batches(annotations.records), workers, 3 * workers):
        yield from pairs


def _batches(records: list[FaceRecord]) -> Iterator[list[FaceRecord]]:
    """The records in pieces of work: the faces of an image together, so that it is read once.

    Images come in the order of their first faces; a video's frames are cut into pieces that are
    long enough for decoding up to their start not to matter.
    """
    images: dict[Path, list[FaceRecord]] = {}
    for record in records:
        images.setdefault(record.image, []).append(record)
    batch: list[FaceRecord] = []
    for faces in images.values():
        # Stable: faces of a frame keep their order.
        batch.extend(sorted(faces, key=lambda record: record.frame or 0))
        while len(batch) > BATCH_FACES_MOST:
            yield batch[:BATCH_FACES_MOST]
            batch = batch[BATCH_FACES_MOST:]
        if len(batch) >= BATCH_FACES:
            yield batch
            batch = []
    if batch:
        yield batch


def pack_faces(
    records: list[FaceRecord], rule: CropRule, options: PackOptions, folder: Path
) -> list[tuple[FaceRecord, PackedFace | DataError]]:
    """Crops faces with their margin; each comes with the reason where that fails.

    Args:
      folder: what the names of stored faces are relative to.
    """
    cv2.setNumThreads(1)  # one process a core already
    images = ImageReader()
    return [(record, _pack_face(record, images, rule, options, folder)) for record in records]


def _pack_face(
    record: FaceRecord, images: ImageReader, rule: CropRule, options: PackOptions, folder: Path
) -> PackedFace | DataError:
    try:
        image = images.read(record)
        crop = rule.crop(record.source_box(rule.box)).scaled(options.margin)
        pixels = extract_crop(image, crop, options.size)
    except DataError as error:
        return error
    except EfldError as error:
        return DataError(record.image, str(error))
    _, jpeg = cv2.imencode(
        ".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, options.jpeg_quality]
    )
    return PackedFace(
        jpeg=jpeg.tobytes(),
        points=crop.to_unit(record.points).astype(np.float32),
        side=crop.side,
        name=record.key or os.path.relpath(record.image, folder),
    )


def _fingerprint(
    annotations: sources.Annotations,
    rule: CropRule,
    options: SourceOptions,
    pack_options: PackOptions,
    excluded: list[str],
) -> str:
    """A hash of everything that the packed content depends on.

    Photos count by size and modification time: hashing them would read the whole data set.
    """
    settings = [
        FORMAT_VERSION, options.source, options.validation_fraction, options.on_error,
        asdict(rule), asdict(pack_options), excluded, schemas.declared_fields(annotations.schema),
    ]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for record in annotations.records:
        digest.update(f"{record.key}\0{record.identity}\0".encode())
        digest.update(record.points.tobytes())
        if record.box is not None:
            digest.update(record.box.tobytes())
        if record.upright:
            digest.update(b"upright\0")
        if record.image.exists():
            stat = record.image.stat()
            digest.update(f"{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()


def _replace_folder(new: Path, old: Path) -> None:
    """Puts `new` in the place of `old`; a kill in between leaves nothing half-written there."""
    if old.exists():
        retired = old.with_name(f".{old.name}.{os.getpid()}.old")
        shutil.rmtree(retired, ignore_errors=True)
        old.rename(retired)
        new.rename(old)
        shutil.rmtree(retired)
    else:
        new.rename(old)


def _sweep(folder: Path) -> None:
    """Removes what killed packings of this folder left beside it, also one of this process' id."""
    for left in folder.parent.glob(f".{folder.name}.*"):
        pid = left.name.removeprefix(f".{folder.name}.").partition(".")[0]
        ended = pid.isdecimal() and not psutil.pid_exists(int(pid))
        if ended or pid == str(os.getpid()):  # in a container, every process may be the first
            shutil.rmtree(left, ignore_errors=True)


def supervised_heads(options: SourceOptions, schema: str) -> dict[str, tuple[int, ...]]:
    """For each head that a source of `schema` supervises, the indices of its points.

    Raises:
      EfldError: a head is neither that schema nor a true subset of it.
    """
    found = schemas.get(schema)
    try:
        return {head: found.subset_indices(head) for head in options.heads}
    except EfldError as error:
        raise EfldError(f"source {options.name}: {error}") from error
