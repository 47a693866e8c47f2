"""An exported model is right on every runtime, or refused by it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from tensorflow.lite.python.convert import mlir_sparsify

from efld_tf import assets
from efld_tf.errors import EfldError
from efld_tf.exporting import (
    audit,
    bundle,
    calibration,
    convert,
    export,
    flatbuffer,
    metadata,
    modes,
    web,
)
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import golden, graph, other_runtimes, versions
from tests.errors import refuses
from tests.exporting.conftest import RULE, SIZE
from tests.tiny_models import edited
from tools import serve_web

# Older than what made a dense layer of a scale for each output right, and the first of LiteRT.
OLD, FIRST_LITERT = "tflite-runtime==2.14.0", "ai-edge-litert==1.0.1"
ONE_FAMILY = pytest.mark.parametrize("trained", ["efld"], indirect=True)
# Up to six exports of each; the shipped family in the short suite.
ALL_FAMILIES = pytest.mark.parametrize("trained", [
    "efld", *(pytest.param(name, marks=pytest.mark.long) for name in
              ("pipnet", "coordnet", "mapnet", "lite_hrnet_plus", "two_stage", "dense_unet"))],
    indirect=True)


@pytest.fixture(scope="session")
def runtimes() -> dict[str, Path]:
    """Their Pythons; the project's own are tried by the other tests."""
    try:
        return {name: other_runtimes.environment(name) for name in (OLD, FIRST_LITERT)}
    except EfldError as error:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@ALL_FAMILIES
def test_every_mode_is_right_on_old_runtimes(
    exports: dict[str, Path], runtimes: dict[str, Path]
) -> None:
    for name, python in runtimes.items():
        found = other_runtimes.check(python, list(exports.values()))
        for mode, outcomes in zip(exports, found, strict=True):
            assert [outcome.kernels for outcome in outcomes] == ["default", "built-in"]
            assert all(outcome.passed for outcome in outcomes), (name, mode, outcomes)


def test_shipped_models_are_right_on_old_runtimes(runtimes: dict[str, Path]) -> None:
    models = [shipped.int8 for shipped in assets.SHIPPED.values()]
    for name, python in runtimes.items():
        for outcomes in other_runtimes.check(python, models):
            assert all(outcome.passed for outcome in outcomes), (name, outcomes)
            # What kernels differ by, not what one scale instead of many does (0.28 of the crop).
            assert max(outcome.largest_difference for outcome in outcomes) < 0.003


