"""Draws a surgical mask over nose, mouth and chin, as a sheet before the head's surface."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from efld_tf.annotations.synthetic import shading
from efld_tf.annotations.synthetic.curves import CHIN_Y
from efld_tf.annotations.synthetic.rasterizer import grid_triangles, rasterize
from efld_tf.annotations.synthetic.surface import AXIS_Z, Head

_ROWS, _COLUMNS = 24, 40
_TEXELS = 6  # of the cloth's picture, along each side of a cell
_TONES = np.array([[160, 200, 220], [235, 238, 240], [40, 42, 46], [190, 205, 190]], float)


def wear(
    rng: np.random.Generator, image: np.ndarray, head: Head, lights: shading.Lights,
    project: Callable[[np.ndarray], np.ndarray], pixels: float,
) -> None:
    """Draws a mask, in place.

    Args:
      rng: the generator that decides what it looks like.
      image: [S, S, 3] uint8.
      head: the head that wears it.
      lights: those of the scene.
      project: head points in mm to (x, y, depth), x and y in the image's pixels.
      pixels: about how many pixels a millimetre has.
    """  # fmt: skip
    sheet = _sheet(head, rng)
    cloth = _cloth(rng)
    light = shading.irradiance(
        shading.normals(sheet), None, lights, head.face.pose, 0.0, 2.0)
    light = cv2.resize(light, cloth.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    lit = shading.lit_image(cloth, light, lights)
    placed = project(sheet).reshape(-1, 3)
    columns, rows = np.meshgrid(np.arange(_COLUMNS), np.arange(_ROWS))
    uv = np.stack([columns, rows], -1).reshape(-1, 2) * float(_TEXELS)
    lookup = rasterize(placed[:, :2], placed[:, 2], uv, grid_triangles(_ROWS, _COLUMNS),
                       image.shape[0])
    u, v = lookup[..., 0], lookup[..., 1]
    painted = cv2.remap(lit, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(painted, (u >= 0).astype(np.uint8), image)
    _straps(rng, image, head, sheet, project, max(1, round(1.2 * pixels)))


def _sheet(head: Head, rng: np.random.Generator) -> np.ndarray:
    """Points [_ROWS, _COLUMNS, 3] of the cloth, which spans hollows and stands off the skin."""
    nose, low = head.curves.nose, head.curves.lowered
    reach = np.radians(rng.uniform(58, 68))
    angle = np.linspace(-reach, reach, _COLUMNS)
    away = np.abs(angle) / reach
    top = nose.nasion + rng.uniform(0.25, 0.6) * (nose.tip - nose.nasion)
    upper = top + (rng.uniform(-2, 8) - top) * away**1.3
    chin = float(low(CHIN_Y))
    lower = chin + 1 + (rng.uniform(28, 38) - chin) * away**1.8
    s = upper + (lower - upper) * np.linspace(0, 1, _ROWS)[:, None]
    points = head.surface(np.broadcast_to(angle, s.shape), s)
    x, y, z = (points[..., axis] for axis in range(3))
    radius = np.hypot(x, z - AXIS_Z)
    # The cloth bridges what lies between nose, cheeks and chin.
    spanned = cv2.GaussianBlur(cv2.dilate(radius, np.ones((5, 5), np.uint8)), (0, 0), 2.0)
    off = np.maximum(spanned, radius) + rng.uniform(1.5, 4)
    return np.stack([x * off / radius, y, AXIS_Z + (z - AXIS_Z) * off / radius], -1).astype(
        np.float32)


def _cloth(rng: np.random.Generator) -> np.ndarray:
    """A picture of the cloth, uint8: one colour with pleats, or of any colour without."""
    height, width = (_ROWS - 1) * _TEXELS + 1, (_COLUMNS - 1) * _TEXELS + 1
    plain = rng.random() < 0.7
    tone = _TONES[rng.integers(len(_TONES))] if plain else rng.uniform(10, 245, 3)
    cloth = np.ones((height, width, 3)) * np.clip(tone * rng.uniform(0.9, 1.05, 3), 4, 250)
    if plain:
        for pleat in np.linspace(0.3, 0.75, int(rng.integers(2, 5))):
            row = int(pleat * height)
            cloth[row : row + 2] *= 0.82
            cloth[row + 2 : row + 5] *= 1.04
    cloth[:3] *= 0.9
    return np.clip(cloth, 0, 255).astype(np.uint8)


def _straps(
    rng: np.random.Generator, image: np.ndarray, head: Head, sheet: np.ndarray,
    project: Callable[[np.ndarray], np.ndarray], thick: int,
) -> None:
    tone = rng.uniform(170, 245, 3).tolist()
    for side, column in ((0, 0), (1, -1)):
        sign = 2 * side - 1
        if head.face.pose.yaw * sign < 12:  # the other ear is behind the face
            ear = head.surface(np.array([sign * np.radians(88)]), np.array([-30.0]))[0]
            lobe = head.surface(np.array([sign * np.radians(88)]), np.array([2.0]))[0]
            for start, end in ((sheet[2, column], ear), (sheet[-3, column], lobe)):
                line = np.round(project(np.stack([start, end]))[:, :2] * 16).astype(np.int32)
                cv2.polylines(image, [line], False, tone, thick, cv2.LINE_AA, 4)
