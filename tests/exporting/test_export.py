"""From a trained model to an audited `.tflite` that says what it is."""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from mediapipe.tasks.python.metadata.metadata import MetadataDisplayer

import efld_tf
from efld_tf import assets, files, progress
from efld_tf.annotations import sources
from efld_tf.benchmarking import mode_table
from efld_tf.data import pack, shards
from efld_tf.data.manifest import read_manifest, write_manifest
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.exporting import audit, bundle, calibration, convert, flatbuffer, modes
from efld_tf.exporting.report import Bundle
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.models import checkpoint, registry
from efld_tf.models.trained import TrainedModel
from efld_tf.runtime import golden, graph, metadata, model_license
from efld_tf.runtime.predictor import LandmarkPredictor
from tests import faces
from tests.annotations import writers
from tests.errors import refuses
from tests.exporting.conftest import RULE, SIZE
from tests.families import small_options
from tests.screens import Terminal
from tests.tiny_models import edited
from tests.trained import export_as, float_predictor

# Residuals, and scores that are searched: what takes long is tried with one family of each kind.
ONE_FAMILY = pytest.mark.parametrize("trained", ["efld"], indirect=True)
TWO_FAMILIES = pytest.mark.parametrize(
    "trained", ["efld", pytest.param("pipnet", marks=pytest.mark.long)], indirect=True)


def test_the_report_is_of_the_file(exported) -> None:
    path, report = exported
    assert report.size_bytes == path.stat().st_size
    assert report.macs == graph.total_macs(path)
    assert report.calibration_faces == 24
    assert json.loads((path.parent / "report.json").read_text())["macs"] == report.macs
    assert {"CONV_2D", "DEQUANTIZE"} <= report.operators.keys()


def test_the_golden_tolerance_is_what_kernels_need(exported) -> None:
    path, _ = exported
    tolerance = json.loads((path.parent / "golden.json").read_text())["tolerance"]
    assert f"within {tolerance:g} (" in (path.parent / "MODEL_CARD.md").read_text()
    if graph.after_choice(graph.read(path)):
        assert bundle.TOLERANCE <= tolerance <= golden.LARGEST_TOLERANCE_OF_CHOICE
    else:
        assert tolerance == bundle.TOLERANCE


def test_only_the_tail_is_float(exported) -> None:
    path, _ = exported
    found = audit.check(path, modes.INT8)
    names = [op.name for op in found.operators]
    others = [op for op in found.operators if "int8" not in op.output_dtypes]
    assert names[:2] == ["DEQUANTIZE", "QUANTIZE"] and others[0].index == 0
    tail = audit.tail_of(found)
    # What chooses the places that a further stage reads at, and these.
    between = [op for op in others[1:] if op not in tail]
    assert others[-1] in tail and (not between or len(audit.stages(found)) > 1)
    assert all(op.output_dtypes == ("int32",) or op.name in audit.FLOAT_TAIL for op in between)
    branches = [graph.leading_to(found, [output]) for output in found.outputs]
    points, presence, depth = ([op for op in tail if op.index in branch] for branch in branches)
    assert [op.name for op in presence] == [
        *2 * ("DEQUANTIZE", "LOGISTIC", "RESHAPE"), "CONCATENATION"]
    assert [op.name for op in depth] == ["DEQUANTIZE", "RESHAPE"]
    assert {op.name for op in points} <= audit.FLOAT_TAIL | {"CONV_2D"}
    weighted = [op for op in points if op.macs]
    assert all(op.inputs[1].dtype == "int8" for op in weighted)
    if any(op.name == "ARG_MAX" for op in points):
        assert not weighted
    elif path.name.startswith("efld_"):
        assert [op.name for op in points] == ["DEQUANTIZE", "CONV_2D", "RESHAPE", "SUB"]


