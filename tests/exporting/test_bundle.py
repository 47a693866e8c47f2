"""A bundle has all that belongs to a model, and can be checked wherever it lies."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from efld_tf.cli import verify
from efld_tf.exporting import bundle, calibration
from efld_tf.landmarks import schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.model_outputs import ModelOutputs
from efld_tf.landmarks.schema_fields import from_fields
from efld_tf.models import checkpoint
from efld_tf.runtime import golden
from tests import faces
from tests.errors import refuses
from tests.trained import export_as

FILES = {"efld_ibug51_int8.tflite", "MODEL_CARD.md", "schema.yaml", "golden.json",
         "golden_input.bin", "golden_output.bin", "landmarker.json", "report.json",
         "calibration.json"}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(a trained model, its bundle)."""
    photos = faces.write_ibug(tmp_path_factory.mktemp("photos"), 8)
    head = checkpoint.HeadSpec(
        faces.mean_shape("ibug51").tolist(), CropRule("points", "ibug68", 1.25), f"ibug:{photos}"
    )
    spec = checkpoint.ModelSpec("efld", 64, {}, {"ibug51": head}, license="for tests alone")
    model = photos.parent / "best.h5"
    checkpoint.save(model, spec, spec.build())
    export_as(model, photos.parent / "bundle", "int8")
    return model, photos.parent / "bundle"


@pytest.fixture
def copy(made: tuple[Path, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(made[1], tmp_path / "copy"))


def test_the_folder_is_complete(made: tuple[Path, Path]) -> None:
    _, folder = made
    assert {path.name for path in folder.iterdir()} == FILES
    assert len(calibration.read_manifest(folder / "calibration.json").images) == 8
    schema = from_fields(yaml.safe_load((folder / "schema.yaml").read_text()))
    assert schema == schemas.get("ibug51")
    card = (folder / "MODEL_CARD.md").read_text()
    assert "for tests alone" in card and "`uint8` RGB `[1, 64, 64, 3]`" in card
    assert "1.25 times the longest side" in card
    assert "on training faces: not how accurate the model is" in card


def test_the_golden_files_are_raw_and_plain(made: tuple[Path, Path]) -> None:
    _, folder = made
    stated = json.loads((folder / "golden.json").read_text())
    image = np.frombuffer((folder / "golden_input.bin").read_bytes(), np.uint8)
    points = np.frombuffer((folder / "golden_output.bin").read_bytes(), "<f4").reshape(51, 2)
    assert image.size == 64 * 64 * 3 and image.std() > 20  # a face, not a blank
    np.testing.assert_allclose(points, stated["output"]["points"], atol=1e-6)
    assert stated["tolerance"] == bundle.TOLERANCE < 1 / 64


def test_it_verifies_wherever_it_lies(copy: Path, capsys) -> None:
    assert verify.main([str(copy)]) is None
    out = capsys.readouterr().out
    assert out.count("(ok)") == 4 and "XNNPACK" in out and "built-in" in out
    assert verify.main([str(copy / "efld_ibug51_int8.tflite")]) is None


def test_another_result_is_told(copy: Path, capsys) -> None:
    output = np.frombuffer((copy / "golden_output.bin").read_bytes(), "<f4") + np.float32(0.01)
    (copy / "golden_output.bin").write_bytes(output.astype("<f4").tobytes())
    stated = json.loads((copy / "golden.json").read_text())
    stated["output"]["points"] = output.reshape(51, 2).round(6).tolist()
    (copy / "golden.json").write_text(json.dumps(stated))
    assert verify.main([str(copy)]) == 1
    assert capsys.readouterr().out.count("MORE than 0.004") == 4


def test_another_mean_is_told(copy: Path) -> None:
    stated, _, expected = golden.read(copy / "efld_ibug51_int8.tflite")
    stated = replace(stated, mean_tolerance=0.001)
    for off, passed in ((0.0009, True), (0.0011, False), (np.nan, False)):
        outputs = ModelOutputs(expected + np.float32(off))
        assert stated.misses(expected, outputs).passed == passed


def test_points_and_raw_bytes_must_agree(copy: Path) -> None:
    (copy / "golden_output.bin").write_bytes(np.full((51, 2), np.nan, "<f4").tobytes())
    with refuses("points", "golden_output.bin", path=copy / "golden.json"):
        verify.main([str(copy)])


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        (lambda tree: tree["input"].update(shape=[10**18, 10**18]), ["golden_input.bin"]),
        (lambda tree: tree["input"].update(shape=[10**400]), ["input.shape.0"]),
        (lambda tree: tree["input"].update(shape=[0, 64, 64, 3]),
         ["golden_input.bin", [0, 64, 64, 3]]),
        (lambda tree: tree["output"].update(points=[[0.0]]), ["points", "golden_output.bin"]),
        (lambda tree: tree.update(tolerance=1e9), ["tolerance", golden.LARGEST_TOLERANCE, "1e+09"]),
        (lambda tree: tree.update(tolerance=0.02),  # as only models that search may have
         ["tolerance", golden.LARGEST_TOLERANCE, 0.02]),
        (lambda tree: tree.update(tolerance=float("nan")), ["tolerance", "nan"]),
        (lambda tree: tree.update(mean_tolerance=0.005), ["mean_tolerance", 0.004, 0.005]),
        (lambda tree: tree.update(mean_tolerance=0.0), ["mean_tolerance", 0.004]),
    ],
)
def test_a_strangers_golden_file_is_refused(copy: Path, change, facts: list[object]) -> None:
    tree = json.loads((copy / "golden.json").read_text())
    change(tree)
    (copy / "golden.json").write_text(json.dumps(tree))
    with refuses(*facts, path=copy / "golden.json"):
        verify.main([str(copy)])


