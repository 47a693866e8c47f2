"""Makes mixed, shuffled and augmented batches from packed sources of any formats."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from efld_tf.data import augment, emphasis, shards
from efld_tf.data.manifest import Manifest
from efld_tf.data.options import (
    AugmentOptions,
    PackOptions,
    ServiceOptions,
    SourceOptions,
    check_service_repeat,
)
from efld_tf.errors import EfldError
from efld_tf.landmarks import schemas

# The number of faces among which the next one is drawn; larger sources are shuffled in such a
# window.
SHUFFLE_BUFFER = 16384

CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class PackedSource:
    """A packed folder and its use.

    Attributes:
      folder: the folder of the shards.
      manifest: the manifest of the folder.
      heads: for each head that it supervises, the indices of the head's points in its annotation.
      repeat: how often a face is drawn for each time a face of a `repeat=1` source is.
      level, emphasis: as in `SourceOptions`.
    """

    folder: Path
    manifest: Manifest
    heads: dict[str, tuple[int, ...]]
    repeat: float = 1.0
    level: int = 0
    emphasis: Mapping[str, int] = field(default_factory=dict)


def supervised_heads(options: SourceOptions, schema: str) -> dict[str, tuple[int, ...]]:
    """The indices of the points of each head that a source of `schema` supervises.

    Raises:
      EfldError: a head is neither that schema nor a true subset of it.
    """
    landmark_schema = schemas.get(schema)
    try:
        return {head: landmark_schema.subset_indices(head) for head in options.heads}
    except EfldError as error:
        raise EfldError(f"source {options.name}: {error}") from error


@dataclass(frozen=True)
class BatchOptions:
    """The shape of the batches.

    Attributes:
      heads: the names (schemas) of all heads, in the model's order.
      size: side of the images in pixels.
      batch_size: number of faces in a batch.
      augment: random changes, for training.
      seed: the seed of the order and the augmentation.
      cache: whether to keep decoded crops in memory (P * P * 3 bytes a face) instead of decoding
        them each time.
      parallel_calls: number of batches that are augmented at the same time; None for one a core.
      black: whether all images are black, whatever the faces.
      depths: those of the heads that also learn how far their points are in front.
      hidden: for heads, how much points that are annotated as hidden weigh in training, 0 to 1;
        they weigh as much as others, 1, for those that are not named.
      pairs: whether each face of a training batch comes twice, each time augmented in another way:
        first all of them, and then all again.
      portable: whether to augment without Python, for other processes, which is slower.
    """

    heads: tuple[str, ...]
    size: int
    batch_size: int
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    seed: int = 0
    cache: bool = True
    parallel_calls: int | None = None
    portable: bool = False
    black: bool = False
    pairs: bool = False
    depths: tuple[str, ...] = ()
    hidden: Mapping[str, float] = field(default_factory=dict)

    @property
    def faces(self) -> int:
        """The number of different faces in a training batch."""
        return self.batch_size // 2 if self.pairs else self.batch_size


def training_batches(
    sources: Sequence[PackedSource], options: BatchOptions, start_step: int = 0
) -> tf.data.Dataset:
    """Endless training batches; the batch of step k depends only on the seed and k.

    Faces are drawn from the sources in proportion to their size times `repeat`. Each source is
    shuffled anew for every pass through it, in which some of its faces come several times if it has
    an `emphasis`.

    Args:
      start_step: the step of the first batch, with which a resumed run continues the same stream.

    Returns:
      Elements `{"image": [B, S, S, 3] float32 in [0, 1], "points": {head: [B, N, 2]},
      "mask": {head: [B, N] float32}, "level": [B] int32, "aspect": [B] float32,
      "boxes": {"points": [B, 2] float32, "file": [B, 2] float32}}`. Points are in the
      image's unit square; the mask is 0 where a face has no annotation in that format, and the
      weight of hidden points where it says that one is; the level is its source's; the aspect is
      height / width of what is stretched into the image, before it is augmented in the stretched
      square. It is 1 for square crops. Boxes are the widths and heights of the true boxes that
      `landmarks.normalisers` has, in widths of the crop and the photo's proportions, before
      augmentation; NaN where they are not known. That of the file is known where crops are made of
      it; of square crops, its longest side, which is given twice. With `pairs`, there are also
      `augment.Placed`'s `"to_stored": [B, 2, 3], "mirrored": [B]`; with `depths`,
      `"depth": {head: [B, N]}` in sides of the crop, NaN where it is not annotated.

    Raises:
      EfldError: there is no source, or they were packed with different sizes or margins.
    """
    pack = _common_pack(sources)
    streams, weights = [], []
    for index, source in enumerate(sources):
        faces = source.manifest.faces("train")
        stream = _faces(source, "train", options)
        if options.cache:
            stream = _decoded(stream, pack.size).cache()
        drawn = faces
        if source.emphasis:
            times = emphasis.times(source.folder, source.manifest, source.emphasis)
            stream, drawn = _repeated(stream, times), int(times.sum())
        # The seed of a shuffled dataset also keys its later rounds.
        stream = stream.shuffle(min(drawn, SHUFFLE_BUFFER), seed=options.seed + index)
        streams.append(stream.repeat())
        weights.append(faces * source.repeat)
    total = sum(weights)
    mixed = tf.data.Dataset.sample_from_datasets(
        streams, [weight / total for weight in weights], seed=options.seed
    )
    mixed = mixed.skip(start_step * options.faces)
    if not options.cache:
        mixed = _decoded(mixed, pack.size)
    batches = mixed.batch(options.faces, drop_remainder=True).enumerate(start_step)
    batches = batches.map(
        lambda step, batch: _augmented(
            _twice(batch) if options.pairs else batch, options, pack.margin, options.augment, step),
        num_parallel_calls=options.parallel_calls or CORES,
    )
    return _as_given(batches.prefetch(2))


def _repeated(faces: tf.data.Dataset, times: np.ndarray) -> tf.data.Dataset:
    """Each face so often, one after the other."""
    pairs = tf.data.Dataset.zip((faces, tf.data.Dataset.from_tensor_slices(times)))
    return pairs.flat_map(lambda face, count: tf.data.Dataset.from_tensors(face).repeat(count))


def service_batches(
    sources: Sequence[PackedSource], options: BatchOptions, service: ServiceOptions
) -> tf.data.Dataset:
    """Endless training batches that the workers of a `tf.data` service decode and augment.

    Elements are as in `training_batches`. In every round each face comes `repeat` times, whichever
    worker has it. The order depends on the workers' speed, so that the stream is not repeatable.

    Raises:
      EfldError: as in `training_batches`, or a source's `repeat` is not a whole number.
    """
    # Workers start anew with every round. With a global seed, random operations made now would give
    # every round the same order and the same augmentation.
    tf.random.set_seed(None)
    batches = _service_round(sources, options, service).repeat()
    tf.random.set_seed(options.seed)
    batches = batches.unbatch().batch(options.batch_size, drop_remainder=True)
    return _as_given(batches.prefetch(2))


def _service_round(
    sources: Sequence[PackedSource], options: BatchOptions, service: ServiceOptions
) -> tf.data.Dataset:
    """One round over all faces as batches; the last ones of each worker may be smaller."""
    pack = _common_pack(sources)
    options = replace(options, portable=True)
    streams = []
    for source in sources:
        check_service_repeat(source.manifest.source, source.repeat)
        # Workers get shards, one at a time, and no other worker gets the same one.
        stream = _faces(source, "train", options).repeat(int(source.repeat))
        streams.append(stream.shuffle(min(source.manifest.faces("train"), SHUFFLE_BUFFER)))
    weights = [source.manifest.faces("train") * source.repeat for source in sources]
    mixed = tf.data.Dataset.sample_from_datasets(
        streams, [weight / sum(weights) for weight in weights], stop_on_empty_dataset=False
    )
    # The workers may have more cores than this machine, and run long enough to be tuned.
    batches = _decoded(mixed, pack.size, tf.data.AUTOTUNE).batch(options.batch_size)

    def augmented(batch: dict[str, Any]) -> dict[str, Any]:
        # A counter would start anew with every round, as the workers do.
        step = tf.random.uniform([], maxval=tf.int32.max, dtype=tf.int32)
        return _augmented(batch, options, pack.margin, options.augment, step)

    batches = batches.map(augmented, num_parallel_calls=tf.data.AUTOTUNE)
    return batches.apply(
        tf.data.experimental.service.distribute(
            processing_mode=tf.data.experimental.service.ShardingPolicy.DYNAMIC,
            service=service.address,
            job_name=service.job,
        )
    )


def validation_batches(
    sources: Sequence[PackedSource], options: BatchOptions, split: str = "validation"
) -> tf.data.Dataset:
    """All faces of a split once, in order and unchanged; elements are as in `training_batches`.

    The last batch may be smaller.
    """
    return _as_given(_unchanged(sources, options, split).prefetch(1))


def sample_batch(
    sources: Sequence[PackedSource], options: BatchOptions, split: str = "validation"
) -> dict[str, Any]:
    """Faces in even steps through a split, as one element of `validation_batches` in NumPy.

    They are the same every time: `options.batch_size`, or all if they are fewer. Only these are
    decoded.

    Raises:
      EfldError: there is no source, or they were packed with different sizes or margins.
      tf.errors.OpError: a face cannot be read.
    """
    total = sum(source.manifest.faces(split) for source in sources)
    places = np.linspace(0, total - 1, min(options.batch_size, total)).astype(np.int64)
    batches = _as_given(_unchanged(sources, options, split, places))
    batch: dict[str, Any] = next(batches.as_numpy_iterator())
    return batch


def _unchanged(
    sources: Sequence[PackedSource], options: BatchOptions, split: str,
    places: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Batches of a split's faces in order, without augmentation; `places` are those of a part."""
    pack, options = _common_pack(sources), replace(options, pairs=False, hidden={})
    dataset = _faces(sources[0], split, options)
    for source in sources[1:]:
        dataset = dataset.concatenate(_faces(source, split, options))
    if places is not None:
        dataset = dataset.enumerate().filter(lambda place, _: tf.reduce_any(place == places))
        dataset = dataset.map(lambda _, face: face)
    return _decoded(dataset, pack.size).batch(options.batch_size).map(
        lambda batch: _augmented(batch, options, pack.margin, AugmentOptions.none(), 0)
    )