def test_int8_gives_the_points_of_float(exported, trained: Path, photos: Path) -> None:
    """The grid is fine: half a hundredth of the crop for the worst point."""
    path, report = exported
    crops = calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops
    expected = float_predictor(trained, "ibug51").predict_crops(crops)
    found = LandmarkPredictor(path).predict_crops(crops)
    spread = np.abs(expected - expected.mean(axis=0)).max()
    assert largest(trained, found - expected) < 0.2 * spread + 0.005
    if checkpoint.read_spec(trained).family != "mapnet":
        assert len(np.unique(found[0])) > 90  # not the 255 steps of one coordinate grid
    distance = np.linalg.norm(found - expected, axis=-1) * SIZE
    assert report.comparison["point_difference_px_median"] == pytest.approx(
        np.median(distance), abs=1e-3
    )
    assert report.comparison["faces"] == 24 and "trained_nme_percent" in report.comparison


def largest(model: Path, differences: np.ndarray) -> float:
    """The largest difference, but for the few points whose best cell is another in coarse numbers.

    The second best cell of these hardly trained models says nothing of use.
    """
    searching = registry.get(checkpoint.read_spec(model).family).grid
    return float(np.percentile(np.abs(differences), 95 if searching else 100))


def test_pixels_go_in_as_they_are(exported) -> None:
    details = Interpreter(model_path=str(exported[0])).get_input_details()[0]
    assert details["dtype"] == np.uint8
    assert details["quantization"] == (pytest.approx(1 / 255, rel=1e-6), 0)


def test_our_metadata_is_read_back(exported) -> None:
    about = metadata.read(exported[0])
    assert model_license.read(exported[0]) == "for tests alone"
    assert (about.schema, about.crop_rule) == ("ibug51", RULE)
    assert about.names == schemas.get("ibug51").names


def test_mediapipe_reads_the_metadata(exported) -> None:
    displayer = MetadataDisplayer.with_model_file(str(exported[0]))
    assert set(displayer.get_packed_associated_file_list()) == {"landmarks.txt", "efld.json"}
    shown = json.loads(displayer.get_metadata_json())
    assert shown["license"] == "for tests alone"
    graph_shown = shown["subgraph_metadata"][0]
    image, points = (graph_shown[f"{end}_tensor_metadata"][0] for end in ("input", "output"))
    assert image["content"]["content_properties"]["color_space"] == "RGB"
    assert image["process_units"][0]["options"] == {"mean": [0.0], "std": [255.0]}
    assert points["dimension_names"] == ["batch", "point", "xy"]
    assert points["associated_files"][0]["name"] == "landmarks.txt"
    confidence = graph_shown["output_tensor_metadata"][1]
    assert confidence["name"] == "confidence and errors" and "0 to 1" in confidence["description"]
    assert (confidence["stats"]["min"], confidence["stats"]["max"]) == ([0.0], [1.0])


@TWO_FAMILIES
def test_the_same_export_gives_the_same_bytes(exported, trained: Path, tmp_path: Path) -> None:
    again = export_as(trained, tmp_path / "again", "int8")
    for path in exported[0].parent.iterdir():
        assert (again.folder / path.name).read_bytes() == path.read_bytes(), path.name


def test_float_export_computes_the_same(trained: Path, tmp_path: Path) -> None:
    bundle = export_as(trained, tmp_path / "float", "float32", head="ibug68")
    path, report = bundle.model, bundle.report
    assert (report.mode, report.numbers, report.head) == ("float32", "float32", "ibug68")
    assert report.calibration_faces == 0
    crops = np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = float_predictor(trained, "ibug68").predict_crops(crops)
    np.testing.assert_allclose(LandmarkPredictor(path).predict_crops(crops), expected, atol=1e-5)
    np.testing.assert_allclose(*(predictor.predict_outputs(crops).confidence for predictor in (
        LandmarkPredictor(path), float_predictor(trained, "ibug68"))), atol=1e-5)
    with refuses("int8", "DEQUANTIZE", path=path):
        audit.check(path, modes.INT8)


@pytest.mark.parametrize("mode", [
    pytest.param(mode, marks=pytest.mark.long) if mode == "qat" else mode
    for mode in modes.MODES if mode not in ("int8", "float32")])
