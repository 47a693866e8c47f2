"""Orders points by how much their places in the training faces vary together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from efld_tf.arrays import Floats, Ints
from efld_tf.data import shards
from efld_tf.data.manifest import Manifest


def most_correlated(points: Floats) -> Ints:
    """For each point, the others in the order of falling correlation: [N, N - 1].

        r_ij = sum over faces d_i . d_j / sqrt(sum |d_i|^2 * sum |d_j|^2),

    where d_i is the difference of point i from its mean; faces without one of the two do not count.
    PIPNet (Section 3.2) mentions correlation without a formula; this one does not change when all
    faces are turned.

    Args:
      points: [F, N, 2]; NaN where not annotated.
    """
    points = np.asarray(points, np.float64)
    known = np.isfinite(points).all(axis=-1)
    there = np.where(known[..., None], points, 0)
    mean = there.sum(axis=0) / np.maximum(known.sum(axis=0), 1)[:, None]
    difference = np.where(known[..., None], there - mean, 0)
    together = np.einsum("fia,fja->ij", difference, difference)
    alone = (difference**2).sum(axis=-1).T @ known.astype(float)  # of i, where j is annotated
    scale = np.sqrt(alone * alone.T)
    correlation = np.divide(together, scale, out=np.zeros_like(scale), where=scale > 0)
    np.fill_diagonal(correlation, -np.inf)
    order: Ints = np.argsort(-correlation.round(12), axis=1, kind="stable")
    return order[:, : len(order) - 1]


def order_of(sources: Iterable[tuple[Path, Manifest, tuple[int, ...]]]) -> Ints:
    """`most_correlated` of the training faces of packed sources.

    Args:
      sources: their folders and manifests, and the indices of the points to order.

    Raises:
      DataError: a shard has been damaged.
    """
    faces = [face["points"][list(indices)] for folder, manifest, indices in sources
             for face in shards.load(folder, manifest, "train")]
    return most_correlated(np.stack(faces))
