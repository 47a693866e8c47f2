"""The other outputs of an export: a confidence, expected errors, and depths."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from efld_tf.cli import verify
from efld_tf.exporting import audit, bundle, calibration, comparison, modes
from efld_tf.models import registry
from efld_tf.runtime import golden, graph
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import refuses
from tests.exporting.conftest import RULE, SIZE
from tests.tiny_models import edited
from tests.trained import float_predictor


@pytest.fixture(scope="module")
def shown(photos: Path) -> np.ndarray:
    """24 drawn faces, 12 times noise, and the faces cut into shuffled tiles."""
    drawn = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops
    noise = np.random.default_rng(0).integers(0, 256, (12, SIZE, SIZE, 3), np.uint8)
    return np.concatenate([drawn, noise, comparison.shuffled(drawn)])


def test_the_confidence_is_that_of_float_with_and_without_a_face(
    exported, trained: Path, shown: np.ndarray
) -> None:
    """Calibration shows faces alone: the grid of the log-odds must not end where they do."""
    path, report = exported
    crops = shown
    exact, predictor = float_predictor(trained, "ibug51"), LandmarkPredictor(path)
    points, confidence, *_ = predictor.predict_outputs(crops)
    expected = exact.predict_outputs(crops).confidence
    assert predictor.has_confidence and np.ptp(expected) > 0.1
    # Noise is unlike anything that the ranges were taken from: features end where their grid does.
    difference, noisy = np.abs(confidence - expected), np.r_[24:36]
    plain = np.delete(difference, noisy)
    assert np.percentile(plain, 95) < 0.15 and plain.max() < 0.5
    # The two-stage model's confidence sees the sums of many blocks, which end there one by one.
    assert np.median(difference[noisy]) < (0.2 if trained.parent.name == "two_stage" else 0.1)
    np.testing.assert_array_equal(points, predictor.predict_crops(crops))
    sigmoid = [op for op in graph.read(path).operators if op.name == "LOGISTIC"][-1]
    grids = {d["index"]: d["quantization"]
             for d in Interpreter(model_path=str(path)).get_tensor_details()}
    before = next(op for op in graph.read(path).operators if sigmoid.inputs[0] in op.outputs)
    assert grids[before.inputs[0].index][0] == pytest.approx(16 / 255, rel=1e-3)
    compared = report.comparison
    differences = np.abs(confidence - expected)[np.r_[0:24, 36:60]]
    assert compared["confidence_difference_p99"] == pytest.approx(
        np.percentile(differences, 99), abs=1e-3)
    assert compared["confident_percent"] == pytest.approx(
        100 * (confidence[:24] >= 0.5).mean(), abs=1e-3)


def test_depths_are_those_of_float(exported, trained: Path, photos: Path) -> None:
    path, _ = exported
    drawn = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops
    expected = float_predictor(trained, "ibug51").predict_outputs(drawn).depth
    found = LandmarkPredictor(path).predict_outputs(drawn).depth
    assert np.ptp(expected[:, 0]) > 0.05  # they differ from face to face
    assert np.abs(found - expected).mean() < 0.01
    assert golden.read(path)[0].depth is not None


def test_expected_errors_are_those_of_float_whatever_is_shown(
    exported, trained: Path, shown: np.ndarray
) -> None:
    """Also where what leads to them lies far beyond what calibration shows."""
    path, report = exported
    expected = float_predictor(trained, "ibug51").predict_outputs(shown).errors
    found = LandmarkPredictor(path).predict_outputs(shown).errors
    assert expected.shape == (60, 51) and np.ptp(expected[:, 0]) > 0.005
    ratio = np.delete(found / expected, np.r_[24:36], axis=0)
    assert 0.95 < np.median(ratio) < 1.05
    assert np.percentile(abs(np.log(ratio)), 95) < 0.25
    assert report.comparison["errors_difference_px_median"] < 0.05 * SIZE
    latents = [tensor for op in graph.read(path).operators for tensor in op.outputs
               if tensor.shape[-1] == registry.ERROR_LATENTS and np.prod(tensor.shape) < 5]
    grids = {d["index"]: d["quantization"]
             for d in Interpreter(model_path=str(path)).get_tensor_details()}
    steps = [grids[tensor.index][0] for tensor in latents]
    assert steps and steps == pytest.approx([16 / 255] * len(steps), rel=1e-3)
    stated = golden.read(path)[0].errors
    assert stated is not None and len(stated.values) == 51


def test_shuffled_crops_have_the_same_tiles() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, 16, 16, 3), np.uint8)
    found = comparison.shuffled(crops)

    def tiles(crop):
        return sorted(crop[y : y + 4, x : x + 4].tobytes() for y in range(0, 16, 4)
                      for x in range(0, 16, 4))

    assert not np.array_equal(found, crops)
    assert [tiles(a) for a in found] == [tiles(b) for b in crops]


def test_outputs_in_another_order_or_form_fail_the_audit(exported, tmp_path: Path) -> None:
    def exchange(tree) -> None:
        tree.subgraphs[0].outputs = tree.subgraphs[0].outputs[::-1]

    def flatten(tree) -> None:
        tree.subgraphs[0].tensors[tree.subgraphs[0].outputs[1]].shape = np.array([1], np.int32)

    def third(tree) -> None:
        outputs = tree.subgraphs[0].outputs
        tree.subgraphs[0].outputs = np.append(outputs, outputs[-1])

    for edit, facts in (
        (exchange, ("[1, N, 2]", "[1, 51]")),
        (flatten, ("[1, 1]", "[1]")),
        (third, ("outputs", "[1, 1]", "[1, 51], [1, 51]")),
    ):
        (tmp_path / "m.tflite").write_bytes(edited(exported[0].read_bytes(), edit))
        with refuses(*facts, path=tmp_path / "m.tflite"):
            audit.check(tmp_path / "m.tflite", modes.INT8)


def test_the_golden_confidence_is_checked(exported, tmp_path: Path, capsys) -> None:
    path = Path(shutil.copytree(exported[0].parent, tmp_path / "copy")) / exported[0].name
    assert verify.main([str(path)]) is None
    assert capsys.readouterr().out.count("confidence within 0.0") == 4
    stated = json.loads(path.with_name("golden.json").read_text())
    value = float(golden.run(path, golden.read(path)[1]).confidence[0])
    assert stated["confidence"]["value"] == pytest.approx(value, abs=1e-6)
    assert stated["confidence"]["tolerance"] == bundle.CONFIDENCE_TOLERANCE
    for change, name, facts in (
        ({"value": value + np.copysign(0.2, 0.5 - value), "tolerance": 0.05}, "", ()),
        ({"value": 1.5, "tolerance": 0.05}, "golden.json", ("confidence", 0, 1, 1.5)),
        ({"value": float("nan"), "tolerance": 0.05}, "golden.json", ("confidence.value", "nan")),
        ({"value": value, "tolerance": 0.9}, "golden.json", ("confidence", 0.1, 0.9)),
        (None, path.name, ("golden file", "confidence")),
    ):
        path.with_name("golden.json").write_text(json.dumps({**stated, "confidence": change}))
        if not name:
            assert verify.main([str(path)]) == 1
            limits = f"MORE than {stated['tolerance']:g} or 0.05"
            assert limits in capsys.readouterr().out
        else:
            with refuses(*facts, path=path.with_name(name)):
                verify.main([str(path)])


def test_the_golden_depths_are_checked(exported, tmp_path: Path, capsys) -> None:
    path = Path(shutil.copytree(exported[0].parent, tmp_path / "copy")) / exported[0].name
    assert verify.main([str(path)]) is None
    assert capsys.readouterr().out.count("depths within 0.0") == 4
    stated = json.loads(path.with_name("golden.json").read_text())
    (depth,) = golden.run(path, golden.read(path)[1]).depth
    values, tolerance = stated["depth"]["values"], stated["depth"]["tolerance"]
    assert values == pytest.approx(depth, abs=1e-6) and tolerance < 1 / 32
    for change, name, facts in (
        ({"values": [values[0] + 0.1, *values[1:]], "tolerance": tolerance}, "", ()),
        ({"values": values[1:], "tolerance": tolerance}, "golden.json", ("depth", 51)),
        ({"values": values, "tolerance": 0.1}, "golden.json", ("depth", 0.03125)),
        (None, path.name, ("golden file", "depths")),
    ):
        path.with_name("golden.json").write_text(json.dumps({**stated, "depth": change}))
        if not name:
            assert verify.main([str(path)]) == 1
            assert f"or {tolerance:g}" in capsys.readouterr().out
        else:
            with refuses(*facts, path=path.with_name(name)):
                verify.main([str(path)])