@TWO_FAMILIES
def test_every_mode_is_what_it_promises(
    mode: str, trained: Path, photos: Path, export_once: Callable[[str], Bundle]
) -> None:
    """Exporting audits; here also: no other mode's audit lets it pass, and it gives the points."""
    path = export_once(mode).model
    for other in modes.MODES.values():
        if other.stored_as != modes.get(mode).stored_as:
            with refuses(other.name, path=path):
                audit.check(path, other)
    crops = calibration.load_faces(calibration.choose(f"ibug:{photos}", 4), RULE, SIZE).crops
    expected, sure, *_ = float_predictor(trained, "ibug51").predict_outputs(crops)
    points, confidence, *_ = LandmarkPredictor(path).predict_outputs(crops)
    assert largest(trained, points - expected) < 0.03
    assert np.abs(confidence - sure).max() < 0.1


@pytest.mark.long
@pytest.mark.parametrize("trained", ["efld"], indirect=True)
def test_without_widening_it_gives_the_same_with_fewer_products(trained: Path) -> None:
    crops = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    model, products, points = TrainedModel.load(trained, "ibug51"), [], []
    for steps in (modes.INT8.steps, replace(modes.INT8.steps, widen=())):
        content = convert.convert(model, modes.INT8, crops, steps)
        products.append(graph.parse(content).total_macs)
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], crops[:1])
        interpreter.invoke()
        points.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    assert products[0] > products[1]
    np.testing.assert_array_equal(*points)
    with refuses("processors", "float16"):
        efld_tf.export(trained, "float16", processors=[])
    with refuses("pentium", "cortex-a72"):
        efld_tf.export(trained, processors=["cortex-a72", "pentium"])


def test_a_hidden_float_operator_fails_the_audit(exported, tmp_path: Path) -> None:
    """EXP, which a full int8 conversion leaves in float without a word, amid the integers."""
    content = edited(exported[0].read_bytes(), _exponential)
    (tmp_path / "exp.tflite").write_bytes(content)
    with refuses("int8", "(DEQUANTIZE)", "float32", path=tmp_path / "exp.tflite"):
        audit.check(tmp_path / "exp.tflite", modes.INT8)


def _exponential(tree) -> None:
    """Inserts DEQUANTIZE and EXP behind the first convolution; nothing reads them."""
    main = tree.subgraphs[0]
    first = next(i for i, op in enumerate(main.operators) if len(op.inputs) == 3)
    read = int(main.operators[first].outputs[0])
    for builtin in (schema.BuiltinOperator.DEQUANTIZE, schema.BuiltinOperator.EXP):
        tensor = schema.TensorT()
        tensor.name, tensor.type, tensor.buffer = b"x", schema.TensorType.FLOAT32, 0
        tensor.shape = main.tensors[read].shape
        main.tensors.append(tensor)
        code = schema.OperatorCodeT()
        code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, builtin, 2
        tree.operatorCodes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = len(tree.operatorCodes) - 1
        operator.inputs = np.array([read], np.int32)
        read = len(main.tensors) - 1
        operator.outputs = np.array([read], np.int32)
        first += 1
        main.operators.insert(first, operator)


@TWO_FAMILIES
def test_a_graph_in_two_partitions_fails_the_audit(trained: Path, tmp_path: Path) -> None:
    """ADD_N is a builtin, but not of XNNPACK."""

    @tf.function(input_signature=[tf.TensorSpec([1, 16, 16, 3], tf.float32, name="image")])
    def network(x):
        x = tf.nn.conv2d(tf.add_n([x, x, x]), tf.ones([16, 16, 3, 10]), 1, "VALID")
        return tf.reshape(x, [1, 5, 2])

    converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
    tree = flatbuffer.read(converter.convert())
    flatbuffer.take_pixels(tree, "image")
    flatbuffer.state_versions(tree)
    (tmp_path / "two.tflite").write_bytes(flatbuffer.write(tree))
    with refuses("XNNPACK", "partition", "(ADD_N)", path=tmp_path / "two.tflite"):
        audit.check(tmp_path / "two.tflite", modes.FLOAT32)


def test_rewriting_shares_arrays_and_changes_no_result(exported, tmp_path: Path) -> None:
    content = exported[0].read_bytes()
    tree = flatbuffer.read(content)
    rewritten = flatbuffer.write(tree)
    outputs = []
    image = np.random.default_rng(2).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    for model in (content, rewritten):
        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))
    np.testing.assert_array_equal(*outputs)
    plain = flatbuffers.Builder(1 << 20)
    plain.Finish(tree.Pack(plain), flatbuffer.IDENTIFIER)
    assert len(rewritten) < len(plain.Output())
    # Tensor data is aligned as the schema asks.
    model = schema.Model.GetRootAs(rewritten, 0)
    for buffer in (model.Buffers(i)._tab for i in range(model.BuffersLength())):
        if field := buffer.Offset(4):
            assert buffer.Vector(field) % flatbuffer.DATA_ALIGNMENT == 0


