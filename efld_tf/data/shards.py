"""Reads and writes packed faces as TFRecords."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import tensorflow as tf

from efld_tf import files
from efld_tf.data import shard_check
from efld_tf.data.crops import PackedFace
from efld_tf.data.manifest import Manifest, Shard
from efld_tf.data.splits import SPLITS
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas


class ShardWriter:
    """Writes faces to one TFRecord file, one by one.

    Attributes:
      path: the path of the file.
      faces: number of faces written.
    """

    def __init__(self, path: Path):
        self.path, self.faces = path, 0
        with _errors_of_the_system():
            self._writer = tf.io.TFRecordWriter(str(path))

    def add(self, face: PackedFace) -> None:
        """Appends a face."""
        feature = {
            "jpeg": tf.train.Feature(bytes_list=tf.train.BytesList(value=[face.jpeg])),
            "name": tf.train.Feature(bytes_list=tf.train.BytesList(value=[face.name.encode()])),
            "points": tf.train.Feature(
                float_list=tf.train.FloatList(value=face.points.ravel().tolist())
            ),
            "side": tf.train.Feature(float_list=tf.train.FloatList(value=[face.side])),
        }
        if face.aspect != 1:
            feature["side_y"] = tf.train.Feature(
                float_list=tf.train.FloatList(value=[face.side * face.aspect]))
        if face.depth is not None:
            feature["depth"] = tf.train.Feature(
                float_list=tf.train.FloatList(value=face.depth.tolist()))
        if face.visible is not None:
            feature["visible"] = tf.train.Feature(
                int64_list=tf.train.Int64List(value=face.visible.astype(int).tolist()))
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        with _errors_of_the_system():
            self._writer.write(example.SerializeToString())
        self.faces += 1

    def close(self) -> None:
        """Completes the file."""
        with _errors_of_the_system():
            self._writer.close()


@contextmanager
def _errors_of_the_system() -> Iterator[None]:
    """Raises what TensorFlow says of a full or broken disk as OSError, like Python's own writes."""
    try:
        yield
    except tf.errors.OpError as error:
        number = next((number for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                       if os.strerror(number) in error.message), errno.EIO)
        raise OSError(number, os.strerror(number)) from error


class SplitWriters:
    """Writes faces to the shards of their splits as they come, so that memory does not grow."""

    def __init__(self, folder: Path, shard_faces: int):
        self._folder, self._shard_faces = folder, shard_faces
        self._open: dict[str, ShardWriter] = {}
        self.shards: dict[str, list[Shard]] = {split: [] for split in SPLITS}

    def __enter__(self) -> SplitWriters:
        return self

    def add(self, split: str, face: PackedFace) -> None:
        """Appends a face to the last shard of its split."""
        if split not in self._open:
            name = f"{split}-{len(self.shards[split]):05d}.tfrecord"
            self._open[split] = ShardWriter(self._folder / name)
        writer = self._open[split]
        writer.add(face)
        if writer.faces == self._shard_faces:
            self._finish(split)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for split in list(self._open):
            if kind is None:
                self._finish(split)
            else:  # The shard may have no face, and its disk may be full: that is not the reason.
                with suppress(OSError):
                    self._open.pop(split).close()

    def _finish(self, split: str) -> None:
        writer = self._open.pop(split)
        writer.close()
        self.shards[split].append(
            Shard(writer.path.name, writer.faces, files.sha256(writer.path))
        )


def load(folder: str | Path, manifest: Manifest, split: str) -> Iterator[dict]:
    """Yields the faces of a split one by one, as NumPy arrays; elements are as in `read`.

    Raises:
      DataError: as in `read`, or a shard has been damaged since.
    """
    try:
        yield from read(folder, manifest, split).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise damaged(folder, error) from error


def damaged(folder: str | Path, error: tf.errors.OpError) -> DataError:
    """The error of a packed folder whose faces TensorFlow cannot read."""
    reason = error.message.partition("\n")[0]
    return DataError(folder, f"a damaged shard; delete the folder and pack again: {reason}")


def read(folder: str | Path, manifest: Manifest, split: str) -> tf.data.Dataset:
    """The faces of a split in their packed order.

    Returns:
      Elements `{"jpeg": string, "name": string, "points": [N, 2] float32, "side": float32,
      "side_y": float32, "depth": [N] float32, "visible": [N] int64}`, with points in the unit
      square of the stored crop and its width and height in pixels of the photo, which are equal
      unless the crop is stretched. Depths are as in `PackedFace`; NaN where they are not annotated.
      Points are visible, 1, unless they are annotated as hidden, 0.

    Raises:
      DataError: as in `shard_check.check`.
    """
    shard_check.check(folder, manifest, split)
    points = schemas.get(manifest.schema).num_points
    feature = {
        "jpeg": tf.io.FixedLenFeature([], tf.string),
        "name": tf.io.FixedLenFeature([], tf.string),
        "points": tf.io.FixedLenFeature([points, 2], tf.float32),
        "side": tf.io.FixedLenFeature([], tf.float32),
        "side_y": tf.io.FixedLenFeature([], tf.float32, default_value=0.0),  # of squares: none
        "depth": tf.io.FixedLenFeature([points], tf.float32, default_value=[math.nan] * points),
        "visible": tf.io.FixedLenFeature([points], tf.int64, default_value=[1] * points),
    }
    paths = [str(Path(folder) / shard.file) for shard in manifest.shards[split]]
    dataset = tf.data.TFRecordDataset(paths) if paths else tf.data.TFRecordDataset([])

    def parsed(record: tf.Tensor) -> dict[str, tf.Tensor]:
        face = tf.io.parse_single_example(record, feature)
        height = tf.where(face["side_y"] > 0, face["side_y"], face["side"])
        return {**face, "side_y": height}

    return dataset.map(parsed)
