"""Frames in which rendered faces move, for tests of landmarks in photos and videos."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.synthetic.dataset import write_dataset

Person = tuple[np.ndarray, np.ndarray]  # a photo and its 68 points

WIDTH, HEIGHT = 960, 540


def people(folder: Path, count: int = 2) -> list[Person]:
    """Rendered people, of 256 pixels."""
    write_dataset(folder, "ibug68", count, seed=11, size=256, workers=1, progress=False)
    records = sources.read(sources.parse(f"ibug:{folder}"), "stop").records
    return [(read_image(record), record.points) for record in records]


def frame(shown: list[tuple[Person, float, float]]) -> tuple[np.ndarray, list[np.ndarray]]:
    """A frame with people at their places (left, top); and their points in it."""
    coarse = np.random.default_rng(3).integers(60, 180, (5, 8, 3)).astype(np.uint8)
    canvas = cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    truth = []
    for (photo, points), left, top in shown:
        matrix = np.array([[1.0, 0, left], [0, 1, top]])
        cv2.warpAffine(photo, matrix, (WIDTH, HEIGHT), dst=canvas, flags=cv2.INTER_LINEAR,
                       borderMode=cv2.BORDER_TRANSPARENT)
        truth.append(points + np.array([left, top]))
    return canvas, truth
