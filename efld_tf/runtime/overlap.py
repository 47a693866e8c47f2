"""Which boxes are of one face, by how they overlap."""

from __future__ import annotations

import numpy as np

from efld_tf.arrays import Floats


def iou(box: Floats, boxes: Floats) -> Floats:
    """Intersection over union of a box [4] with boxes [B, 4], (x0, y0, x1, y1): [B]."""
    low, high = np.maximum(box[:2], boxes[:, :2]), np.minimum(box[2:], boxes[:, 2:])
    common = np.maximum(high - low, 0).prod(axis=1)
    areas = np.maximum(boxes[:, 2:] - boxes[:, :2], 0).prod(axis=1)
    union = areas + np.maximum(box[2:] - box[:2], 0).prod() - common
    return np.divide(common, union, out=np.zeros(len(boxes)), where=union > 0)


def weighted_suppression(rows: Floats, min_iou: float) -> Floats:
    """One row for each group of overlapping boxes: the mean by score, with the highest score.

    Args:
      rows: [D, 5 + K], score, box (x0, y0, x1, y1) and further coordinates.
      min_iou: rows whose box overlaps the best remaining one's by a larger IoU join its group.

    Returns:
      [G, 5 + K], highest score first.
    """
    rows = rows[np.argsort(-rows[:, 0], kind="stable")]
    merged = []
    while len(rows):
        group = iou(rows[0, 1:5], rows[:, 1:5]) > min_iou
        group[0] = True  # also where its box is empty
        weights = rows[group, :1]
        mean = (weights * rows[group, 1:]).sum(axis=0) / weights.sum()
        merged.append(np.concatenate([rows[0, :1], mean]))
        rows = rows[~group]
    return np.array(merged).reshape(-1, rows.shape[1])
