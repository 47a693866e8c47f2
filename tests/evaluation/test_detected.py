"""Evaluation with a detector: what is missed counts, and by how much."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.cli import eval as eval_command
from efld_tf.evaluation import detected, scenes
from efld_tf.landmarks.geometry import tight_box
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.detector import Detection
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import refuses


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("rendered") / "faces"
    write_dataset(folder, "ibug68", 8, seed=21, size=256, workers=1, progress=False)
    return f"ibug:{folder}"


@dataclass
class Forgetful:
    """A detector that sees nothing in every second photo, and a ghost in the others."""

    calls: int = 0

    def __post_init__(self) -> None:
        self.detector = open_detector("short")

    def detect(self, image: np.ndarray) -> list[Detection]:
        self.calls += 1
        return self.detector.detect(image) if self.calls % 2 else []


def landmarker(detector: object) -> FaceLandmarker:
    return FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), detector)


@pytest.mark.parametrize("in_scenes", [False, True])
def test_rendered_faces_are_found(source: str, in_scenes: bool) -> None:
    found = detected.measure_landmarks(
        landmarker(open_detector("both")), source, scenes=in_scenes, progress=False)
    summary = found.summary()
    assert summary["faces"] == 8 and summary["missed"] <= 1
    # Rendered faces have definitions of their own; by the annotated box they are off as much.
    assert summary["nme_found_percent"] < 1.3 * summary["nme_annotated_box_percent"] < 10
    assert len(found.by_box) == 8


def test_what_is_missed_counts(source: str) -> None:
    every = detected.measure_landmarks(landmarker(open_detector("short")), source, progress=False)
    half = detected.measure_landmarks(landmarker(Forgetful()), source, progress=False)
    assert every.missed == 0 and half.missed == 4
    assert half.summary()["failure_rate_10_percent"] >= 50
    # The same faces give the same points, so that a missed face is all that is lost.
    kept = [p for i, p in enumerate(every.predicted) if i % 2 == 0]
    assert np.array_equal(half.predicted, kept)
    inside = [np.linalg.norm(p - t, axis=1) <= detected.ACCURACY_PIXELS
              for p, t in zip(half.predicted, half.truth, strict=True)]
    assert half.summary()["accuracy_5px_percent"] == pytest.approx(
        100 * np.sum(inside) / (8 * 51), abs=1e-3)


def test_none_found_is_said(source: str) -> None:
    class Blind:
        def detect(self, image: np.ndarray) -> list[Detection]:
            return []

    found = detected.measure_landmarks(landmarker(Blind()), source, progress=False)
    assert found.missed == 8
    with refuses("detector", 8):
        found.summary()


def test_pairs_by_hand() -> None:
    # The second found one is best for both; the third annotated one is far, its ghost is left.
    overlaps = np.array([[0.0, 0.9, 0.8], [0.7, 0.95, 0.0], [0.0, 0.0, 0.3]])
    assert detected.matched(overlaps) == {1: 1, 0: 2}
    assert detected.matched(np.zeros((0, 3))) == detected.matched(np.zeros((3, 0))) == {}


def test_faces_annotated_in_part(source: str, tmp_path: Path) -> None:
    """Points that are not annotated do not make a face missed; an eye is needed, though."""
    lines = []
    records = sources.read(sources.parse(source), "stop").records[:4]
    for index, record in enumerate(records):
        points = record.points.round(2).tolist()
        hidden = [[], [*range(27)], [30], [36]][index]  # the jaw and the brows, the nose, an eye
        points = [None if i in hidden else point for i, point in enumerate(points)]
        lines.append(json.dumps({"image": str(record.image.name), "points": points}))
    folder = Path(source.partition(":")[2])
    (tmp_path / "faces.jsonl").write_text("\n".join(lines))
    partly = f"json:{tmp_path / 'faces.jsonl'}?schema=ibug68&images={folder}"
    looks = landmarker(open_detector("both"))
    with refuses("right_eye_0", "interocular", path=folder / records[3].image.name):
        detected.measure_landmarks(looks, partly, progress=False)
    found = detected.measure_landmarks(looks, partly, on_error="skip", progress=False)
    summary = found.summary()
    assert (summary["faces"], summary["missed"], summary["skipped"]) == (3, 0, 1)
    in_scenes = detected.measure_landmarks(
        looks, partly, scenes=True, on_error="skip", progress=False)
    assert in_scenes.summary()["faces"] == 3
    whole = detected.measure_landmarks(looks, source, progress=False)
    np.testing.assert_array_equal(found.predicted, whole.predicted[:3])
    assert 0 < summary["nme_found_percent"] < 10


def test_recall_and_precision_by_hand(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.full((40, 40, 3), 90, np.uint8))
    boxes = {"a.png": np.array([[0, 0, 20.0, 20], [25, 25, 33, 33]]), "b.png": np.zeros((0, 4))}

    class Ghost:
        def detect(self, image: np.ndarray) -> list[Detection]:
            return [Detection(np.array([1.0, 0, 21, 20]), np.zeros((6, 2)), 0.9, "short")]

    found = landmarker(Ghost())
    measured = detected.measure_boxes(found, tmp_path, boxes, progress=False)
    assert measured.summary()["found"] == 0  # there is no face, and the model says so
    summary = measured.without_model.summary()
    assert (summary["faces"], summary["found"], summary["false_alarms"]) == (2, 2, 1)
    assert (summary["recall_percent"], summary["precision_percent"]) == (50, 50)
    assert summary["by_size_px"]["from 0"] == {"faces": 1, "recall_percent": 0}
    assert summary["by_size_px"]["from 16"] == {"faces": 1, "recall_percent": 100}
    missing = {"c.png": boxes["a.png"], **boxes}
    with refuses("No such file", path=tmp_path / "c.png"):
        detected.measure_boxes(found, tmp_path, missing, progress=False)
    measured = detected.measure_boxes(
        found, tmp_path, missing, on_error="skip", progress=False)
    assert measured.without_model.summary() == summary and "c.png" in str(measured.skipped[0])


def test_scenes_hold_the_whole_face_where_they_say(source: str) -> None:
    records = sources.read(sources.parse(source), "stop").records
    places = []
    for record in records:
        image = cv2.imread(str(record.image))[..., ::-1]
        scene = scenes.paste(image, record.points, record.key)
        assert scene.image.shape == (960, 1280, 3)
        points = scene.place(record.points)
        x0, y0, x1, y1 = tight_box(points)
        assert x0 >= 0 and y0 >= 0 and x1 <= 1279 and y1 <= 959
        low, high = scenes.FACE_SHARES
        assert low * 959 <= max(x1 - x0, y1 - y0) <= high * 961
        # The pixel in the middle of the face is the photo's.
        middle = np.rint(record.points[30]).astype(int)
        x, y = np.rint(scene.place(middle.astype(float))).astype(int)
        patch = cv2.blur(image, (3, 3))[middle[1], middle[0]].astype(int)
        assert np.abs(cv2.blur(scene.image, (3, 3))[y, x] - patch).max() < 40
        places.append((x, y))
        again = scenes.paste(image, record.points, record.key)
        assert np.array_equal(again.image, scene.image)
    assert len(set(places)) == len(places)


def run(*words: object) -> int | None:
    return eval_command.main([str(assets.INT8_MODEL), *map(str, words), "--quiet"])


def test_the_command_merges_its_results(
    source: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = sources.read(sources.parse(source), "stop").records
    folder = records[0].image.parent
    boxes = {r.image.name: [tight_box(r.points).tolist()] for r in records}
    (folder / "boxes.json").write_text(json.dumps(boxes))
    output = tmp_path / "r.json"
    run("--source", source, "--detector", "both", "--scenes", "--output", output,
        "--boxes", folder / "boxes.json")
    found = json.loads(output.read_text())
    assert {"evaluation", "detection", "box_detection"} <= set(found)
    assert found["detection"]["in_scenes"] is True and found["detection"]["detector"] == "both"
    assert found["box_detection"]["recall_percent"] == 100
    out = capsys.readouterr().out
    assert "nme_found_percent" in out and "detection merged into" in out


@pytest.mark.parametrize(("words", "facts"), [
    ((), ("--source", "READER:PATH")),
    (("--source", "ibug:x", "--scenes"), ("--scenes", "--min-score", "--detector")),
    (("--source", "ibug:x", "--boxes", "b.json"), ("--boxes", "--detector", "--prior")),
    (("--detector", "both"), ("--detector", "--source", "--boxes")),
    (("--detector", "both", "--boxes", "b.json", "--scenes"), ("--scenes", "--source")),
    (("--detector", "both", "--source", "packed:x"), ("--detector", "packed")),
])
def test_arguments_that_do_not_go_together(
    words: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    with refuses(*facts):
        run(*words)


def test_a_detector_that_is_not_there() -> None:
    with refuses("both", "short", "full", path="none.tflite"):
        run("--detector", "none.tflite", "--boxes", "none.json")
