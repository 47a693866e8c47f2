"""ONNX exports compute what the trained model does, and are refused where they are not ours."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import efld_tf
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.benchmarking import latency
from efld_tf.cli import bench, verify
from efld_tf.cli import export as export_command
from efld_tf.exporting import audit, calibration, modes, onnx_audit
from efld_tf.exporting.report import Bundle
from efld_tf.landmarks.geometry import tight_box
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import (
    golden,
    graph,
    interpreter,
    metadata,
    model_license,
    onnx_file,
    trial,
)
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import assert_told, refuses
from tests.exporting.conftest import RULE, SIZE
from tests.trained import export_as, float_predictor

ONE_FAMILY = pytest.mark.parametrize("trained", ["efld"], indirect=True)
TWO_FAMILIES = pytest.mark.parametrize(
    "trained", ["efld", pytest.param("pipnet", marks=pytest.mark.long)], indirect=True)


@pytest.fixture
def exported(export_once: Callable[[str], Bundle]) -> Bundle:
    return export_once("onnx")


def crops_of(photos: Path, count: int = 4) -> np.ndarray:
    return calibration.load_faces(calibration.choose(f"ibug:{photos}", count), RULE, SIZE).crops


def test_float_computes_the_same(exported: Bundle, trained: Path, photos: Path) -> None:
    expected = float_predictor(trained, "ibug51").predict_outputs(crops_of(photos))
    found = LandmarkPredictor(exported).predict_outputs(crops_of(photos))
    for value, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(value, wanted, atol=1e-5)


def test_it_says_what_it_is(exported: Bundle, trained: Path) -> None:
    model, spec = exported.model, TrainedModel.load(trained).spec
    found = metadata.read(model)
    assert (found.family, found.schema, found.crop_rule) == (spec.family, "ibug51", RULE)
    assert model_license.read(model) == "for tests alone" == spec.license
    golden_file, checks = golden.verify(model)
    assert golden_file.mode == "onnx" and all(check.passed for check in checks)
    assert [check.kernels for check in checks] == 2 * ["optimised"] + 2 * ["as written"]
    assert onnx_audit.check(model, modes.ONNX).operators == exported.report.operators
    with refuses("onnx-int8", "Conv", "float", path=model):
        audit.facts(model, modes.ONNX_INT8)
    assert "opset 17" in (exported.folder / "MODEL_CARD.md").read_text()


@TWO_FAMILIES
def test_int8_gives_the_points_of_float(
    trained: Path, photos: Path, export_once: Callable[[str], Bundle]
) -> None:
    bundle = export_once("onnx-int8")
    expected = float_predictor(trained, "ibug51").predict_crops(crops_of(photos))
    found = LandmarkPredictor(bundle).predict_crops(crops_of(photos))
    assert np.percentile(np.abs(found - expected), 95) < 0.03
    assert bundle.report.types["int8"] > 10 and bundle.report.calibration_faces > 0
    with refuses("onnx:", "int8", path=bundle.model):
        audit.facts(bundle.model, modes.ONNX)


@ONE_FAMILY
@pytest.mark.parametrize("mode", [
    "onnx", *(pytest.param(mode, marks=pytest.mark.long) for mode in ("onnx-int8", "micro"))])
def test_the_same_export_gives_the_same_bytes(
    export_once: Callable[[str], Bundle], trained: Path, tmp_path: Path, mode: str
) -> None:
    first, again = export_once(mode), export_as(trained, tmp_path / "again", mode)
    for path in first.folder.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


@ONE_FAMILY
def test_products_are_counted_as_in_other_formats(
    exported: Bundle, export_once: Callable[[str], Bundle]
) -> None:
    """But for the sums of a depthwise convolution in parts, which both formats have."""
    float32 = export_once("float32").model
    assert exported.report.macs == graph.total_macs(exported.model) == graph.total_macs(float32)


def test_products_of_each_operator(tmp_path: Path) -> None:
    """A grouped convolution, a transposed one, a product of matrices and a dense layer, by hand."""
    nodes = [
        onnx.helper.make_node("ConvTranspose", ["small", "spread"], ["image"], strides=[2, 2]),
        onnx.helper.make_node("Conv", ["image", "kernel"], ["maps"], group=2, pads=[1, 1, 1, 1]),
        onnx.helper.make_node("Reshape", ["maps", "shape"], ["flat"]),
        onnx.helper.make_node("Gemm", ["flat", "dense"], ["few"], transB=1),
        onnx.helper.make_node("MatMul", ["few", "last"], ["result"]),
    ]
    weights = {"spread": np.zeros((3, 4, 2, 2), np.float32),
               "kernel": np.zeros((6, 2, 3, 3), np.float32), "shape": np.array([1, 6 * 4 * 6]),
               "dense": np.zeros((7, 144), np.float32), "last": np.zeros((7, 3), np.float32)}
    path = tmp_path / "made.onnx"
    save(path, nodes, weights, {"small": [1, 3, 2, 3]}, {"result": [1, 3]})
    assert onnx_file.read(path).total_macs == \
        3 * 2 * 3 * (4 * 2 * 2) + 6 * 4 * 6 * (2 * 3 * 3) + 7 * 144 + 3 * 7


def save(path: Path, nodes: list[Any], weights: dict[str, np.ndarray], inputs: dict[str, list[int]],
         outputs: dict[str, list[int]]) -> None:
    def values(shapes: dict[str, list[int]]) -> list[Any]:
        return [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
                for name, shape in shapes.items()]

    made = onnx.helper.make_graph(
        nodes, "made", values(inputs), values(outputs),
        [onnx.numpy_helper.from_array(value, name) for name, value in weights.items()])
    onnx.save(onnx.helper.make_model(
        made, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8), path)


@ONE_FAMILY
def test_all_commands_take_it(
    exported: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify.main([str(exported.folder)]) is None
    assert_told(capsys.readouterr().out, "onnx", "opset")
    assert bench.main([str(exported.model), "--runs", "5", "--warmup", "1",
                       "--output", str(tmp_path / "results.json")]) is None
    assert_told(capsys.readouterr().out, "threads", "rewritten")
    measured = latency.measure(exported.model, runs=3, warmup=0)
    assert measured.conditions.runtime.startswith("onnxruntime")
    assert "xnnpack" not in measured.summary() and measured.summary()["optimised"] is True
    face = render_face(seed=1, index=2, size=200)
    landmarker = efld_tf.load(exported, detector=None)
    box = tight_box(face.points["ibug68"])
    assert landmarker.find(face.image, [box])[0].points.shape == (51, 2)


@ONE_FAMILY
@pytest.mark.parametrize(("command", "words", "facts"), [
    (verify.main, ["--cpu", "cortex-a76"], ["--cpu", ".tflite"]),
    (verify.main, ["--runtime", "tflite-runtime==2.14.0"], ["--runtime", ".tflite"]),
    (bench.main, ["--cpu", "cortex-a76"], ["--cpu", ".tflite"]),
    (bench.main, ["--profile"], ["--profile", ".tflite"]),
    (bench.main, ["--operators"], ["--operators", ".tflite"]),
    (export_command.main, ["--web", "site"], ["--web", ".tflite"]),
    (export_command.main, ["--android", "app"], ["--android", ".tflite"]),
])
def test_what_takes_a_tflite_alone_says_so(
    exported: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    command: Callable[[list[str]], int | None], words: list[str], facts: list[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    with refuses(*facts, path=exported.model):
        command([str(exported.model), *words])
    assert not list(tmp_path.iterdir())


def changed(exported: Bundle, tmp_path: Path, change: Callable[[Any], None]) -> Path:
    """The model outside of its bundle, with a change."""
    model = onnx.load(exported.model)
    change(model)
    path = tmp_path / "changed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def outside(model: Any) -> None:
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "passwords.txt"), ("length", str(4))):
        entry = weight.external_data.add()
        entry.key, entry.value = key, value


def somewhere(tensor: Any) -> Any:
    """A tensor whose values are in a file of the current folder."""
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "passwords.txt"
    return tensor


def in_a_constant(model: Any) -> None:
    value = somewhere(onnx.numpy_helper.from_array(np.zeros(1, np.float32)))
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["k"], value=value))


def in_a_branch(model: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [], [somewhere(
        onnx.numpy_helper.from_array(np.zeros(1, np.float32), "k"))])
    model.graph.node.append(onnx.helper.make_node(
        "If", ["condition"], ["k"], then_branch=body, else_branch=body))


def sparse(model: Any) -> None:
    weight = model.graph.sparse_initializer.add()
    weight.values.CopyFrom(somewhere(onnx.numpy_helper.from_array(np.zeros(1, np.float32), "k")))


def functions(model: Any) -> None:
    """Each calls the next one twice: to look into them takes for ever."""
    for index in range(40):
        model.functions.append(onnx.helper.make_function(
            "own", f"f{index}", ["x"], ["y"], [
                onnx.helper.make_node(f"f{index + 1}", ["x"], ["z"], domain="own"),
                onnx.helper.make_node(f"f{index + 1}", ["z"], ["y"], domain="own")],
            [onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("own", 1)]))


def strange_type(model: Any) -> None:
    model.graph.output[0].type.tensor_type.elem_type = 99


def without_input(model: Any) -> None:
    del model.graph.input[:]


def of_no_version(model: Any) -> None:
    model.opset_import[0].domain = "ai.onnx.ml"


def large(model: Any) -> None:
    model.metadata_props[0].value = "x" * (2 << 20)


def foreign(model: Any) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(onnx.helper.make_opsetid("com.example", 1))


def newer(model: Any) -> None:
    model.opset_import[0].version = 19


def nameless(model: Any) -> None:
    del model.metadata_props[:]


def free(model: Any) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


@ONE_FAMILY
@pytest.mark.parametrize(("change", "facts"), [
    (outside, ["other files"]), (in_a_constant, ["other files"]), (in_a_branch, ["If", "graph"]),
    (sparse, ["sparse"]), (functions, ["functions"]), (strange_type, []), (without_input, []),
    (of_no_version, []), (large, ["property", "large"]), (foreign, ["com.example"]),
    (newer, ["opset 17", 19]), (nameless, ["efld-export"]), (free, ["1, S, S, 3"]),
])
def test_other_files_are_refused(
    exported: Bundle, tmp_path: Path, change: Callable[[Any], None], facts: list[str]
) -> None:
    (tmp_path / "passwords.txt").write_text("secret")
    path = changed(exported, tmp_path, change)
    with refuses(*facts, path=path):
        if change is nameless:
            LandmarkPredictor(path)
        else:
            audit.facts(path, modes.ONNX)
    if change in (outside, free, in_a_constant, in_a_branch, sparse, functions, large):
        with pytest.raises(efld_tf.EfldError):
            interpreter.load(path)


@ONE_FAMILY
@pytest.mark.parametrize("content", [b"", b"\x08\x09", b"TFL3" * 9, "half"])
def test_damaged_files_are_refused(exported: Bundle, tmp_path: Path, content: bytes | str) -> None:
    path = tmp_path / "damaged.onnx"
    whole = exported.model.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if isinstance(content, str) else content)
    for read in (metadata.read, interpreter.load, onnx_file.read):
        with refuses("ONNX", path=path):
            read(path)


@ONE_FAMILY
def test_a_changed_model_is_not_that_of_its_bundle(exported: Bundle, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(exported.folder, tmp_path / "bundle"))
    (model,) = folder.glob("*.onnx")
    changed_model = onnx.load(model)
    changed_model.doc_string = "other"
    model.write_bytes(changed_model.SerializeToString())
    with refuses("golden.json", "SHA-256", path=model):
        LandmarkPredictor(folder)


def absent(name: str) -> str:
    raise PackageNotFoundError(name)


@ONE_FAMILY
def test_without_the_packages_it_says_what_to_install(
    exported: Bundle, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "tf2onnx", "onnxruntime"):
        with monkeypatch.context() as without:
            without.setitem(sys.modules, name, None)
            with refuses("efld-tf[onnx]"):
                export_as(trained, tmp_path / "none", "onnx")
    with monkeypatch.context() as another:  # a build of another name
        another.setattr(trial, "version", absent)
        assert trial.release("onnxruntime") == onnxruntime.__version__
    with monkeypatch.context() as without:
        without.setattr(trial, "version", absent)
        without.setitem(sys.modules, "onnxruntime", None)
        for run in (interpreter.load, latency.measure):
            with refuses("efld-tf[onnx]"):
                run(exported.model)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with refuses("efld-tf[onnx]", path=exported.model):
        interpreter.load(exported.model)
    assert not (tmp_path / "none").exists()


