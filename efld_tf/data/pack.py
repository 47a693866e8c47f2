"""Packs annotated photos into shards of face crops, with a manifest that describes them."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from efld_tf import folders, licenses
from efld_tf.annotations import sources
from efld_tf.annotations.images import VIDEO_SUFFIXES
from efld_tf.annotations.record import LICENSE, FaceRecord
from efld_tf.data import crop_fit, shard_check, shards
from efld_tf.data.check import exclusions
from efld_tf.data.crops import cropped
from efld_tf.data.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    Manifest,
    MeanShape,
    Shard,
    read_manifest,
    write_manifest,
)
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.data.splits import in_validation
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.progress import Progress
from efld_tf.text import say


def pack(
    options: SourceOptions,
    folder: str | Path,
    storage: PackOptions,
    *,
    workers: int | None = None,
    progress: bool = True,
) -> Manifest:
    """Packs a source into `folder`, or does nothing if that is already done.

    Args:
      options: the source, its crop rule, hold-out and error policy.
      folder: where to write; an older packing of the same source is replaced in one step.
      storage: how crops are stored.
      workers: number of processes; None for one a core.
      progress: whether to show how far it is.

    Raises:
      EfldError: the source cannot be read, a sample is bad (`on_error: stop`), or `folder` holds
        something that is not a packed source.
      DataError: what was packed before has been damaged since.
    """
    folder = Path(folder)
    annotations, excluded = _read_source(options, progress)
    annotations = _thinned(annotations, options)
    rule = crop_fit.crop_rule(annotations.records, options.crop, storage.zoom)
    fingerprint = _fingerprint(annotations, rule, options, storage, excluded)
    terms = {licenses.checked(record.attributes.get(LICENSE, "")) for record in annotations.records}
    # What of the manifest an older version did not write.
    later_fields: dict[str, Any] = {
        "validation_fraction": options.validation_fraction,
        "excluded": sorted(annotations.excluded),
        "licenses": sorted(terms - {""}),
    }
    with folders.hold(folder, waiting=partial(say, stream=sys.stderr)):
        existing = _packed_before(folder, options)
        if existing is not None and existing.fingerprint == fingerprint:
            shard_check.check(folder, existing)
            complete = replace(existing, **later_fields)
            if complete != existing:
                write_manifest(folder, complete)
            return complete
        with folders.replacement(folder) as temporary:
            written = _write_splits(
                annotations, rule, options, storage, temporary, workers, progress
            )
            manifest = Manifest(
                source=options.source,
                schema=annotations.schema,
                crop_rule=rule,
                pack=storage,
                shards=written.shards,
                mean_shape=written.mean_shape,
                mean_depth=written.mean_depth,
                hidden=written.hidden,
                skipped=[*excluded, *written.skipped],
                fingerprint=fingerprint,
                notes=[*annotations.notes, *_crop_notes(annotations.schema, options)],
                schema_fields=schemas.declared_fields(annotations.schema),
                **later_fields,
            )
            write_manifest(temporary, manifest)
    return manifest


def _packed_before(folder: Path, options: SourceOptions) -> Manifest | None:
    """The manifest of an older packing of the source.

    Raises:
      EfldError: the folder holds something else.
    """
    if not folder.exists():
        return None
    if not (folder / MANIFEST).exists():
        raise EfldError(f"{folder} exists and is not a packed source; choose another folder")
    existing = read_manifest(folder)
    if existing.source != options.source:
        raise EfldError(
            f"{folder} holds {existing.source}, not {options.source}; choose another folder"
        )
    return existing


def _read_source(
    options: SourceOptions, progress: bool
) -> tuple[sources.Annotations, list[str]]:
    """Reads the faces to pack, and one line for each face that the source's list excludes."""
    if options.exclude is None:
        return sources.read(options.source, options.on_error, progress=progress), []
    reasons = exclusions.read(options.exclude, options.source)
    annotations = sources.read(
        options.source, options.on_error, frozenset(reasons), progress=progress)
    excluded_keys = annotations.excluded
    lines = [f"excluded: {key}: {reason}"
             for key, reason in reasons.items() if key in excluded_keys]
    unknown = exclusions.unknown(reasons, excluded_keys, options.exclude)
    return annotations, [*lines, *([unknown] if unknown else [])]


