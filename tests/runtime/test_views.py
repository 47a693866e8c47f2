"""The mean of several views of a face."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import Crop, apply_affine
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime import views
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.mesh import MeshPredictor
from efld_tf.runtime.predictor import LandmarkPredictor

IBUG, INNER = schemas.get("ibug68"), schemas.get("ibug51")


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[tuple[FaceRecord, np.ndarray]]:
    records = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[::11]
    return [(record, read_image(record)) for record in records]


def landmarker_of(predictor: LandmarkPredictor) -> FaceLandmarker:
    return FaceLandmarker(predictor)


def first_look(predictor: LandmarkPredictor, image: np.ndarray, points: np.ndarray) -> list[Face]:
    box = np.concatenate([points.min(axis=0), points.max(axis=0)])
    return landmarker_of(predictor).find(image, [box])


def test_views_are_about_the_crop() -> None:
    assert views.view(0) == views.view(1) == Crop(0.5, 0.5, 1.0)
    others = [views.view(index) for index in range(2, 40)]
    assert len(set(others)) == len(others)
    for square in others:
        away = np.hypot(square.center_x - 0.5, square.center_y - 0.5)
        assert away == pytest.approx(views.SHIFT)
        assert abs(square.side - 1) == pytest.approx(views.SCALE)


def test_all_views_of_a_marker_agree() -> None:
    """A stand-in for a model that finds the brightest pixel: the geometry of every view."""

    class Finder:
        schema, input_size = "mtfl5", 128

        def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
            units = []
            for crop in crops:
                row, column = np.unravel_index(crop[..., 0].argmax(), crop.shape[:2])
                units.append([[(column + 0.5) / 128, (row + 0.5) / 128]] * 5)
            return ModelOutputs(np.array(units, np.float32))

    image = np.zeros((300, 300, 3), np.uint8)
    cv2.circle(image, (140, 170), 2, (255, 255, 255), -1)
    cv2.circle(image, (140, 170), 5, (100, 100, 100), 2)
    crop = Crop(150.0, 160.0, 110.0, 0.7)
    points = views.look(Finder(), image, crop, 9).points
    assert points.shape == (9, 5, 2)
    assert np.abs(points - [140, 170]).max() < 2.5


@pytest.mark.parametrize("kind", ["mesh", "shipped"])
def test_several_views_are_better_than_one(kind: str, faces: list) -> None:
    predictor = MeshPredictor() if kind == "mesh" else LandmarkPredictor(assets.INT8_MODEL)
    one, several, spreads, inner = [], [], [], schemas.get("ibug51")

    def error(face: Face, truth: np.ndarray) -> float:
        points = schemas.get(face.schema).convert(face.points, None, "ibug51")[0]
        return float(metrics.nme(points[None], truth[None, 17:], inner)[0])

    for record, image in faces:
        found = first_look(predictor, image, record.points)
        averaged, (spread,) = views.mean(landmarker_of(predictor), image, found, 4)
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
            views.mean(landmarker, picture, first_look(predictor, picture, points), 2)
            [0][0].points.astype(np.float64)
            for picture, points in ((image, record.points), (turned, truth))
        )
        away = np.linalg.norm(apply_affine(matrix, as_is) - again, axis=-1)
        assert away.mean() < 0.02 * IBUG.normaliser.distance(truth)


def test_no_face_has_no_views(faces: list) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    assert views.mean(landmarker_of(predictor), faces[0][1], [], 4) == ([], [])


def test_models_count_by_how_far_their_views_agree() -> None:
    """By hand: two models, of one view and of two views that are 2% of the size apart."""
    one = np.array([[[10.0, 0.0], [50.0, 0.0]]])
    other = np.array([[[12.0, 1.0], [60.0, 0.0]], [[12.0, -1.0], [60.0, 0.0]]])
    own, variance = views.LEAST**2, 0.01**2
    share = (1 / own) / (1 / own + 1 / (own + variance))
    expected = [[share * 10 + (1 - share) * 12, 0], [55, 0]]
    np.testing.assert_allclose(views.agreed([one, other], 100.0), expected, atol=1e-9)
    np.testing.assert_allclose(views.agreed([other], 100.0), other.mean(axis=0))


def test_together_they_see_each_face_in_one_schema(faces: list) -> None:
    mesh, shipped = FaceLandmarker(MeshPredictor()), FaceLandmarker(LandmarkPredictor("research"))
    record, image = faces[0]
    found = first_look(mesh.predictor, image, record.points)
    (face,), (apart,) = views.together([mesh, shipped], image, found, 3, "ibug51")
    alone = [views.mean(landmarker, image, first_look(landmarker.predictor, image, record.points),
                        3)[0][0] for landmarker in (mesh, shipped)]
    inner = [schemas.get(one.schema).convert(one.points, None, "ibug51")[0] for one in alone]
    assert face.schema == "ibug51" and face.points.shape == (51, 2) and face.box is found[0].box
    assert face.confidence == pytest.approx(min(one.confidence for one in alone), abs=0.01)
    # The second model looks where the first one sees the face, not where the box says.
    size = INNER.normaliser.distance(inner[0].astype(np.float64))
    assert 0 < apart < 5
    between = np.linalg.norm(face.points - (inner[0] + inner[1]) / 2, axis=-1)
    assert between.max() < 0.6 * np.linalg.norm(inner[0] - inner[1], axis=-1).max() + 0.005 * size


def test_a_face_that_one_model_does_not_see_is_no_face(faces: list) -> None:
    class Blind(MeshPredictor):
        """A mesh that never sees a face."""

        def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
            told = super().predict_outputs(crops)
            return told._replace(confidence=np.zeros(len(crops), np.float32))

    shipped = FaceLandmarker(LandmarkPredictor("research"))
    record, image = faces[0]
    found = first_look(shipped.predictor, image, record.points)
    (face,), (apart,) = views.together(
        [shipped, FaceLandmarker(Blind())], image, found, 2, "ibug51")
    assert face.confidence == 0 and np.isnan(apart)