def test_calibration_is_chosen_by_name_not_by_order(photos: Path, tmp_path: Path) -> None:
    few, all_of_them = (calibration.choose(f"ibug:{photos}", n) for n in (5, None))
    assert (len(few.images), len(all_of_them.images)) == (5, 24)
    assert few.images == all_of_them.images[:5]
    assert len({image.image for image in all_of_them.images}) == 24
    assert few.images[0].sha256 == files.sha256(photos / few.images[0].image)
    calibration.write_manifest(tmp_path / "m.json", few)
    assert calibration.read_manifest(tmp_path / "m.json") == few


def test_calibration_leaves_out_what_training_did(photos: Path, tmp_path: Path) -> None:
    source = f"ibug:{photos}"
    listed = tmp_path / "exclude.json"
    options = SourceOptions(source, "a", ["ibug68"], validation_fraction=0.25, exclude=str(listed))
    records = sources.read(source).records
    left_out = {record.key for record in records[::3]}
    listed.write_text(json.dumps({"sources": [{"source": source, "exclude": [
        {"key": key, "reason": "by hand"} for key in left_out]}]}))
    manifest = pack.pack(options, tmp_path / "packed", PackOptions(size=32), progress=False)
    assert (manifest.validation_fraction, {*manifest.excluded}) == (0.25, left_out)
    older = replace(manifest, validation_fraction=0.0, excluded=[])
    write_manifest(tmp_path / "packed", older)  # as if by a version that did not note them
    assert pack.pack(options, tmp_path / "packed", PackOptions(size=32)) == manifest
    assert read_manifest(tmp_path / "packed") == manifest
    found = calibration.choose(
        source, None, validation_fraction=manifest.validation_fraction, excluded=manifest.excluded)
    names = {image.image for image in found.images}
    assert len(names) == manifest.faces("train") < 16 and not names & left_out
    packed = {face["name"].decode() for face in shards.load(tmp_path / "packed", manifest, "train")}
    assert {Path(name).stem for name in names} == {Path(name).stem for name in packed}
    with refuses(source, "trained"):
        calibration.choose(source, None, validation_fraction=1)


def test_calibration_crops_are_in_the_manifest_s_order(photos: Path) -> None:
    manifest = calibration.choose(f"ibug:{photos}", 6)
    crops = calibration.load_faces(manifest, RULE, SIZE).crops
    backwards = replace(manifest, images=manifest.images[::-1])
    np.testing.assert_array_equal(calibration.load_faces(backwards, RULE, SIZE).crops, crops[::-1])
    assert len({crop.tobytes() for crop in crops}) == 6


def test_faces_inside_one_file_are_chosen_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, 256, (60, 60, 3)).astype(np.uint8) for _ in range(9)]
    points = np.concatenate([rng.uniform(5, 55, (9, 58)), np.zeros((9, 29))], axis=1)
    writers.write_cofw(tmp_path / "COFW_train_color.mat", cells, points, np.tile([5.0, 5, 50, 50],
                                                                                 (9, 1)))
    source = f"cofw:{tmp_path}/COFW_train_color.mat"
    manifest = calibration.choose(source, 4)
    names = [image.image for image in manifest.images]
    assert len(set(names)) == 4
    assert all(name.startswith("COFW_train_color.mat#") for name in names)
    rule = CropRule("file", "cofw29", 1.2)
    assert calibration.load_faces(manifest, rule, SIZE).names == names


