"""The tool lets a model tell how far off its points are, and changes nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from efld_tf import assets
from efld_tf.annotations.synthetic.dataset import write_dataset
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.cli import common
from efld_tf.landmarks.geometry import tight_box
from efld_tf.models import checkpoint
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
    assert old.errors is None and told.errors.shape == (1, 51)
    assert told.errors.min() > 0 and told.errors.max() < 0.2 * crop.side


def test_a_model_that_is_not_there_is_told(tmp_path: Path, capsys) -> None:
    missing = tmp_path / "none.h5"
    assert common.run(fit_errors.main, [str(missing), "--faces", "ibug:x", "--output",
                                        str(tmp_path / "o.h5")]) == 2
    assert_told(capsys.readouterr().err, missing)
