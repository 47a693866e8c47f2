"""The detector finds what MediaPipe's own API finds, and small faces in tiles."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image, read_photo
from efld_tf.evaluation.scenes import paste
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime import blazeface, detector, overlap
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.blazeface import MODELS
from efld_tf.runtime.detector import FaceDetector
from efld_tf.runtime.overlap import iou
from tests.errors import refuses

# Prints, for each image and model of mp.solutions, score, box and keypoints relative to the image;
# and the boxes in pixels of the Tasks API, which takes the short-range model only.
MEDIAPIPE = """
import json, sys, cv2, mediapipe as mp
from mediapipe.tasks.python import BaseOptions, vision
out = {"short": [], "full": [], "tasks": []}
images = [cv2.cvtColor(cv2.imread(f), cv2.COLOR_BGR2RGB) for f in sys.argv[2:]]
for number, name in enumerate(("short", "full")):
    with mp.solutions.face_detection.FaceDetection(
            model_selection=number, min_detection_confidence=0.5) as model:
        for image in images:
            rows = []
            for found in model.process(image).detections or []:
                place = found.location_data
                box = place.relative_bounding_box
                rows.append([found.score[0], box.xmin, box.ymin, box.width, box.height,
                             *(v for k in place.relative_keypoints for v in (k.x, k.y))])
            out[name].append(rows)
options = vision.FaceDetectorOptions(base_options=BaseOptions(model_asset_path=sys.argv[1]))
with vision.FaceDetector.create_from_options(options) as model:
    for image in images:
        found = model.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=image)).detections
        out["tasks"].append([[d.categories[0].score, d.bounding_box.origin_x,
            d.bounding_box.origin_y, d.bounding_box.width, d.bounding_box.height] for d in found])
print(json.dumps(out))
"""


@pytest.fixture(scope="module")
def photos(shared_data: Path) -> list[Path]:
    """Single faces and crowds, of many sizes."""
    helen = sorted((shared_data / "ibug" / "helen" / "trainset").glob("*.jpg"))[:10]
    return [*helen, *sorted((shared_data / "wider_scenes").glob("*.jpg"))[::4]]


@pytest.fixture(scope="module")
def mediapipe(photos: list[Path]) -> dict[str, list]:
    """What MediaPipe itself finds in the photos."""
    model = blazeface.bundled(MODELS["short"].file)
    done = subprocess.run([sys.executable, "-c", MEDIAPIPE, str(model), *map(str, photos)],
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("name", list(MODELS))
def test_equal_to_mediapipe(name: str, photos: list[Path], mediapipe: dict[str, list]) -> None:
    model, faces = FaceDetector(name), 0
    # MediaPipe's graph of the full range has a threshold of its own, above the one asked for.
    assert model.min_score == {"short": 0.5, "full": 0.6}[name]
    for path, rows in zip(photos, mediapipe[name], strict=True):
        image = read_photo(path)
        height, width = image.shape[:2]
        found = model.detect(image)
        assert len(found) == len(rows), path
        for mine, row in zip(found, sorted(rows, reverse=True), strict=True):
            theirs = np.array(row[1:]).reshape(-1, 2)
            theirs[1] += theirs[0]
            # They sample input pixel j at image pixel j * step, not at its middle.
            step = max(height, width) / MODELS[name].input_size
            expected = theirs * [width, height] - step / 2
            places = np.concatenate([mine.box.reshape(2, 2), mine.keypoints])
            assert abs(mine.score - row[0]) < 2e-3
            assert np.abs(places - expected).max() < 1e-3 * max(height, width)
            faces += 1
    assert faces > 15


def test_equal_to_the_tasks_api(photos: list[Path], mediapipe: dict[str, list]) -> None:
    model = FaceDetector("short")
    for path, rows in zip(photos, mediapipe["tasks"], strict=True):
        image = read_photo(path)
        found = model.detect(image)
        assert len(found) == len(rows), path
        half = max(image.shape[:2]) / 128 / 2
        for mine, row in zip(found, sorted(rows, reverse=True), strict=True):
            x, y, width, height = row[1:]
            assert abs(mine.score - row[0]) < 2e-3
            box = np.array([x, y, x + width, y + height])  # rounded twice
            assert np.abs(mine.box + half - box).max() < 2


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Scenes with one large face each."""
    path = shared_data / "ibug" / "helen" / "trainset"
    records = sources.read(sources.parse(f"ibug:{path}"), "stop").records[:12]
    scenes = [(paste(read_image(r), r.points, r.key), r.points) for r in records]
    return [(scene.image, scene.place(points)) for scene, points in scenes]


