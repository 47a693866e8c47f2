"""The rendered faces that `efld-predict` is tried on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor

FACES = 4


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    return [render_face(5, index, 256).image for index in range(FACES)]


@pytest.fixture
def folder(tmp_path: Path, faces: list[np.ndarray]) -> Path:
    """A folder with `photos/`: three photos of a face, one in a sub-folder, and one of a wall."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name, face in zip(("2.png", "10.jpg", "sub/c.png"), faces, strict=False):
        Image.fromarray(face).save(tmp_path / "photos" / name, quality=95)
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(tmp_path / "photos" / "wall.png")
    return tmp_path


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())
