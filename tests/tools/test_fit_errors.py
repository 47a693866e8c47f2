"""The tool lets a model tell how far off its points are, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import efld_tf
from efld_tf import assets
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.cli import common
from efld_tf.landmarks.geometry import tight_box
from efld_tf.models import checkpoint
from efld_tf.scoring import results
from tests.errors import assert_told
from tests.trained import float_predictor
from tools import fit_errors


def test_expected_errors_are_fitted(tmp_path: Path, capsys) -> None:
    sources = {}
    for seed, count in ((3, 12), (4, 6)):
        write_dataset(tmp_path / str(seed), "ibug68", count, seed=seed, size=128, workers=1)
        sources[seed] = f"ibug:{tmp_path / str(seed)}"
    new = tmp_path / "new.h5"
    fit_errors.main([str(assets.FLOAT_MODEL), "--faces", sources[3], "--calibrate", sources[4],
                     "--judge", sources[4], "--worse", "1", "--output", str(new)])
    assert_told(capsys.readouterr().out, sources[4], "all_looks", "12")
    spec, before = checkpoint.read_spec(new), checkpoint.read_spec(assets.FLOAT_MODEL)
    head = next(iter(before.heads))
    assert spec.heads[head].errors == {
        "faces": {sources[3]: 12}, "worse_copies": 1, "calibration_faces": {sources[4]: 6}}
    others = {**spec.heads, head: before.heads[head]}
    assert replace(spec, heads=others) == before
    predictors = [float_predictor(path) for path in (assets.FLOAT_MODEL, new)]
    face = render_face(seed=8, index=0, size=192)
    crop = predictors[0].crop_rule.crop(tight_box(face.points["ibug68"]))
    old, told = (predictor.predict_in(face.image, [crop]) for predictor in predictors)
    np.testing.assert_allclose(old.points, told.points, atol=1e-4)
    check_evaluation(new, sources[4], tmp_path)
    assert old.errors is None and told.errors.shape == (1, 51)
    assert told.errors.min() > 0 and told.errors.max() < 0.2 * crop.side


def check_evaluation(model: Path, source: str, folder: Path) -> None:
    """An evaluation says how well the errors were expected, and draws it."""
    found = efld_tf.evaluate(model, source)
    expected = found.expected_nme()
    points = found.faces.in_photo(found.predicted)
    off = found.faces.depths_in_photo(found.expected_errors)
    eyes = np.linalg.norm(points[:, 28] - points[:, 19], axis=1)
    np.testing.assert_allclose(expected, off.mean(axis=1) / eyes)
    summary = found.summary()
    assert summary["expected_nme_percent"] == pytest.approx(100 * expected.mean(), abs=1e-3)
    assert 0.4 < expected.mean() / found.nme.mean() < 2.5
    bad = found.nme > 0.05
    assert ("bad_fit_auroc_percent" in summary) == (0 < bad.sum() < len(bad))
    (drawn,) = (path for path in found.charts(folder) if path.name == "reliability.png")
    assert cv2.imread(str(drawn)).std() > 10
    found.save(folder / "results.json")
    assert results.read(folder / "results.json")["evaluation"]["expected_nme_percent"] > 0


def test_a_model_that_is_not_there_is_told(tmp_path: Path, capsys) -> None:
    missing = tmp_path / "none.h5"
    assert common.run(fit_errors.main, [str(missing), "--faces", "ibug:x", "--output",
                                        str(tmp_path / "o.h5")]) == 2
    assert_told(capsys.readouterr().err, missing)
