"""Which faces of a source are drawn more often than others: those that are rare, and hard."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from efld_tf.arrays import Flags, Floats
from efld_tf.data import shards
from efld_tf.data.manifest import Manifest
from efld_tf.errors import EfldError
from efld_tf.landmarks import openings, pose, schemas
from efld_tf.landmarks.schema import LandmarkSchema

# An eye is closed below this height / width.
CLOSED = 0.2
# Heads are turned from this yaw in degrees on.
TURNED = 25.0


def _closed_eyes(points: Floats, schema: LandmarkSchema) -> Flags | None:
    both = openings.of_eyes(points, schema)
    closed: Flags | None = None if both is None else (both < CLOSED).any(axis=-1)
    return closed


def _turned(points: Floats, schema: LandmarkSchema) -> Flags | None:
    angles = pose.estimate(points, schema)
    turned: Flags | None = None if angles is None else abs(angles[:, 0]) >= TURNED
    return turned


# Which faces are of each of `EMPHASES`, by their points [F, N, 2] in the photo; None if the schema
# does not tell.
KINDS: dict[str, Callable[[Floats, LandmarkSchema], Flags | None]] = {
    "closed_eyes": _closed_eyes, "turned": _turned,
}


def times(folder: Path, manifest: Manifest, emphasis: Mapping[str, int]) -> np.ndarray:
    """How often each training face of a packed source is drawn for each time an ordinary one is.

    A face of several kinds is drawn as often as the kind of which it is most often.

    Args:
      emphasis: for some of `EMPHASES`, how often such a face is drawn.

    Returns:
      [F] int64, in the packed order.

    Raises:
      DataError: the folder is damaged.
      EfldError: points of the schema do not tell whether faces are of a kind.
    """
    schema, places = schemas.get(manifest.schema), []
    for face in shards.load(folder, manifest, "train"):
        places.append(face["points"] * [1.0, face["side_y"] / face["side"]])
    points = np.array(places, float)
    result = np.ones(len(points), np.int64)
    for kind, often in emphasis.items():
        found = KINDS[kind](points, schema)
        if found is None:
            raise EfldError(f"{manifest.source}: emphasis.{kind}: points of {schema.name} do not "
                            "tell that")
        result = np.where(found, np.maximum(result, often), result)
    return result
