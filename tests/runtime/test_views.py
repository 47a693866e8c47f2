"""The mean of several views of a face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import apply_affine
from efld_tf.runtime import views
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.mesh import MeshPredictor
from efld_tf.runtime.predictor import LandmarkPredictor

IBUG = schemas.get("ibug68")


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[tuple[FaceRecord, np.ndarray]]:
    records = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[::11]
    return [(record, read_image(record)) for record in records]


def landmarker_of(predictor: LandmarkPredictor) -> FaceLandmarker:
    return FaceLandmarker(predictor)


def first_look(predictor: LandmarkPredictor, image: np.ndarray, points: np.ndarray) -> list[Face]:
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return landmarker_of(predictor).find(image, [box])


@given(
    index=st.integers(0, 40), roll=st.floats(-3.2, 3.2), size=st.sampled_from([64, 128, 192]),
)  # fmt: skip
def test_a_view_shows_the_middle_in_the_middle_and_turned_back(
    index: int, roll: float, size: int
) -> None:
    side = round(views.FINER * views.MARGIN * size)
    matrix = views.view(index, roll, side, size)
    middle = np.array([(side - 1) / 2] * 2)
    away = apply_affine(matrix, middle) - (size - 1) / 2
    assert np.linalg.norm(away) <= (views.SHIFT * size if index > 1 else 0) + 1e-6
    # What lies along the eyes lies level in the view: to the right, or mirrored to the left.
    along = matrix[:, :2] @ [np.cos(roll), np.sin(roll)]
    assert along[1] == pytest.approx(0, abs=1e-9) and (along[0] < 0) == bool(index % 2)
    # The crop, which is 1 / MARGIN of the wide square, fills the view, but for the zoom.
    fills = abs(along[0]) * side / views.MARGIN / size
    assert abs(fills - 1) <= (views.SCALE if index > 1 else 0) + 1e-6


@pytest.mark.parametrize("kind", ["mesh", "shipped"])
def test_several_views_are_better_than_one(kind: str, faces: list) -> None:
    predictor = MeshPredictor() if kind == "mesh" else LandmarkPredictor(assets.INT8_MODEL)
    one, several, spreads, inner = [], [], [], schemas.get("ibug51")

    def error(face: Face, truth: np.ndarray) -> float:
        points = schemas.get(face.schema).convert(face.points, None, "ibug51")[0]
        return float(metrics.nme(points[None], truth[None, 17:], inner)[0])

    for record, image in faces:
        found = first_look(predictor, image, record.points)
        averaged, (spread,) = views.mean(predictor, landmarker_of(predictor), image, found, 4)
        one.append(error(found[0], record.points))
        several.append(error(averaged[0], record.points))
        spreads.append(spread)
        assert averaged[0].points.shape == found[0].points.shape
        assert averaged[0].points.dtype == np.float32 and 0 < averaged[0].confidence <= 1
    assert np.mean(several) < np.mean(one) < 0.045
    # Small where the model sees the same in all views, and larger for some faces than for others.
    assert min(spreads) > 0 and max(spreads) < 15


def test_a_turned_face_has_the_same_points_turned(faces: list) -> None:
    """The views are cut upright: the model sees the same, but for the corners of the photo."""
    predictor = MeshPredictor()
    landmarker = landmarker_of(predictor)
    for record, image in faces[:6]:
        height, width = image.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), 20, 1)
        turned = cv2.warpAffine(image, matrix, (width, height))
        truth = apply_affine(matrix, record.points.astype(np.float64))
        as_is, again = (
            views.mean(predictor, landmarker, picture, first_look(predictor, picture, points), 2)
            [0][0].points.astype(np.float64)
            for picture, points in ((image, record.points), (turned, truth))
        )
        away = np.linalg.norm(apply_affine(matrix, as_is) - again, axis=-1)
        assert away.mean() < 0.02 * IBUG.normaliser.distance(truth)


def test_no_face_has_no_views(faces: list) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    assert views.mean(predictor, landmarker_of(predictor), faces[0][1], [], 4) == ([], [])