@pytest.mark.long
@ALL_FAMILIES
def test_every_mode_is_right_in_a_browser(
    exports: dict[str, Path], npm: str, chromium: str, tmp_path: Path
) -> None:
    # Models are called as their folders.
    bundles = [shutil.copytree(path.parent, tmp_path / mode) for mode, path in exports.items()]
    web.write(bundles, tmp_path / "site")
    with serve_web.serving(tmp_path / "site") as address:
        done = subprocess.run(["node", "test/golden.js", address], cwd=web.SOURCE, check=True,
                              capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert len(found) == 3
    for build, rows in found.items():
        assert len(rows) == len(exports)
        for name, row in rows.items():
            assert row["points"] <= row["tolerance"], (build, name, row)
            assert row["confidence"] <= bundle.CONFIDENCE_TOLERANCE, (build, name, row)


@ALL_FAMILIES
def test_versions_are_those_that_tensorflow_writes(exports: dict[str, Path]) -> None:
    for mode, path in exports.items():
        own = graph.read(path)
        again = graph.parse(bytes(mlir_sparsify(path.read_bytes())))
        stated, expected = ({op.name: op.version for op in found.operators}
                            for found in (own, again))
        expected.pop("DENSIFY", None)  # where a kernel has many zeros, which it stores otherwise
        if mode == "int16x8":
            # TensorFlow takes these two for ones of 8 bits, or of a bias whose type is said.
            for name in ("CONV_2D", "DEPTHWISE_CONV_2D"):
                stated.pop(name), expected.pop(name)
        else:
            assert own.minimum_runtime == again.minimum_runtime, mode
        assert stated == expected, mode


@ALL_FAMILIES
def test_a_model_says_its_runtime(exports: dict[str, Path]) -> None:
    for mode, path in exports.items():
        found = graph.read(path)
        assert found.minimum_runtime == versions.minimum_runtime(found)
        card = path.with_name("MODEL_CARD.md").read_text()
        assert f"TensorFlow Lite {found.minimum_runtime} and newer" in card, mode


@ONE_FAMILY
def test_only_convolutions_have_a_scale_for_each_output(exports: dict[str, Path]) -> None:
    for mode in (mode.name for mode in modes.MODES.values() if mode.weights == "int8"):
        assert not any(op.name == "FULLY_CONNECTED" for op in graph.read(exports[mode]).operators)


@pytest.fixture
def dense(trained: Path, photos: Path, tmp_path: Path) -> Path:
    """An int8 bundle that ends in a dense layer with a scale for each output."""
    model = TrainedModel.load(trained, "ibug51")
    crops = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops
    steps = replace(modes.INT8.steps, dense_as_convolutions=False)
    content = convert.convert(model, modes.INT8, crops, steps)
    path = tmp_path / "dense.tflite"
    path.write_bytes(metadata.add(content, export._model_metadata(model)))
    audit.check(path, modes.INT8)
    image, allowed = bundle.golden_image(path, SIZE)
    golden.write(path, "int8", image, golden.run(path, image), allowed)
    return path


@ONE_FAMILY
def test_what_a_runtime_would_compute_wrongly_it_refuses(
    dense: Path, runtimes: dict[str, Path]
) -> None:
    assert graph.read(dense).minimum_runtime == "2.17.0"
    (old,), (first,) = (other_runtimes.check(runtimes[name], [dense])
                        for name in (OLD, FIRST_LITERT))
    assert all("FULLY_CONNECTED" in outcome.refused and "12" in outcome.refused for outcome in old)
    assert not any(outcome.passed for outcome in old)
    assert all(outcome.passed for outcome in first)


@ONE_FAMILY
def test_versions_of_a_stranger_are_checked(dense: Path) -> None:
    """Version 1, as AI Edge Quantizer leaves it: old runtimes compute something else."""

    def forget(tree) -> None:
        for code in tree.operatorCodes:
            code.version = 1

    dense.write_bytes(edited(dense.read_bytes(), forget))
    with refuses("(CONV_2D)", "version 1", "version 3", "TensorFlow Lite", "1.14.0", path=dense):
        audit.check(dense, modes.INT8)


@ONE_FAMILY
def test_deprecated_codes_of_a_stranger_are_checked(exports: dict[str, Path], tmp_path) -> None:
    def forget(tree) -> None:
        for code in tree.operatorCodes:
            if code.builtinCode == schema.BuiltinOperator.QUANTIZE:
                code.deprecatedBuiltinCode = 0

    path = tmp_path / "m.tflite"
    path.write_bytes(edited(exports["int8"].read_bytes(), forget))
    with refuses("(QUANTIZE)", "ADD", path=path):
        audit.check(path, modes.INT8)


@ONE_FAMILY
@pytest.mark.parametrize("stated", [b"", b"1.5.0", b"2.x", b"\xff\xfe", None])
def test_the_runtime_of_a_stranger_is_checked(
    stated: bytes | None, exports: dict[str, Path], tmp_path: Path
) -> None:
    def state(tree) -> None:
        for entry in [entry for entry in tree.metadata if entry.name == graph.MINIMUM_RUNTIME]:
            tree.buffers[entry.buffer].data = np.frombuffer(stated or b"", np.uint8)
            if stated is None:
                tree.metadata.remove(entry)

    path = tmp_path / "m.tflite"
    path.write_bytes(edited(exports["int8"].read_bytes(), state))
    told = (stated or b"").decode(errors="replace")
    with refuses("min_runtime_version", "TensorFlow Lite 2.4.0", repr(told), path=path):
        audit.check(path, modes.INT8)


@ONE_FAMILY
def test_codes_that_fit_into_eight_bits_stand_there_too(exports: dict[str, Path]) -> None:
    tree = flatbuffer.read(exports["int8"].read_bytes())
    codes = {code.builtinCode: code.deprecatedBuiltinCode for code in tree.operatorCodes}
    assert codes[schema.BuiltinOperator.QUANTIZE] == schema.BuiltinOperator.QUANTIZE
    assert all(code == min(number, 127) for number, code in codes.items())
