"""Confidence is low where a detector sees eyes, nose and mouth elsewhere, as of profiles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.images import read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.landmarks import schemas
from efld_tf.runtime import agreement
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.blazeface import KEYPOINTS
from efld_tf.runtime.detector import Detection
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import ELSEWHERE, FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.parts import EYES

FIVE = schemas.get("mtfl5")
PLACES = np.array([[30.0, 40], [70, 40], [50, 60], [35, 80], [65, 80]])


def _seen(places: np.ndarray = PLACES) -> Detection:
    """What a detector finds of a face whose five points are there."""
    ends = dict(zip(("right_eye", "left_eye", "nose_tip"), places[:3], strict=True))
    ends["mouth"] = places[3:].mean(axis=0)
    keypoints = np.array([ends.get(name, np.array([50.0, 50])) for name in KEYPOINTS])
    return Detection(np.array([0.0, 0, 100, 100]), keypoints, 0.9, "short")


def test_the_distances_by_hand() -> None:
    moved = PLACES + np.array([3, 4])
    distance, eyes = agreement.features(moved, FIVE, _seen())
    side = 1.1795 * 100  # of the reference crop of a short-range box
    assert (distance, eyes) == pytest.approx((5 / side, 40 / side))
    assert agreement.agreement(PLACES, FIVE, _seen()) > 0.95
    assert agreement.agreement(PLACES + 20, FIVE, _seen()) < 0.01
    mirrored = PLACES[[1, 0, 2, 4, 3]]
    assert agreement.agreement(mirrored, FIVE, _seen()) < 0.5


def test_a_part_of_the_face_is_compared_as_far_as_it_goes() -> None:
    points = np.zeros((EYES.schema.num_points, 2))
    for name, place in zip(("right_eye", "left_eye"), PLACES, strict=False):
        points[list(EYES.schema.anchors[name])] = place
    assert agreement.features(points, EYES.schema, _seen())[0] == pytest.approx(0)


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(
        LandmarkPredictor(assets.INT8_MODEL), open_detector(), min_confidence=0)


def _surest(faces: list[Face]) -> float:
    return max((face.confidence for face in faces), default=0.0)


@pytest.mark.parametrize("model", ["research", "synthetic"])
def test_rendered_heads(model: str) -> None:
    """Up to 30 degrees of yaw all are sure, and of profiles few; also without presence."""
    landmarker = FaceLandmarker(LandmarkPredictor(model), open_detector())
    sure = {yaw: np.mean([_surest(landmarker.find(render_face(31, index, 256, sign * yaw).image))
                          >= 0.5 for index in range(8) for sign in (-1, 1)])
            for yaw in (0, 30, 80)}
    assert sure[0] == sure[30] == 1 and sure[80] <= 0.25


def test_real_heads(landmarker: FaceLandmarker, shared_data: Path) -> None:
    folder = shared_data / "aflw2000_shapes"
    heads = [json.loads(line) for line in (folder / "shapes.jsonl").read_text().splitlines()]
    shares = []
    for least, most in ((0, 20), (75, 90)):
        chosen = [head for head in heads if least <= abs(head["yaw_degrees"]) <= most][:24]
        faces = [landmarker.find(read_photo(folder / head["image"], upright=True))
                 for head in chosen]
        shares.append(np.mean([_surest(found) >= 0.5 for found in faces]))
        if least:
            # Most of them are told from what is no face.
            assert np.mean([0.1 < _surest(found) <= 2 * ELSEWHERE for found in faces]) > 0.4
    assert shares[0] == 1 and shares[1] <= 0.3
