"""Model files from elsewhere: what they ask for is bounded, and what they hold is finite."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tf_keras

from efld_tf.models import checkpoint
from tests.errors import refuses
from tests.models.test_contracts import randomised, spec_of

WEIGHTS = ("mtfl5_points/bias:0", "eosa1_low_conv/kernel:0", "eosa1_low_bn/moving_variance:0")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "m.h5"
    spec = spec_of("efld", "mtfl5")
    checkpoint.save(path, spec, randomised(spec))
    return path.read_bytes()


def change_spec(path: Path, change: Callable[[dict], object]) -> None:
    with h5py.File(path, "a") as file:
        tree = json.loads(file.attrs["spec"])
        change(tree)
        file.attrs["spec"] = json.dumps(tree)


def family(name: str, **options: object) -> Callable[[dict], None]:
    return lambda tree: tree.update(family=name, input_size=128, options=options)


def head(**changes: object) -> Callable[[dict], None]:
    return lambda tree: tree["heads"]["mtfl5"].update(changes)


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda tree: tree.update(input_size=1_000_000), ["model.input_size", 2048, 1_000_000]),
        (lambda tree: tree.update(input_size=16 * 10**16), ["model.input_size", 2048, 16 * 10**16]),
        (lambda tree: tree.update(input_size=-64), ["model.input_size", 16, -64]),
        (family("mapnet", channels=10**9), ["model.options.channels", 4096, 10**9]),
        (family("pipnet", channels=10**18), ["model.options.channels", 4096, 10**18]),
        # More weights than the file has bytes: 44 million, and 37 million in one layer.
        (family("coordnet", backbone="resnet101"), ["weights", "bytes"]),
        (family("pipnet", backbone="resnet18", stride=128, channels=4096), ["weights", "bytes"]),
        (lambda tree: tree.update(heads={f"h{i}": tree["heads"]["mtfl5"] for i in range(5000)}),
         ["spec.heads", 100, 5000]),
        (head(mean_shape=[[0.5, 0.5]] * 5000), ["spec.heads.mtfl5.mean_shape", 5]),
        (head(mean_shape=[[0.5, 0.5]] * 4 + [[0.5, 1e30]]),
         ["spec.heads.mtfl5.mean_shape", 100, "1e+30"]),
        (head(mean_shape=[[0.5, 0.5]] * 4 + [[0.5, float("nan")]]),
         ["spec.heads.mtfl5.mean_shape.4.1", "nan"]),
        (head(validation_fraction=2.0), ["spec.heads.mtfl5.validation_fraction", 2.0]),
        (head(crop_rule={"box": "points", "schema": "mtfl5", "scale": 1e9}),
         ["spec.heads.mtfl5.crop_rule.scale", 100, "1000000000.0"]),
    ],
)
def test_what_a_description_asks_for_is_bounded(
    tmp_path: Path, good: bytes, change: Callable[[dict], object], facts: list[object]
) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(good)
    change_spec(path, change)
    with refuses(*facts, path=path):
        checkpoint.load(path)


def test_no_more_weights_are_made_than_a_file_can_hold() -> None:
    """The layer alone would take 400 GB."""
    with refuses("weights", 1_000_000), checkpoint._no_more_weights(1_000_000):
        tf_keras.layers.Dense(1000)(tf_keras.Input((10**8,)))
    with checkpoint._no_more_weights(1010):
        layer = tf_keras.layers.Dense(10)
        layer(tf_keras.Input((100,)))
    assert layer.count_params() == 1010


def test_what_a_layer_makes_of_a_face_is_bounded(tmp_path: Path) -> None:
    """Heatmaps of 2048 x 2048 pixels on 128 channels, from a file that has all its weights."""
    path = tmp_path / "m.h5"
    spec = spec_of("mapnet", "mtfl5")
    spec = checkpoint.ModelSpec(
        "mapnet", 2048, {"stride": 1, "channels": 128}, spec.heads)
    checkpoint.save(path, spec, spec.build())
    with refuses("up4_deconv", 2048 * 2048 * 128, path=path):
        checkpoint.load(path)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_weights_that_are_not_finite_are_refused(
    tmp_path: Path, good: bytes, name: str, value: float
) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(good)
    with h5py.File(path, "a") as file:
        weights = file[name][()].astype(np.float64)
        weights.flat[-1] = value
        del file[name]
        file[name] = weights
    assert_refused(path, name, "finite")


def test_a_negative_variance_is_refused(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "m.h5"
    path.write_bytes(good)
    with h5py.File(path, "a") as file:
        file[WEIGHTS[2]][0] = -0.5
    assert_refused(path, WEIGHTS[2], "negative")


def assert_refused(path: Path, *facts: object) -> None:
    """On loading, and on fine-tuning a model, which stays as it was."""
    with refuses(*facts, path=path):
        checkpoint.load(path)
    model = spec_of("efld", "mtfl5").build()
    before = model.get_weights()
    with refuses(*facts, path=path):
        checkpoint.load_matching(path, model)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_descriptions_are_read_within_bounds(tmp_path: Path, good: bytes) -> None:
    path = tmp_path / "m.h5"
    for text in ("[" * 10**6, '{"a":' * 10**6, "9" * 10**5):
        path.write_bytes(good)
        with h5py.File(path, "a") as file:
            file.attrs["spec"] = text
        with refuses("model file", path=path):
            checkpoint.read_spec(path)
    with h5py.File(path, "w", libver="latest") as file:
        file.attrs["efld_format"] = 1
        file.attrs["spec"] = np.zeros((1 << 21) + 1)
    with refuses("spec", 8 + (1 << 24), path=path):
        checkpoint.read_spec(path)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.h5")
    with refuses("pipe", path=tmp_path / "m.h5"):
        checkpoint.load(tmp_path / "m.h5")
