"""The Android library finds and follows what the toolkit does; the sample app compiles."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest

import efld_tf
from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.arrays import Floats, Image
from efld_tf.cli import export
from efld_tf.exporting import app_files
from efld_tf.landmarks import schemas
from efld_tf.runtime import litert
from efld_tf.runtime.tracker import FaceTracker
from tests.errors import assert_told, refuses
from tests.tools import android_sdk, web_vectors
from tools.plain_faces import plain_face

ANDROID = Path(__file__).parents[2] / "tools" / "android"
LIBRARY, APP = ANDROID / "landmarks" / "src", ANDROID / "app" / "src"
FRAMES_A_SECOND = 30


@pytest.fixture(scope="module")
def classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library and its tests, compiled by this JDK."""
    android_sdk.needed(android_sdk.ORG_JSON)
    return android_sdk.java(sorted(LIBRARY.rglob("*.java")), [android_sdk.ORG_JSON],
                            tmp_path_factory.mktemp("java") / "classes")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return app_files.write_assets("research", tmp_path_factory.mktemp("app") / "efld")


def command(classes: Path, name: str, *words: object) -> list[str]:
    return ["java", "-cp", f"{classes}:{android_sdk.ORG_JSON}", f"efld.landmarks.{name}",
            *map(str, words)]


def test_crops_pixels_and_numbers_are_those_of_the_toolkit(classes: Path) -> None:
    done = subprocess.run(command(classes, "VectorsTest", web_vectors.FILE), capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^[1-9]\d+ cases, 0 differences$", done.stdout, re.MULTILINE)


class Answered:
    """A JVM that asks for what models compute; see LandmarkerTest.java.

    Attributes:
      told: what it says of a failure, at its end.
    """

    told = ""

    def __init__(self, classes: Path, bundle: Path, kind: str, pictures: list[Path]):
        self._models = [litert.load(path)
                        for path in (assets.INT8_MODEL, app_files.detector_file())]
        words = command(classes, "LandmarkerTest", bundle, kind, *pictures)
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)
        self._points = len(schemas.get("ibug51").names)

    def faces(self) -> list[list[tuple[int, float, Floats]]]:
        """Number, confidence and points of the faces of each picture."""
        assert self._process.stdin and self._process.stdout
        for model in self._models:
            sizes = [int(np.prod(output["shape"])) for output in model.get_output_details()]
            self._process.stdin.write(struct.pack(f">{1 + len(sizes)}i", len(sizes), *sizes))
        pictures = []
        self._process.stdin.flush()
        while asked := self._process.stdout.read(4):
            (number,) = struct.unpack(">i", asked)
            if number < len(self._models):
                self._run(number)
                continue
            (count,) = struct.unpack(">i", self._process.stdout.read(4))
            pictures.append([self._face() for _ in range(count)])
        _, told = self._process.communicate()
        self.told = told.decode()
        return pictures

    def _face(self) -> tuple[int, float, Floats]:
        assert self._process.stdout
        track, confidence = struct.unpack(">id", self._process.stdout.read(12))
        points = np.frombuffer(self._process.stdout.read(16 * self._points), ">f8").reshape(-1, 2)
        return track, confidence, points.astype(np.float64)

    def _run(self, number: int) -> None:
        assert self._process.stdin and self._process.stdout
        model = self._models[number]
        (details,) = model.get_input_details()
        size = int(np.prod(details["shape"])) * np.dtype(details["dtype"]).itemsize
        pixels = np.frombuffer(self._process.stdout.read(size), details["dtype"])
        model.set_tensor(details["index"], pixels.reshape(details["shape"]))
        model.invoke()
        for output in model.get_output_details():
            self._process.stdin.write(model.get_tensor(output["index"]).tobytes())
        self._process.stdin.flush()


def write(path: Path, image: Image) -> Path:
    """A picture as LandmarkerTest reads it."""
    height, width = image.shape[:2]
    alpha = np.full((height, width, 1), 255, np.uint8)
    path.write_bytes(struct.pack(">2i", width, height)
                     + np.concatenate([image, alpha], axis=-1).tobytes())
    return path


def turned(image: Image, quarters: int) -> Image:
    return np.ascontiguousarray(np.rot90(image, quarters))


