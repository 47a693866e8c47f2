"""A presence layer tells two kinds apart, and is calibrated on what it was not fitted to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry
from efld_tf.training import presence
from tests import faces
from tests.errors import refuses


def examples(count: int, apart: float, seed: int = 0):
    """Two Gaussians that differ in the first of 20 features, of 40 photos."""
    rng = np.random.default_rng(seed)
    face = rng.random(count) < 0.5
    x = rng.normal(0, 1, (count, 20)) * np.geomspace(0.01, 10, 20) + 3
    x[:, 0] += np.where(face, apart, 0) * 0.01
    return x, face, np.ones(count), [f"photo {i % 40}" for i in range(count)]


def test_it_finds_the_feature_that_tells() -> None:
    """For Gaussians of equal spread the log-odds are linear: apart / spread on that feature."""
    x, face, weight, photos = examples(4000, 3.0)
    layer = presence.fit(x, face, weight, photos)
    kernel = layer.kernel * np.geomspace(0.01, 10, 20)
    assert kernel[0] == pytest.approx(3.0, rel=0.15)
    assert np.abs(kernel[1:]).max() < 0.3
    logit = x @ layer.kernel + layer.bias
    assert (logit[face] > 0).mean() == pytest.approx(presence.RECALL, abs=0.01)
    assert (layer.held_out[face] > 0).mean() == pytest.approx(presence.RECALL, abs=0.002)
    # Half of the other kind lie below the mean of theirs: at 98.5% recall 20% are taken for faces.
    assert (logit[~face] > 0).mean() == pytest.approx(0.20, abs=0.04)


def test_few_examples_are_held_back_more() -> None:
    few, many = (presence.fit(*examples(count, 1.0)) for count in (120, 4000))
    assert few.penalty > many.penalty


def test_what_weighs_nothing_does_not_count() -> None:
    x, face, weight, photos = examples(1000, 2.0)
    wrong = np.concatenate([face, ~face])
    weight = np.concatenate([weight, np.full(1000, 1e-9)])
    one = presence.fit(x, face, weight[:1000], photos, penalties=[1e-2])
    both = presence.fit(np.tile(x, (2, 1)), wrong, weight, photos * 2, penalties=[1e-2])
    np.testing.assert_allclose(both.kernel, one.kernel, rtol=1e-2, atol=1e-3)


def test_a_quantile_by_weight() -> None:
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 2.0, 1.0])
    assert [presence.quantile(values, weight, share) for share in (0.4, 0.6, 0.9)] == [1, 2, 3]


@pytest.mark.parametrize("kinds", [[True] * 10, [False] * 10, [True] * 9 + [False]])
def test_too_few_photos_are_refused(kinds: list[bool]) -> None:
    x = np.random.default_rng(0).normal(size=(10, 4))
    with refuses("photos", "faces", 2):
        presence.fit(x, np.array(kinds), np.ones(10), ["a"] * 9 + ["b"])


def test_a_layer_is_attached_and_replaced(tmp_path) -> None:
    """What else the model tells it tells as before."""
    head = checkpoint.HeadSpec(faces.mean_shape("mtfl5").tolist(), CropRule("points", "mtfl5", 1.2),
                               mean_depth=[0.0, 0.1, 0.3, -0.2, -0.2])
    spec = checkpoint.ModelSpec("efld", 64, {}, {"mtfl5": head})
    model = spec.build()
    crops = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    depth = model(crops / np.float32(255))[registry.depth_output("mtfl5")]
    x = presence.features(spec.architecture, model, crops)
    assert x.shape == (3, 256)
    for scale in (1.0, -2.0):  # the second takes the place of the first
        layer = presence.Layer(np.full(256, scale), 0.5, 0.1, np.zeros(0))
        checkpoint.save(tmp_path / "m.h5", *presence.attached(spec, model, layer, {"k": scale}))
        spec, model = checkpoint.load(tmp_path / "m.h5")
        logit = model(crops / np.float32(255))[registry.PRESENCE].numpy()[:, 0]
        np.testing.assert_allclose(logit, scale * x.sum(axis=1) + 0.5, rtol=1e-4, atol=1e-4)
        assert spec.presence == {"k": scale}
        found = model(crops / np.float32(255))[registry.depth_output("mtfl5")]
        np.testing.assert_allclose(found, depth, atol=1e-6)


def test_a_family_without_features_is_refused(monkeypatch) -> None:
    plain = replace(registry.get("efld"), features=None)
    monkeypatch.setitem(registry.FAMILIES, "plain", plain)
    with refuses("'plain'", "presence"):
        presence.features(
            registry.architecture("plain", {}, 64), None, np.zeros((1, 64, 64, 3), np.uint8))
