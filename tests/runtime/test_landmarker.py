"""From a photo to the landmarks of all its faces."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.evaluation import detected
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import Crop, apply_affine, extract_crop, tight_box
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker, distinct
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import refuses
from tests.runtime import moving

INNER = list(schemas.get("ibug68").subset_indices("ibug51"))


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[moving.Person]:
    return moving.people(tmp_path_factory.mktemp("people") / "faces")


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector("both"))


def nme(face: Face, truth: np.ndarray) -> float:
    schema = schemas.get("ibug51")
    return float(metrics.nme(face.points[None], truth[None, INNER], schema)[0])


def test_two_faces_of_a_photo(people: list[moving.Person], landmarker: FaceLandmarker) -> None:
    image, truth = moving.frame([(people[0], 40, 60), (people[1], 600, 200)])
    faces = landmarker.find(image)
    assert len(faces) == 2
    for points in truth:
        assert min(nme(face, points) for face in faces) < 0.08
    for face in faces:
        assert face.schema == "ibug51" and face.points.dtype == np.float32
        assert 0.5 < face.score <= 1 and 0.5 <= face.confidence <= 1 and face.track is None


def test_a_head_that_leans_is_looked_at_upright(people: list[moving.Person]) -> None:
    landmarker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector("both"))
    image, truth = moving.frame([(people[0], 350, 140)])
    upright = nme(landmarker.find(image)[0], truth[0])
    for degrees in (25, 45, -45):
        matrix = cv2.getRotationMatrix2D((480, 270), degrees, 1.0)
        turned = cv2.warpAffine(image, matrix, image.shape[1::-1])
        faces = landmarker.find(turned)
        assert len(faces) == 1
        assert nme(faces[0], apply_affine(matrix, truth[0])) < upright + 0.02


def test_the_same_photo_gives_the_same_points(
    people: list[moving.Person], landmarker: FaceLandmarker
) -> None:
    image, _ = moving.frame([(people[0], 40, 60)])
    other, _ = moving.frame([(people[1], 400, 100)])
    first = landmarker.find(image)[0].points
    landmarker.find(other)
    assert np.array_equal(landmarker.find(image.copy())[0].points, first)


def test_boxes_instead_of_a_detector(people: list[moving.Person]) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    image, truth = moving.frame([(people[0], 40, 60), (people[1], 600, 200)])
    boxes = [tight_box(points) for points in truth]
    faces = FaceLandmarker(predictor).find(image, boxes)
    assert np.array_equal([face.points for face in faces], predictor.predict(image, boxes))
    assert all(face.score == 1 for face in faces)
    assert FaceLandmarker(predictor).find(image, []) == []


def test_a_hundred_faces(people: list[moving.Person]) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    image, truth = moving.frame([(people[0], 300, 100)])
    box = tight_box(truth[0])
    points = predictor.predict(image, [box] * 100)
    assert points.shape == (100, 51, 2) and (points == points[0]).all()


def test_crops_cut_into_the_model_are_those_of_extract_crop(people: list[moving.Person]) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    image, truth = moving.frame([(people[0], 300, 100)])
    x, y = truth[0].mean(axis=0)
    crops = [Crop(x, y, side) for side in (60.0, 210.0, 300.0, 900.0)]
    crops += [Crop(-500.0, 0.0, 100.0), Crop(5.0, 5.0, 200.0)]
    pixels = np.array([extract_crop(image, crop, 128) for crop in crops])
    direct = predictor.predict_in(image, crops).points
    units = predictor.predict_crops(pixels)
    expected = [crop.from_unit(unit) for crop, unit in zip(crops, units, strict=True)]
    assert np.allclose(direct, expected, atol=1e-3)


def test_predictors_of_two_threads_do_not_disturb_each_other(
    people: list[moving.Person]
) -> None:
    image, truth = moving.frame([(people[0], 300, 100)])
    box = tight_box(truth[0])
    expected = LandmarkPredictor(assets.INT8_MODEL).predict(image, [box])
    found: list[np.ndarray] = []

    def work() -> None:
        predictor = LandmarkPredictor(assets.INT8_MODEL)
        found.extend(predictor.predict(image, [box]) for _ in range(50))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 150 and all(np.array_equal(points, expected) for points in found)


def test_nothing_to_find(landmarker: FaceLandmarker) -> None:
    rng = np.random.default_rng(0)
    assert landmarker.find(rng.integers(0, 256, (300, 400, 3)).astype(np.uint8)) == []
    assert landmarker.find(np.zeros((1, 1, 3), np.uint8)) == []


def test_a_square_without_a_face_gives_no_confidence(
    people: list[moving.Person], landmarker: FaceLandmarker
) -> None:
    image, truth = moving.frame([(people[0], 600, 200)])
    good = landmarker.crop_around(truth[0][INNER])
    huge, far = Crop(0.0, 0.0, 1e7), Crop(-1e4, 0.0, 50.0)
    confidence = landmarker.look(image, [good, huge, far]).confidence
    assert confidence[0] > 0.5 and confidence[1] == 0 and (confidence <= 1).all()


def test_one_face_is_kept_of_those_on_the_same_points() -> None:
    points = np.array([[0, 0], [10, 10]], np.float32)
    faces = [
        Face(points + shift, "ibug51", np.zeros(4), 1.0, confidence)
        for shift, confidence in ((0, 0.6), (1, 0.9), (40, 0.5))
    ]
    assert distinct(faces) == [faces[1], faces[2]]


def test_what_is_not_possible_is_refused(landmarker: FaceLandmarker) -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    with refuses("boxes", "detector"):
        FaceLandmarker(predictor).find(image)
    with refuses("passes", 1, "min_confidence"):
        FaceLandmarker(predictor, passes=0)
    with refuses("boxes", "x0 < x1", "[5 5 4 9]"):
        landmarker.find(image, [np.array([5, 5, 4, 9])])
    with refuses("image", "[H, W, 3]", "(20, 20)"):
        landmarker.find(np.zeros((20, 20), np.uint8))


@pytest.mark.long
def test_real_faces_in_scenes_as_good_as_by_their_boxes(shared_data: Path) -> None:
    """A sample of the training faces; benchmarks/detector.py measures the test set."""
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    landmarker = FaceLandmarker(predictor, open_detector("both"))
    source = f"ibug:{shared_data}/ibug/helen/trainset"
    found = detected.measure_landmarks(
        landmarker, source, scenes=True, limit=150, progress=False
    ).summary()
    assert found["missed"] <= 2
    assert found["nme_found_percent"] < 1.12 * found["nme_annotated_box_percent"]


def test_no_tensorflow_and_no_mediapipe_on_the_way() -> None:
    code = (
        "import sys, numpy as np\n"
        "from efld_tf import assets\n"
        "from efld_tf.runtime.any_angle import open_detector\n"
        "from efld_tf.runtime.landmarker import FaceLandmarker\n"
        "from efld_tf.runtime.predictor import LandmarkPredictor\n"
        "found = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())\n"
        "assert found.find(np.zeros((200, 200, 3), np.uint8)) == []\n"
        "print(sorted({n.partition('.')[0] for n in sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(out.stdout.replace("'", "").strip("[]\n").split(", "))
    assert "cv2" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "mediapipe", "jax", "scipy", "matplotlib"}