def test_faces_of_photos_are_those_of_the_toolkit(
    classes: Path, bundle: Path, tmp_path: Path
) -> None:
    """Large and small ones, two in a picture, faces on their side and on their head, and none."""
    images = [render_face(seed=33, index=index, size=(320, 480, 640)[index % 3]).image
              for index in range(12)]
    images += [turned(images[0], 1), turned(images[1], 2), turned(images[2], 3),
               np.concatenate([images[0], images[3]], axis=1),
               np.full((200, 300, 3), 128, np.uint8)]
    pictures = [write(tmp_path / f"{index}.bin", image) for index, image in enumerate(images)]
    landmarker = efld_tf.load("research")
    for image, found in zip(images, Answered(classes, bundle, "photos", pictures).faces(),
                            strict=True):
        faces = landmarker(image)
        assert len(found) == len(faces)
        for (track, confidence, points), face in zip(found, faces, strict=True):
            assert track == -1 and confidence == pytest.approx(face.confidence, abs=0.01)
            assert np.abs(points - face.points).max() < 0.5
    assert not faces


def test_faces_of_a_video_are_those_of_the_toolkit(
    classes: Path, bundle: Path, tmp_path: Path
) -> None:
    """A face that moves and turns, goes, comes back and has its number again."""
    face = plain_face(14, 480).image
    frames: list[Image] = []
    for index in range(36):
        phase = 2 * np.pi * index / 36
        matrix = cv2.getRotationMatrix2D((240.0, 240.0), 20 * np.sin(phase), 0.8)
        matrix[:, 2] += [80 + 40 * np.sin(phase), 10 * np.cos(phase)]
        frames.append(cv2.warpAffine(face, matrix, (640, 480), flags=cv2.INTER_AREA))
    frames[10:14] = [np.full_like(frames[0], 128)] * 4
    tracker = FaceTracker(efld_tf.load("research"))
    pictures = [write(tmp_path / f"{index}.bin", frame) for index, frame in enumerate(frames)]
    found = Answered(classes, bundle, "video", pictures).faces()
    assert [len(faces) for faces in found[9:14]] == [1, 0, 0, 0, 0]
    assert [track for track, _, _ in found[-1]] == [0]
    for index, (frame, faces) in enumerate(zip(frames, found, strict=True)):
        expected = tracker.update(frame, (2 + index) / FRAMES_A_SECOND)
        assert [track for track, _, _ in faces] == [face.track for face in expected]
        for (_, confidence, points), seen in zip(faces, expected, strict=True):
            assert confidence == pytest.approx(seen.confidence, abs=0.01)
            assert np.abs(points - seen.points).max() < 0.5


@pytest.mark.parametrize(("file", "content", "facts"), [
    ("landmarker.json", "{", ["landmarker.json"]),
    ("landmarker.json", '{"format": 2}', ["landmarker.json", "format 1", "efld-export"]),
    ("golden.json", '{"tolerance": 0.01}', ["golden.json", "output"]),
])
def test_damaged_files_are_told(
    classes: Path, bundle: Path, tmp_path: Path, file: str, content: str, facts: list[str]
) -> None:
    damaged = Path(shutil.copytree(bundle, tmp_path / "efld"))
    (damaged / file).write_text(content)
    assert_told(failed(classes, damaged), "java.lang.IllegalArgumentException", *facts)


def test_another_output_than_the_golden_one_is_told(
    classes: Path, bundle: Path, tmp_path: Path
) -> None:
    damaged = Path(shutil.copytree(bundle, tmp_path / "efld"))
    golden = json.loads((damaged / "golden.json").read_text())
    golden["output"]["points"][3][1] += 0.01
    (damaged / "golden.json").write_text(json.dumps(golden))
    assert_told(failed(classes, damaged), "java.lang.IllegalStateException", "golden")


def failed(classes: Path, bundle: Path) -> str:
    """What a JVM says that refuses a bundle."""
    answered = Answered(classes, bundle, "photos", [])
    assert answered.faces() == []
    return answered.told


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The app's classes, and those that it is compiled with."""
    sdk, folder = android_sdk.sdk(), tmp_path_factory.mktemp("app")
    stubs = android_sdk.java(sorted(android_sdk.STUBS.rglob("*.java")), [sdk.android],
                             folder / "stubs")
    library = android_sdk.java(sorted((LIBRARY / "main").rglob("*.java")), [sdk.android],
                               folder / "library")
    done = sdk.kotlin(sorted(APP.rglob("*.kt")), [stubs, library], folder / "app")
    assert done.returncode == 0, done.stderr
    return {"stubs": stubs, "library": library, "app": folder / "app"}


