"""Packed faces as TFRecords."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from efld_tf.data.manifest import Manifest
from efld_tf.data.pack import PackedFace
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas


class ShardWriter:
    """Writes faces to one TFRecord file, one by one.

    Attributes:
      path: of the file.
      faces: how many were written.
    """

    def __init__(self, path: Path):
        self.path, self.faces = path, 0
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
        example = tf.train.Example(features=tf.train.Features(feature=feature))
        self._writer.write(example.SerializeToString())
        self.faces += 1

    def close(self) -> None:
        """Completes the file."""
        self._writer.close()


def load(folder: str | Path, manifest: Manifest, split: str) -> Iterator[dict]:
    """The faces of a split one by one, as NumPy; elements as in `read`.

    Raises:
      DataError: a shard is damaged.
    """
    try:
        yield from read(folder, manifest, split).as_numpy_iterator()
    except tf.errors.OpError as error:
        raise DataError(folder, f"a damaged shard; delete the folder: {error.message}") from error


def read(folder: str | Path, manifest: Manifest, split: str) -> tf.data.Dataset:
    """The faces of a split in their packed order.

    Returns:
      Elements `{"jpeg": string, "name": string, "points": [N, 2] float32, "side": float32}`,
      points in the unit square of the stored crop, its side in pixels of the photo.
    """
    points = schemas.get(manifest.schema).num_points
    feature = {
        "jpeg": tf.io.FixedLenFeature([], tf.string),
        "name": tf.io.FixedLenFeature([], tf.string),
        "points": tf.io.FixedLenFeature([points, 2], tf.float32),
        "side": tf.io.FixedLenFeature([], tf.float32),
    }
    paths = [str(Path(folder) / shard.file) for shard in manifest.shards[split]]
    dataset = tf.data.TFRecordDataset(paths) if paths else tf.data.TFRecordDataset([])
    return dataset.map(lambda record: tf.io.parse_single_example(record, feature))
