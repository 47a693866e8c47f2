"""The landmarks of a synthetic face in several formats: points on the surface, projected."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from efld_tf.annotations.synthetic.curves import CHIN_Y, Curves, plan_angle
from efld_tf.annotations.synthetic.rasterizer import grid_triangles, rasterize
from efld_tf.annotations.synthetic.surface import Head

FORMATS = ("wflw98", "ibug68", "ibug51", "ibug68_3d")

Project = Callable[[np.ndarray], np.ndarray]  # head points [..., 3] in mm to (x, y, ...)

# The mouth's points as places along its half width; the lower ones run back from the left.
_UPPER_LIP = np.array([-1, -0.62, -0.24, 0, 0.24, 0.62, 1])
_LOWER_LIP = np.array([0.64, 0.28, 0, -0.28, -0.64])
_UPPER_INNER = np.array([-0.88, -0.26, 0, 0.26, 0.88])
_LOWER_INNER = np.array([0.27, 0, -0.27])
_QUARTERS = np.array([0, 0.25, 0.5, 0.75, 1])
_IBUG_LIDS = np.array([0, 0.31, 0.68, 1])
_IBUG_BROW = np.array([0, 0.2, 0.47, 0.75, 1])
_WFLW_INNER = 65
_JAW_SEARCH = np.linspace(0, 1, 25)
_JAW_POINTS = 17
# A bare head of triangles, by which points are hidden that lie so many mm behind it; its side in
# pixels, and how far its triangles reach above the forehead and below the chin, in mm.
_COLUMNS, _ROWS, _BEHIND, _SCREEN = 65, 65, 6.0, 160
_ABOVE, _BELOW = -95.0, 12.0


def inner_points(head: Head, project: Project) -> tuple[np.ndarray, np.ndarray]:
    """WFLW's points 33..97 and iBUG's 17..67, in pixels: [65, 2] and [51, 2]."""
    points = project(_inner_places(head))[:, :2]
    return points[:_WFLW_INNER], points[_WFLW_INNER:]


def _inner_places(head: Head) -> np.ndarray:
    """WFLW's points 33..97 and iBUG's 17..67 on the head: [116, 3] in mm."""
    curves = head.curves
    nose, mouth = _nose(curves), _mouth(curves)
    wflw = [_wflw_brow(curves, 0), _wflw_brow(curves, 1), nose]
    wflw += [_eye(curves, 0, _QUARTERS), _eye(curves, 1, _QUARTERS), mouth]
    wflw += [curves.iris_centre(0)[None], curves.iris_centre(1)[None]]
    ibug = [_ibug_brow(curves, 0), _ibug_brow(curves, 1)[::-1], nose]
    ibug += [_eye(curves, 0, _IBUG_LIDS), _eye(curves, 1, _IBUG_LIDS), mouth]

    plan = np.concatenate(wflw + ibug)
    return head.surface(plan_angle(plan[:, 0]), plan[:, 1])


def in_space(head: Head, project: Project) -> np.ndarray:
    """`ibug68_3d` as (x, y) in pixels and the depth in mm, seen or not: [68, 3]."""
    jaw = head.surface(*head.curves.jaw(np.linspace(0, 1, _JAW_POINTS)))
    return project(np.concatenate([jaw, _inner_places(head)[_WFLW_INNER:]]))


def seen(head: Head, project: Project) -> np.ndarray:
    """Which of the points of `in_space` the head itself does not hide: [68] bool.

    Hair, glasses and what is before the face hide none.
    """
    points = in_space(head, project)
    angles = np.linspace(-np.pi, np.pi, _COLUMNS)
    heights = np.linspace(_ABOVE, float(head.curves.lowered(CHIN_Y)) + _BELOW, _ROWS)
    grid = head.surface(*np.meshgrid(angles, heights))
    placed = project(grid).reshape(-1, 3)
    low, high = placed[:, :2].min(axis=0), placed[:, :2].max(axis=0)
    factor = (_SCREEN - 1) / (high - low).max()
    depths = np.stack([placed[:, 2]] * 2, axis=-1)
    # Depths are above 0, since -1 stands for nothing.
    least = depths.min() - 1
    nearest = rasterize(
        (placed[:, :2] - low) * np.float32(factor), placed[:, 2], depths - least,
        grid_triangles(_ROWS, _COLUMNS), _SCREEN,
    )[..., 0]
    column, row = np.clip((points[:, :2] - low) * factor, 0, _SCREEN - 1).round().astype(int).T
    hides = nearest[row, column] - (points[:, 2] - least)
    return hides <= _BEHIND


def jaw_points(head: Head, project: Project, count: int) -> np.ndarray:
    """The jaw line as annotators see it: [count, 2] pixels, evenly from right to left.

    Where the head's turn hides the line itself, the outermost visible place on the way towards the
    nose is taken, which lies on the face's silhouette.
    """
    t = np.linspace(0, 1, count)
    angle, s = head.curves.jaw(t)
    middle = float(head.curves.nose.base)
    # The search goes towards the nose along the surface; beside the ears, sideways only.
    inward = _JAW_SEARCH[:, None]
    angles = angle * (1 - 0.75 * inward)
    lower = np.clip((s - 20) / 40, 0, 1)
    heights = s + (middle - s) * 0.45 * inward * lower
    places = head.surface(angles, heights)
    xy = project(places)[..., :2]
    # Outwards is across the line as it looks from the front, turned with the image of the head.
    tangent = np.gradient(places[0, :, :2], axis=0)
    outward = np.stack([-tangent[:, 1], tangent[:, 0]], -1) @ _image_axes(project)
    best = (xy * outward).sum(-1).argmax(0)
    return xy[best, np.arange(count)]


def all_points(head: Head, project: Project) -> dict[str, np.ndarray]:
    """Every format's points [N, 2] float32 in pixels."""
    wflw, ibug = inner_points(head, project)
    jaw = jaw_points(head, project, 33)
    points = {
        "wflw98": np.concatenate([jaw, wflw]),
        "ibug68": np.concatenate([jaw[::2], ibug]),
        "ibug51": ibug,
        "ibug68_3d": in_space(head, project)[:, :2],
    }
    return {name: value.astype(np.float32) for name, value in points.items()}


