"""What is said of predictions without a face, for predictors whose prior is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.evaluation import evaluate, prior, prior_plots
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import schemas, shapes
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.runtime.predictor import LandmarkPredictor
from tests import faces
from tests.errors import refuses
from tests.evaluation.predictors import Fixed

SIZE = 32
IBUG = schemas.get("ibug51")
FACE = faces.mean_shape("ibug51")
WITHOUT = ("black", "noise", "clouds")


class Constant(Fixed):
    """Always predicts the same points."""

    schema, crop_rule, input_size = "ibug51", CropRule("points", "ibug68", 1.25), SIZE

    def __init__(self, points: np.ndarray):
        self.points = points

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return np.tile(self.points, (len(crops), 1, 1))


class Follows(Constant):
    """Moves the face by the mean brightness of the crop, and is as sure as that is dark."""

    has_confidence = True

    def predict_outputs(self, crops: np.ndarray) -> ModelOutputs:
        bright = crops.mean(axis=(1, 2, 3)) / 255
        return ModelOutputs(self.points + bright[:, None, None] * [1, 0], 1 - bright)


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> faces_of.EvaluationFaces:
    folder = faces.write_ibug(tmp_path_factory.mktemp("photos"), 12)
    return faces_of.load(f"ibug:{folder}", Constant.crop_rule, SIZE, progress=False)


def _scene(folder: Path, boxes: list[list[float]], value: int = 90) -> tuple[Path, np.ndarray]:
    folder.mkdir(exist_ok=True)
    path = folder / f"scene_{value}.png"
    cv2.imwrite(str(path), np.full((200, 300, 3), value, np.uint8))
    return path, np.array(boxes, float).reshape(-1, 4)


def test_a_constant_prediction_has_no_variation(found) -> None:
    predictor = Constant(np.add(FACE, [0.03, 0.04]))
    measured = prior.measure(predictor, evaluate.evaluate(predictor, found), progress=False)
    summary = measured.summary()
    assert summary["reference"] == f"truth of {found.source}"
    mean = found.points[:, 17:].mean(axis=0)
    away = np.linalg.norm(np.add(FACE, [0.03, 0.04]) - mean, axis=-1).mean()
    assert list(summary["kinds"]) == ["face", *WITHOUT]
    assert [row["inputs"] for row in summary["kinds"].values()] == [12, 1, 100, 100]
    for kind, row in summary["kinds"].items():
        assert row["from_reference_crop_percent"] == pytest.approx(100 * away, abs=1e-3)
        # Drawn faces are this face, turned and scaled.
        assert row["residual_interocular_percent"] == pytest.approx(0, abs=0.05)
        assert row.get("variation_crop_percent", 0) == pytest.approx(0, abs=1e-4)
        assert ("variation_crop_percent" in row) == (kind != "black")
        assert "confidence_percent" not in row


def test_variation_and_confidence_by_hand() -> None:
    measured = prior.measure(Follows(FACE), count=40, progress=False)
    kinds = measured.summary()["kinds"]
    assert kinds["black"]["confidence_percent"] == 100
    clouds = next(look for look in measured.looks if look.kind == "clouds")
    bright = clouds.crops.mean(axis=(1, 2, 3)) / 255
    assert kinds["clouds"]["variation_crop_percent"] == pytest.approx(
        100 * abs(bright - bright.mean()).mean(), abs=1e-3)
    assert kinds["clouds"]["confidence_percent"] == pytest.approx(100 - 100 * bright.mean(), 1e-4)
    assert kinds["noise"]["variation_crop_percent"] < 1 < kinds["clouds"]["variation_crop_percent"]


def test_residual_by_hand() -> None:
    """Turned, scaled and moved, it is the same face; one point off is off by that; not mirrored."""
    reference = prior.Reference.of_faces(np.tile(FACE, (3, 1, 1)), IBUG, "three faces")
    np.testing.assert_allclose(reference.place, FACE)
    turned = FACE @ np.array([[0.6, 0.8], [-0.8, 0.6]]) * 0.3 + 0.2
    assert reference.residual(turned[None]) == pytest.approx(0, abs=1e-6)
    off = FACE.copy()
    off[20] += [0, 0.001 * IBUG.normaliser.distance(FACE)]
    # To first order, what is left of the move after its projection on shifts and turns with scale.
    centred = shapes.as_complex(FACE - FACE.mean(axis=0))
    taken = 1 / 51 + centred * centred[20].conj() / (abs(centred) ** 2).sum()
    left = abs((np.arange(51) == 20) - taken).mean()
    assert reference.residual(off[None]) == pytest.approx(0.001 * left, rel=0.01)
    random = np.random.default_rng(0).uniform(size=(50, 51, 2))
    assert (reference.residual(random) > 0.8 * reference.without_shape).all()
    assert (reference.residual(random) < 1.2 * reference.without_shape).all()
    expected = abs(centred).mean() / IBUG.normaliser.distance(FACE)
    assert reference.without_shape == pytest.approx(expected, rel=1e-6)


def test_points_that_no_face_has_do_not_count() -> None:
    truth = np.tile(FACE, (3, 1, 1))
    truth[:, 14:19], truth[0, 10] = np.nan, np.nan
    reference = prior.Reference.of_faces(truth, IBUG, "faces")
    assert np.isnan(reference.place).any(axis=-1).tolist() == [14 <= i < 19 for i in range(51)]
    moved = FACE.copy()
    moved[14:19] += 0.3
    assert reference.residual(moved[None]) == pytest.approx(0, abs=1e-6)
    look = prior.Look("black", np.zeros((1, 8, 8, 3), np.uint8), moved[None], None)
    assert look.summary(reference)["from_reference_crop_percent"] == pytest.approx(0, abs=1e-6)


def test_predictions_that_are_no_face(found) -> None:
    collapsed = Constant(np.full((51, 2), 0.5))
    with refuses("2 rendered faces", "eyes", "mouth"):
        prior.measure(collapsed, count=2, progress=False)
    # With a truth to compare with there is a reference.
    evaluation = evaluate.evaluate(collapsed, found)
    summary = prior.measure(collapsed, evaluation, count=2, progress=False).summary()
    row = summary["kinds"]["black"]
    assert row["residual_interocular_percent"] == summary["residual_without_shape_percent"] > 30
    with refuses("face", "finite"):
        prior.measure(Constant(np.full((51, 2), np.nan)), count=2, progress=False)


def test_patches_touch_no_face(tmp_path: Path) -> None:
    """A scene that is white where its face is."""
    path, boxes = _scene(tmp_path, [[100, 60, 180, 160]])
    image = cv2.imread(str(path))
    image[60:160, 100:180] = 255
    cv2.imwrite(str(path), image)
    other = _scene(tmp_path, [], 120)
    crops, skipped = prior.faceless([(path, boxes), other], SIZE, 60, np.random.default_rng(0))
    assert not skipped and crops.shape[1:] == (SIZE, SIZE, 3) and 40 <= len(crops) <= 60
    assert crops.max() <= 120
    # Beside this face there are 20 pixels, less than the smallest patch.
    full = (path, np.array([[20, 0, 300, 200.0]]))
    with refuses("patch", 1, path, "32 px"):
        prior.faceless([full], SIZE, 9, np.random.default_rng(0))
    crops, skipped = prior.faceless([full, other], SIZE, 8, np.random.default_rng(0))
    assert len(crops) == 4 and [error.path for error in skipped] == [path]


def test_scenes_that_cannot_be_read(tmp_path: Path) -> None:
    good = _scene(tmp_path, [])
    (tmp_path / "bad.png").write_bytes(b"x")
    scenes = [good, (tmp_path / "bad.png", np.zeros((0, 4)))]
    with refuses("image", path=tmp_path / "bad.png"):
        prior.measure(Constant(FACE), scenes=scenes, count=4, progress=False)
    measured = prior.measure(
        Constant(FACE), scenes=scenes, count=4, on_error="skip", progress=False)
    assert "bad.png" in str(measured.skipped[0])
    assert measured.summary()["kinds"]["patch"]["inputs"] == 2
    with refuses("patch", 1, tmp_path / "bad.png", "image"):
        prior.faceless(scenes[1:], SIZE, 4, np.random.default_rng(0), "skip")


def test_the_crop_rule_is_that_of_the_faces(found) -> None:
    """Packed faces, and those of formats that the model does not know, have a rule of their own."""
    predictor, rule = Constant(FACE), CropRule("points", "ibug51", 2.0)
    evaluation = evaluate.evaluate(predictor, replace(found, crop_rule=rule))
    summary = prior.measure(predictor, evaluation, count=2, progress=False).summary()
    assert (summary["crop_rule"], summary["crop_scale"]) == (rule.name, 2.0)


def test_the_shipped_model_has_a_prior_and_knows_it(tmp_path: Path) -> None:
    """Section 3.4: where no face is, it predicts what looks like one, but is not sure of it."""
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    measured = prior.measure(predictor, count=20, progress=False)
    summary = measured.summary()
    face, *others = summary["kinds"].values()
    assert face["confidence_percent"] > 95
    for row in others:
        assert row["residual_interocular_percent"] < 0.2 * summary["residual_without_shape_percent"]
        assert row["from_reference_crop_percent"] < 10 and row["confidence_percent"] < 50
    assert prior.measure(predictor, count=20, progress=False).summary() == summary
    prior_plots.prior_sheet(tmp_path / "prior.png", measured)
    sheet = cv2.imread(str(tmp_path / "prior.png"))
    width = (prior_plots.EXAMPLES + 2) * prior_plots.INCHES * prior_plots.DPI
    assert sheet.shape[1] == pytest.approx(width, abs=1) and sheet.std() > 10


def test_scenes_of_real_photos(shared_data: Path) -> None:
    from efld_tf.evaluation import presence

    folder = shared_data / "wider_scenes"
    scenes = presence.read_scenes(str(folder), str(folder / "boxes_xywh.json"))[:3]
    measured = prior.measure(Constant(FACE), scenes=scenes, count=6, progress=False)
    assert 4 <= measured.summary()["kinds"]["patch"]["inputs"] <= 6