@ONE_FAMILY
def test_calibration_takes_every_face_that_training_takes(
    trained: Path, tmp_path: Path
) -> None:
    """Eyes that are not annotated matter to errors alone; a photo that cannot be read is left out,
    where it was not named."""
    folder = faces.write_ibug(tmp_path / "a", 6)
    lines = []
    for index, record in enumerate(sources.read(f"ibug:{folder}").records):
        points = record.points.round(2).tolist()
        points[36] = None if index == 2 else points[36]
        lines.append(json.dumps({"image": record.image.name, "points": points}))
    (folder / "faces.jsonl").write_text("\n".join(lines))
    source = f"json:{folder / 'faces.jsonl'}?schema=ibug68"
    manifest = calibration.choose(source, None)
    assert len(calibration.load_faces(manifest, RULE, SIZE)) == 6
    os.truncate(folder / manifest.images[0].image, 200)
    manifest = calibration.choose(source, None)
    with refuses("calibration", "read", path=folder / manifest.images[0].image):
        calibration.load_faces(manifest, RULE, SIZE)
    loaded = calibration.load_faces(manifest, RULE, SIZE, strict=False)
    assert [image.image for image in calibration.used(manifest, loaded).images] == loaded.names
    assert len(loaded) == 5
    report = export_as(trained, tmp_path / "e", "int8",
                       calibrate_on=calibration.used(manifest, loaded)).report
    assert report.calibration_faces == 5 and report.comparison["faces"] == 4


@ONE_FAMILY
def test_faces_of_another_format_are_refused_before_the_work(
    trained: Path, photos: Path, tmp_path: Path
) -> None:
    listed = faces.write_five_points(tmp_path / "five", 3)
    with refuses("ibug51", "mtfl5"):
        export_as(trained, tmp_path / "e", "float32", compare_on=f"mtfl:{listed}")
    assert not (tmp_path / "e").exists()


def test_modes_that_a_model_cannot_have(photos: Path, tmp_path: Path) -> None:
    about = checkpoint.HeadSpec(
        faces.mean_shape("ibug51").tolist(), RULE, f"ibug:{photos}")
    spec = checkpoint.ModelSpec(
        "coordnet", SIZE, {"activation": "hard_swish"}, {"ibug51": about})
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    others = ("--dynamic", "--float16", "--float32")
    with refuses("hard-swish", "XNNPACK", "model.options.activation=relu6", *others):
        export_as(tmp_path / "m.h5", tmp_path / "e", "int8")
    assert not (tmp_path / "e").exists()
    found = mode_table.export_all(
        TrainedModel.load(tmp_path / "m.h5"), tmp_path / "all", compare_on=f"ibug:{photos}")
    assert {row["mode"] for row in found.rows} == {"float32", "float16", "dynamic"}
    assert "Not as int8: hard-swish" in (tmp_path / "all" / "modes.md").read_text()
    told = json.loads((tmp_path / "all" / "modes.json").read_text())["refused"]
    assert set(told) == {"int8", "int16x8", "qat"}


def test_a_changed_or_missing_calibration_photo_is_named(photos: Path) -> None:
    manifest = calibration.choose(f"ibug:{photos}", 3)
    other = replace(manifest.images[1], sha256="0" * 64)
    with refuses("calibration manifest", path=photos / other.image):
        calibration.load_faces(replace(manifest, images=[other]), RULE, SIZE)
    gone = replace(manifest.images[0], image="gone.png")
    with refuses("calibration", "source", path="gone.png"):
        calibration.load_faces(replace(manifest, images=[gone]), RULE, SIZE)


@pytest.mark.parametrize(("text", "line", "facts"), [
    ("", 1, ["JSON"]),
    ("\x00", 1, ["JSON"]),
    ("[" * 100_000, None, ["JSON"]),
    ("[]", None, ["calibration manifest", "[]"]),
    ("{}", None, ["calibration manifest", "source"]),
    ('{"source": 1, "images": []}', None, ["calibration manifest", "source", 1]),
])
def test_a_broken_calibration_manifest_is_named(
    tmp_path: Path, text: str, line: int | None, facts: list[object]
) -> None:
    (tmp_path / "m.json").write_text(text)
    with refuses(*facts, path=tmp_path / "m.json", line=line):
        calibration.read_manifest(tmp_path / "m.json")


@TWO_FAMILIES
def test_dim_calibration_photos_keep_the_pixel_grid(trained: Path, tmp_path: Path) -> None:
    dim = np.full((2, SIZE, SIZE, 3), 100, np.uint8)
    content = convert.convert(TrainedModel.load(trained, "ibug51"), modes.INT8, dim)
    details = Interpreter(model_content=content).get_input_details()[0]
    assert details["quantization"] == (pytest.approx(1 / 255, rel=1e-6), 0)
    assert (dim == 100).all()


