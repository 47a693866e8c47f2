"""Turns the head, projects it and places it in the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from efld_tf.annotations.synthetic.parameters import Pose
from efld_tf.annotations.synthetic.surface import AXIS_Z, smoothstep


def rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The rotation [3, 3] of head vectors to camera vectors; angles in degrees, see `Pose`."""
    (cy, cp, cr), (sy, sp, sr) = (f(np.radians([yaw, pitch, roll])) for f in (np.cos, np.sin))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    tilt = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return (tilt @ nod @ turn).astype(np.float32)


@dataclass(frozen=True)
class Camera:
    """Pose, perspective and the similarity that fits the face into the image.

    Attributes:
      pose: how the head is turned.
      chin: below this height s the neck follows the head's rotation less and less.
      scale, shift: pixels a millimetre and the image of the head's pivot, in output pixels.
    """

    pose: Pose
    chin: float
    scale: float = 1.0
    shift: tuple[float, float] = (0.0, 0.0)

    def project(self, points: np.ndarray, s: np.ndarray | None = None) -> np.ndarray:
        """Head points [..., 3] in mm as (x, y) in output pixels and depth in mm: [..., 3].

        `s` are the points' heights on the head; without it all of them turn with the head.
        """
        pose = self.pose
        rigid: np.ndarray = points - np.array([0, 0, AXIS_Z], np.float32)
        turned = rigid @ rotation(pose.yaw, pose.pitch, pose.roll).T
        if s is not None:
            body = rigid @ rotation(0.3 * pose.yaw, 0.2 * pose.pitch, 0.2 * pose.roll).T
            # The neck bends; the shoulders hardly turn.
            stiff = smoothstep((s - self.chin - 14) / 75)[..., None].astype(np.float32)
            turned = turned + (body - turned) * stiff
        perspective = pose.camera_distance / (pose.camera_distance - turned[..., 2:])
        xy = turned[..., :2] * perspective * self.scale + np.array(self.shift, np.float32)
        return np.concatenate([xy, turned[..., 2:]], -1).astype(np.float32)