def test_keypoints_lie_on_the_face(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    errors = []
    for image, points in faces:
        best = open_detector().detect(image)[0]
        eyes = [points[36:42].mean(axis=0), points[42:48].mean(axis=0)]  # right, left
        truth = np.array([*eyes, points[30], points[[48, 54]].mean(axis=0)])
        errors.append(np.linalg.norm(best.keypoints[:4] - truth, axis=1)
                      / np.linalg.norm(eyes[0] - eyes[1]))
        assert iou(best.box, tight_box(points)[None])[0] > 0.4
    assert np.median(errors) < 0.15


def test_tiles_find_small_faces(faces: list[tuple[np.ndarray, np.ndarray]]) -> None:
    canvas = np.full((1500, 2000, 3), 90, np.uint8)
    boxes = []
    for index, (image, points) in enumerate(faces[:6]):
        x0, y0, x1, y1 = tight_box(points)
        side = max(x1 - x0, y1 - y0)
        factor = 60 / side  # faces of 60 pixels, 3% of the photo
        small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        left, top = 40 + 640 * (index % 3), 100 + 700 * (index // 3)
        low = np.maximum(np.array([x0, y0]) * factor - 40, 0).astype(int)
        part = small[low[1] : low[1] + 140, low[0] : low[0] + 140]
        canvas[top : top + part.shape[0], left : left + part.shape[1]] = part
        shift = np.array([left, top]) - low
        boxes.append(np.concatenate([np.array([x0, y0]) * factor + shift,
                                     np.array([x1, y1]) * factor + shift]))
    assert len(FaceDetector("full").detect(canvas)) < 6
    found = FaceDetector("full", min_face=40).detect(canvas)
    matched = [max(iou(box, np.array([d.box for d in found]))) > 0.3 for box in boxes]
    assert sum(matched) >= 5
    # Each once, although tiles overlap.
    for index, one in enumerate(found):
        others = np.array([d.box for d in found[index + 1 :]]).reshape(-1, 4)
        assert not (iou(one.box, others) > detector.SAME_FACE_IOU).any()


def test_both_find_what_either_finds(photos: list[Path]) -> None:
    """But for boxes of a low score, which a look from near by moves."""
    short, full = FaceDetector("short"), FaceDetector("full", min_face=None)
    for path in photos[::3]:
        image = read_photo(path)
        both = open_detector().detect(image)
        boxes = np.array([d.box for d in both]).reshape(-1, 4)
        assert [d.score for d in both] == sorted((d.score for d in both), reverse=True)
        for single in (short, full):
            for d in [d for d in single.detect(image) if d.score > 0.7]:
                assert (iou(d.box, boxes) > detector.SAME_FACE_IOU).any()


def test_the_same_pixels_give_the_same_faces(photos: list[Path]) -> None:
    image, model = read_photo(photos[-1]), FaceDetector("full")
    first = model.detect(image)
    model.detect(image[::-1])
    for one, two in zip(first, model.detect(image), strict=True):
        assert one.score == two.score and np.array_equal(one.box, two.box)


def test_threads_change_nothing(photos: list[Path]) -> None:
    one, four = open_detector(threads=1), open_detector(threads=4)
    faces = 0
    for path in photos[-3:]:
        image = read_photo(path, upright=True)
        found = one.detect(image)
        for mine, other in zip(found, four.detect(image), strict=True):
            assert mine.score == other.score and np.array_equal(mine.box, other.box)
            assert np.array_equal(mine.keypoints, other.keypoints)
            faces += 1
    assert faces


@pytest.mark.parametrize("shape", [(1, 1), (1, 400), (400, 1), (2, 3)])
def test_tiny_and_thin_images(shape: tuple[int, int]) -> None:
    assert open_detector(min_face=8).detect(np.zeros((*shape, 3), np.uint8)) == []


def test_a_panorama_larger_than_opencv_can_warp(photos: list[Path]) -> None:
    image = read_photo(photos[0])
    canvas = np.full((max(700, image.shape[0]), 40000, 3), 90, np.uint8)
    canvas[: image.shape[0], 20000 : 20000 + image.shape[1]] = image
    box = FaceDetector("short").detect(image)[0].box + np.array([20000, 0, 20000, 0])
    found = FaceDetector("full", min_face=60).detect(canvas)
    assert max(iou(box, np.array([d.box for d in found]))) > 0.5


@pytest.mark.parametrize(("name", "smallest"), [("short", 0.16), ("full", 1 / 50)])
def test_the_smallest_face_by_default_is_the_one_that_is_documented(
    photos: list[Path], name: str, smallest: float
) -> None:
    scene = np.full((1600, 2000, 3), 90, np.uint8)
    for photo, x, side in zip(photos[:2], (100, 1500), (1200, 200), strict=True):
        scene[200 : 200 + side, x : x + side] = cv2.resize(
            read_photo(photo, upright=True), (side, side), interpolation=cv2.INTER_AREA)
    by_default = FaceDetector(name, min_face=None).detect(scene)
    told = FaceDetector(name, min_face=smallest * 2000).detect(scene)
    assert [d.box.tolist() for d in by_default] == [d.box.tolist() for d in told]
    assert len(by_default) == 1 + (name == "full")


def test_the_smallest_face_is_in_pixels_of_the_photo_however_large(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[float] = []
    model = FaceDetector("short", min_face=64)
    look = model._look
    monkeypatch.setattr(model, "_look", lambda image, left, top, side: (
        looked.append(side), look(image, left, top, side))[1])
    image = np.full((500, 2000, 3), 90, np.uint8)
    model.detect(image)
    whole = min(looked)
    monkeypatch.setattr(detector, "MOST_PIXELS", 1000)
    looked.clear()
    model.detect(image)
    assert 2 * min(looked) == whole  # of a photo of half the size


def test_what_is_no_image_or_no_detector_is_refused(tmp_path: Path, int8_model: Path) -> None:
    with refuses("image", "[H, W, 3]", "(4, 4)"):
        FaceDetector().detect(np.zeros((4, 4), np.uint8))
    with refuses("min_score", 0, 1, 1.5):
        FaceDetector(min_score=1.5)
    with refuses("min_face", 8, math.nan):
        FaceDetector(min_face=math.nan)
    with refuses("model", "No such file", path=tmp_path / "none.tflite"):
        FaceDetector(tmp_path / "none.tflite")
    with refuses("face detectors", "short", "full", path=int8_model):
        FaceDetector(int8_model)
    (tmp_path / "text.tflite").write_text("no model")
    with refuses("LiteRT", path=tmp_path / "text.tflite"):
        FaceDetector(tmp_path / "text.tflite")


def test_a_file_is_recognised_by_its_shapes() -> None:
    assert FaceDetector(blazeface.bundled(MODELS["full"].file)).name == "full"


def test_groups_become_their_mean_by_score() -> None:
    rows = np.array([
        [0.6, 0, 0, 10, 10],
        [0.9, 1, 0, 11, 10],
        [0.8, 50, 50, 60, 60],
    ])
    merged = overlap.weighted_suppression(rows, 0.3)
    assert np.allclose(merged, [[0.9, 0.6, 0, 10.6, 10], [0.8, 50, 50, 60, 60]])
    assert overlap.weighted_suppression(rows[:0], 0.3).shape == (0, 5)


@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 4, st.floats(0.01, 1)), max_size=20))
def test_suppression_leaves_no_overlap_of_leaders_and_loses_no_box(rows: list) -> None:
    table = np.array([[s, min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d, s in rows])
    table = table.reshape(-1, 5)
    merged = overlap.weighted_suppression(table, 0.3)
    assert len(merged) <= len(table) and (len(merged) > 0) == (len(table) > 0)
    assert set(merged[:, 0]) <= set(table[:, 0])
    if len(table):
        assert merged[0, 0] == table[:, 0].max()
        assert (merged[:, 1:].min(0) >= table[:, 1:].min(0) - 1e-9).all()
        assert (merged[:, 1:].max(0) <= table[:, 1:].max(0) + 1e-9).all()


def test_iou_by_hand() -> None:
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 6, 6], [1, 1, 1, 1.0]])
    assert np.allclose(iou(np.array([0, 0, 2, 2.0]), boxes), [1, 1 / 7, 0, 0])


