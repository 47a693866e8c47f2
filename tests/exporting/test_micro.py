"""Exports for microcontrollers run by TensorFlow Lite Micro, and are C source."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import efld_tf
from efld_tf.cli import export as export_command
from efld_tf.errors import UnsupportedMode
from efld_tf.exporting import audit, calibration, micro, modes
from efld_tf.exporting.report import Bundle
from efld_tf.runtime import golden, graph
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import refuses
from tests.exporting.conftest import RULE, SIZE
from tests.trained import float_predictor

if (sys.platform, platform.machine()) != ("linux", "x86_64"):
    pytest.skip("wheels for Linux on x86-64 alone", allow_module_level=True)
from tflite_micro import runtime

ONE_FAMILY = pytest.mark.parametrize("trained", ["efld"], indirect=True)
# Whose decoding divides the number of a cell, an int32, by a map's width.
REFUSED = dict.fromkeys(("pipnet", "mapnet", "lite_hrnet_plus", "dense_unet"), "FLOOR_DIV")


@pytest.fixture
def exported(export_once: Callable[[str], Bundle]) -> Bundle:
    return export_once("micro")


def crops_of(photos: Path) -> np.ndarray:
    return calibration.load_faces(calibration.choose(f"ibug:{photos}"), RULE, SIZE).crops


def by_micro(content: bytes, crops: np.ndarray, arena: int) -> np.ndarray:
    interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
    results = []
    for crop in crops:
        interpreter.set_input(crop[None], 0)
        interpreter.invoke()
        results.append(interpreter.get_output(0)[0].copy())
    return np.array(results)


@ONE_FAMILY
def test_it_runs_in_its_arena_and_gives_the_points_of_float(
    exported: Bundle, trained: Path, photos: Path
) -> None:
    crops, told = crops_of(photos), exported.report.micro
    content = exported.model.read_bytes()
    found = by_micro(content, crops, told["arena_bytes"])
    np.testing.assert_allclose(found, LandmarkPredictor(exported).predict_crops(crops), atol=0.01)
    expected = float_predictor(trained, "ibug51").predict_crops(crops)
    np.testing.assert_allclose(found, expected, atol=0.03)
    with pytest.raises(RuntimeError):
        by_micro(content, crops, told["arena_bytes"] - micro.STEP)
    assert told["runtime"].startswith("tflite-micro ") and told["faces"] == len(crops)
    card = (exported.folder / "MODEL_CARD.md").read_text()
    assert f"{told['arena_bytes']:,} bytes" in card and told["runtime"] in card


@ONE_FAMILY
def test_its_numbers_are_integers(exported: Bundle) -> None:
    model = graph.read(exported.model)
    first, *_ = model.operators
    assert (first.name, first.input_dtypes[0], first.output_dtypes) == ("QUANTIZE", "uint8",
                                                                        ("int8",))
    wide = [(op.name, op.output_dtypes) for op in model.operators if "int16" in op.output_dtypes]
    assert wide == [("QUANTIZE", ("int16",)), ("CONV_2D", ("int16",))]
    floats = [op.name for op in model.operators if "float32" in op.output_dtypes]
    assert set(floats) <= audit.FLOAT_TAIL
    with refuses("DEQUANTIZE", "QUANTIZE", path=exported.model):
        audit.check(exported.model, modes.INT8)
    golden_file, checks = golden.verify(exported.model)
    assert golden_file.mode == "micro" and all(check.passed for check in checks)


@ONE_FAMILY
def test_the_c_source_is_the_file(exported: Bundle, tmp_path: Path) -> None:
    """Compiled as C, and read by C++."""
    name = micro.symbol(exported.model.stem)
    (tmp_path / "main.cpp").write_text(f"""
#include <cstdint>
#include <cstdio>
#include "{micro.HEADER}"
int main() {{
  if (reinterpret_cast<std::uintptr_t>({name}) % 16) return 1;
  std::fprintf(stderr, "%d %d %d\\n", {name.upper()}_ARENA_BYTES, {name.upper()}_SIDE,
               {name.upper()}_POINTS);
  return std::fwrite({name}, 1, sizeof {name}, stdout) != sizeof {name};
}}
""")
    source = exported.folder / micro.SOURCE
    for command in (["c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-x", "c++", "-c", source,
                     "-o", "as_cpp.o"],
                    ["cc", "-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", source],
                    ["c++", "-Wall", "-Wextra", f"-I{exported.folder}", "main.cpp",
                     "model_data.o", "-o", "main"]):
        subprocess.run([str(part) for part in command], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "main"], capture_output=True, check=True)
    assert done.stdout == exported.model.read_bytes()
    header = (exported.folder / micro.HEADER).read_text()
    assert all(name in header for name in exported.report.operators)
    told = exported.report.micro["arena_bytes"]
    assert done.stderr.decode().split() == [str(told), str(SIZE), "51"]


@ONE_FAMILY
def test_an_export_takes_its_place_and_no_other(exported: Bundle, trained: Path) -> None:
    """What is there is replaced only if it is an export."""
    assert export_command.main([str(trained), "--micro", "--output", str(exported.folder),
                                "--calibration", "4", "--quiet"]) is None
    (exported.folder / "mine.c").touch()
    with refuses("export", path=exported.folder):
        efld_tf.export(trained, "micro", output=exported.folder)
    (exported.folder / "mine.c").unlink()


@ONE_FAMILY
def test_without_the_runtime_it_says_what_to_install(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    with refuses("--micro", "'efld-tf[micro]'", "Linux"):
        efld_tf.export(trained, "micro", output=tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_names_of_c() -> None:
    assert micro.symbol("2d-efld_wflw98 micro") == "d_efld_wflw98_micro"
    assert micro.symbol("98") == "model"


@pytest.mark.parametrize(
    "trained", [pytest.param(name, marks=pytest.mark.long) for name in (
        "pipnet", "coordnet", "mapnet", "two_stage", "lite_hrnet_plus", "dense_unet")],
    indirect=True)
def test_other_families_run_there_or_are_refused(
    trained: Path, export_once: Callable[[str], Bundle], photos: Path
) -> None:
    family = trained.parent.name
    if family in REFUSED:
        with pytest.raises(UnsupportedMode, match=REFUSED[family]):
            export_once("micro")
        return
    bundle = export_once("micro")
    crops, content = crops_of(photos), bundle.model.read_bytes()
    found = by_micro(content, crops, bundle.report.micro["arena_bytes"])
    np.testing.assert_allclose(found, LandmarkPredictor(bundle).predict_crops(crops), atol=0.02)
