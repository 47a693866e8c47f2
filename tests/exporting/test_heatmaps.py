"""Heatmaps are read alike in float and in every kind of integers, whatever they hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting import audit, convert, metadata, modes
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, codecs, registry
from efld_tf.models.heatmaps import HeatmapOptions
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor
from tests import faces

FAMILY, HEAD, SIZE, STRIDE = "drawn", "mtfl5", 64, 4
MAP = SIZE // STRIDE
CHANNELS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1]].T  # by which each of the points is drawn


@dataclass(frozen=True)
class Options(HeatmapOptions):
    """Those of every family with heatmaps."""


def build(options: Options, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    """Maps that are the image's channels, or log-odds that rise with them."""
    image = tf_keras.Input((input_size, input_size, 3))
    scores = layers.Conv2D(heads[HEAD], 1, STRIDE, name=f"{HEAD}_scores")
    model = tf_keras.Model(image, {HEAD: scores(image)})
    slope, start = (10.0, -5.0) if options.maps == "log_odds" else (1.0, 0.0)
    scores.set_weights([slope * CHANNELS[None, None], np.full(heads[HEAD], start)])
    return model


def codec(options: Options, input_size: int, mean_shape: np.ndarray) -> codecs.HeatmapCodec:
    return codecs.HeatmapCodec(len(mean_shape), MAP, 1.0, options.decoder, options.maps)


@pytest.mark.parametrize("name", ["int8", "int16x8"])
@pytest.mark.parametrize("maps", codecs.MAPS)
@pytest.mark.parametrize("decoder", codecs.DECODERS)
def test_heatmaps_are_read_alike(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, maps: str, decoder: str
) -> None:
    monkeypatch.setitem(registry.FAMILIES, FAMILY, registry.Family(
        Options, lambda options, size: None, build, codec, ("heatmap",)))
    rule, mean = CropRule("points", HEAD, 1.2), faces.mean_shape(HEAD)
    spec = checkpoint.ModelSpec(FAMILY, SIZE, {"maps": maps, "decoder": decoder}, {
        HEAD: checkpoint.HeadSpec(mean.tolist(), rule)})
    trained = TrainedModel.of(Path("model.h5"), spec, spec.build(), HEAD)
    points = np.random.default_rng(0).uniform(0, 1, (16, 3, 2)).astype(np.float32)
    drawn = codecs.HeatmapCodec(3, MAP, 1.0).encode(points, tf.ones([16, 3])).numpy()
    crops = np.uint8(np.round(255 * drawn)).repeat(STRIDE, axis=1).repeat(STRIDE, axis=2)
    path, mode = tmp_path / "model.tflite", modes.get(name)
    about = ModelMetadata(FAMILY, HEAD, rule, schemas.get(HEAD).names)
    path.write_bytes(metadata.add(convert.convert(trained, mode, crops), about))
    audit.check(path, mode)
    found = LandmarkPredictor(path).predict_crops(crops)
    np.testing.assert_allclose(found, points[:, [0, 1, 2, 0, 1]], atol=0.51 / MAP)
    expected = trained.decoded(crops / np.float32(255))["points"]
    # Which neighbour is the higher one is lost where both are as high in integers.
    worst = 0.1 if decoder == "centroid" else 0.26
    np.testing.assert_allclose(found, expected, atol=worst / MAP)
