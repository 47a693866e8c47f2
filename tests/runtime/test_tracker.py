"""Faces of a video keep their numbers, are lost when they go, and are found again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.landmarks import metrics, schemas
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.detector import Detection
from efld_tf.runtime.faces import Face
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.tracker import FaceTracker, TrackerOptions
from tests.errors import refuses
from tests.runtime import moving

INNER = list(schemas.get("ibug68").subset_indices("ibug51"))
STEP = 1 / 30


class Counting:
    """A detector that counts how often it is asked."""

    def __init__(self) -> None:
        self.detector, self.calls = open_detector("short"), 0

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.calls += 1
        return self.detector.detect(image)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> list[moving.Person]:
    return moving.people(tmp_path_factory.mktemp("people") / "faces")


def tracker(detector: Counting, **options: object) -> FaceTracker:
    landmarker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), detector)
    return FaceTracker(landmarker, TrackerOptions(**options))


def nme(face: Face, truth: np.ndarray) -> float:
    schema = schemas.get("ibug51")
    return float(metrics.nme(face.points[None], truth[None, INNER], schema)[0])


def test_two_people_pass_each_other_and_keep_their_numbers(people: list[moving.Person]) -> None:
    detector = Counting()
    following = tracker(detector, smooth=False)
    numbers: dict[int, set[int]] = {0: set(), 1: set()}
    for index in range(40):
        # One goes down, the other up: at different x, so that neither hides the other.
        places = [(people[0], 60 + 2 * index, 20 + 4 * index), (people[1], 600, 220 - 4 * index)]
        image, truth = moving.frame(places)
        faces = following.update(image, index * STEP)
        assert len(faces) == 2
        for number, points in enumerate(truth):
            best = min(faces, key=lambda face, points=points: nme(face, points))
            assert nme(best, points) < 0.09
            numbers[number].add(best.track)
    assert numbers[0] != numbers[1] and all(len(found) == 1 for found in numbers.values())
    # At the start, and every 0.1 s, which is each third of 40 frames.
    assert detector.calls == 14


def test_a_face_that_goes_is_lost_and_keeps_its_number_when_it_is_soon_back(
    people: list[moving.Person]
) -> None:
    following = tracker(Counting(), remember_seconds=1.0)
    empty, _ = moving.frame([])
    image, _ = moving.frame([(people[0], 300, 100)])
    first = following.update(image, 0.0)[0].track
    assert following.update(image, 0.1)[0].track == first
    assert following.update(empty, 0.2) == []
    assert following.update(empty, 0.3) == []
    assert following.update(image, 0.6)[0].track == first
    assert following.update(empty, 0.7) == []
    assert following.update(image, 3.0)[0].track == first + 1


def test_a_cut_to_another_scene(people: list[moving.Person]) -> None:
    following = tracker(Counting())
    one, _ = moving.frame([(people[0], 50, 50)])
    other, truth = moving.frame([(people[1], 650, 250)])
    before = following.update(one, 0.0)
    after = following.update(other, STEP)
    assert len(before) == len(after) == 1
    assert after[0].track != before[0].track and nme(after[0], truth[0]) < 0.09


def test_newcomers_are_found_while_another_is_followed(people: list[moving.Person]) -> None:
    following = tracker(Counting(), detect_seconds=0.2)
    alone, _ = moving.frame([(people[0], 50, 100)])
    both, _ = moving.frame([(people[0], 50, 100), (people[1], 600, 100)])
    assert [face.track for face in following.update(alone, 0.0)] == [0]
    assert [face.track for face in following.update(both, 0.1)] == [0]
    assert [face.track for face in following.update(both, 0.25)] == [0, 1]


def test_without_a_face_it_searches_as_often_as_told(people: list[moving.Person]) -> None:
    detector = Counting()
    following = tracker(detector, search_seconds=0.1)
    empty, _ = moving.frame([])
    for index in range(30):
        assert following.update(empty, index * STEP) == []
    assert 9 <= detector.calls <= 11


def test_a_head_that_turns_to_profile_goes_and_comes_back() -> None:
    landmarker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())
    following = landmarker.track(TrackerOptions(remember_seconds=5))
    unsure = landmarker.track(TrackerOptions(min_confidence=0.1))
    yaws = [*range(0, 90, 5), *[90] * 10, *range(90, 0, -5), *[0] * 5]
    reported: dict[int, list[int]] = {0: [], 90: []}
    for index, yaw in enumerate(yaws):
        head = render_face(51, 1, 320, float(yaw))
        frame = np.full((480, 640, 3), 120, np.uint8)
        frame[80:400, 160:480] = head.image
        faces = following.update(frame, index * STEP)
        if yaw in reported:
            reported[yaw].append(len(faces))
            assert all(face.track == 0 for face in faces)
        unsure_faces = unsure.update(frame, index * STEP)
        assert unsure_faces and all(0.1 <= face.confidence <= 1 for face in unsure_faces)
        assert yaw != 90 or index < yaws.index(90) + 7 or unsure_faces[0].confidence < 0.5
    assert reported[0][0] == 1 and reported[0][-3:] == [1] * 3
    assert reported[90][-3:] == [0] * 3


def test_a_face_of_little_confidence_is_followed_with_it() -> None:
    """It is not found anew in every frame, and keeps its number."""
    landmarker = FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())
    head = cv2.GaussianBlur(render_face(77, 15, 300, 45.0).image, (0, 0), 4)
    frame = np.full((480, 640, 3), 120, np.uint8)
    frame[90:390, 170:470] = head
    [found] = landmarker.find(frame)
    assert 0.5 < found.confidence < 0.7
    following = landmarker.track()
    for index in range(12):
        [face] = following.update(frame, index * STEP)
        assert face.track == 0 and abs(face.confidence - found.confidence) < 0.1


def test_a_face_that_is_gone_is_gone_whatever_the_confidence(people: list[moving.Person]) -> None:
    following = tracker(Counting(), min_confidence=0)
    image, _ = moving.frame([(people[0], 300, 100)])
    empty, _ = moving.frame([])
    assert len(following.update(image, 0.0)) == 1
    counts = [len(following.update(empty, 0.1 + index * STEP)) for index in range(30)]
    assert counts[-1] == 0


@pytest.mark.parametrize("model", ["research", "synthetic"])
def test_frames_may_change_their_size(people: list[moving.Person], model: str) -> None:
    following = FaceLandmarker(LandmarkPredictor(model), open_detector()).track()
    image, _ = moving.frame([(people[0], 300, 100)])
    assert len(following.update(image, 0.0)) == 1
    assert following.update(np.zeros((4, 4, 3), np.uint8), 0.2) == []


def test_smoothing_calms_a_still_face(people: list[moving.Person]) -> None:
    clean, _ = moving.frame([(people[0], 300, 100)])
    runs = {}
    for smooth in (True, False):
        following = tracker(Counting(), smooth=smooth)
        noise = np.random.default_rng(1)
        points = []
        for index in range(30):
            noisy = np.clip(clean + noise.normal(0, 12, clean.shape), 0, 255).astype(np.uint8)
            points.append(following.update(noisy, index * STEP)[0].points)
        runs[smooth] = np.diff(points[10:], axis=0).std()
    assert runs[True] < 0.6 * runs[False]


@pytest.mark.parametrize("smooth", [True, False])
def test_boxes_and_confidence_go_with_the_points(
    people: list[moving.Person], smooth: bool
) -> None:
    """In every frame: that in which the detector runs, those in which it does not."""
    detector = Counting()
    following = tracker(detector, smooth=smooth)
    for index in range(3):
        image, _ = moving.frame([(people[0], 300 + 5 * index, 100)])
        (face,) = following.update(image, index * STEP)
        np.testing.assert_array_equal(
            face.box, [*face.points.min(axis=0), *face.points.max(axis=0)])
        assert 0.5 <= face.confidence <= 1
    assert detector.calls == 1


def test_time_goes_on(people: list[moving.Person]) -> None:
    following = tracker(Counting())
    empty, _ = moving.frame([])
    following.update(empty, 1.0)
    with refuses("tracker", "frame", "1 s"):
        following.update(empty, 1.0)
    with refuses("tracker", "detector"):
        FaceTracker(FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL)))
    with refuses("tracker", "times", "min_confidence"):
        TrackerOptions(detect_seconds=-1)