def test_the_app_compiles_and_mistakes_in_it_do_not(
    app: dict[str, Path], tmp_path: Path
) -> None:
    wrong = tmp_path / "Wrong.kt"
    wrong.write_text("package efld.sample\n"
                     "import efld.landmarks.FaceLandmarker\n"
                     "fun wrong(landmarker: FaceLandmarker): Int = landmarker.track()\n")
    done = android_sdk.sdk().kotlin([wrong], list(app.values()), tmp_path / "out")
    assert done.returncode == 1 and "Wrong.kt:3" in done.stderr


def test_the_readme_s_kotlin_compiles(app: dict[str, Path], tmp_path: Path) -> None:
    readme = (ANDROID / "README.md").read_text()
    (body,) = re.findall(r"```kotlin\n(.*?)```", readme, re.DOTALL)
    source = tmp_path / "Readme.kt"
    source.write_text(
        "package efld.sample\nimport efld.landmarks.*\n"
        "fun readme(context: android.content.Context, rgba: ByteArray, width: Int, height: Int, "
        "rowStride: Int, seconds: Double) {\n" + body + "}\n")
    done = android_sdk.sdk().kotlin([source], list(app.values()), tmp_path / "out")
    assert done.returncode == 0, done.stderr


def test_the_app_is_packaged(app: dict[str, Path], tmp_path: Path) -> None:
    """Its code runs on Android's machine, and its manifest names what is in it."""
    android_sdk.needed("aapt", android_sdk.RESOURCES)
    android_sdk.sdk().dex([app["app"], app["library"]], tmp_path / "classes.dex")
    assert (tmp_path / "classes.dex").read_bytes()[:4] == b"dex\n"
    manifest = (APP / "main" / "AndroidManifest.xml").read_text()
    settings = (ANDROID / "app" / "build.gradle.kts").read_text()
    (name,) = re.findall(r'applicationId = "(.*)"', settings)
    # Gradle adds the name.
    (tmp_path / "AndroidManifest.xml").write_text(
        manifest.replace("<manifest ", f'<manifest package="{name}" ', 1))
    subprocess.run(["aapt", "package", "-M", "AndroidManifest.xml", "-I",
                    str(android_sdk.RESOURCES), "-F", "app.apk"], cwd=tmp_path, check=True)
    subprocess.run(["aapt", "add", "app.apk", "classes.dex"], cwd=tmp_path, check=True)
    told = subprocess.run(["aapt", "dump", "badging", "app.apk"], cwd=tmp_path, check=True,
                          capture_output=True, text=True).stdout
    (activity,) = re.findall(r"launchable-activity: name='(.*?)'", told)
    assert (app["app"] / Path(*activity.split("."))).with_suffix(".class").exists()
    assert "uses-permission: name='android.permission.CAMERA'" in told


def contents(folder: Path) -> dict[Path, bytes]:
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.*")}


def test_the_command_writes_assets(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert export.main(["research", "--android", str(tmp_path / "efld")]) is None
    assert contents(tmp_path / "efld") == contents(bundle)
    assert str(tmp_path / "efld") in capsys.readouterr().out
    with refuses("--android", "--compare"):
        export.main(["research", "--compare", "--android", str(tmp_path / "efld")])


def test_assets_are_written_where_nothing_else_is(bundle: Path, tmp_path: Path) -> None:
    again = app_files.write_assets("synthetic", Path(shutil.copytree(bundle, tmp_path / "efld")))
    described = json.loads((again / "landmarker.json").read_text())
    synthetic = assets.SHIPPED["synthetic"].int8
    assert (again / described["model"]["file"]).read_bytes() == synthetic.read_bytes()
    assert (again / described["detector"]["file"]).read_bytes()[4:8] == b"TFL3"
    assert (again / app_files.DETECTOR / app_files.LICENSE).stat().st_size > 1000
    other = tmp_path / "other"
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    with refuses("--android", path=other):
        app_files.write_assets("research", other)
    with refuses("--android", path=other / "notes.txt"):
        app_files.write_assets("research", other / "notes.txt")
    assert [path.name for path in other.iterdir()] == ["notes.txt"]
