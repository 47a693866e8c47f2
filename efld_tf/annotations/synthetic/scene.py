"""The surroundings of the head: background, things in front of it, and the effects of a camera."""

from __future__ import annotations

import cv2
import numpy as np

from efld_tf.annotations.synthetic.atlas import blurred, smooth_noise


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """A random backdrop [size, size, 3] uint8: gradients, clouds, shapes, stripes, bokeh."""
    image = _gradient(rng, size)
    kind = rng.choice(["plain", "clouds", "shapes", "stripes", "bokeh", "mixed"])
    if kind in ("clouds", "mixed"):
        cell = float(np.exp(rng.uniform(np.log(size / 40), np.log(size / 3))))
        for _ in range(int(rng.integers(1, 3))):
            noise = smooth_noise(rng, (size, size), max(3.0, cell))
            image += noise[..., None] * _swing(rng, 26)
            cell /= 3
    image = np.clip(image, 0, 255).astype(np.uint8)
    if kind in ("shapes", "mixed"):
        _draw_shapes(rng, image, int(rng.integers(3, 18)))
    if kind == "stripes":
        _draw_stripes(rng, image)
    if kind == "bokeh":
        for _ in range(int(rng.integers(8, 40))):
            centre = rng.integers(0, size, 2).tolist()
            layer = image.copy()
            radius = int(size * rng.uniform(0.01, 0.09)) + 1
            cv2.circle(layer, centre, radius, _colour(rng), -1, cv2.LINE_AA)
            cv2.addWeighted(layer, 0.5, image, 0.5, 0, dst=image)
    if rng.random() < 0.6:
        sigma = size * float(np.exp(rng.uniform(np.log(0.002), np.log(0.03))))
        image = blurred(image, sigma)
    return image


def occlude(
    rng: np.random.Generator, image: np.ndarray, face: np.ndarray, skin: np.ndarray,
    *, hand: bool = False,
) -> str:
    """Sometimes draws something in front of the face, in place; returns what ("" for nothing).

    Args:
      rng: the generator that decides.
      image: [H, W, 3] uint8.
      face: the face's box (x0, y0, x1, y1) in the image's pixels.
      skin: [3] colour of the hand, if one is drawn.
      hand: whether to draw one in any case, and nothing else.
    """  # fmt: skip
    kind = str(rng.choice(["", "hand", "stick", "card", "edge"], p=[0.9, 0.035, 0.02, 0.025, 0.02]))
    kind = "hand" if hand else kind
    span = float(max(face[2] - face[0], face[3] - face[1]))
    centre = face[:2] + rng.uniform(-0.1, 1.1, 2) * (face[2:] - face[:2])
    if kind == "hand":
        shade = skin * rng.uniform(0.6, 1.05)
        direction = centre - (face[:2] + face[2:]) / 2
        direction = direction / (np.linalg.norm(direction) + 1e-6)
        across = np.array([-direction[1], direction[0]])
        for finger in range(4):
            start = centre + across * (finger - 1.5) * 0.095 * span
            tip = start - direction * span * rng.uniform(0.05, 0.14)
            end = start + direction * span * 0.9
            colour = tuple(float(v) for v in np.clip(shade * rng.uniform(0.9, 1.08), 0, 255))
            edge = tuple(v * 0.72 for v in colour)
            for tone, width in ((edge, 0.095), (colour, 0.08)):
                cv2.line(image, _point(tip), _point(end), tone, max(1, int(width * span)),
                         cv2.LINE_AA)  # fmt: skip
    elif kind == "stick":
        angle = rng.uniform(0, np.pi)
        reach = np.array([np.cos(angle), np.sin(angle)]) * span * 2
        start, end = centre - reach, centre + reach * rng.uniform(-0.1, 1)
        width = max(1, int(span * rng.uniform(0.02, 0.09)))
        cv2.line(image, _point(start), _point(end), _colour(rng), width, cv2.LINE_AA)
    elif kind == "card":
        sides = span * rng.uniform(0.15, 0.5, 2)
        box = cv2.boxPoints((centre.tolist(), sides.tolist(), float(rng.uniform(0, 90))))
        cv2.fillConvexPoly(image, np.round(box).astype(np.int32), _colour(rng), cv2.LINE_AA)
    elif kind == "edge":
        side = int(image.shape[1] * rng.uniform(0.1, 0.3))
        region = image[:, :side] if rng.random() < 0.5 else image[:, -side:]
        region[:] = np.multiply(_colour(rng), rng.choice([0.0, 0.0, 1.0]))
    return kind


