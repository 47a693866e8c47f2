"""Computes the light on the head that reaches each texel, in the flattened head's space."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from efld_tf.annotations.synthetic.camera import rotation
from efld_tf.annotations.synthetic.parameters import Pose

# Skin scatters red light furthest, which softens the edge of its shadows.
_WRAP = np.array([0.34, 0.2, 0.15], np.float32)
_SHADOW_STEPS = (3.0, 6.0, 10.0, 15.0, 21.0)  # mm along the surface
# A gamma of 2 is close enough to sRGB, and its inverse is a square root.
_TO_LINEAR = ((np.arange(256) / 255.0) ** 2).astype(np.float32)


@dataclass(frozen=True)
class Lights:
    """Two directional lights and an ambient one; colours are linear RGB, about 1 is white.

    Directions [3] point to the light, in camera space (x right, y down, z to the viewer).
    """

    key: np.ndarray
    key_colour: np.ndarray
    fill: np.ndarray
    fill_colour: np.ndarray
    ambient: np.ndarray
    shadow: float


def sample_lights(rng: np.random.Generator) -> Lights:
    """Draws lights such as daylight, lamps, flash and back light, from warm to cool."""
    hard = rng.random()
    side = rng.normal(0, 50)
    height = rng.uniform(-15, 70)
    warmth = rng.normal(0, 0.1)
    colour = np.array([1 + warmth, 1.0, 1 - 1.3 * warmth])
    ambient = rng.uniform(0.22, 0.8) * (1.1 - 0.5 * hard)
    exposure = rng.uniform(0.85, 1.35)
    key = exposure * rng.uniform(0.55, 1.1) * (1.05 - 0.5 * ambient)
    complement = np.clip(colour[::-1] + rng.normal(0, 0.05, 3), 0.6, 1.4)
    return Lights(
        key=_direction(side, height),
        key_colour=key * colour,
        fill=_direction(rng.uniform(-110, 110), rng.uniform(-30, 50)),
        fill_colour=rng.uniform(0, 0.35) * complement,
        ambient=ambient * exposure * (0.6 * colour + 0.4 * complement),
        shadow=hard * rng.uniform(0.4, 0.9),
    )


def hard(lights: Lights, rng: np.random.Generator) -> Lights:
    """The same lights with a strong one from a side, and little else: half the face is dark."""
    side = rng.choice([-1, 1]) * rng.uniform(45, 100)
    return replace(
        lights, key=_direction(side, rng.uniform(-10, 50)), key_colour=1.35 * lights.key_colour,
        fill_colour=0.2 * lights.fill_colour, ambient=rng.uniform(0.12, 0.35) * lights.ambient,
        shadow=rng.uniform(0.7, 0.95),
    )


def _direction(side: float, height: float) -> np.ndarray:
    a, b = np.radians([np.clip(side, -115, 115), height])
    return np.array([np.sin(a) * np.cos(b), -np.sin(b), np.cos(a) * np.cos(b)], np.float32)


def normals(points: np.ndarray) -> np.ndarray:
    """Outward unit normals [H, W, 3] of a surface grid, columns to the right and rows down."""
    along = np.gradient(points, axis=1)
    down = np.gradient(points, axis=0)
    result = np.empty_like(points)
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        result[..., i] = along[..., j] * down[..., k] - along[..., k] * down[..., j]
    x, y, z = cv2.split(result)
    length = np.sqrt(x * x + y * y + z * z) + 1e-6
    return cv2.merge([x / length, y / length, z / length])


def irradiance(
    normal: np.ndarray, relief: np.ndarray | None, lights: Lights, pose: Pose, gloss: float,
    texel: float,
) -> np.ndarray:
    """Light on each texel: [H, W, 4], linear RGB and the specular reflection's strength.

    Args:
      normal: [H, W, 3] in head space.
      relief: [H, W] mm, which casts shadows and darkens creases; None for none.
      lights: in camera space.
      pose: turns the lights into head space.
      gloss: strength of the specular reflection.
      texel: millimetres a texel on the face.
    """  # fmt: skip
    to_head = rotation(pose.yaw, pose.pitch, pose.roll).T
    key, fill = to_head @ lights.key, to_head @ lights.fill
    view = to_head @ np.array([0, 0, 1], np.float32)
    towards_key = normal @ key
    towards_fill = np.maximum(normal @ fill, 0)
    lit = np.ones_like(towards_key)
    crease = lit
    if relief is not None:
        lit = 1 - lights.shadow * _cast_shadow(relief, key, texel)
        small = cv2.GaussianBlur(relief, (0, 0), 6.0 / texel)
        crease = np.clip(1 + 0.055 * (relief - small), 0.55, 1.12)
    # The sky is above, so that surfaces facing down get less of the ambient light.
    sky = crease * (0.82 - 0.18 * (normal @ to_head[:, 1]))
    result = np.empty((*normal.shape[:2], 4), np.float32)
    for i in range(3):
        wrap = _WRAP[i]
        result[..., i] = (
            lights.key_colour[i] * np.maximum((towards_key + wrap) / (1 + wrap), 0) * lit
            + lights.fill_colour[i] * towards_fill
            + lights.ambient[i] * sky
        )
    half = (key + view) / (np.linalg.norm(key + view) + 1e-6)
    shine = np.maximum(normal @ half, 0)
    shine = shine**8
    result[..., 3] = gloss * (0.25 * shine + 0.75 * shine**4) * lit * (towards_key > 0)
    return result


def _cast_shadow(relief: np.ndarray, key: np.ndarray, texel: float) -> np.ndarray:
    """How much of the key light the relief itself blocks, [H, W] in [0, 1]."""
    flat = float(np.hypot(key[0], key[1]))
    if flat < 0.05:
        return np.zeros_like(relief)
    slope = max(float(key[2]), 0.05) / flat
    blocked = np.zeros_like(relief)
    for step in _SHADOW_STEPS:
        dx, dy = step / texel * key[0] / flat, step / texel * key[1] / flat
        move = np.array([[1, 0, -dx], [0, 1, -dy]])
        towards = cv2.warpAffine(relief, move, relief.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        np.maximum(blocked, (towards - relief - step * slope) * (1 / 3.0), out=blocked)
    return cv2.GaussianBlur(np.minimum(blocked, 1), (0, 0), 1.2 / texel)


def lit_image(paint: np.ndarray, light: np.ndarray, lights: Lights) -> np.ndarray:
    """Paint [H, W, 3] uint8 under light [H, W, 4] (see `irradiance`) as [H, W, 3] uint8."""
    *colour, shine = cv2.split(light)
    planes = []
    for i, albedo in enumerate(cv2.split(cv2.LUT(paint, _TO_LINEAR))):
        linear = albedo * colour[i] + shine * np.float32(lights.key_colour[i])
        # A soft shoulder, as film has it, keeps the shading of bright skin.
        linear = np.maximum(linear, 0)
        linear *= 1.3 / (1 + 0.4 * linear)
        planes.append(cv2.convertScaleAbs(cv2.sqrt(linear), alpha=255))
    return cv2.merge(planes)
