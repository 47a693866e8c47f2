"""Public weights: against `tf_keras.applications`, and against ResNets computed by hand."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from safetensors.numpy import save_file
from tf_keras import layers

from efld_tf.models import backbones, pretrained
from tests.errors import refuses
from tests.exporting.test_optimise import shaken
from tests.models.test_backbones import EXPECTED, SIZE, assert_close, network, pixels

APPLICATIONS = {
    "mobilenet_v2": tf_keras.applications.MobileNetV2,
    "mobilenet_v3_large": tf_keras.applications.MobileNetV3Large,
}
# torchvision: blocks a stage, and whether they are bottlenecks.
RESNETS = {"resnet18": ((2, 2, 2, 2), False), "resnet50": ((3, 4, 6, 3), True)}


# MobileNets


def application(name: str, top: bool) -> tf_keras.Model:
    model = APPLICATIONS[name](
        input_shape=(SIZE, SIZE, 3), include_top=top, weights=None,
        **({"include_preprocessing": False} if "v3" in name else {}),
    )
    return shaken(model, 5)


@pytest.mark.parametrize(
    ("name", "top"),
    [pytest.param("mobilenet_v2", True, marks=pytest.mark.long),
     pytest.param("mobilenet_v3_large", True, marks=pytest.mark.long),
     ("mobilenet_v3_large", False)],
)
def test_mobilenets_compute_what_applications_do(
    name: str, top: bool, tmp_path: Path, monkeypatch
) -> None:
    reference = application(name, top)
    reference.save_weights(tmp_path / "w.h5")
    last = "out_relu" if name == "mobilenet_v2" else None
    ends = [la for la in reference.layers if la.output.shape[1:] == (2, 2, EXPECTED[name][1])]
    end = reference.get_layer(last) if last else ends[-1]
    expected = tf_keras.Model(reference.input, end.output)(2 * pixels() - 1)
    # In [-1, 1], as they are in the file: the same everywhere.
    model = network(name)
    with monkeypatch.context() as patched:
        patched.setattr(pretrained, "take_colours", lambda *_: None)
        backbones.get(name).load(model, tmp_path / "w.h5")
    assert_close(model(2 * pixels() - 1), expected)
    # In [0, 1]: the same first layer away from the border, and the same weights elsewhere.
    plain = stem(model)(2 * pixels() - 1).numpy()
    weights = {la.name: la.get_weights() for la in model.layers if la.weights}
    backbones.get(name).load(model, tmp_path / "w.h5")
    found = stem(model)(pixels()).numpy()
    np.testing.assert_allclose(found[:, :-1, :-1], plain[:, :-1, :-1], atol=1e-4)
    assert np.abs(found - plain)[:, -1].max() > 0.01
    for layer, before in weights.items():
        if not layer.startswith("stem"):
            for a, b in zip(before, model.get_layer(layer).get_weights(), strict=True):
                np.testing.assert_array_equal(a, b)


def stem(model: tf_keras.Model) -> tf_keras.Model:
    return tf_keras.Model(model.input, model.get_layer("stem_bn").output)


def edited(path: Path, edit: Callable[[h5py.File], None]) -> None:
    with h5py.File(path, "a") as file:
        edit(file)


def replaced(file: h5py.File, name: str, value: object) -> None:
    del file[name]
    file[name] = value


def replaced_by_huge(file: h5py.File, name: str) -> None:
    del file[name]
    file.create_dataset(name, (1 << 22, 1 << 23), "f4")  # it takes no space until it is written


@pytest.mark.parametrize(
    ("edit", "facts"),
    [
        (lambda f: replaced(f, "Conv_1/Conv_1/kernel:0", np.ones((1, 1, 320, 9), np.float32)),
         ["Conv_1/kernel:0", (1, 1, 320, 9), (1, 1, 320, 1280)]),
        (lambda f: replaced(f, "bn_Conv1/bn_Conv1/gamma:0", np.full(32, np.nan, np.float32)),
         ["bn_Conv1/gamma:0", "finite"]),
        (lambda f: replaced(f, "bn_Conv1/bn_Conv1/gamma:0", np.full(32, 1e300)),
         ["bn_Conv1/gamma:0", "finite"]),
        (lambda f: replaced(f, "Conv1/Conv1/kernel:0", np.full((3, 3, 3, 32), 3e38, np.float32)),
         ["stem_conv", "large"]),
        (lambda f: replaced(f, "bn_Conv1/bn_Conv1/moving_variance:0",
                            np.full(32, -1, np.float32)), ["stem_bn", "negative"]),
        (lambda f: replaced(f, "bn_Conv1/bn_Conv1/gamma:0", "text"),
         ["bn_Conv1/gamma:0", (), (32,)]),
        (lambda f: replaced_by_huge(f, "bn_Conv1/bn_Conv1/gamma:0"),
         ["bn_Conv1/gamma:0", (4194304, 8388608), (32,)]),
        (lambda f: replaced(f, "bn_Conv1", h5py.ExternalLink("other.h5", "bn_Conv1")),
         ["weight file", "bn_Conv1"]),
        (lambda f: f["bn_Conv1"].attrs.update(weight_names=f["Conv1"].attrs["weight_names"]),
         ["/bn_Conv1", 1, 4, "stem_bn"]),
        (lambda f: f.attrs.update(layer_names=f.attrs["layer_names"][:-2]), ["last_bn"]),
        (lambda f: f.attrs.update(layer_names=[b"none"]), ["weight file", "none"]),
        (lambda f: f.attrs.pop("layer_names"), ["weight file", "layer_names"]),
        (lambda f: f.attrs.update(layer_names=3), ["weight file"]),
    ],
)
def test_mobilenet_files_that_do_not_fit(
    edit: Callable, facts: list[object], tmp_path: Path, v2_file: bytes
) -> None:
    path = tmp_path / "w.h5"
    path.write_bytes(v2_file)
    edited(path, edit)
    assert_refused("mobilenet_v2", path, *facts)


@pytest.fixture(scope="module")
def v2_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("v2") / "w.h5"
    application("mobilenet_v2", False).save_weights(path)
    return path.read_bytes()


@functools.cache
def untouched(name: str) -> tf_keras.Model:
    return network(name)


def assert_refused(name: str, path: Path, *facts: object) -> None:
    """With these facts, and the model as it was."""
    model = untouched(name)
    before = model.get_weights()
    with refuses(*facts, path=path):
        backbones.get(name).load(model, path)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "name", [pytest.param("resnet18", marks=pytest.mark.long), "mobilenet_v2"])
def test_files_of_something_else(name: str, tmp_path: Path, v2_file: bytes) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "cut").write_bytes(v2_file[: len(v2_file) // 2])
    kind = {"resnet18": "safetensors", "mobilenet_v2": "tf_keras.applications"}[name]
    for file in ("text", "empty", "cut"):
        assert_refused(name, tmp_path / file, kind)
    assert_refused(name, tmp_path / "absent", kind, "No such file")
    assert_refused(name, tmp_path, kind)


# ResNets


def torch_weights(name: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights with torchvision's names and layout, with its classifier."""
    stages, bottleneck = RESNETS[name]
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}

    def conv(key: str, norm: str, inputs: int, outputs: int, kernel: int) -> None:
        scale = np.sqrt(2 / (inputs * kernel**2))
        arrays[f"{key}.weight"] = rng.normal(0, scale, (outputs, inputs, kernel, kernel))
        arrays[f"{norm}.weight"] = rng.uniform(0.5, 1, outputs)
        arrays[f"{norm}.bias"] = rng.normal(0, 0.2, outputs)
        arrays[f"{norm}.running_mean"] = rng.normal(0, 0.2, outputs)
        arrays[f"{norm}.running_var"] = rng.uniform(0.5, 2, outputs)
        arrays[f"{norm}.num_batches_tracked"] = np.array(7)

    conv("conv1", "bn1", 3, 64, 7)
    inputs = 64
    for stage, count in enumerate(stages):
        width = 64 * 2**stage
        outputs = 4 * width if bottleneck else width
        for block in range(count):
            key = f"layer{stage + 1}.{block}"
            sizes = [(inputs, width, 1), (width, width, 3), (width, outputs, 1)]
            if not bottleneck:
                sizes = [(inputs, width, 3), (width, width, 3)]
            for index, size in enumerate(sizes, 1):
                conv(f"{key}.conv{index}", f"{key}.bn{index}", *size)
            if block == 0 and inputs != outputs:
                conv(f"{key}.downsample.0", f"{key}.downsample.1", inputs, outputs, 1)
            inputs = outputs
    arrays["fc.weight"], arrays["fc.bias"] = np.zeros((1000, inputs)), np.zeros(1000)
    return {key: np.asarray(value, np.int64 if value.ndim == 0 else np.float32)
            for key, value in arrays.items()}


