"""What every model family and codec gets for free."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf

from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import Crop, CropRule, extract_crop
from efld_tf.models import checkpoint, registry
from efld_tf.training import devices
from tests import faces
from tests.errors import refuses
from tests.families import small_options
from tests.trained import float_predictor

SIZE = 64


def spec_of(family: str, *heads: str) -> checkpoint.ModelSpec:
    return checkpoint.ModelSpec(
        family, SIZE, small_options(family),
        {
            head: checkpoint.HeadSpec(
                faces.mean_shape(head).tolist(), CropRule("points", head, 1.2)
            )
            for head in heads
        },
    )


def randomised(spec: checkpoint.ModelSpec):
    model = spec.build()
    rng = np.random.default_rng(1)
    for weight in model.weights:
        noise = rng.normal(0, 0.05, weight.shape)
        weight.assign(np.abs(weight + noise) if "variance" in weight.name else weight + noise)
    return model


def assert_equal(first: registry.Raw, second: registry.Raw) -> None:
    tf.nest.map_structure(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_every_family_computes_in_16_bits(family: str) -> None:
    images = np.random.default_rng(0).uniform(0, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    for precision in ("bfloat16", "float16"):
        with devices.precision(precision):
            outputs = spec_of(family, "ibug51").build()(images, training=True)
        for output in tf.nest.flatten(outputs):
            assert np.isfinite(tf.cast(output, tf.float32)).all(), precision


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_decode_inverts_encode(family: str) -> None:
    """A head that predicts its targets is perfect."""
    rng = np.random.default_rng(0)
    architecture = registry.architecture(family, small_options(family), SIZE)
    outputs = architecture.build({head: schemas.get(head).num_points for head in schemas.names()})
    for head, raw in outputs.output.items():
        codec = architecture.codec(faces.mean_shape(head))
        points = rng.uniform(0, 1, (3, schemas.get(head).num_points, 2)).astype(np.float32)
        targets = codec.encode(tf.constant(points), tf.ones(points.shape[:2]))
        raw = registry.predictions(raw)[-1]
        if isinstance(raw, dict):
            targets = {name: targets[name] for name in raw}
        perfect = tf.nest.map_structure(
            lambda target, output: tf.broadcast_to(target, [3, *output.shape[1:]]), targets, raw
        )
        np.testing.assert_allclose(codec.decode(perfect), points, atol=codec.precision)


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_an_untrained_model_predicts_points_in_the_crop(family: str) -> None:
    spec = spec_of(family, "ibug51")
    for raw in registry.predictions(spec.build()(tf.zeros([2, SIZE, SIZE, 3]))["ibug51"]):
        points = spec.codec("ibug51").decode(raw).numpy()
        assert points.shape == (2, 51, 2) and points.dtype == np.float32
        assert points.min() > -0.1 and points.max() < 1.1


@pytest.mark.parametrize("family", ["efld", "coordnet"])
def test_training_of_residuals_starts_from_the_mean_shape(family: str) -> None:
    spec = spec_of(family, "ibug51")
    raw = spec.build()(tf.zeros([1, SIZE, SIZE, 3]))["ibug51"]
    points = spec.codec("ibug51").decode(raw).numpy()[0]
    assert np.abs(points - faces.mean_shape("ibug51")).max() < 0.05


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_save_and_load(family: str, tmp_path) -> None:
    spec = spec_of(family, "ibug51", "mtfl5")
    model = randomised(spec)
    checkpoint.save(tmp_path / "m.h5", spec, model)
    loaded_spec, loaded = checkpoint.load(tmp_path / "m.h5")
    defaults = asdict(registry.architecture(family, spec.options, SIZE).options)
    assert defaults.keys() == loaded_spec.options.keys()  # whatever the defaults will be
    assert loaded_spec == replace(spec, options={**defaults, **spec.options})
    image = np.random.default_rng(2).uniform(0, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    found, expected = loaded(image), model(image)
    for head in spec.heads:
        assert_equal(found[head], expected[head])
    assert [p.name for p in tmp_path.iterdir()] == ["m.h5"]


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_fine_tuning_keeps_the_backbone_and_shared_heads(family: str, tmp_path) -> None:
    source = randomised(spec_of(family, "ibug51", "mtfl5"))
    checkpoint.save(tmp_path / "m.h5", spec_of(family, "ibug51", "mtfl5"), source)
    # What the second stack of dense U-Nets sees depends on the first one's maps of all heads.
    kept = ["mtfl5"] if family == "dense_unet" else []
    model = spec_of(family, "ibug51", *kept, "wflw98").build()
    missing = checkpoint.load_matching(tmp_path / "m.h5", model)
    assert missing and all(name.startswith("wflw98") for name in missing)
    image = tf.random.uniform([1, SIZE, SIZE, 3])
    assert_equal(model(image)["ibug51"], source(image)["ibug51"])


def test_a_loss_that_does_not_fit_what_maps_hold_is_not_offered() -> None:
    for maps, loss in (("values", "heatmap"), ("log_odds", "heatmap_bce")):
        assert registry.architecture("mapnet", {"maps": maps}, SIZE).losses == (loss,)
    for options, fact in (({"maps": "logits"}, "maps"), ({"decoder": "mean"}, "decoder"),
                          ({"sigma": 0.0}, "sigma")):
        with refuses(f"model.options.{fact}", str(options[fact])):
            registry.architecture("mapnet", options, SIZE)


SLOW = ("lite_hrnet_plus", "dense_unet")


def presence_of(spec: checkpoint.ModelSpec, model):
    """The same model with a presence output that says something."""
    whole = spec.architecture.with_presence(model)
    layer = whole.get_layer(registry.PRESENCE_LAYER)
    kernel = np.random.default_rng(4).normal(0, 0.05, layer.kernel.shape)
    layer.set_weights([kernel, np.array([0.1])])
    return replace(spec, presence={"faces": "none"}), whole


@pytest.mark.parametrize("family", [
    pytest.param(name, marks=[pytest.mark.long] if name in SLOW else [])
    for name, family in registry.FAMILIES.items() if family.features])
def test_a_presence_output_leaves_the_heads_alone(family: str, tmp_path) -> None:
    spec = spec_of(family, "ibug51", "mtfl5")
    spec.heads["mtfl5"] = replace(spec.heads["mtfl5"], mean_depth=[0.0, 0.1, 0.3, -0.2, -0.2])
    model = randomised(spec)
    image = np.random.default_rng(2).uniform(0, 1, (2, SIZE, SIZE, 3)).astype(np.float32)
    before = {head: model(image)[head] for head in spec.heads}
    checkpoint.save(tmp_path / "m.h5", *presence_of(spec, model))
    loaded_spec, loaded = checkpoint.load(tmp_path / "m.h5")
    outputs = loaded(image)
    assert loaded_spec.presence == {"faces": "none"} and list(loaded_spec.heads) == [*spec.heads]
    assert outputs[registry.PRESENCE].shape == (2, 1)
    for head, raw in before.items():
        assert_equal(outputs[head], raw)
    crops = np.uint8(255 * image)
    predictor = float_predictor(tmp_path / "m.h5", "mtfl5")
    points, confidence, depth, _ = predictor.predict_outputs(crops)
    logit = loaded(crops / np.float32(255))[registry.PRESENCE].numpy()[:, 0]
    np.testing.assert_allclose(confidence, 1 / (1 + np.exp(-logit)), atol=1e-5)
    assert points.shape == (2, 5, 2) and np.ptp(logit) > 0
    assert predictor.has_depth and depth.shape == (2, 5)
    expected = model(crops / np.float32(255))[registry.depth_output("mtfl5")]
    np.testing.assert_allclose(depth, expected, atol=1e-5)
    assert not float_predictor(tmp_path / "m.h5", "ibug51").has_depth


def test_depths_start_from_the_mean_face_and_are_told_in_pixels(tmp_path) -> None:
    mean = np.array([0.0, 0.1, 0.3, -0.2, -0.2])
    spec = spec_of("efld", "mtfl5")
    spec.heads["mtfl5"] = replace(spec.heads["mtfl5"], mean_depth=mean.tolist())
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    predictor = float_predictor(tmp_path / "m.h5")
    image = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    crops = [Crop(40.0, 30.0, 50.0), Crop(70.0, 60.0, 80.0)]
    outputs = predictor.predict_in(image, crops)
    np.testing.assert_allclose(outputs.depth, np.outer([50, 80], mean), atol=2)
    assert predictor.predict_in(image, []).depth.shape == (0, 5)


@pytest.mark.parametrize("depths", [[0.0], [0.1, float("nan"), 0, 0, 0]])
def test_mean_depths_of_other_points_are_refused(depths: list[float]) -> None:
    with refuses("mean_depth", "5"):
        replace(spec_of("efld", "mtfl5").heads["mtfl5"], mean_depth=depths)


def test_a_presence_for_other_features_is_refused(tmp_path) -> None:
    """Of EFLD's first files: as many, but the decoder's."""
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", *presence_of(spec, randomised(spec)))
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.move(registry.PRESENCE_LAYER, "presence")
    with refuses("presence_logit/kernel:0", "presence_logit/bias:0", path=tmp_path / "m.h5"):
        checkpoint.load(tmp_path / "m.h5")


def test_training_starts_without_the_presence_of_its_source(tmp_path) -> None:
    """It was fitted to features that training changes."""
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", *presence_of(spec, randomised(spec)))
    model = spec.build()
    assert checkpoint.load_matching(tmp_path / "m.h5", model) == []
    assert list(model.output) == ["mtfl5"]


def test_a_model_without_presence_says_so(tmp_path) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    with h5py.File(tmp_path / "m.h5", "a") as file:  # as files were written before
        tree = json.loads(file.attrs["spec"])
        del tree["presence"]
        file.attrs["spec"] = json.dumps(tree)
    predictor = float_predictor(tmp_path / "m.h5")
    crops = np.zeros((1, SIZE, SIZE, 3), np.uint8)
    assert not predictor.has_confidence and predictor.predict_outputs(crops).confidence is None


def test_a_float_predictor_looks_into_photos(tmp_path) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", *presence_of(spec, randomised(spec)))
    predictor = float_predictor(tmp_path / "m.h5")
    image = np.random.default_rng(5).integers(0, 256, (90, 120, 3), np.uint8)
    crops = [Crop(40.0, 30.0, 50.0), Crop(70.0, 60.0, 80.0)]
    points, confidence, *_ = predictor.predict_in(image, crops)
    for index, crop in enumerate(crops):
        pixels = extract_crop(image, crop, SIZE)[None]
        unit, alone, *_ = predictor.predict_outputs(pixels)
        np.testing.assert_allclose(points[index], crop.from_unit(unit[0]), atol=1e-3)
        assert confidence[index] == pytest.approx(alone[0], abs=1e-5)
    points, confidence, *_ = predictor.predict_in(image, [])  # a photo without a face
    assert points.shape == (0, 5, 2) and confidence.shape == (0,)


def test_presence_is_refused_where_it_cannot_be(monkeypatch) -> None:
    plain = replace(registry.get("efld"), features=None)
    monkeypatch.setitem(registry.FAMILIES, "plain", plain)
    with refuses("'plain'", "presence"):
        registry.architecture("plain", {}, SIZE).build({"mtfl5": 5}, presence=True)
    pfld = registry.architecture("efld", {"head": "pfld"}, SIZE)
    model = pfld.build({"mtfl5": 5}, presence=True)
    assert registry.get("efld").features(model).shape[1:] == (256,)
    with refuses("output 'presence'"):
        pfld.with_presence(model)


def test_float_predictor_takes_pixels(tmp_path) -> None:
    spec = spec_of("efld", "ibug51", "mtfl5")
    model = randomised(spec)
    checkpoint.save(tmp_path / "m.h5", spec, model)
    predictor = float_predictor(tmp_path / "m.h5", "mtfl5")
    crops = np.random.default_rng(3).integers(0, 256, (70, SIZE, SIZE, 3), np.uint8)
    expected = spec.codec("mtfl5").decode(model(crops / np.float32(255))["mtfl5"])
    np.testing.assert_allclose(predictor.predict_crops(crops), expected, atol=1e-5)
    with refuses("head 'wflw98'", "ibug51", "mtfl5", path=tmp_path / "m.h5"):
        float_predictor(tmp_path / "m.h5", "wflw98")


def test_strange_files_are_refused(tmp_path) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "good.h5", spec, spec.build())
    good = (tmp_path / "good.h5").read_bytes()
    (tmp_path / "text.h5").write_text("hello")
    (tmp_path / "cut.h5").write_bytes(good[: len(good) // 2])
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file.attrs["keras_version"] = "2"
    with h5py.File(tmp_path / "less.h5", "w") as file, h5py.File(tmp_path / "good.h5") as source:
        file.attrs.update(source.attrs)
    (tmp_path / "folder.h5").mkdir()
    for name, fact in (("text", "model file"), ("cut", "model file"), ("other", "model file"),
                       ("less", "weights"), ("absent", "No such file"), ("folder", "directory")):
        with refuses(fact, path=tmp_path / f"{name}.h5"):
            checkpoint.load(tmp_path / f"{name}.h5")


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"heads": {}}, ["spec.heads"]),
        ({"heads": {"mtfl5": {"mean_shape": [[0, 0]] * 7, "crop_rule": "same", "source": ""}}},
         ["spec.heads.mtfl5.mean_shape", 5]),
        ({"heads": {"mtfl5": {"mean_shape": [[0, 0]] * 4 + [[0]], "crop_rule": "same"}}},
         ["spec.heads.mtfl5.mean_shape", 5]),
        ({"heads": {"nose3": {"mean_shape": [[0, 0]] * 3, "crop_rule": "same"}}},
         ["'nose3'", "ibug68"]),
        ({"options": {"activation": 3}}, ["model.options.activation", 3]),
        ({"input_size": 50}, ["model.input_size", 16, 50]),
        ({"family": "other"}, ["model.family", "'other'", *registry.FAMILIES]),
    ],
)
def test_descriptions_that_do_not_fit_are_refused(
    tmp_path, change: dict, facts: list[object]
) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    with h5py.File(tmp_path / "m.h5", "a") as file:
        tree = json.loads(file.attrs["spec"])
        rule = tree["heads"]["mtfl5"]["crop_rule"]
        tree.update(change)
        for head in tree["heads"].values():
            head["crop_rule"] = rule
        file.attrs["spec"] = json.dumps(tree)
    with refuses(*facts, path=tmp_path / "m.h5"):
        checkpoint.load(tmp_path / "m.h5")


def test_weights_that_are_no_numbers_are_refused(tmp_path) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["mtfl5_points/bias:0"]
        file["mtfl5_points/bias:0"] = [b"text"] * 10
    with refuses("mtfl5_points/bias:0", "numbers", path=tmp_path / "m.h5"):
        checkpoint.load(tmp_path / "m.h5")


Put = Callable[[h5py.File, str, tuple[int, ...]], object]


def replace_weight(file: h5py.File, put: Put) -> None:
    name = "mtfl5_points/bias:0"
    shape = file[name].shape
    del file[name]
    put(file, name, shape)


def outside(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(bytes(1000))
    file.create_dataset(name, shape, "f4", external=str(secret))


def linked(file: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    del file[name.split("/")[0]]
    with h5py.File(Path(file.filename).with_name("other.h5"), "w") as other:
        for key in ("kernel:0", "bias:0"):
            other[f"x/{key}"] = np.ones(shape, np.float32)
    file[name.split("/")[0]] = h5py.ExternalLink("other.h5", "x")


@pytest.mark.parametrize(("put", "fact"), [
    (lambda file, name, shape: file.create_dataset(name, (1 << 22, 1 << 23), "f4"), "missing"),
    (lambda file, name, shape: file.create_dataset(name, shape, "f4", chunks=(1 << 20,),
                                                   maxshape=(None,)), (1 << 20,)),
    (outside, "outside"),
    (linked, "missing"),
])
def test_weights_that_are_huge_or_lead_out_of_the_file(tmp_path, put: Put, fact: object) -> None:
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    with h5py.File(tmp_path / "m.h5", "a") as file:
        replace_weight(file, put)
    with refuses("mtfl5_points/bias:0", fact, path=tmp_path / "m.h5"):
        checkpoint.load(tmp_path / "m.h5")


def test_unknown_families_and_options_are_named() -> None:
    with refuses("'efdl'", *registry.FAMILIES):
        registry.get("efdl")
    with refuses("model.options.activaton", "activation"):
        registry.architecture("efld", {"activaton": "relu"}, 64).build({"mtfl5": 5})
