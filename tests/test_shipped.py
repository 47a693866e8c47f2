"""The shipped model is what its card says, measured on real faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.evaluation import evaluate, faces, presence
from efld_tf.exporting import audit, calibration, comparison, modes
from efld_tf.landmarks.geometry import tight_box
from efld_tf.models import checkpoint
from efld_tf.runtime import golden
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.trained import export_as, float_predictor

HEAD = "ibug51"


@pytest.fixture(scope="module")
def helen(shared_data: Path) -> faces.EvaluationFaces:
    rule = LandmarkPredictor(assets.INT8_MODEL).crop_rule
    return faces.load(f"ibug:{shared_data / 'ibug/helen/testset'}", rule, 128, progress=False)


@pytest.fixture(scope="module")
def int8_result(helen: faces.EvaluationFaces) -> evaluate.Evaluation:
    return evaluate.evaluate(LandmarkPredictor(assets.INT8_MODEL), helen)


def nme_percent(result: evaluate.Evaluation) -> float:
    return 100 * float(result.nme.mean())


def test_size_operations_and_types() -> None:
    assert assets.INT8_MODEL.stat().st_size < 170_000
    assert audit.check(assets.INT8_MODEL, modes.INT8).total_macs == 9_563_456


def test_the_shipped_bundle_verifies() -> None:
    _, checks = golden.verify(assets.INT8_MODEL)
    assert len(checks) == 4 and all(check.passed for check in checks)


def test_accuracy_on_the_helen_test_set(int8_result: evaluate.Evaluation) -> None:
    assert len(int8_result.faces) == 330
    assert int8_result.normaliser == "interocular"
    assert nme_percent(int8_result) <= 2.85


def test_int8_is_as_accurate_as_float(
    helen: faces.EvaluationFaces, int8_result: evaluate.Evaluation
) -> None:
    floating = evaluate.evaluate(float_predictor(assets.FLOAT_MODEL, HEAD), helen)
    assert abs(nme_percent(int8_result) - nme_percent(floating)) < 0.02
    # In crop pixels, of which a tighter crop has more to a face.
    bound = 0.125 * LandmarkPredictor(assets.INT8_MODEL).crop_rule.zoom
    assert comparison.compare(floating, int8_result)["point_difference_px_median"] < bound


def test_faces_are_seen(helen: faces.EvaluationFaces) -> None:
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    _, confidence, *_ = predictor.predict_outputs(helen.crops)
    assert (confidence >= 0.5).mean() >= 0.99 and np.median(confidence) > 0.99
    rendered = [render_face(seed=5, index=index, size=200) for index in range(20)]
    sure = [predictor.predict_in(face.image, [predictor.crop_rule.crop(
        tight_box(face.points["ibug68"]))])[1][0] for face in rendered]
    assert np.mean(np.array(sure) >= 0.5) >= 0.95


def test_what_is_no_face_is_not_taken_for_one(shared_data: Path) -> None:
    """On scenes that nothing was fitted to."""
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    plain = np.zeros((3, 128, 128, 3), np.uint8)
    plain[1] = 128
    plain[2] = np.random.default_rng(0).integers(0, 256, (128, 128, 3))
    assert predictor.predict_outputs(plain).confidence.max() < 0.5
    folder = shared_data / "wider_scenes"
    scenes = presence.read_scenes(str(folder), str(folder / "boxes_xywh.json"), half=1)
    zoom = predictor.crop_rule.zoom
    crops = presence.PresenceCrops(128, presence.AS_IS, np.random.default_rng(0), zoom)
    presence.add_scenes(crops, scenes, predictor)
    kinds = np.array(crops.kinds)
    taken = predictor.predict_outputs(crops.stacked).confidence >= 0.5
    rates = {kind: float(taken[kinds == kind].mean()) for kind in set(kinds)}
    assert rates["patch"] < 0.1 and rates["partial"] < 0.2 and rates["alarm"] < 0.35
    assert rates["face"] > 0.75


def test_int8_is_as_sure_as_float(helen: faces.EvaluationFaces) -> None:
    predictors = float_predictor(assets.FLOAT_MODEL, HEAD), LandmarkPredictor(assets.INT8_MODEL)
    found = comparison.compare_confidence(*predictors, helen.crops)
    assert found["confidence_difference_median"] < 0.01
    assert found["confidence_difference_p99"] < 0.1


@pytest.mark.long
def test_calibrating_on_all_photos_is_no_trap(
    shared_data: Path, helen: faces.EvaluationFaces, tmp_path: Path
) -> None:
    """One odd photo must not stretch the int8 grid: all 870 are as good as 200."""
    found = {}
    for count in (200, None):
        manifest = calibration.choose(f"ibug:{shared_data / 'ibug/helen/trainset'}", count)
        bundle = export_as(assets.FLOAT_MODEL, tmp_path / "m", "int8", calibrate_on=manifest)
        result = evaluate.evaluate(LandmarkPredictor(bundle), helen)
        found[bundle.report.calibration_faces] = nme_percent(result)
    assert found[870] < found[200] + 0.05


def test_the_committed_manifest_names_the_photos(shared_data: Path) -> None:
    path = Path(__file__).parents[1] / "calibration" / "helen_train.json"
    manifest = calibration.read_manifest(path)
    local = replace(manifest, source=f"ibug:{shared_data / 'ibug/helen/trainset'}")
    assert manifest.source == "ibug:${EFLD_DATA}/ibug/helen/trainset"
    rule = LandmarkPredictor(assets.INT8_MODEL).crop_rule
    found = calibration.load_faces(local, rule, 128)
    assert len({crop.tobytes() for crop in found.crops}) == 870


def test_the_float_weights_carry_all_heads() -> None:
    spec = checkpoint.read_spec(assets.FLOAT_MODEL)
    assert next(iter(spec.heads)) == HEAD
    assert spec.presence is not None
    assert set(spec.heads) == {"ibug51", "ibug68", "scut86", "mtfl5"}
    assert all("${EFLD_DATA}" in head.source for head in spec.heads.values())


def test_the_model_of_rendered_faces(shared_data: Path) -> None:
    """It is free of photos, and finds real faces all the same."""
    shipped = assets.SHIPPED["synthetic"]
    spec = checkpoint.read_spec(shipped.float)
    assert spec.license == "Apache-2.0" and spec.presence is None
    assert {head.source for head in spec.heads.values()} == {
        "ibug:runs/rendered/ibug68", "wflw:runs/rendered/wflw98/list_98pt_rect_attr.txt"}
    manifest = calibration.read_manifest(shipped.int8.parent / "calibration.json")
    assert manifest.source == "ibug:runs/rendered/ibug68"
    assert all(check.passed for check in golden.verify(shipped.int8)[1])
    predictor = LandmarkPredictor(shipped.int8)
    source = f"ibug:{shared_data / 'ibug/helen/testset'}"
    found = faces.load(source, predictor.crop_rule, 128, progress=False)
    exported = nme_percent(evaluate.evaluate(predictor, found))
    floating = nme_percent(evaluate.evaluate(float_predictor(shipped.float, HEAD), found))
    assert exported < 5.3 and abs(exported - floating) < 0.02