def _image_axes(project: Project) -> np.ndarray:
    """The turn of the head's image, as a matrix [2, 2] for row vectors, from the head's y axis."""
    ends = project(np.array([[0, -40, -30], [0, 40, -30]], np.float32))[:, :2]
    down = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    return np.array([[down[1], -down[0]], down])


def _nose(curves: Curves) -> np.ndarray:
    nose = curves.nose
    bridge = np.stack([np.zeros(4), np.linspace(nose.nasion, nose.tip, 4)], -1)
    wide = nose.half_width
    base = np.array(
        [[-wide + 0.4, nose.base - 4], [-0.5 * wide, nose.base - 1.2], [0, nose.base + 0.3],
         [0.5 * wide, nose.base - 1.2], [wide - 0.4, nose.base - 4]]
    )  # fmt: skip
    return np.concatenate([bridge, base])


def _mouth(curves: Curves) -> np.ndarray:
    parts = [curves.lips(_UPPER_LIP)[0], curves.lips(_LOWER_LIP)[3]]
    parts += [curves.lips(_UPPER_INNER)[1], curves.lips(_LOWER_INNER)[2]]
    return np.concatenate(parts)


def _eye(curves: Curves, side: int, t: np.ndarray) -> np.ndarray:
    """Right: outer corner, upper lid, inner corner, lower lid back. Left: from its inner corner."""
    upper, lower = curves.eye_lids(side, t if side == 0 else t[::-1])
    return np.concatenate([upper, lower[-2:0:-1]])


def _wflw_brow(curves: Curves, side: int) -> np.ndarray:
    upper, lower = curves.brow(side, _QUARTERS)
    if side == 0:
        return np.concatenate([upper, lower[:0:-1]])
    return np.concatenate([upper[::-1], lower[1:]])


def _ibug_brow(curves: Curves, side: int) -> np.ndarray:
    """Just below the upper edge, from the outer end inwards."""
    upper, lower = curves.brow(side, _IBUG_BROW)
    return upper + 0.15 * (lower - upper)
