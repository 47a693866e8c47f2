"""Estimates the head's pose from landmarks, enough to survey a data set, not to measure a head."""

from __future__ import annotations

import math

import numpy as np

from efld_tf.arrays import Floats
from efld_tf.landmarks.schema import LandmarkSchema

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


def estimate(points: Floats, schema: LandmarkSchema) -> Floats | None:
    """Yaw, pitch and roll of faces, in degrees.

    The mean face is fitted to the eyes, the mouth corners and the tip of the nose under scaled
    orthography; the angles are those of 3DDFA and AFLW2000-3D (R = Rx(pitch) Ry(yaw) Rz(roll)):
    positive yaw turns the nose to the image's left, positive pitch lifts it, positive roll turns
    the face clockwise in the image. The error is several degrees for other proportions than the
    mean face's, and for a nose in profile.

    Args:
      points: [F, N, 2], y down.

    Returns:
      [F, 3] (yaw, pitch, roll), NaN where a needed point is missing; None if the schema lacks one
      of these places, or has one eye only (half faces).
    """
    if not schema.nose_tip or schema.missing_anchors \
            or schema.anchors["right_eye"] == schema.anchors["left_eye"]:
        return None
    nose = points[:, list(schema.nose_tip)].mean(axis=1, keepdims=True)
    observed = np.concatenate([schema.anchor_points(points), nose], axis=1) * [1, -1]
    result = np.full((len(points), 3), np.nan)
    complete = np.isfinite(observed).all(axis=(1, 2))
    observed = observed[complete] - observed[complete].mean(axis=1, keepdims=True)
    model = MEAN_FACE - MEAN_FACE.mean(axis=0)
    # Least squares gives the first two rows of a scaled rotation; the nearest orthonormal rows are
    # those of the rotation.
    rows = np.einsum("ki,fij->fkj", np.linalg.pinv(model), observed).transpose(0, 2, 1)
    left, _, right = np.linalg.svd(rows, full_matrices=False)
    first, second = (left @ right).transpose(1, 0, 2)
    third = np.cross(first, second)
    yaw = np.arcsin(np.clip(-first[:, 2], -1, 1))
    pitch = np.arctan2(second[:, 2], third[:, 2])
    roll = np.arctan2(first[:, 1], first[:, 0])
    result[complete] = np.degrees(np.stack([yaw, pitch, roll], axis=-1))
    return result
