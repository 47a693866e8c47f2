"""Finds faces whose points are numbered from 1 where those of other faces are from 0, or reversed.

All numbers of a source tell where they start. A file in which others start shows if it has all of
its points; if the last is hidden, it looks like one without the first. Then the shape of the face
tells: with each point taken for its neighbour, it is unlike the other faces.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from efld_tf.annotations import parsing
from efld_tf.annotations.point_names import simplified
from efld_tf.annotations.record import FaceRecord
from efld_tf.annotations.tools.shapes import Picture
from efld_tf.arrays import Floats
from efld_tf.errors import DataError
from efld_tf.landmarks import schemas, shapes

# How many times as far from the mean of other faces one is as it is with its points shifted.
RATIO = 1.1

# So many other faces tell, at least and at most; and the share of a schema's points, and how many,
# that a face has to have.
FEWEST, MOST = 3, 256
SHARE, POINTS = 0.5, 4


def start(indices: Mapping[str, int]) -> int | None:
    """The number of the first point, 0 or 1, if names are numbered like their indices; or None."""
    found = {name: re.search(r"\d{1,4}$", simplified(name), re.ASCII) for name in indices}
    starts = {int(match[0]) - indices[name] if match else None for name, match in found.items()}
    return starts.pop() if starts in ({0}, {1}) else None


def checked(
    items: Sequence[tuple[Picture | DataError, FaceRecord | DataError]], first: int, schema: str
) -> Iterator[FaceRecord | DataError]:
    """The faces of pictures; errors for those whose points are numbered otherwise.

    Args:
      first: the number that is taken for that of the first point, 0 or 1.
    """
    places = [i for i, (_, item) in enumerate(items) if isinstance(item, FaceRecord)]
    points = [item.points for _, item in items if isinstance(item, FaceRecord)]
    odd = {places[i] for i in shifted(points, first, schema)}
    for i, (picture, item) in enumerate(items):
        if i in odd and isinstance(picture, Picture):
            image = "" if picture.line else f"image {parsing.shorten(picture.name)}: "
            yield DataError(
                picture.path, f"{image}points seem to be numbered from {1 - first}, and those of "
                f"others from {first}: number all alike, or say first={first} if they are",
                picture.line)
        else:
            yield item


def shifted(points: Sequence[Floats], first: int, schema: str) -> list[int]:
    """The faces whose points are numbered otherwise than the most.

    Args:
      points: [N, 2] of each face, NaN for what is not annotated.
      first: the number that is taken for that of the first point, 0 or 1.

    Returns:
      Their places in `points`. They lack the first point, if that is number 0, or else the last.
    """
    end, step = (0, -1) if first == 0 else (-1, 1)
    known = [np.isfinite(face).all(axis=-1) for face in points]
    suspects = [i for i, there in enumerate(known)
                if not there[end] and int(there.sum()) >= max(POINTS, SHARE * len(there))]
    others = [face for face, there in zip(points, known, strict=True) if there[end]][:MOST]
    if not suspects or len(others) < FEWEST:
        return []
    mean = shapes.mean_shape(shapes.as_complex(np.stack(others)), schemas.get(schema))
    return [i for i in suspects
            if _distance(points[i], mean) > RATIO * _distance(np.roll(points[i], step, 0), mean)]


def _distance(points: Floats, mean: shapes.Shapes) -> float:
    """The RMS distance of a face to the mean, by the size of the latter's same points."""
    face = shapes.align(shapes.as_complex(points)[None], mean)[0]
    there = np.isfinite(face)
    spread = mean[there] - mean[there].mean()
    away = float(np.linalg.norm(face[there] - mean[there]))
    return away / max(float(np.linalg.norm(spread)), 1e-9)
