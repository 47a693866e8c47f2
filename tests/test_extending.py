"""A model family, an export mode and a reader of one's own, from outside the package."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
import yaml
from ai_edge_quantizer import qtyping, quantizer
from tf_keras import layers

import efld_tf
from efld_tf.annotations import sources
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import EfldError
from efld_tf.exporting import modes, quantise
from efld_tf.models import checkpoint, registry
from efld_tf.models.codecs import MeanResidualCodec
from efld_tf.models.trained import TrainedModel
from tests import faces
from tests.errors import refuses


@dataclass(frozen=True)
class ToyOptions:
    """What can be varied.

    Attributes:
      width: channels.
      stages: predictions of each head, one after the other.
    """

    width: int = 8
    stages: int = 1


def check_size(options: ToyOptions, input_size: int) -> None:
    if input_size % 4:
        raise EfldError(f"input_size: expected a multiple of 4, got {input_size}")


def build(options: ToyOptions, input_size: int, heads: Mapping[str, int]) -> tf_keras.Model:
    image = tf_keras.Input((input_size, input_size, 3), name="image")
    x = layers.Conv2D(options.width, 3, 4, "same", activation="relu", name="stem")(image)
    x = layers.Flatten(name="flatten")(x)
    outputs = {}
    for schema, points in heads.items():
        flats = [layers.Dense(2 * points, name=f"{schema}_points{stage + 1}")(x)
                 for stage in range(options.stages)]
        residuals = [layers.Reshape((points, 2))(flat) for flat in flats]
        outputs[schema] = residuals if options.stages > 1 else residuals[0]
    return tf_keras.Model(image, outputs, name="toy")


def codec(options: ToyOptions, input_size: int, mean_shape: np.ndarray) -> MeanResidualCodec:
    return MeanResidualCodec(mean_shape)


TOY_FAMILY = registry.Family(ToyOptions, check_size, build, codec, ("nme", "l1"))
TOY_MODE = modes.Mode(
    "small", "int8 weights, unpacked to float", "float32", "int8", one_partition=False,
    steps=modes.Steps(split=True, merge=True),
)


def small(content: bytes, chosen: quantise.Ranges, steps: modes.Steps) -> bytes:
    engine = quantizer.Quantizer(content)
    engine.add_weight_only_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8)
    return quantise.run(engine)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The toys, for one test in a folder with toy.yaml and photos."""
    monkeypatch.chdir(tmp_path)
    faces.write_ibug(tmp_path / "photos", 24, "ibug68")
    source = {"name": "a", "source": "ibug:photos", "heads": ["ibug51"],
              "validation_fraction": 0.2}
    Path("toy.yaml").write_text(yaml.safe_dump({
        "name": "toy", "model": {"family": "toy", "input_size": 32, "options": {"width": 4}},
        "heads": {"ibug51": {}}, "data": {"sources": [source], "pack": {"size": 48}},
        "training": {"target_head": "ibug51", "steps": 40, "warmup_steps": 2, "batch_size": 8},
    }))
    registry.register("toy", TOY_FAMILY)
    quantise.register(modes.register(TOY_MODE), small)
    yield
    del registry.FAMILIES["toy"], modes.MODES["small"], quantise.QUANTISERS["small"]


def test_a_family_and_a_mode_from_outside(own: None) -> None:
    run = efld_tf.train("toy.yaml", progress=False)
    bundle = efld_tf.export(run, "small", faces="ibug:photos")
    assert bundle.model.name == "toy_ibug51_small.tflite"
    assert bundle.report.types["int8"] == 2  # the two kernels
    assert bundle.report.comparison["point_difference_px_median"] < 0.1
    result = efld_tf.evaluate(bundle, "ibug:photos", progress=False)
    assert abs(100 * result.nme.mean() - bundle.report.comparison["exported_nme_percent"]) < 1e-3
    table = efld_tf.api.compare_modes(run, faces="ibug:photos", notify=lambda line: None)
    assert {"small", "int8", "float32"} <= {row["mode"] for row in table.rows}


