"""Estimates the head's pose from landmarks, enough to survey a data set, not to measure a head."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.landmarks.schema import ANCHORS, LandmarkSchema

# The angles of `estimate`.
ANGLES = ("yaw", "pitch", "roll")

# The `ANCHORS` and the tip of the nose of an average face: x to the image's right, y up, z towards
# the camera, in distances between the eye centres. They are means over faces of AFLW2000-3D
# (`pt3d_68` turned back by `Pose_Para`; standard deviations up to 0.08), made symmetric.
MEAN_FACE = np.array([
    [-0.5, 0.0, 0.0], [0.5, 0.0, 0.0], [-0.414, -1.07, 0.106], [0.414, -1.07, 0.106],
    [0.0, -0.535, 0.659],
])  # fmt: skip


def lean(points: Floats, schema: LandmarkSchema) -> float | None:
    """The degrees by which a face leans, clockwise as seen, -180 to 180: 0 is upright.

    It is the direction from the right eye and corner of the mouth to the left ones, as far as the
    schema has them.

    Args:
      points: [N, 2], y down.

    Returns:
      None if the schema has neither, or if a needed point is missing.
    """
    right_eye, left_eye, mouth_right, mouth_left = schema.anchor_points(points.astype(np.float64))
    ways = [left_eye - right_eye, mouth_left - mouth_right]
    x, y = sum(way for way in ways if np.isfinite(way).all()) + np.zeros(2)
    return math.degrees(math.atan2(y, x)) if x or y else None


def estimate(
    points: Floats, schema: LandmarkSchema, depth: Floats | None = None
) -> Floats | None:
    """Yaw, pitch and roll of faces, in degrees.

    The mean face is fitted to the eyes, the mouth corners and the tip of the nose under scaled
    orthography; the angles are those of 3DDFA and AFLW2000-3D (R = Rx(pitch) Ry(yaw) Rz(roll)):
    positive yaw turns the nose to the image's left, positive pitch lifts it, positive roll turns
    the face clockwise in the image. The error is several degrees for other proportions than the
    mean face's, and for a nose in profile; with depths it is smaller (benchmarks/turned_heads).

    Args:
      points: [F, N, 2], y down.
      depth: [F, N], how far each point is in front, in the unit of the points; None, or NaN for
        a face, if it is not known.

    Returns:
      [F, 3] (yaw, pitch, roll), NaN where a needed point is missing; None if the schema lacks one
      of these places, or has one eye only (half faces).
    """
    if not schema.nose_tip or schema.missing_anchors \
            or schema.anchors["right_eye"] == schema.anchors["left_eye"]:
        return None
    nose = points[:, list(schema.nose_tip)].mean(axis=1, keepdims=True)
    observed = np.concatenate([schema.anchor_points(points), nose], axis=1) * [1, -1]
    angles = _angles(observed, rotations)
    if depth is not None:
        in_space = np.concatenate([observed, _at_places(depth, schema)], axis=-1)
        better = _angles(in_space, rotations_in_space)
        angles = np.where(np.isfinite(better), better, angles)
    return angles


def _angles(observed: Floats, fit: Callable[[Floats, Floats], Floats]) -> Floats:
    """The angles [F, 3] of faces [F, 5, 2 or 3] with y up, NaN where a place is missing."""
    result = np.full((len(observed), 3), np.nan)
    complete = np.isfinite(observed).all(axis=(1, 2))
    observed = observed[complete] - observed[complete].mean(axis=1, keepdims=True)
    first, second, third = fit(observed, MEAN_FACE - MEAN_FACE.mean(axis=0))
    yaw = np.arcsin(np.clip(-first[:, 2], -1, 1))
    pitch = np.arctan2(second[:, 2], third[:, 2])
    roll = np.arctan2(first[:, 1], first[:, 0])
    result[complete] = np.degrees(np.stack([yaw, pitch, roll], axis=-1))
    return result


def axes(yaw: float, pitch: float, roll: float) -> Floats:
    """The directions of a head's axes in an image.

    Args:
      yaw, pitch, roll: in degrees, as `estimate` gives them.

    Returns:
      [3, 3]: those to its left, up, and forward, each as x to the image's right, y down, and z
      towards the camera.
    """
    (cy, sy), (cp, sp), (cr, sr) = ((math.cos(a), math.sin(a))
                                    for a in map(math.radians, (yaw, pitch, roll)))
    turned = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]]) \
        @ np.array([[cy, 0, -sy], [0, 1, 0], [sy, 0, cy]]) \
        @ np.array([[cr, sr, 0], [-sr, cr, 0], [0, 0, 1]])
    directions: Floats = turned.T * [1, -1, 1]
    return directions


def _at_places(depth: Floats, schema: LandmarkSchema) -> Floats:
    """The depths of the eyes, the mouth corners and the tip of the nose: [F, 5, 1]."""
    groups = [*(schema.anchors[name] for name in ANCHORS), schema.nose_tip]
    places: Floats = np.stack([depth[:, list(group)].mean(axis=1) for group in groups], axis=1)
    return places[..., None]


def rotations(observed: Floats, model: Floats) -> Floats:
    """The rows of the rotations [3, F, 3] that bring a model to faces in the plane.

    Least squares gives the first two rows of a scaled rotation; the nearest orthonormal rows are
    those of the rotation.

    Args:
      observed: [F, K, 2], centred.
      model: [K, 3], centred.
    """
    rows = np.einsum("ki,fij->fkj", np.linalg.pinv(model), observed).transpose(0, 2, 1)
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    first, second = (left @ right).transpose(1, 0, 2)
    return np.stack([first, second, np.cross(first, second)])


def rotations_in_space(observed: Floats, model: Floats) -> Floats:
    """As `rotations`, for faces [F, K, 3] (S. Umeyama, TPAMI 13(4), 1991, Equation 40)."""
    left, _, right = np.linalg.svd(np.einsum("fki,kj->fij", observed, model))
    turns = np.ones((len(observed), 3))
    turns[:, 2] = np.sign(np.linalg.det(left @ right))  # a mirror image is no rotation
    rotation: Floats = np.einsum("fij,fj,fjk->ifk", left, turns, right)
    return rotation
