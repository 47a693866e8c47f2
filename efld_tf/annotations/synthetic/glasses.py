"""Draws spectacles on the projected image, as outlines in front of the eyes."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from efld_tf.annotations.synthetic.surface import Head

_BITS = 4
_ODDS = 0.14  # the probability of glasses


def wear(
    rng: np.random.Generator, image: np.ndarray, head: Head,
    project: Callable[[np.ndarray], np.ndarray], pixels: float, *, sunglasses: bool = False,
) -> str:
    """Sometimes draws glasses, in place; returns "", "glasses" or "sunglasses".

    Args:
      rng: the generator that decides.
      image: [H, W, 3] uint8.
      head: the head that wears them.
      project: head points in mm to (x, y, depth), x and y in the image's pixels.
      pixels: about how many pixels a millimetre has.
      sunglasses: whether to draw these in any case.
    """  # fmt: skip
    if rng.random() > _ODDS and not sunglasses:
        return ""
    dark = rng.random() < 0.22 or sunglasses
    colour = rng.uniform(5, 70, 3) if rng.random() < 0.7 else rng.uniform(5, 235, 3)
    wide, tall = rng.uniform(22, 28), rng.uniform(14, 22)
    square = rng.uniform(2.0, 5.0)
    thick = max(1, round(float(rng.uniform(0.8, 3.2)) * pixels))
    drop = rng.uniform(-3, 5)
    rims = [_rim(head, side, wide, tall, square, drop) for side in (0, 1)]
    flat = [_fixed(project(rim)) for rim in rims]
    layer = image.copy()
    glass = rng.uniform(0, 60, 3) if dark else np.full(3, 235.0)
    cv2.fillPoly(layer, flat, glass.tolist(), cv2.LINE_AA, _BITS)
    opacity = float(rng.uniform(0.6, 0.97) if dark else rng.uniform(0, 0.14))
    cv2.addWeighted(layer, opacity, image, 1 - opacity, 0, dst=image)
    _glare(rng, image, flat, 0.5 if dark else 0.35)
    tone = colour.tolist()
    cv2.polylines(image, flat, True, tone, thick, cv2.LINE_AA, _BITS)
    bridge = np.array([rims[0][np.argmax(rims[0][:, 0])], rims[1][np.argmin(rims[1][:, 0])]])
    cv2.polylines(image, [_fixed(project(bridge))], False, tone, thick, cv2.LINE_AA, _BITS)
    for side in (0, 1):
        sign = 2 * side - 1
        if head.face.pose.yaw * sign < 12:  # the other arm is behind the face
            hinge = rims[side][np.argmax(sign * rims[side][:, 0])] - [0, tall * 0.25, 0]
            ear = head.surface(np.array([sign * np.radians(88)]), np.array([-38.0]))[0]
            arm = np.array([hinge, ear + np.array([sign * 2, 0, 0])])
            cv2.polylines(image, [_fixed(project(arm))], False, tone, thick, cv2.LINE_AA, _BITS)
    return "sunglasses" if dark else "glasses"


def _rim(
    head: Head, side: int, wide: float, tall: float, square: float, drop: float
) -> np.ndarray:
    """A superellipse [48, 3] on a plane 14 mm before the eye."""
    around = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    shape = head.face.shape
    x = np.sign(np.cos(around)) * np.abs(np.cos(around)) ** (2 / square) * wide
    y = np.sign(np.sin(around)) * np.abs(np.sin(around)) ** (2 / square) * tall
    sign = 2 * side - 1
    place = sign * (max(shape.eye_distance, wide + 5) + 1) + x
    # The frame is bent round the face a little.
    z = 22 - 0.0045 * place**2
    return np.stack([place * shape.width, (shape.eye_y + drop + y) * shape.length, z], -1)


def _glare(
    rng: np.random.Generator, image: np.ndarray, rims: list[np.ndarray], most: float
) -> None:
    if rng.random() < 0.6:
        return
    layer = np.zeros(image.shape[:2], np.uint8)
    cv2.fillPoly(layer, rims, 255, cv2.LINE_AA, _BITS)
    streak = np.zeros_like(layer)
    size = layer.shape[0]
    start = rng.uniform(0.2, 0.8) * size
    lean = rng.uniform(-0.3, 0.3) * size
    cv2.line(streak, (int(start - lean), 0), (int(start + lean), size), 255,
             max(2, int(size * rng.uniform(0.01, 0.08))), cv2.LINE_AA)  # fmt: skip
    weight = cv2.GaussianBlur(cv2.min(layer, streak), (0, 0), size / 150) / 255.0
    weight = (weight * rng.uniform(0.1, most))[..., None]
    image[:] = (image + (250 - image) * weight).astype(np.uint8)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(points[:, :2] * (1 << _BITS)).astype(np.int32)
