"""Families of two stages: integers after a choice of places, in a partition of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tf_keras import layers

from efld_tf.exporting import audit, convert, metadata, modes
from efld_tf.exporting.report import Bundle
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry, two_stage
from efld_tf.models.codecs import best_cells
from efld_tf.models.trained import POINTS, TrainedModel
from efld_tf.runtime import golden, graph
from efld_tf.runtime.metadata import ModelMetadata
from efld_tf.runtime.predictor import LandmarkPredictor
from tests import faces
from tests.errors import refuses

FAMILY, HEAD, SIZE, CELLS = "two_stages", "mtfl5", 32, 8
# What is added to weights at random, so that maps are not even; a standard deviation.
SHAKEN = 0.03


@tf_keras.utils.register_keras_serializable("tests")
class AtBest(layers.Layer):
    """Features of the cells with the highest scores: [B, G, G, C], [B, G, G, N] -> [B, N, 1, C]."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        features, scores = inputs
        channels = features.shape[-1]
        cells = tf.reshape(features, [-1, CELLS * CELLS, channels])
        chosen = tf.gather(cells, best_cells(scores), axis=1, batch_dims=1)
        return tf.reshape(chosen, [-1, scores.shape[-1], 1, channels])


@dataclass(frozen=True)
class Options:
    """Whether the second stage has an operator that XNNPACK has not in int8."""

    average: bool = False


