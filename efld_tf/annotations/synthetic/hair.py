"""The extent and the thickness of the hair, as functions of the place on the head."""

from __future__ import annotations

import numpy as np

from efld_tf.annotations.synthetic.curves import Curves
from efld_tf.annotations.synthetic.parameters import Look

# Hairline height s by |angle| in degrees. Larger s is lower on the head.
_ANGLES = np.array([0, 15, 30, 45, 58, 68, 76, 84, 96, 108, 125, 180])
_LINES = {
    "bald": [-300, -300, -300, -300, -300, -300, -300, -300, -300, -300, -300, -300],
    "receding": [-165, -165, -150, -130, -100, -70, -45, -32, -25, 20, 45, 55],
    "buzz": [-103, -102, -99, -92, -84, -62, -36, -25, -28, 15, 40, 50],
    "short": [-101, -100, -97, -91, -82, -60, -32, -18, -25, 15, 42, 55],
    "fringe": [-72, -73, -75, -78, -76, -58, -28, -14, -10, 25, 50, 60],
    "bob": [-100, -98, -96, -92, -84, -66, -30, 30, 60, 70, 75, 80],
    "long": [-101, -99, -97, -92, -84, -66, -30, 60, 130, 140, 150, 150],
    "tied": [-101, -100, -98, -92, -84, -64, -40, -28, -20, 5, 20, 30],
    "cover": [-88, -88, -87, -82, -70, -45, -10, 40, 90, 110, 120, 120],
}
_THICKNESS = {
    "bald": 0, "receding": 3, "buzz": 2, "short": 12, "fringe": 13, "bob": 13, "long": 13,
    "tied": 5, "cover": 7,
}  # fmt: skip


def hairline(look: Look, angle: np.ndarray) -> np.ndarray:
    """The height s above which hair grows, at an angle in radians."""
    degrees = np.abs(np.degrees(angle))
    line = np.interp(degrees, _ANGLES, _LINES[look.hair_style])
    length = look.hair_length - 100
    if drapes(look):
        line = line + length * np.clip((degrees - 78) / 15, 0, 1)
    front = np.exp(-((degrees / 50) ** 2))
    swing = 9 * look.hair_part * np.sin(np.radians(np.clip(np.degrees(angle), -60, 60)) * 2.2)
    if look.hair_style in ("fringe", "bob", "long", "short"):
        line = line + swing
    return (line + look.hairline * front).astype(np.float32)


def coverage(look: Look, angle: np.ndarray, s: np.ndarray) -> np.ndarray:
    """How much of a place is hair, in [0, 1]."""
    if look.hair_style == "bald":
        return np.zeros(np.broadcast_shapes(angle.shape, s.shape), np.float32)
    return np.clip((hairline(look, angle) - s) / 7 + 0.5, 0, 1)


def thickness(look: Look, angle: np.ndarray, s: np.ndarray) -> np.ndarray:
    """How far hair stands off the skin, in mm."""
    inward = np.clip((hairline(look, angle) - s) / 45, 0, 1) ** 0.7
    side = np.clip((np.abs(angle) - 1.15) / 0.5, 0, 1) * drapes(look)
    wave = 1 + (0.08 + 0.22 * look.hair_curl) * np.sin(
        7 * angle + 2.5 * look.hair_part
    ) * np.sin(s / 13 + 9 * look.hair_part)
    amount = _THICKNESS[look.hair_style] * look.hair_thickness
    return amount * np.maximum(0.25 + 0.75 * inward, 0.9 * side) * wave


def drapes(look: Look) -> float:
    """1 if hair (or a veil) falls over the neck, else 0."""
    return float(look.hair_style in ("bob", "long", "cover"))


def skull_edge(angle: np.ndarray, curves: Curves) -> np.ndarray:
    """The height s below which the head turns in to the neck: the jaw's edge, then the nape."""
    degrees = np.abs(np.degrees(angle))
    edge = curves.lowered([70.5, 68, 60, 49, 35.5])
    edge_at = np.interp(
        degrees, [0, 18.5, 37, 54, 66, 73, 82, 96, 180], [*edge, 23.0, 8.0, 0.0, 10.0]
    )
    return edge_at.astype(np.float32)
