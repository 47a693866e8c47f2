"""Packed faces labelled by a model instead of by hand."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from efld_tf import files
from efld_tf.data import pack, pipeline, shards
from efld_tf.data.manifest import MANIFEST, Manifest, Shard, read_manifest
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint

BATCH = 64


def write(
    packed: Path, folder: Path, model: Path, head: str, *, progress: bool = True
) -> Manifest:
    """Writes the training faces of a packed folder with the points that a model gives them.

    Does nothing where that was done by the same model already.

    Args:
      packed: the faces; their own points are not used.
      folder: where to write; it appears when it is complete.
      head: of the model, whose schema the points are of.

    Raises:
      DataError: a folder is not a packed one or damaged, or the model has no such head.
    """
    manifest = read_manifest(packed)
    spec = checkpoint.read_spec(model)
    checkpoint.chosen_head(model, spec, head)
    identity = f"{manifest.fingerprint} {files.sha256(model)} {head}"
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    if (folder / MANIFEST).exists() and read_manifest(folder).fingerprint == fingerprint:
        return read_manifest(folder)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    pack.sweep(folder)
    temporary.mkdir(parents=True)
    try:
        writer = shards.ShardWriter(temporary / "train-00000.tfrecord")
        total = np.zeros([schemas.get(head).num_points, 2])
        bar = tqdm(total=manifest.faces("train"), unit="face", desc=f"labelling {folder.name}",
                   disable=not progress)
        with bar:
            for face, points in _labelled(packed, manifest, model, head):
                total += points
                writer.add(face)
                bar.update()
        writer.close()
        shard = Shard(writer.path.name, writer.faces, files.sha256(writer.path))
        made = replace(
            manifest, schema=head, shards={"train": [shard], "validation": []}, skipped=[],
            mean_shape=(total / writer.faces).round(6).tolist(), fingerprint=fingerprint,
            notes=["its points are pseudo-labels"], schema_fields=schemas.declared_fields(head),
        )
        content = {"format_version": pack.FORMAT_VERSION, **asdict(made)}
        files.write_json(temporary / MANIFEST, content)
        pack.replace_folder(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return made


def _labelled(
    packed: Path, manifest: Manifest, model: Path, head: str
) -> Iterator[tuple[pack.PackedFace, np.ndarray]]:
    """The faces in order as they are stored, and their points [N, 2] in the model's unit square."""
    spec, network = checkpoint.load(model)
    codec, margin = spec.codec(head), manifest.pack.margin

    @tf.function
    def predict(images: tf.Tensor) -> tf.Tensor:
        return codec.decode(network(images, training=False)[head])

    source = pipeline.PackedSource(packed, manifest, {})
    options = pipeline.BatchOptions((head,), spec.input_size, BATCH)
    stored = shards.load(packed, manifest, "train")
    for batch in pipeline.validation_batches([source], options, "train"):
        for points in predict(batch["image"]).numpy():
            face = next(stored)
            yield pack.PackedFace(
                jpeg=face["jpeg"],
                points=((points - 0.5) / margin + 0.5).astype(np.float32),
                side=float(face["side"]),
                name=face["name"].decode(),
            ), points