def _as_given(batches: tf.data.Dataset) -> tf.data.Dataset:
    """The batches without TensorFlow's tuning of parallelism, all of which is set here.

    When an iterator is dropped, the tuning thread sometimes sleeps on for up to a minute, and a
    finished training would wait for it.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.with_options(options)


def _common_pack(sources: Sequence[PackedSource]) -> PackOptions:
    if not sources:
        raise EfldError("at least one packed source is needed")
    packs = {(source.manifest.pack.size, source.manifest.pack.margin) for source in sources}
    if len(packs) > 1:
        raise EfldError("the sources are packed with different sizes or margins; pack them alike")
    return sources[0].manifest.pack


def _faces(source: PackedSource, split: str, options: BatchOptions) -> tf.data.Dataset:
    """The faces of one source, still encoded, with the points and the mask of every head."""
    rule, margin = source.manifest.crop_rule, source.manifest.pack.margin
    file_box = 1 / np.array(rule.scales) if rule.box == "file" else np.full(2, np.nan)

    def supervise(face: dict[str, tf.Tensor]) -> dict[str, Any]:
        points, mask = {}, {}
        depth = {head: tf.gather(face["depth"], source.heads[head]) if head in source.heads
                 else tf.fill([schemas.get(head).num_points], np.nan) for head in options.depths}
        for head in options.heads:
            if head in source.heads:
                values = tf.gather(face["points"], source.heads[head])
                annotated = tf.reduce_all(tf.math.is_finite(values), axis=-1)
                points[head] = tf.where(annotated[:, None], values, 0.0)
                mask[head] = tf.cast(annotated, tf.float32)
                if head in options.hidden:
                    seen = tf.gather(face["visible"], source.heads[head]) > 0
                    mask[head] *= tf.where(seen, 1.0, options.hidden[head])
            else:
                count = schemas.get(head).num_points
                points[head], mask[head] = tf.zeros([count, 2]), tf.zeros([count])
        aspect = face["side_y"] / face["side"]
        photo = tf.stack([1.0, aspect])
        boxes = {"points": _span(face["points"]) * margin * photo,
                 "file": tf.constant(file_box, tf.float32) * photo}
        return {"jpeg": face["jpeg"], "points": points, "mask": mask, "level": source.level,
                "aspect": aspect, "boxes": boxes, "depth": depth}

    return shards.read(source.folder, source.manifest, split).map(supervise)


def _span(points: tf.Tensor) -> tf.Tensor:
    """Width and height [2] of the tight box of those points [N, 2] that are finite, else NaN."""
    known = tf.boolean_mask(points, tf.reduce_all(tf.math.is_finite(points), axis=-1))
    span = tf.reduce_max(known, axis=0) - tf.reduce_min(known, axis=0)
    return tf.where(tf.math.is_finite(span), span, np.nan)


def _decoded(faces: tf.data.Dataset, size: int, calls: int = CORES) -> tf.data.Dataset:
    def decode(face: dict[str, Any]) -> dict[str, Any]:
        image = tf.ensure_shape(tf.io.decode_jpeg(face["jpeg"], channels=3), [size, size, 3])
        kept = {name: value for name, value in face.items() if name != "jpeg"}
        return {**kept, "image": image}

    return faces.map(decode, num_parallel_calls=calls, deterministic=True)


def _twice(batch: dict[str, Any]) -> dict[str, Any]:
    """A batch's faces, and then the same ones again."""
    twice: dict[str, Any] = tf.nest.map_structure(lambda some: tf.concat([some, some], 0), batch)
    return twice


def _augmented(
    batch: dict[str, Any], options: BatchOptions, margin: float, augment_options: AugmentOptions,
    step: tf.Tensor | int,
) -> dict[str, Any]:
    seed = tf.stack([tf.cast(options.seed, tf.int64), tf.cast(step, tf.int64)])
    flips = {head: schemas.get(head).known_flip for head in options.heads}
    image, points, placed = augment.augment(
        batch["image"], batch["points"], flips=flips, margin=margin, size=options.size,
        options=augment_options, seed=seed, portable=options.portable,
    )
    mask = {
        head: tf.where(placed.mirrored[:, None], tf.gather(value, flips[head], axis=1), value)
        for head, value in batch["mask"].items()
    }
    image = tf.zeros_like(image) if options.black else image
    augmented = {"image": image, "points": points, "mask": mask, "level": batch["level"],
                 "aspect": batch["aspect"], "boxes": batch["boxes"]}
    if options.depths:
        augmented["depth"] = {head: augment.move_depth(value, placed, flips[head])
                              for head, value in batch["depth"].items()}
    return {**augmented, **placed._asdict()} if options.pairs else augmented