def test_deep_json_is_refused(copy: Path) -> None:
    (copy / "golden.json").write_text("[" * 100_000)
    with refuses("golden file", "JSON", path=copy / "golden.json"):
        verify.main([str(copy)])


@pytest.mark.parametrize(
    ("name", "content", "facts"),
    [
        ("golden_input.bin", b"short", ["[1, 64, 64, 3]", "uint8"]),
        ("golden.json", b"{}", ["golden file", "model"]),
        ("golden.json", b"\xff", ["golden file", "utf-8"]),
        ("golden.json", None, ["golden file", "No such file"]),
        ("golden_output.bin", None, ["No such file"]),
        ("efld_ibug51_int8.tflite", None, [".tflite", 0]),
    ],
)
def test_damage_is_named(
    copy: Path, name: str, content: bytes | None, facts: list[object]
) -> None:
    (copy / name).unlink()
    if content is not None:
        (copy / name).write_bytes(content)
    with refuses(*facts, path=copy if name.endswith(".tflite") else copy / name):
        verify.main([str(copy)])


def test_a_golden_file_cannot_point_elsewhere(copy: Path) -> None:
    text = (copy / "golden.json").read_text()
    (copy / "golden.json").write_text(text.replace("golden_input.bin", "../../etc/passwd"))
    with refuses("golden_input.bin", "../../etc/passwd", path=copy / "golden.json"):
        golden.read(copy / "efld_ibug51_int8.tflite")


def test_another_model_with_these_golden_files_is_refused(copy: Path) -> None:
    model = copy / "efld_ibug51_int8.tflite"
    model.write_bytes(model.read_bytes() + b"\0")
    with refuses("SHA-256", model.name, path=copy / "golden.json"):
        golden.read(model)


def test_only_a_bundle_is_replaced(made: tuple[Path, Path], tmp_path: Path) -> None:
    model, _ = made
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    for name in ("thesis.txt", "report.json"):  # another command's report is no bundle
        (tmp_path / "mine" / name).write_text("years of work")
        with refuses("export", "--output", path=tmp_path / "mine"):
            export_as(model, tmp_path / "mine", "float32")
    (tmp_path / "mine" / "report.json").unlink()
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    for _ in range(2):  # the second replaces the first
        export_as(model, tmp_path / "float", "float32")
    assert not (tmp_path / "float" / "calibration.json").exists()


def test_what_each_layer_loses(made: tuple[Path, Path], tmp_path: Path) -> None:
    debugged = export_as(made[0], tmp_path / "debug", "int8", debug=True)
    rows, found = debugged.layers, debugged.report.concatenations
    stored = json.loads((tmp_path / "debug" / "layers.json").read_text())
    assert stored[0]["name"] == rows[0].name
    named = {row.name: row for row in rows}
    first = named["eosa1_osa1_conv_and_eosa1_low_conv_act"]
    assert first.signal_to_noise_db > 25 and first.scale > 0
    # Widened ones too, whose results are reshaped.
    widened = "eosa1_osa2_act", "eosa2_osa2_act", "eosa2_low_pointwise_act"
    assert {named[name].operator for name in widened} == {"CONV_2D"}
    moved = named["eosa1_concat_pixels"], named["eosa1_concat"]  # moving values loses nothing
    assert moved[0].signal_to_noise_db == moved[1].signal_to_noise_db
    assert all(row["levels"] > 0 for row in found) and found
