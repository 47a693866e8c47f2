"""The sample app's plain Java makes the same crops and points as the toolkit."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.landmarks.geometry import CropRule, extract_crop, tight_box
from efld_tf.runtime import metadata
from efld_tf.runtime.predictor import LandmarkPredictor
from tests.errors import assert_told

SOURCES = Path(__file__).parents[2] / "tools" / "android" / "landmarks"


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("javac"):
        pytest.skip("no JDK on the path (Debian: default-jdk-headless)")
    out = tmp_path_factory.mktemp("classes")
    files = [str(path) for path in SOURCES.rglob("*.java")]
    subprocess.run(["javac", "--release", "8", "-Xlint:all,-options", "-Werror", "-d", str(out),
                    *files], check=True)
    return out


def write_case(folder: Path, image: np.ndarray, box: np.ndarray) -> None:
    """What the toolkit makes of a face, for the Java test to compare with."""
    folder.mkdir()
    predictor = LandmarkPredictor(assets.INT8_MODEL)
    crop, size = predictor.crop_rule.crop(box), predictor.input_size
    pixels = extract_crop(image, crop, size)
    points = predictor.predict_crops(pixels[None])[0]
    height, width = image.shape[:2]
    rgba = np.concatenate([image, np.full((height, width, 1), 255, np.uint8)], axis=-1)
    (folder / "image.bin").write_bytes(rgba.tobytes())
    (folder / "crop.bin").write_bytes(pixels.tobytes())
    (folder / "golden_output.bin").write_bytes(points.astype("<f4").tobytes())
    image_points = crop.from_unit(points).astype("<f4")
    (folder / "image_points.bin").write_bytes(image_points.tobytes())
    numbers = [width, height, size, *(float(value) for value in box)]
    (folder / "case.txt").write_text(" ".join(map(str, numbers)) + "\n")


@pytest.mark.parametrize(
    ("size", "move"),
    [(200, 0.0), (256, 0.0), (640, 0.0), (1000, 0.0), (256, 0.45), (700, -0.5)],
)
def test_crop_and_points(classes: Path, tmp_path: Path, size: int, move: float) -> None:
    """Enlarged, shrunk by whole blocks, and over the image's edge."""
    face = render_face(seed=1, index=size, size=size)
    box = tight_box(face.points["ibug68"]) + move * size
    write_case(tmp_path / "case", face.image, box)
    done = subprocess.run(
        ["java", "-cp", str(classes), "efld.landmarks.LogicTest", str(assets.INT8_MODEL),
         str(tmp_path / "case")], capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    scale = LandmarkPredictor(assets.INT8_MODEL).crop_rule.scale
    assert f"ibug51 51 points, scale {scale:g}" in done.stdout and "ok: pixels" in done.stdout


def test_a_model_without_metadata_is_refused(classes: Path, tmp_path: Path) -> None:
    (tmp_path / "plain.tflite").write_bytes(b"TFL3" * 100)
    done = subprocess.run(
        ["java", "-cp", str(classes), "efld.landmarks.LogicTest", str(tmp_path / "plain.tflite")],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 1
    assert_told(done.stderr, "efld-export")


@pytest.mark.parametrize("rule", [
    CropRule("points", "ibug51", 1.25),
    CropRule("points", "ibug51", None, scale_x=1.25, scale_y=1.25),
])
def test_a_stretched_crop_is_refused(classes: Path, tmp_path: Path, rule: CropRule) -> None:
    """Its metadata is not taken for those of a square; a square's are read."""
    model = tmp_path / "made.tflite"
    model.write_bytes(b"TFL3" * 100)
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr(metadata.NAMES_FILE, "a")
        archive.writestr(metadata.MODEL_FILE, metadata.ModelMetadata("f", "ibug51", rule).json())
    done = subprocess.run(
        ["java", "-cp", str(classes), "efld.landmarks.LogicTest", str(model)],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == int(rule.stretched), done.stderr
    if rule.stretched:
        assert_told(done.stderr, "efld.json", "scale")


def test_every_file_of_the_app_is_there() -> None:
    app = SOURCES.parent / "app"
    names = {path.name for path in app.rglob("*") if path.is_file()}
    assert {"build.gradle.kts", "AndroidManifest.xml", "MainActivity.kt", "LandmarkModel.kt",
            "Golden.kt", "GoldenTest.kt"} <= names
    readme = (SOURCES.parent / "README.md").read_text()
    assert "not been compiled" in readme