def photograph(rng: np.random.Generator, image: np.ndarray) -> tuple[np.ndarray, float]:
    """Applies blur, exposure, colour, noise and compression to [H, W, 3] uint8.

    Returns:
      The image, and the blur in pixels.
    """
    size = image.shape[0]
    sigma = size / 256 * float(rng.choice([0.0, 0.5, 1.0, 1.9], p=[0.35, 0.35, 0.2, 0.1]))
    sigma *= rng.uniform(0.7, 1.3)
    image = blurred(image, sigma)
    if rng.random() < 0.06:
        image = _shake(rng, image)
    if rng.random() < 0.12:
        small = int(size * rng.uniform(0.3, 0.7))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    image = _develop(rng, image)
    if rng.random() < 0.6:
        strength = float(np.exp(rng.uniform(np.log(0.7), np.log(9))))
        grain = rng.standard_normal(image.shape, dtype=np.float32) * strength
        image = np.clip(image + grain, 0, 255).astype(np.uint8)
    if rng.random() < 0.35:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 90))]
        image = cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR)
    return image, sigma


def _develop(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Changes contrast, brightness and white balance by a table a channel; sometimes to grey."""
    gain = np.exp(np.clip(rng.normal(0, 0.13), -0.3, 0.2)) * np.exp(rng.normal(0, 0.04, 3))
    gamma = np.exp(np.clip(rng.normal(0, 0.16), -0.3, 0.3))
    lift = rng.normal(0, 8)
    tone = np.arange(256)[:, None] / 255.0
    table = 255 * np.clip(gain * tone**gamma, 0, 2) + lift
    contrast = np.exp(np.clip(rng.normal(0, 0.12), -0.3, 0.25))
    table = np.clip((table - 118) * contrast + 118, 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[:, None, :])
    saturation = 0.0 if rng.random() < 0.08 else float(np.clip(rng.normal(0.95, 0.22), 0.2, 1.5))
    grey = cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return cv2.addWeighted(image, saturation, grey, 1 - saturation, 0)


def _shake(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """Motion blur along a straight line."""
    length = max(3, int(image.shape[0] * rng.uniform(0.01, 0.03)))
    kernel = np.zeros((2 * length + 1, 2 * length + 1), np.float32)
    angle = rng.uniform(0, np.pi)
    reach = 0.5 * length * np.array([np.cos(angle), np.sin(angle)])
    cv2.line(kernel, _point(length - reach), _point(length + reach), 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum())


def _gradient(rng: np.random.Generator, size: int) -> np.ndarray:
    corners = np.array([_colour(rng) for _ in range(4)], np.float32).reshape(2, 2, 3)
    if rng.random() < 0.5:  # nearly plain
        corners = corners * 0.2 + corners[:1, :1] * 0.8
    return cv2.resize(corners, (size, size), interpolation=cv2.INTER_LINEAR)


def _draw_shapes(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    size = image.shape[0]
    for _ in range(count):
        centre = rng.uniform(0, size, 2)
        reach = size * rng.uniform(0.03, 0.35)
        kind = rng.random()
        if kind < 0.4:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 8))))
            outline = centre + reach * np.stack([np.cos(angles), np.sin(angles)], -1)
            cv2.fillPoly(image, [np.round(outline).astype(np.int32)], _colour(rng), cv2.LINE_AA)
        elif kind < 0.7:
            corner = centre + reach * rng.uniform(0.2, 1.5, 2)
            cv2.rectangle(image, _point(centre), _point(corner), _colour(rng), -1)
        else:
            axes = _point(reach * rng.uniform(0.2, 1, 2) + 1)
            cv2.ellipse(image, _point(centre), axes, float(rng.uniform(0, 180)), 0, 360,
                        _colour(rng), -1, cv2.LINE_AA)  # fmt: skip


def _draw_stripes(rng: np.random.Generator, image: np.ndarray) -> None:
    size = image.shape[0]
    angle = rng.uniform(0, np.pi)
    y, x = np.mgrid[:size, :size].astype(np.float32)
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * (2 * np.pi / size) * rng.uniform(3, 40))
    if rng.random() < 0.5:
        wave = np.sign(wave)
    changed = image + wave[..., None] * _swing(rng, 30)
    image[:] = np.clip(changed, 0, 255).astype(np.uint8)


def _colour(rng: np.random.Generator) -> tuple[float, float, float]:
    """Greys are likelier than bright colours, as in photographs."""
    colour = rng.uniform(0, 255, 3)
    colour = colour.mean() + (colour - colour.mean()) * rng.uniform(0, 1) ** 1.5
    return tuple(colour.tolist())


def _swing(rng: np.random.Generator, spread: float) -> np.ndarray:
    """A colour difference [3] float32, mostly one of brightness."""
    return (rng.normal(0, spread) + rng.normal(0, 0.35 * spread, 3)).astype(np.float32)


def _point(place: np.ndarray) -> tuple[int, int]:
    return round(float(place[0])), round(float(place[1]))