def _thinned(annotations: sources.Annotations, options: SourceOptions) -> sources.Annotations:
    """The faces without those frames of videos that `every` leaves out of training."""
    if options.every == 1:
        return annotations
    if not any(map(_of_video, annotations.records)):
        raise EfldError(f"every: {options.every} is of frames of videos, but source "
                        f"{options.source} has none; leave it out")
    held_out = [in_validation(r, options.validation_fraction) for r in annotations.records]
    records = [record for record, held in zip(annotations.records, held_out, strict=True)
               if held or not _of_video(record) or (record.frame or 0) % options.every == 0]
    trained = len(records) - sum(held_out)
    of_training = len(annotations.records) - sum(held_out)
    note = (f"every {options.every}: {trained} of {of_training} faces are trained on; "
            f"all {sum(held_out)} held-out ones are kept")
    return replace(annotations, records=records, notes=[*annotations.notes, note])


def _of_video(record: FaceRecord) -> bool:
    return record.frame is not None and record.image.suffix.lower() in VIDEO_SUFFIXES


def _crop_notes(schema: str, options: SourceOptions) -> list[str]:
    """What the user should know of the crops."""
    note = crop_fit.note(schemas.get(schema)) if options.crop.fitted else None
    return [] if note is None else [note]


class _Written(NamedTuple):
    """What `Manifest` says of the stored faces, and the samples that could not be used."""

    shards: dict[str, list[Shard]]
    mean_shape: MeanShape
    mean_depth: list[float] | None
    hidden: int
    skipped: list[str]


def _write_splits(
    annotations: sources.Annotations,
    rule: CropRule,
    options: SourceOptions,
    storage: PackOptions,
    folder: Path,
    workers: int | None,
    progress: bool,
) -> _Written:
    """Writes the shards of both splits."""
    skipped = [str(error) for error in annotations.skipped]
    faces = cropped(annotations, rule, storage, workers)
    # The sum and the number of the training faces' points.
    total, count = np.zeros((2, schemas.get(annotations.schema).num_points, 2))
    depths, hidden = _Mean(), 0
    begun = time.monotonic()
    with (
        Progress(f"packing {options.name}", len(annotations.records), "face",
                 shown=progress) as bar,
        shards.SplitWriters(folder, storage.shard_faces) as writers,
    ):
        for record, face in bar.over(faces):
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
                shape = (face.points.astype(float) - 0.5) * storage.margin + 0.5
                total += np.nan_to_num(shape)
                count += np.isfinite(shape)
                if face.depth is not None and np.isfinite(face.depth).all():
                    depths.add(face.depth.astype(float) * storage.margin)
                if face.visible is not None:
                    hidden += int(np.count_nonzero(~face.visible))
    if progress:
        seconds = time.monotonic() - begun
        say(f"packed {bar.count} faces in {seconds:.1f} s: {bar.count / seconds:.0f} faces/s",
            sys.stderr)
    if not writers.shards["train"]:
        raise EfldError(f"source {annotations.source}: no face is left for training")
    with np.errstate(invalid="ignore"):
        mean_shape = total / count
    known = np.isfinite(mean_shape).all(axis=-1)
    rounded: MeanShape = [point if found else [None, None]
                          for point, found in
                          zip(mean_shape.round(6).tolist(), known, strict=True)]
    return _Written(writers.shards, rounded, depths.rounded(), hidden, skipped)


class _Mean:
    """The mean of vectors that come one by one."""

    def __init__(self) -> None:
        self._total, self._count = np.zeros(()), 0

    def add(self, vector: np.ndarray) -> None:
        self._total, self._count = self._total + vector, self._count + 1

    def rounded(self) -> list[float] | None:
        """The mean; None if there was no vector."""
        return (self._total / self._count).round(6).tolist() if self._count else None


def _fingerprint(
    annotations: sources.Annotations,
    rule: CropRule,
    options: SourceOptions,
    storage: PackOptions,
    excluded: list[str],
) -> str:
    """A hash of everything that the packed content depends on.

    Photos count by size and modification time, since hashing them would read the whole data set.
    """
    settings = [
        FORMAT_VERSION, options.source, options.validation_fraction, options.on_error,
        rule.fields(), asdict(storage), excluded, schemas.declared_fields(annotations.schema),
    ]
    digest = hashlib.sha256(json.dumps(settings).encode())
    for record in annotations.records:
        digest.update(f"{record.key}\0{record.identity}\0".encode())
        digest.update(record.points.tobytes())
        if record.box is not None:
            digest.update(record.box.tobytes())
        if record.depth is not None:
            digest.update(b"depth\0" + record.depth.tobytes())
        if record.visible is not None:
            digest.update(b"visible\0" + record.visible.tobytes())
        if record.upright:
            digest.update(b"upright\0")
        if record.image.exists():
            stat = record.image.stat()
            digest.update(f"{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()