def by_hand(name: str, weights: dict[str, np.ndarray], image: np.ndarray) -> np.ndarray:
    """A ResNet from torchvision's names by plain operations.

    The image is normalised after it was padded, so that the zeros of the first padding are black.
    """
    stages, bottleneck = RESNETS[name]

    def conv(x: tf.Tensor, key: str, norm: str, stride: int, padding: int) -> tf.Tensor:
        x = tf.pad(x, [(0, 0), (padding, padding), (padding, padding), (0, 0)])
        kernel = weights[f"{key}.weight"].transpose(2, 3, 1, 0)
        x = tf.nn.conv2d(x, kernel, stride, "VALID")
        scale = weights[f"{norm}.weight"] / np.sqrt(weights[f"{norm}.running_var"] + 1e-5)
        return (x - weights[f"{norm}.running_mean"]) * scale + weights[f"{norm}.bias"]

    image = np.pad(image, [(0, 0), (3, 3), (3, 3), (0, 0)])
    image = (image - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    x = tf.nn.relu(conv(tf.constant(image, tf.float32), "conv1", "bn1", 2, 0))
    edges = [(0, 0), (1, 1), (1, 1), (0, 0)]
    x = tf.nn.max_pool2d(tf.pad(x, edges, constant_values=-np.inf), 3, 2, "VALID")
    for stage, count in enumerate(stages):
        for block in range(count):
            key, stride = f"layer{stage + 1}.{block}", 2 if stage and block == 0 else 1
            strides = [(1, 0), (stride, 1), (1, 0)] if bottleneck else [(stride, 1), (1, 1)]
            y = x
            for index, (step, padding) in enumerate(strides, 1):
                y = conv(y, f"{key}.conv{index}", f"{key}.bn{index}", step, padding)
                y = y if index == len(strides) else tf.nn.relu(y)
            if f"{key}.downsample.0.weight" in weights:
                x = conv(x, f"{key}.downsample.0", f"{key}.downsample.1", stride, 0)
            x = tf.nn.relu(x + y)
    return x.numpy()


@pytest.mark.parametrize("name", RESNETS)
def test_resnets_compute_what_their_files_say(name: str, tmp_path: Path) -> None:
    weights = torch_weights(name)
    save_file(weights, tmp_path / "w.safetensors")
    model = network(name)
    backbones.get(name).load(model, tmp_path / "w.safetensors")
    assert_close(model(pixels()), by_hand(name, weights, pixels()))


def test_half_precision_is_read(tmp_path: Path) -> None:
    weights = torch_weights("resnet18")
    half = {key: v.astype(np.float16) if v.ndim else v for key, v in weights.items()}
    save_file(half, tmp_path / "w.safetensors")
    model = network("resnet18")
    backbones.get("resnet18").load(model, tmp_path / "w.safetensors")
    kernel = model.get_layer("layer4_0_1_conv").get_weights()[0]
    np.testing.assert_array_equal(
        kernel, half["layer4.0.conv1.weight"].astype(np.float32).transpose(2, 3, 1, 0)
    )


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"layer3.0.downsample.0.weight": None}, ["layer3.0.downsample.0.weight", "missing"]),
        ({"layer4.1.bn2.running_var": None}, ["layer4.1.bn2.running_var", "missing"]),
        ({"layer1.0.conv1.weight": np.ones((64, 64, 1, 1), np.float32)},
         ["layer1.0.conv1.weight", (1, 1, 64, 64), (3, 3, 64, 64)]),
        ({"bn1.bias": np.full(64, np.inf, np.float32)}, ["bn1.bias", "finite"]),
        ({"bn1.bias": np.ones(64, np.int32)}, ["bn1.bias", "numbers"]),
        ({"bn1.bias": np.full(64, 1e300)}, ["bn1.bias", "finite"]),
        ({"bn1.running_var": np.full(64, -1, np.float32)}, ["stem_bn", "negative"]),
        ({"conv1.weight": np.full((64, 3, 7, 7), 3e38, np.float32)}, ["stem_conv", "large"]),
    ],
)
def test_resnet_files_that_do_not_fit(
    change: dict, facts: list[object], tmp_path: Path
) -> None:
    weights = {**torch_weights("resnet18"), **change}
    save_file({key: v for key, v in weights.items() if v is not None}, tmp_path / "w.safetensors")
    assert_refused("resnet18", tmp_path / "w.safetensors", *facts)


@pytest.mark.long
def test_another_depth_is_refused(tmp_path: Path) -> None:
    save_file(torch_weights("resnet18"), tmp_path / "w.safetensors")
    facts = "layer1.0.conv1.weight", (3, 3, 64, 64), (1, 1, 64, 64)
    assert_refused("resnet50", tmp_path / "w.safetensors", *facts)


def test_only_the_backbone_is_loaded(tmp_path: Path, v2_file: bytes) -> None:
    """Heads may be called like a backbone's layers."""
    (tmp_path / "w.h5").write_bytes(v2_file)
    alone = network("mobilenet_v2")
    head = layers.Conv2D(3, 1, name="block3_scores")(alone.output)
    model = tf_keras.Model(alone.input, {"points": head})
    before = model.get_layer("block3_scores").get_weights()
    backbones.get("mobilenet_v2").load(model, tmp_path / "w.h5")
    for a, b in zip(before, model.get_layer("block3_scores").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    other = network("mobilenet_v2")
    backbones.get("mobilenet_v2").load(other, tmp_path / "w.h5")
    np.testing.assert_array_equal(alone(pixels()), other(pixels()))
