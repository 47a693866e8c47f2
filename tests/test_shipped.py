"""The shipped model is what its card says, measured on real faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from efld_tf import assets
from efld_tf.evaluation import evaluate, faces
from efld_tf.export import audit, calibration, export
from efld_tf.models import checkpoint
from efld_tf.models.predictor import FloatPredictor
from efld_tf.runtime import golden
from efld_tf.runtime.predictor import LandmarkPredictor

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
    assert audit.check(assets.INT8_MODEL, "int8").total_macs == 9_563_200


def test_the_shipped_bundle_verifies() -> None:
    _, checks = golden.verify(assets.INT8_MODEL)
    assert len(checks) == 4 and all(check.passed for check in checks)


def test_accuracy_on_the_helen_test_set(int8_result: evaluate.Evaluation) -> None:
    assert len(int8_result.faces) == 330
    assert int8_result.normaliser == "interocular"
    assert nme_percent(int8_result) <= 4.0


def test_int8_is_as_accurate_as_float(
    helen: faces.EvaluationFaces, int8_result: evaluate.Evaluation
) -> None:
    floating = evaluate.evaluate(FloatPredictor(assets.FLOAT_MODEL, HEAD), helen)
    assert abs(nme_percent(int8_result) - nme_percent(floating)) < 0.02
    assert export.compare(floating, int8_result)["point_difference_px_median"] < 0.1


def test_calibrating_on_all_photos_is_no_trap(
    shared_data: Path, helen: faces.EvaluationFaces, tmp_path: Path
) -> None:
    """One odd photo must not stretch the int8 grid: all 870 are as good as 200."""
    found = {}
    for count in (200, None):
        manifest = calibration.choose(f"ibug:{shared_data / 'ibug/helen/trainset'}", count)
        report = export.export(
            assets.FLOAT_MODEL, tmp_path / "m", "int8", head=HEAD, manifest=manifest
        )
        result = evaluate.evaluate(LandmarkPredictor(tmp_path / "m" / report.model), helen)
        found[report.calibration_faces] = nme_percent(result)
    assert found[870] < found[200] + 0.05


def test_the_committed_manifest_names_the_photos(shared_data: Path) -> None:
    path = Path(__file__).parents[1] / "calibration" / "helen_train_256.json"
    manifest = calibration.read_manifest(path)
    local = replace(manifest, source=f"ibug:{shared_data / 'ibug/helen/trainset'}")
    assert manifest.source == "ibug:${EFLD_DATA}/ibug/helen/trainset"
    rule = LandmarkPredictor(assets.INT8_MODEL).crop_rule
    found = calibration.load_faces(local, rule, 128)
    assert len({crop.tobytes() for crop in found.crops}) == 256


def test_the_float_weights_carry_all_heads() -> None:
    spec = checkpoint.read_spec(assets.FLOAT_MODEL)
    assert next(iter(spec.heads)) == HEAD
    assert set(spec.heads) == {"ibug51", "ibug68", "scut86", "mtfl5"}
    assert all("${EFLD_DATA}" in head.source for head in spec.heads.values())
