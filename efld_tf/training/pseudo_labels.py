"""Labels packed faces by a model instead of by hand."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from efld_tf import files, folders
from efld_tf.data import crop_fit, crops, pipeline, shards
from efld_tf.data.manifest import MANIFEST, Manifest, open_packed, read_manifest, write_manifest
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas
from efld_tf.models import checkpoint
from efld_tf.models.checkpoint import HeadSpec
from efld_tf.models.trained import POINTS, TrainedModel
from efld_tf.progress import Progress

BATCH = 64


def write(
    packed: Path, folder: Path, model: Path, head: str, *, progress: bool = True
) -> Manifest:
    """Writes the training faces of a packed folder with the points that a model gives them.

    If the same model has done that already, nothing is written.

    Args:
      packed: the folder of the faces; their own points are not used.
      folder: where to write; it appears when it is complete.
      head: the head of the model, which gives the schema of the points.
      progress: whether to show how far it is.

    Returns:
      The manifest. Its mean shape is the model's, which is that of labelled faces: pseudo-labels
      must not change the construction of a model, such as which points are neighbours.

    Raises:
      DataError: a folder is not a packed one or is damaged, the model has no such head, or sees
        another part of faces.
    """
    manifest = open_packed(packed)
    spec = checkpoint.read_spec(model)
    checkpoint.chosen_head(model, spec, head)
    check_crops(packed, head, spec.heads[head])
    # The manifest's fingerprint is not used, since it changes with the time stamps of the photos.
    faces = f"{manifest.content_sha256} {manifest.pack}"
    identity = f"{faces} {files.sha256(model)} {head}"
    fingerprint = hashlib.sha256(identity.encode()).hexdigest()
    if (folder / MANIFEST).exists():
        existing = read_manifest(folder)
        if existing.fingerprint == fingerprint:
            return existing
    with folders.new_folder(folder) as temporary:
        with (
            Progress(f"labelling {folder.name}", manifest.faces("train"), "face",
                     shown=progress) as bar,
            shards.SplitWriters(temporary, manifest.pack.shard_faces) as writers,
        ):
            for face in bar.over(_labelled(packed, manifest, model, head)):
                writers.add("train", face)
        labelled = replace(
            manifest, schema=head, shards=writers.shards, skipped=[], fingerprint=fingerprint,
            mean_shape=[[*point] for point in spec.heads[head].mean_shape], mean_depth=None,
            notes=["its points are pseudo-labels"],
            schema_fields=schemas.declared_fields(head),
            licenses=[spec.license] if spec.license else [],
        )
        write_manifest(temporary, labelled)
    return labelled


def check_crops(packed: Path, head: str, spec: HeadSpec) -> None:
    """Checks that packed faces are cropped as the faces of a model's head.

    Points are labelled in the crops themselves, whichever rule made these, so that the rules may
    differ. What they show must be what the model knows: stretched crops or squares, and eyes and
    mouth of about its size. Squares of whole faces have that by their fit.

    Raises:
      DataError: the folder is not a packed one, or its crops show another part of faces.
    """
    manifest = open_packed(packed)
    own, rule = manifest.crop_rule, spec.crop_rule
    if own.stretched != rule.stretched:
        one, other = ("stretched", "square") if own.stretched else ("square", "stretched")
        raise DataError(packed, f"its crops are {one}, but those of the model from whose labels it "
                        f"would learn are {other}; give both crop.scale_x and scale_y, or none")
    if crop_fit.alike(own, rule):
        return
    times = crop_fit.times_as_large(manifest.mean_points, manifest.schema, spec.mean_shape, head)
    if times is None or not crop_fit.same_kind(own, rule):
        own_from, other = crop_fit.made_from(own), crop_fit.made_from(rule)
        raise DataError(packed, f"cropped by its points of {own_from}, it shows other parts of "
                        f"faces than {other} does, from whose crops its labels would come")
    if max(*times, *(1 / times)) > crop_fit.MOST_SIZE:
        raise DataError(
            packed, f"eyes and mouth are {times[0]:.2f} times as wide and {times[1]:.2f} times as "
            "high in its crops as in those of the model from whose labels it would learn, expected "
            f"1 up to a factor of {crop_fit.MOST_SIZE:g}; multiply crop.scale_x and scale_y by "
            "these numbers")


def _labelled(
    packed: Path, manifest: Manifest, model: Path, head: str
) -> Iterator[crops.PackedFace]:
    """Yields the faces in their stored order, with the points of the model."""
    trained, margin = TrainedModel.load(model, head), manifest.pack.margin
    predict = tf.function(lambda images: trained.decoded(images)[POINTS])
    source = pipeline.PackedSource(packed, manifest, {})
    options = pipeline.BatchOptions((head,), trained.input_size, BATCH)
    stored = shards.load(packed, manifest, "train")
    try:
        for batch in pipeline.validation_batches([source], options, "train"):
            for points in predict(batch["image"]).numpy():
                face = next(stored)
                yield crops.PackedFace(
                    jpeg=face["jpeg"],
                    points=((points - 0.5) / margin + 0.5).astype(np.float32),
                    side=float(face["side"]),
                    name=face["name"].decode(),
                    aspect=float(face["side_y"] / face["side"]),
                )
    except tf.errors.OpError as error:
        raise shards.damaged(packed, error) from error
