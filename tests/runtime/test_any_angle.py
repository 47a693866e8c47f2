"""Faces are found at any angle, and their points are right, or they are not reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.evaluation.scenes import place, turned
from efld_tf.landmarks import schemas
from efld_tf.runtime import any_angle
from efld_tf.runtime.any_angle import AnyAngleDetector, open_detector
from efld_tf.runtime.detector import Detection, FaceDetector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.overlap import iou
from efld_tf.runtime.predictor import LandmarkPredictor

SCHEMA = schemas.get("ibug51")
INNER = list(schemas.get("ibug68").subset_indices("ibug51"))
Face = tuple[np.ndarray, np.ndarray]


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[Face]:
    """Photos of one person with the 51 points."""
    records = sources.read(f"ibug:{shared_data}/ibug/helen/trainset").records[:48:6]
    return [(read_image(record), record.points[INNER]) for record in records]


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())


def _error(points: np.ndarray, truth: np.ndarray) -> float:
    """The mean distance in that of the eyes."""
    right, left = SCHEMA.anchor_points(truth)[:2]
    return float(np.linalg.norm(points - truth, axis=1).mean() / np.linalg.norm(left - right))


@pytest.mark.parametrize("degrees", [0, 45, 75, 90, 105, 135, 180, 210, 255, 300])
@pytest.mark.parametrize("model", [
    "research", pytest.param("synthetic", marks=pytest.mark.long)])
def test_faces_at_an_angle(faces: list[Face], degrees: float, model: str) -> None:
    finder = FaceLandmarker(LandmarkPredictor(model), open_detector())
    found = 0
    for image, points in faces:
        photo, truth = turned(image, points, degrees)
        for face in finder.find(photo):
            assert _error(face.points, truth) < 0.2
            assert face.angle is not None
            lean = np.radians(face.angle - degrees)
            assert np.cos(lean) > np.cos(np.radians(30))  # heads lean, too
            found += 1
    assert found >= len(faces) - 1


def test_small_faces_of_a_photo_that_lies_on_its_side(faces: list[Face]) -> None:
    """Those that only a search of the turned photo finds."""
    scene = np.full((900, 1200, 3), 110, np.uint8)
    places = [(100, 100, 0.9), (700, 150, 0.3), (900, 600, 0.3), (500, 600, 0.35)]
    for (image, _), (x, y, scale) in zip(faces, places, strict=False):
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        scene[y : y + small.shape[0], x : x + small.shape[1]] = small[: 900 - y, : 1200 - x]
    detector = open_detector()
    upright = detector.detect(scene)
    assert len(upright) == 4
    for quarters in (1, 2, 3):
        photo = np.ascontiguousarray(np.rot90(scene, -quarters))
        assert [found.quarters for found in detector.detect(photo)] == [quarters] * 4


@pytest.mark.parametrize("quarters", range(4))
def test_a_search_of_the_turned_photo_is_one_of_a_turned_copy(
    faces: list[Face], quarters: int
) -> None:
    image = np.ascontiguousarray(np.rot90(faces[0][0][:, :-7], -quarters))
    model = FaceDetector("full", min_face=60)
    copy = model.detect(np.ascontiguousarray(np.rot90(image, quarters)))
    found = model.detect(image, quarters)
    assert len(found) == len(copy) > 0
    height, width = image.shape[:2]
    for one, other in zip(found, copy, strict=True):
        x, y = other.keypoints.T
        back = [(x, y), (width - 1 - y, x), (width - 1 - x, height - 1 - y), (y, height - 1 - x)]
        np.testing.assert_allclose(one.keypoints, np.column_stack(back[quarters]), atol=0.01)
        assert abs(one.score - other.score) < 1e-3
        assert np.isclose(np.ptp(one.box[::2]), np.ptp(other.box[quarters % 2 :: 2]), atol=0.01)


def test_small_frontal_faces_of_a_scene(faces: list[Face], landmarker: FaceLandmarker) -> None:
    """All of 48 and 64 pixels are found by default, wherever they are."""
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(40, 216, (6, 8, 3)).astype(np.uint8), (1280, 960),
                       interpolation=cv2.INTER_CUBIC)
    places = [place(scene, image, points, size, np.array([x, y])) for (image, points), size, x, y
              in zip(faces, [48, 64] * 4, [60, 390, 720, 1200] * 2, [90] * 4 + [600] * 4,
                     strict=True)]
    found = landmarker.find(scene)
    assert len(found) == len(places)
    for truth in places:
        assert min(_error(face.points, truth) for face in found) < 0.2


@pytest.mark.parametrize("size", [(1280, 720), (1280, 536), (720, 1280)])
def test_a_film_in_which_people_lean_is_searched_everywhere(
    faces: list[Face], size: tuple[int, int]
) -> None:
    """The same frame turned is another call of a detector, not another turn of the squares."""
    width, height = size
    finder = FaceDetector("full", min_face=None).for_video()
    places: list[set[tuple[float, float]]] = [set(), set(), set()]
    look = finder._look
    frame = np.full((height, width, 3), 110, np.uint8)
    for _ in range(4):
        for calls, turn in zip(places, (0, 1, 3), strict=True):
            finder._look = lambda view, left, top, side, calls=calls: (  # type: ignore
                calls.add((left, top)), look(view, left, top, side))[1]
            finder.detect(frame, turn)
    assert len({len(calls) for calls in places}) == 1
    squares = 2 if max(size) < 2 * min(size) else 3
    assert len(places[0]) == squares + 1


def test_faces_at_the_corners_of_tiles(faces: list[Face], landmarker: FaceLandmarker) -> None:
    """Those that no small tile shows whole are seen in a larger one."""
    missed = 0
    for size in (100, 130, 160):
        for image, points in faces:
            scene = np.full((1200, 1600, 3), 110, np.uint8)
            truth = place(scene, image, points, size, np.array([350.0, 350.0]))
            missed += not any(_error(face.points, truth) < 0.2 for face in landmarker.find(scene))
    assert missed == 0


def test_a_large_face_in_the_middle_of_a_film(faces: list[Face]) -> None:
    """It is whole in none of the squares at which a detector looks by turns."""
    frame = np.full((720, 1280, 3), 110, np.uint8)
    frame[40:680, 320:960] = cv2.resize(faces[0][0], (640, 640))
    for name in ("full", "both"):
        detector = open_detector(name).for_video()
        assert any(detector.detect(frame) for _ in range(3))


def test_a_wrong_box_does_not_hide_the_right_one(faces: list[Face]) -> None:
    """Whichever detector found it: the surer one is taken."""
    image = faces[0][0]
    detector = AnyAngleDetector()
    [right] = detector.detect(image)
    side = right.box[2] - right.box[0]

    class Wrong:
        name, min_face = "short", None

        def detect(self, image: np.ndarray, quarter_turns: int = 0) -> list[Detection]:
            moved = np.array([0.3, 0.25]) * side
            return [Detection(right.box + np.tile(moved, 2), right.keypoints + moved, 0.57,
                              "short")] * (not quarter_turns)

    detector._finders.insert(0, Wrong())  # type: ignore[arg-type]
    [found] = detector.detect(image)
    assert iou(found.box, right.box[None])[0] > 0.9
    assert found.score == right.score


def test_known_faces_are_left_out(faces: list[Face], landmarker: FaceLandmarker) -> None:
    image = np.hstack([cv2.resize(photo, (400, 400)) for photo, _ in faces[:3]])
    found = landmarker.find_in_crops(image)
    assert len(found) == 3
    first, *others = found
    newcomers, [agreed] = landmarker.look_out(image, [first.crop], [first.face.points])
    assert sorted(one.face.box[0] for one in newcomers) == sorted(o.face.box[0] for o in others)
    assert agreed is not None and agreed > 0.8
    crops, points = [one.crop for one in found], [one.face.points for one in found]
    nobody, agreements = landmarker.look_out(image, crops, points)
    assert nobody == [] and min(value or 0 for value in agreements) > 0.8
    # Where there is no face, and where a face would reach out of the picture.
    empty = np.full_like(image, 120)
    outside = replace(first.crop, center_x=0.0)
    assert landmarker.look_out(empty, [first.crop, outside], points[:2]) == ([], [0.0, None])


def test_own_detectors_tell_whether_points_agree(faces: list[Face]) -> None:
    image = faces[0][0]
    for detector in (FaceDetector("short"), FaceDetector("full")):
        landmarker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), detector)
        [found] = landmarker.find_in_crops(image)
        points = found.face.points
        [], [right] = landmarker.look_out(image, [found.crop], [points])
        [], [wrong] = landmarker.look_out(image, [found.crop], [points + 0.5 * np.ptp(points)])
        assert right is not None and wrong is not None and wrong < 0.1 < 0.8 < right


def test_the_least_score_holds_for_faces_from_near_by(faces: list[Face]) -> None:
    scores = []
    for image, _ in faces:
        scores += [found.score for found in open_detector(min_score=0.93).detect(image)]
    assert 0 < len(scores) < len(faces) and min(scores) >= 0.93


def test_a_doubtful_detection_does_not_hide_a_sure_one(faces: list[Face]) -> None:
    image = faces[0][0]
    detector = AnyAngleDetector()
    [right] = detector.detect(image)

    class Fixed:
        min_face = None

        def __init__(self, name: str, score: float):
            self.name, self.score = name, score

        def detect(self, image: np.ndarray, quarter_turns: int = 0) -> list[Detection]:
            return [replace(right, score=self.score, detector=self.name)] * (not quarter_turns)

    settled: list[float] = []
    settle = detector._settle

    def spied(image: np.ndarray, found: any_angle._Found) -> list[any_angle._Face]:
        settled.append(found.detection.score)
        return settle(image, found)

    detector._settle = spied  # type: ignore[method-assign]
    detector._finders = [Fixed("full", 0.59), Fixed("short", 0.51)]  # type: ignore[list-item]
    assert len(detector.detect(image)) == 1
    assert settled[0] == 0.51


def test_nothing_is_found_in_patterns(landmarker: FaceLandmarker) -> None:
    rng = np.random.default_rng(0)
    for cells in (2, 6, 20, 80):
        coarse = rng.integers(0, 256, (cells, cells, 3)).astype(np.uint8)
        image = cv2.resize(coarse, (640, 480), interpolation=cv2.INTER_CUBIC)
        assert landmarker.find(image) == []