def test_an_undecodable_calibration_photo_is_named(tmp_path: Path) -> None:
    folder = faces.write_ibug(tmp_path, 3)
    (folder / "face_001x.png").write_bytes(b"not an image")
    with refuses("calibration", "read", path=folder / "face_001x.png"):
        calibration.load_faces(calibration.choose(f"ibug:{folder}"), RULE, SIZE)


def test_a_failed_export_leaves_nothing(trained: Path, tmp_path: Path) -> None:
    with refuses("head 'wflw98'", "ibug51", "ibug68", path=trained):
        export_as(trained, tmp_path / "x", "int8", head="wflw98")
    with refuses("source ibug:/nowhere", "exist"):
        export_as(trained, tmp_path / "x", "int8", compare_on="ibug:/nowhere")
    assert list(tmp_path.iterdir()) == []


def test_metadata_of_strange_files(exported, tmp_path: Path) -> None:
    content = exported[0].read_bytes()
    (tmp_path / "cut.tflite").write_bytes(content[:-100])
    (tmp_path / "plain.tflite").write_bytes(content[: content.rindex(b"PK\x03\x04") - 2000])
    with zipfile.ZipFile(tmp_path / "wrong.tflite", "w") as archive:
        archive.writestr("landmarks.txt", "a")
        archive.writestr("efld.json", '{"schema": 3}')
    for name, fact in (("cut", "metadata"), ("plain", "metadata"), ("wrong", "metadata"),
                       ("absent", "No such file")):
        with refuses(fact, path=tmp_path / f"{name}.tflite"):
            metadata.read(tmp_path / f"{name}.tflite")


@pytest.mark.long
def test_layers_that_qat_does_not_know_are_named_before_the_work(tmp_path: Path) -> None:
    about = checkpoint.HeadSpec(faces.mean_shape("ibug51").tolist(), RULE, f"ibug:{tmp_path}")
    spec = checkpoint.ModelSpec(
        "lite_hrnet_plus", 32, small_options("lite_hrnet_plus"), {"ibug51": about})
    checkpoint.save(tmp_path / "m.h5", spec, spec.build())
    with refuses("stem_wide", "efld_tf.models.blocks.Channels", "--int8"):
        export_as(tmp_path / "m.h5", tmp_path / "e", "qat", calibrate_on=f"ibug:{tmp_path}/none")


def test_a_full_folder_for_temporary_files_is_told() -> None:
    """The converter then gives a model that lacks something, and says nothing."""
    tree = flatbuffer.read(assets.INT8_MODEL.read_bytes())
    tree.signatureDefs = []
    with refuses("temporary", tempfile.gettempdir()):
        flatbuffer.order_outputs(tree, ["points"])


@ONE_FAMILY
def test_a_terminal_shows_how_far_each_step_of_an_export_is(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress, "DRAWN", 0.0)
    export_as(trained, tmp_path / "bundle", "int8", calibrate_on=4)
    assert terminal.screen == []
    shown = terminal.getvalue()
    first = [shown.index(step) for step in (
        "annotations of ", "reading faces: 100%", "rewriting the network: 100%",
        "rounding weights: 100%", "converting: 100%", "observing ranges: 100%",
        "comparing confidences: 100%", "predicting: 100%")]
    assert first == sorted(first)
    assert "| 4/4 [" in shown[first[1]:first[2]] and "| 4/4 [" in shown[first[5]:first[6]]
    assert "| 16/16 [" in shown[first[6]:first[7]]  # faces and their shuffled tiles, by two models


@ONE_FAMILY
def test_elsewhere_an_export_says_so_in_lines(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    model = TrainedModel.load(trained, "ibug51")
    for shown in (True, False):
        convert.rewritten(model, modes.FLOAT32, convert.NO_CROPS, progress=shown)
        out, err = capsys.readouterr()
        assert not out and [line.partition(" [")[0] for line in err.split("\n")] == shown * [
            "rewriting the network: 33% 1/3", "rewriting the network: 67% 2/3",
            "rewriting the network: 100% 3/3"] + [""]
