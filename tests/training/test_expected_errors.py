"""Expected errors: a regression that finds what tells them, and two layers that hold it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import expit

from efld_tf.landmarks import metrics
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry
from efld_tf.training import expected_errors, presence
from tests import faces
from tests.errors import refuses
from tests.trained import float_predictor

SIZE = 32


def examples(count: int, seed: int = 0):
    """Features of which two tell the mean errors of 5 points, and errors about these."""
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (count, 20)) * np.geomspace(0.1, 10, 20) + 3
    tells = (x[:, :2] - 3) / np.geomspace(0.1, 10, 20)[:2]
    odds = tells @ np.array([[0.7, 0.7, 0.7, 0.2, 0.2], [0, 0, 0.1, 0.5, 0.5]]) - 3.5
    errors = expit(odds) * rng.gamma(4, 1 / 4, (count, 5))
    return x, errors, expit(odds), [f"photo {i % 40}" for i in range(count)]


def test_it_finds_what_tells_the_mean_error() -> None:
    x, errors, mean, photos = examples(4000)
    layers = expected_errors.fit(x, errors, photos, rank=2)
    found = layers(x)
    assert found.shape == (4000, 5)
    assert np.abs(np.log(found / mean)).mean() < 0.08
    assert found.mean() == pytest.approx(errors.mean(), rel=0.05)
    assert layers.held_out.mean() == pytest.approx(errors.mean(), rel=0.05)
    latents = x @ layers.latent_kernel + layers.latent_bias
    np.testing.assert_allclose(latents.std(axis=0), expected_errors.LATENT_SPREAD, rtol=0.01)


def test_how_large_errors_are_follows_from_faces_that_were_not_learnt() -> None:
    x, errors, _, photos = examples(4000)
    others, their_errors, _, _ = examples(1000, seed=1)
    learnt = expected_errors.fit(x, errors, photos, rank=2)
    calibrated = expected_errors.fit(
        x, errors, photos, rank=2, calibration=(others, 1.5 * their_errors))
    assert calibrated(others).mean() == pytest.approx(1.5 * their_errors.mean(), rel=0.05)
    assert np.corrcoef(np.log(calibrated(x)).ravel(), np.log(learnt(x)).ravel())[0, 1] > 0.999


def test_one_number_is_too_few_for_two_facts() -> None:
    x, errors, mean, photos = examples(4000)
    misses = [np.abs(np.log(expected_errors.fit(x, errors, photos, rank=rank)(x) / mean)).mean()
              for rank in (1, 2)]
    assert misses[1] < 0.5 * misses[0]


def test_the_mean_of_what_nothing_tells() -> None:
    """With equal log-odds all that remains is the mean of the errors."""
    errors = np.array([[0.01], [0.02], [0.06]])
    slope, offset = expected_errors.to_mean(np.zeros((3, 1)), errors)
    assert expit(offset) == pytest.approx(0.03, rel=1e-3) and slope == 1


@pytest.mark.parametrize("change", ["photos", "feature", "error"])
def test_what_cannot_be_fitted_to_is_refused(change: str) -> None:
    x, errors, _, photos = examples(40)
    if change == "photos":
        photos = ["a", "b", "c", "d"] * 10
    (x if change == "feature" else errors)[3, 2] = np.nan if change != "photos" else 0.1
    with refuses("expected errors"):
        expected_errors.fit(x, errors, photos)


def model_of(depth: bool):
    """A small EFLD with a presence output, and perhaps depths."""
    shape = faces.mean_shape("mtfl5").tolist()
    head = checkpoint.HeadSpec(shape, CropRule("points", "mtfl5", 2.0),
                               mean_depth=[0.0, 0.1, 0.3, -0.2, -0.2] if depth else None)
    spec = checkpoint.ModelSpec("efld", SIZE, {}, {"mtfl5": head}, presence={"faces": "none"})
    return spec, spec.build()


@pytest.mark.parametrize("depth", [False, True])
def test_a_model_tells_what_was_fitted(depth: bool, tmp_path: Path) -> None:
    spec, model = model_of(depth)
    crops = np.random.default_rng(0).integers(0, 256, (60, SIZE, SIZE, 3), np.uint8)
    features = presence.features(spec.architecture, model, crops)
    errors = expit(features[:, :5] - 4)
    layers = expected_errors.fit(features, errors, [str(i % 10) for i in range(60)])
    other, complete = expected_errors.attached(spec, model, "mtfl5", layers, {"faces": "noise"})
    checkpoint.save(tmp_path / "m.h5", other, complete)
    loaded, _ = checkpoint.load(tmp_path / "m.h5")
    assert loaded.heads["mtfl5"].errors == {"faces": "noise"}
    before, told = (float_predictor(path, "mtfl5").predict_outputs(crops) for path in (
        _saved(tmp_path / "before.h5", spec, model), tmp_path / "m.h5"))
    np.testing.assert_allclose(told.errors, layers(features), rtol=1e-3)
    assert before.errors is None
    for one, same in zip(before[:3], told[:3], strict=True):
        assert (one is None) == (same is None) == (one is before.depth and not depth)
        if one is not None:
            np.testing.assert_allclose(same, one, atol=1e-6)
    # A second fit takes the first one's place, and a presence output stays what it was.
    again, complete = expected_errors.attached(
        other, complete, "mtfl5", replace(layers, bias=layers.bias + 1), {})
    assert again.heads["mtfl5"].errors == {} and registry.PRESENCE in complete.output
    assert (registry.depth_output("mtfl5") in complete.output) == depth


def _saved(path: Path, *model) -> Path:
    checkpoint.save(path, *model)
    return path


def test_presence_comes_first() -> None:
    spec, model = model_of(False)
    layers = expected_errors.fit(*(lambda e: (e[0], e[1], e[3]))(examples(60)))
    with refuses("presence"):
        expected_errors.attached(replace(spec, presence=None), model, "mtfl5", layers, {})
    head = replace(spec.heads["mtfl5"], errors={})
    with refuses("heads.mtfl5.errors", "presence"):
        replace(spec, heads={"mtfl5": head}, presence=None)


def test_the_area_under_the_curve() -> None:
    score = np.array([0.1, 0.4, 0.4, 0.9])
    positive = np.array([False, True, False, True])
    assert metrics.auroc(score, positive) == pytest.approx(3.5 / 4)
    assert np.isnan(metrics.auroc(score, np.ones(4, bool)))
    assert np.isnan(metrics.auroc(score, np.zeros(4, bool)))


def test_reliability_is_in_bins_of_equally_many() -> None:
    expected, true = np.array([4.0, 1, 2, 3]), np.array([8.0, 1, 3, 4])
    assert metrics.reliability(expected, true, 2) == [(1.5, 2.0, 2), (3.5, 6.0, 2)]
