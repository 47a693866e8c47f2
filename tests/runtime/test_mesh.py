"""MediaPipe's face mesh by LiteRT: equal to MediaPipe's own, and where annotations have faces."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.annotations.images import read_image
from efld_tf.annotations.record import FaceRecord
from efld_tf.landmarks import metrics, schemas
from efld_tf.landmarks.geometry import apply_affine, extract_crop
from efld_tf.runtime.mesh import MeshPredictor
from tests.errors import refuses
from tests.test_imports import loaded_by

MESH = schemas.get("mediapipe468")

# What MediaPipe's own graph of `mp.solutions.face_mesh` finds in photos: the rotated square that it
# cuts out, which the Python class does not give, and the points.
ASK_MEDIAPIPE = """
import json, sys
import cv2
from mediapipe.python.solution_base import SolutionBase
from mediapipe.python.solutions.face_mesh import _BINARYPB_FILE_PATH
graph = SolutionBase(
    binary_graph_path=_BINARYPB_FILE_PATH,
    side_inputs={"num_faces": 1, "with_attention": False, "use_prev_landmarks": False},
    outputs=["multi_face_landmarks", "face_rects_from_detections"],
)
found = []
for path in sys.argv[2:]:
    result = graph.process({"image": cv2.imread(path)[..., ::-1].copy()})
    square = result.face_rects_from_detections[0]
    points = result.multi_face_landmarks[0].landmark
    found.append({
        "square": [square.x_center, square.y_center, square.width, square.height, square.rotation],
        "points": [[point.x, point.y] for point in points],
    })
with open(sys.argv[1], "w") as file:
    json.dump(found, file)
"""


@pytest.fixture(scope="module")
def predictor() -> MeshPredictor:
    return MeshPredictor()


@pytest.fixture(scope="module")
def faces(shared_data: Path) -> list[tuple[FaceRecord, np.ndarray]]:
    records = sources.read(f"ibug:{shared_data / 'ibug/helen/testset'}").records[:40:2]
    return [(record, read_image(record)) for record in records]


def crops_of(predictor: MeshPredictor, faces: list) -> np.ndarray:
    return np.stack([
        extract_crop(image, predictor.crop_rule.crop(record.source_box("points")), 192)
        for record, image in faces
    ])


def test_the_same_pixels_give_mediapipes_points(
    predictor: MeshPredictor, shared_data: Path, tmp_path: Path
) -> None:
    photos = sorted((shared_data / "ibug/helen/testset").glob("*.jpg"))[:6]
    answer = tmp_path / "answer.json"
    subprocess.run([sys.executable, "-c", ASK_MEDIAPIPE, answer, *photos], check=True,
                   capture_output=True)
    size = predictor.input_size
    turned = 0.0
    for photo, theirs in zip(photos, json.loads(answer.read_text()), strict=True):
        image = cv2.imread(str(photo))[..., ::-1]
        height, width = image.shape[:2]
        x, y, w, h, angle = np.array(theirs["square"]) * [width, height, width, height, 1]
        assert w == pytest.approx(h)
        cosine, sine = w / size * np.array([np.cos(angle), np.sin(angle)])
        turn = np.array([[cosine, -sine], [sine, cosine]])
        # Pixel j of its input is taken j steps from the square's corner.
        matrix = np.concatenate([turn, ([x, y] - turn @ [size / 2, size / 2])[:, None]], axis=1)
        crop = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE,
                              flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
        ours = apply_affine(matrix, predictor.predict_crops(crop[None])[0] * size)
        difference = np.linalg.norm(ours - np.array(theirs["points"]) * [width, height], axis=-1)
        assert difference.mean() < 0.03 and difference.max() < 0.1  # pixels
        turned = max(turned, abs(angle))
    assert turned > 0.1


def test_points_of_a_photo_are_where_the_annotation_has_them(
    predictor: MeshPredictor, faces: list
) -> None:
    errors = []
    for record, image in faces:
        found = predictor.predict(image, [record.source_box("points")])
        assert found.shape == (1, 468, 2)
        points = MESH.convert(found[0], None, "ibug51")[0]
        errors.append(
            metrics.nme(points[None], record.points[None, 17:], schemas.get("ibug51"))[0]
        )
    assert max(errors) < 0.08 and np.mean(errors) < 0.04


def test_the_mesh_of_a_mirrored_photo_is_the_flipped_one(
    predictor: MeshPredictor, faces: list
) -> None:
    crops = crops_of(predictor, faces)
    as_is = predictor.predict_crops(crops)
    mirrored = predictor.predict_crops(np.ascontiguousarray(crops[:, :, ::-1]))
    back = mirrored[:, list(MESH.flip)] * [-1, 1] + [1, 0]
    assert np.linalg.norm(back - as_is, axis=-1).mean() < 0.01
    assert abs((back - as_is)[..., 0].mean()) < 0.25 / 192  # no half pixel between conventions


def test_it_is_sure_of_faces_alone(predictor: MeshPredictor, faces: list) -> None:
    points, sure, *_ = predictor.predict_outputs(crops_of(predictor, faces))
    np.testing.assert_array_equal(points, predictor.predict_crops(crops_of(predictor, faces)))
    assert sure.shape == (len(faces),) and sure.min() > 0.99 and sure.max() <= 1
    others = np.stack([
        np.zeros((192, 192, 3), np.uint8),
        np.full((192, 192, 3), 180, np.uint8),
        np.random.default_rng(0).integers(0, 256, (192, 192, 3), np.uint8),
    ])
    assert predictor.predict_outputs(others).confidence.max() < 0.1


def test_no_face_is_no_points(predictor: MeshPredictor) -> None:
    assert predictor.predict_crops(np.zeros((0, 192, 192, 3), np.uint8)).shape == (0, 468, 2)
    assert predictor.predict(np.zeros((9, 9, 3), np.uint8), []).shape[0] == 0


def test_mediapipe_is_not_imported() -> None:
    code = "from efld_tf.runtime.mesh import MeshPredictor; MeshPredictor()"
    assert not loaded_by(code) & {"tensorflow", "mediapipe", "jax", "scipy", "matplotlib"}


def test_other_files_are_refused(int8_model: Path, tmp_path: Path) -> None:
    with refuses("face mesh", 468, path=int8_model):
        MeshPredictor(int8_model)
    with refuses("model", "No such file", path=tmp_path / "absent.tflite"):
        MeshPredictor(tmp_path / "absent.tflite")
    (tmp_path / "text.tflite").write_text("a text")
    with refuses("LiteRT", path=tmp_path / "text.tflite"):
        MeshPredictor(tmp_path / "text.tflite")