@pytest.mark.parametrize("longest", [300, 520, 1024, 1280, 1600, 4000])
def test_every_level_of_tiles_begins_where_the_last_one_ends(
    monkeypatch: pytest.MonkeyPatch, longest: int
) -> None:
    model, sides = FaceDetector("full", min_face=None), set()
    monkeypatch.setattr(model, "_look", lambda view, left, top, side: (
        sides.add(side), np.zeros((0, 17)))[1])
    model.detect(np.zeros((longest * 3 // 4, longest, 3), np.uint8))
    share = MODELS["full"].smallest
    assert max(sides) == longest
    for small, large in itertools.pairwise(sorted(sides)):
        assert share * large <= detector.TILE_OVERLAP * small * 1.01


@given(st.floats(2, 300), st.floats(2, 300), st.floats(1, 200))
def test_tiles_cover_every_face_up_to_their_overlap(w: float, h: float, side: float) -> None:
    tiles = list(detector._tiles(w, h, side))
    limit = detector.TILE_OVERLAP * side * 0.99
    rng = np.random.default_rng(0)
    for _ in range(20):
        x, y = rng.uniform(0, max(w - limit, 0)), rng.uniform(0, max(h - limit, 0))
        assert any(
            left <= x + 1e-6 and x + min(limit, w) <= left + side + 1e-6
            and top <= y + 1e-6 and y + min(limit, h) <= top + side + 1e-6
            for left, top in tiles
        )
