"""Small annotated data sets for tests: drawn faces whose eyes, nose and mouth can be seen."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from efld_tf.landmarks import schemas


def mean_shape(schema: str) -> np.ndarray:
    """A rough face [N, 2] in the unit square, symmetric but for profiles: ellipses and arcs."""
    found = schemas.get(schema)
    shape = np.full((found.num_points, 2), 0.5)
    centres = {
        "right_eye": (0.33, 0.38), "left_eye": (0.67, 0.38), "right_eyebrow": (0.33, 0.28),
        "left_eyebrow": (0.67, 0.28), "right_pupil": (0.33, 0.38), "left_pupil": (0.67, 0.38),
        "outer_lips": (0.5, 0.72), "inner_lips": (0.5, 0.72), "mouth": (0.5, 0.72),
        "nose": (0.5, 0.55), "nose_bridge": (0.5, 0.48), "nose_base": (0.5, 0.58),
        "jaw": (0.5, 0.45), "face_contour": (0.5, 0.5),
        "chin": (0.5, 0.95),
        "eyebrow": (0.5, 0.28), "eye": (0.5, 0.38), "head": (0.5, 0.45), "hairline": (0.5, 0.1),
        "right_eye_centre": (0.33, 0.38), "left_eye_centre": (0.67, 0.38),
    }
    for part in found.parts:
        count, centre = len(part.points), np.array(centres.get(part.name, (0.5, 0.5)))
        radius = np.array({
            "jaw": (0.42, 0.5), "face_contour": (0.42, 0.5), "outer_lips": (0.14, 0.06),
            "inner_lips": (0.1, 0.03), "mouth": (0.14, 0.0),
        }.get(part.name, (0.08, 0.03)))
        if part.closed:
            angle = np.pi + 2 * np.pi * np.arange(count) / count
        else:
            angle = np.pi - np.pi * np.arange(count) / max(count - 1, 1)
        offset = np.stack([np.cos(angle), np.sin(angle)], -1) * radius
        shape[list(part.points)] = centre + (offset if count > 1 else 0)
    if found.flip == tuple(range(found.num_points)):  # a profile: no point has a partner
        return shape
    mirrored = shape[list(found.flip)] * [-1, 1] + [1, 0]
    return (shape + mirrored) / 2


def draw_face(schema: str, rng: np.random.Generator, size: int = 96):
    """A drawn face and its points [N, 2] in pixels."""
    angle, scale = rng.normal(0, 0.1), rng.uniform(0.5, 0.65) * size
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points = (mean_shape(schema) - 0.5) @ rotation.T * scale + size / 2 + rng.normal(0, 2, 2)
    image = rng.integers(90, 160, (size, size, 3)).astype(np.uint8)
    cv2.circle(image, (size // 2, size // 2), int(0.55 * scale), (200, 170, 150), -1)
    for group in schemas.get(schema).anchors.values():
        x, y = points[list(group)].mean(axis=0)
        cv2.circle(image, (round(float(x)), round(float(y))), max(2, size // 24), (20, 10, 10), -1)
    return image, points


def write_ibug(folder: Path, count: int, schema: str = "ibug68", seed: int = 0) -> Path:
    """A folder of drawn faces as images with `.pts` files."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image, points = draw_face(schema, rng)
        cv2.imwrite(str(folder / f"face_{index:03d}x.png"), image[..., ::-1])
        lines = [f"{x + 1:.6f} {y + 1:.6f}" for x, y in points]
        text = "\n".join(["version: 1", f"n_points:  {len(points)}", "{", *lines, "}", ""])
        (folder / f"face_{index:03d}x.pts").write_text(text)
    return folder


def write_five_points(folder: Path, count: int, seed: int = 0) -> Path:
    """Drawn faces with a five-point list file; returns the list."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        image, points = draw_face("mtfl5", rng)
        cv2.imwrite(str(folder / f"{index}_0_0.png"), image[..., ::-1])
        x0, y0 = points.min(axis=0) - 15
        x1, y1 = points.max(axis=0) + 15
        values = [x0, x1, y0, y1, *points.ravel()]
        lines.append(" ".join([f"{index}_0_0.png", *(f"{v:.2f}" for v in values)]))
    path = folder / "list.txt"
    path.write_text("\n".join(lines) + "\n")
    return path