def test_all_stages_learn_and_the_last_one_is_kept(own: None) -> None:
    run = efld_tf.train("toy.yaml", overrides={"model.options.stages": 3}, progress=False)
    _, network = checkpoint.load(run.folder / "best.h5")
    biases = [network.get_layer(f"ibug51_points{stage}").get_weights()[1] for stage in (1, 2, 3)]
    assert min(np.abs(bias).max() for bias in biases) > 1e-3  # they started from 0
    trained = TrainedModel.load(run.folder / "best.h5")
    names = [layer.name for layer in trained.network.layers]
    assert [name for name in names if "points" in name] == ["ibug51_points3"]
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    np.testing.assert_allclose(
        trained.decoded(images)["points"],
        trained.codec.decode(network(images)["ibug51"][-1]), atol=1e-6)
    bundle = efld_tf.export(run, "float32", faces="ibug:photos")
    assert bundle.report.comparison["point_difference_px_median"] < 1e-3


def test_a_network_that_cannot_be_built_takes_no_name(own: None) -> None:
    def train(width: int) -> efld_tf.Run:
        return efld_tf.train("toy.yaml", steps=3, overrides={"model.options.width": width},
                             progress=False)

    with pytest.raises(ValueError):
        train(-1)
    assert not Path("runs/toy").exists()
    assert train(4).step == 3
    with refuses("runs/toy", "model.options.width"):
        train(5)
    assert Path("runs/toy/best.h5").exists()


def test_a_reader_from_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read(path: Path, *, schema: str = "ibug68") -> Iterator[FaceRecord]:
        """The faces of a folder of arrays.

        Args:
          schema: the schema of the points.
        """
        for file in sorted(path.glob("*.npy")):
            yield FaceRecord(file.with_suffix(".png"), np.load(file), schema)

    folder = faces.write_ibug(tmp_path / "photos", 3)
    for record in sources.read(f"ibug:{folder}").records:
        np.save(record.image.with_suffix(".npy"), record.points)
    monkeypatch.setattr(sources, "FORMATS", dict(sources.FORMATS))
    toy = Format("arrays", "arrays", read, (), "FOLDER", "NAME.npy beside NAME.png", "none")
    assert sources.register(toy) is toy
    found = sources.read(f"arrays:{folder}?convert=ibug51")
    assert (found.schema, len(found.records), found.records[2].key) == (
        "ibug51", 3, "face_002x.png")
    with refuses("arrays"):
        sources.register(toy)
    with refuses("colour", "schema"):
        sources.read(f"arrays:{folder}?colour=red")
    for name in ("packed", "a:b", ""):
        with refuses(repr(name)):
            sources.register(replace(toy, name=name))


def test_mistakes_of_an_extension(own: None) -> None:
    with refuses("model family 'toy'"):
        registry.register("toy", TOY_FAMILY)
    with refuses("export mode 'small'"):
        modes.register(TOY_MODE)
    with refuses("mode 'small'", "quantiser"):
        quantise.register(TOY_MODE, small)
    with refuses("model.input_size", 4, 30):
        registry.architecture("toy", {}, 30)
    with refuses("model.options.wide", "width"):
        registry.architecture("toy", {"wide": 3}, 32)
    with refuses("'toy'", "presence"):
        registry.architecture("toy", {}, 32).build({"mtfl5": 5}, presence=True)


def test_no_network_is_built_to_check_a_recipe(
    own: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from efld_tf.training import recipe, run

    faces.write_ibug(tmp_path / "photos", 12, "ibug68")
    (tmp_path / "r.yaml").write_text(yaml.safe_dump({
        "name": "r", "output_dir": str(tmp_path), "model": {"family": "pipnet", "input_size": 64},
        "heads": {"ibug51": {}}, "training": {"target_head": "ibug51", "steps": 1},
        "data": {"cache_dir": str(tmp_path / "packed"), "pack": {"size": 96}, "sources": [
            {"name": "a", "source": f"ibug:{tmp_path / 'photos'}", "heads": ["ibug51"],
             "validation_fraction": 0.3}]},
    }))
    monkeypatch.setattr(tf_keras, "Model", None)
    run.prepare(recipe.load(tmp_path / "r.yaml"), progress=False)
    assert tf.io.gfile.exists(str(tmp_path / "packed"))