def build(options: Options, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    image = tf_keras.Input((input_size, input_size, 3))
    x = layers.Conv2D(16, 3, 4, "same", activation="relu", name="first")(image)
    outputs = {}
    for head, points in heads.items():
        scores = layers.Conv2D(points, 1, name=f"{head}_scores")(x)
        y = AtBest(name=f"{head}_best")([x, scores])
        y = layers.Conv2D(12, 1, activation="relu", name=f"{head}_second")(y)
        if options.average:
            y = layers.AveragePooling2D((1, 1), name=f"{head}_average")(y)
        offsets = layers.Conv2D(2, 1, name=f"{head}_offsets")(y)
        outputs[head] = {"offsets": offsets, "scores": scores}
    return tf_keras.Model(image, outputs)


class Codec:
    """Points as cells and offsets from them, in crop sides."""

    precision = 1.0

    def encode(self, points: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        raise NotImplementedError

    def decode(self, raw: dict[str, tf.Tensor]) -> tf.Tensor:
        cell = best_cells(raw["scores"])
        corner = tf.stack([cell % CELLS, cell // CELLS], axis=-1)
        return tf.cast(corner, tf.float32) / CELLS + tf.squeeze(raw["offsets"], 2)


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(registry, "FAMILIES", dict(registry.FAMILIES))
    registry.register(FAMILY, registry.Family(
        Options, lambda options, size: None, build, lambda options, size, shape: Codec(), ("l1",)))
    yield FAMILY


def exported(
    path: Path, mode: modes.Mode, family: str = FAMILY, size: int = SIZE, **options: float
) -> tuple[TrainedModel, np.ndarray]:
    """A file of the mode, the model and the crops for its ranges."""
    tf_keras.utils.set_random_seed(0)
    rule = CropRule("points", HEAD, 1.2)
    mean = faces.mean_shape(HEAD)
    spec = checkpoint.ModelSpec(family, size, options, {
        HEAD: checkpoint.HeadSpec(mean.tolist(), rule)})
    model, rng = spec.build(), np.random.default_rng(0)
    for weight in model.trainable_weights:
        weight.assign_add(rng.normal(0, SHAKEN, weight.shape))
    trained = TrainedModel.of(Path("model.h5"), spec, model, HEAD)
    crops = rng.integers(0, 256, (16, size, size, 3), np.uint8)
    about = ModelMetadata(family, HEAD, rule, schemas.get(HEAD).names)
    path.write_bytes(metadata.add(convert.convert(trained, mode, crops), about))
    return trained, crops


@pytest.mark.parametrize("name", ["int8", "float32"])
def test_both_stages_are_audited(family: str, tmp_path: Path, name: str) -> None:
    path, mode = tmp_path / "model.tflite", modes.get(name)
    trained, crops = exported(path, mode)
    found = audit.check(path, mode)
    stages = audit.stages(found)
    weighted = [op for op in found.operators if op.name in graph.WEIGHTED]
    assert [sum(op.index in stage for op in weighted) for stage in stages] == [2, 2]
    if name == "int8":
        assert all(op.output_dtypes == ("int8",) for op in weighted)
    searches = [op for op in found.operators if op.name == "ARG_MAX"]
    assert len(searches) == 1  # of the network and of the decoding together
    points = trained.decoded(tf.constant(crops / np.float32(255)))["points"].numpy()
    predictor = LandmarkPredictor(path)
    error = np.abs(predictor.predict_crops(crops) - points).max(axis=-1)
    assert np.median(error) < (0.02 if name == "int8" else 1e-5)


@pytest.mark.parametrize("name", ["int8", "float32"])
def test_regions_are_audited(tmp_path: Path, name: str) -> None:
    """Regions of whole cells in integers, and between cells in float."""
    path, mode = tmp_path / "model.tflite", modes.get(name)
    trained, crops = exported(path, mode, "two_stage", 64, width=0.5)
    found = audit.check(path, mode)
    assert len(audit.stages(found)) == 2
    weighted = [op for op in found.operators if op.name in graph.WEIGHTED]
    assert {op.output_dtypes for op in weighted} == {(name,)}
    assert [op.name for op in found.operators if graph.chooses(op)] == ["CAST"]
    assert sum(op.name == "GATHER" for op in found.operators) == 1
    images = tf.constant(crops / np.float32(255))
    network = two_stage.for_integers(trained.network) if name == "int8" else trained.network
    points = trained.codec.decode(network(images)["points"]).numpy()
    error = np.abs(LandmarkPredictor(path).predict_crops(crops) - points).max(axis=-1)
    assert np.median(error) < (0.005 if name == "int8" else 1e-5)
    assert error.max() < (1 / 16 if name == "int8" else 1e-5)  # a cell


def test_one_stage_of_two_is_audited(tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    trained, crops = exported(path, modes.INT8, "two_stage", 64, width=0.5, stages=1)
    found = audit.check(path, modes.INT8)
    assert len(audit.stages(found)) == 1 and not graph.after_choice(found)
    points = trained.decoded(tf.constant(crops / np.float32(255)))["points"].numpy()
    error = np.abs(LandmarkPredictor(path).predict_crops(crops) - points)
    assert error.max() < 0.02


def test_a_second_stage_outside_of_xnnpack_is_refused(family: str, tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    exported(path, modes.INT8, average=True)
    with refuses("AVERAGE_POOL_2D", path=path):
        audit.check(path, modes.INT8)


@pytest.mark.long
@pytest.mark.parametrize("trained", ["two_stage"], indirect=True)
def test_the_golden_output_tells_a_missing_stage(
    trained: Path, export_once: Callable[[str], Bundle]
) -> None:
    """By the mean of all points; that of one may be off by half a cell of the first stage."""
    stated, image, _ = golden.read(export_once("int8").model)
    model = TrainedModel.load(trained, "ibug51")
    raw = model.network(tf.constant(image / np.float32(255)), training=False)
    given = model.decode(raw)[POINTS].numpy()
    raw[POINTS] = {**raw[POINTS], "second": tf.zeros_like(raw[POINTS]["second"])}
    missing = model.decode(raw)[POINTS].numpy()
    assert stated.mean_tolerance is not None
    assert np.abs(missing - given).mean() > stated.mean_tolerance


def test_one_stage_without_a_search() -> None:
    from efld_tf import assets

    model_graph = graph.read(assets.INT8_MODEL)
    assert audit.stages(model_graph) == [{op.index for op in model_graph.operators}]
