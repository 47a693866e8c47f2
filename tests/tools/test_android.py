"""The Android library finds and follows what the toolkit does; the sample app compiles."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import efld_tf
from efld_tf import assets
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.arrays import Array, Floats, Image
from efld_tf.cli import export
from efld_tf.exporting import app_files
from efld_tf.landmarks import schemas
from efld_tf.runtime import interpreter
from efld_tf.runtime.any_angle import open_detector
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.tracker import FaceTracker
from tests.errors import assert_told, refuses
from tests.tools import android_sdk, web_vectors
from tools.plain_faces import plain_face

ANDROID = Path(__file__).parents[2] / "tools" / "android"
LIBRARY, APP = ANDROID / "landmarks" / "src", ANDROID / "app" / "src"
FRAMES_A_SECOND = 10
SILENT = "silent"
CROWDS, FACES_IN_CROWDS = 40, 28
FRAMES = 60
# When each of two people is not in the video.
AWAY = ({*range(10, 13), *range(30, 52)}, set(range(30, 52)))


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
        self._models = [interpreter.load(path)
                        for path in (assets.INT8_MODEL, app_files.detector_file())]
        words = command(classes, "LandmarkerTest", bundle, kind, *pictures)
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.PIPE)
        self._confident = bundle.parent.name[:6] != SILENT
        self._points = len(schemas.get("ibug51").names)

    def faces(self) -> list[list[tuple[int, float, Floats]]]:
        """Number, confidence and points of the faces of each picture."""
        assert self._process.stdin and self._process.stdout
        self._outputs = [model.get_output_details()[:1 + (index or self._confident)]
                         for index, model in enumerate(self._models)]
        for outputs in self._outputs:
            sizes = [int(np.prod(output["shape"])) for output in outputs]
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
        for output in self._outputs[number]:
            self._process.stdin.write(model.get_tensor(output["index"]).tobytes())
        self._process.stdin.flush()


def write(path: Path, image: Image) -> Path:
    """A picture as LandmarkerTest reads it."""
    height, width = image.shape[:2]
    alpha = np.full((height, width, 1), 255, np.uint8)
    path.write_bytes(struct.pack(">2i", width, height)
                     + np.concatenate([image, alpha], axis=-1).tobytes())
    return path


class Wild:
    """A model whose outputs jump with every other pixel of its input, as of one that fails.

    So that each rule which tells faces from others is needed at once.
    """

    def __init__(self, model: interpreter.Interpreter):
        self._model = model
        self._outputs: dict[int, Array] = {}
        self.get_input_details = model.get_input_details
        self.get_output_details = model.get_output_details
        self.set_tensor = model.set_tensor

    def invoke(self) -> None:
        self._model.invoke()
        (details,) = self.get_input_details()
        random = np.random.default_rng(zlib.crc32(self._model.get_tensor(details["index"])))
        for output in self.get_output_details():
            value = self._model.get_tensor(output["index"])
            if value.shape == (1, 1):  # a confidence
                value = np.clip(value + random.normal(0, 0.4, value.shape), 0, 1)
            elif value.shape[-1] == 2:  # points
                value = value + random.choice([0, 0.02, 0.3]) * random.normal(0, 1, (1, 1, 2)) \
                    + random.choice([0, 0.01]) * random.normal(0, 1, value.shape)
            elif value.shape[-1] == 1:  # the detector's scores
                value = value + random.normal(random.choice([0, -9]), 1.5, value.shape)
            else:  # and its boxes
                value[..., 2:4] *= random.choice([1, 1, 2.5], (*value.shape[:2], 1))
            self._outputs[output["index"]] = value.astype(np.float32)

    def get_tensor(self, index: int) -> Array:
        return self._outputs[index].copy()

    def tensor(self, index: int) -> Callable[[], Array]:
        return lambda: self._outputs[index] if index in self._outputs \
            else self._model.tensor(index)()


class Silent(LandmarkPredictor):
    """The shipped model without its confidence."""

    def __init__(self) -> None:
        super().__init__("research")
        self._confidence, self.has_confidence = None, False


@pytest.fixture(scope="module")
def silent(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its bundle."""
    folder = Path(shutil.copytree(bundle, tmp_path_factory.mktemp(SILENT) / "efld"))
    for name, change in (("landmarker.json", {"has_confidence": False}), ("golden.json", {})):
        content = {**json.loads((folder / name).read_text()), **change}
        content.pop("confidence", None)
        (folder / name).write_text(json.dumps(content))
    return folder


def crowd(index: int) -> Image:
    """Rendered faces of all sizes, at all angles, sharp and blurred, some over others."""
    random = np.random.default_rng(index)
    scene = np.full((480, 640, 3), random.integers(40, 200), np.uint8)
    for count in range(index % 5):
        size = int(random.integers(80, 420))
        face = render_face(seed=40 + index, index=count, size=256).image
        face = cv2.GaussianBlur(face, (0, 0), random.uniform(0.1, 6))
        angle = random.choice([0, 90, 180, 270, 360 * random.random()])
        matrix = cv2.getRotationMatrix2D((128.0, 128.0), float(angle), size / 256)
        matrix[:, 2] += [*random.uniform([0, 0], [640, 480]) - 128]
        mask = cv2.warpAffine(np.ones_like(face), matrix, (640, 480))
        scene = np.where(mask > 0, cv2.warpAffine(face, matrix, (640, 480)), scene)
    return scene


@pytest.fixture(params=["as they are", "wild"])
def models(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Makes both sides have models that fail, or not."""
    if request.param == "wild":
        load = interpreter.load
        monkeypatch.setattr(interpreter, "load", lambda *words: Wild(load(*words)))
    return str(request.param)


@pytest.mark.parametrize("seen", ["photos", "crowds"])
def test_faces_of_photos_are_those_of_the_toolkit(
    classes: Path, bundle: Path, tmp_path: Path, seen: str, models: str
) -> None:
    if seen == "photos":
        images = [render_face(seed=33, index=index, size=(320, 480, 640)[index % 3]).image
                  for index in range(12)]
    else:
        images = [crowd(index) for index in range(CROWDS)]
    pictures = [write(tmp_path / f"{index}.bin", image) for index, image in enumerate(images)]
    landmarker, total = efld_tf.load("research", detector="short"), 0
    for image, found in zip(images, Answered(classes, bundle, "photos", pictures).faces(),
                            strict=True):
        faces = landmarker(image)
        assert len(found) == len(faces)
        for (track, confidence, points), face in zip(found, faces, strict=True):
            assert track == -1 and confidence == pytest.approx(face.confidence, abs=0.01)
            assert np.abs(points - face.points).max() < 0.5
        total += len(faces)
    if models != "wild":
        assert total == (12 if seen == "photos" else FACES_IN_CROWDS)


def video() -> list[Image]:
    """Two people who cross; one goes and comes back at once, both do after long."""
    faces = [plain_face(14, 480).image, plain_face(3, 480).image]
    frames = []
    for index in range(FRAMES):
        frame = np.full((480, 640, 3), 128, np.uint8)
        phase = 2 * np.pi * index / FRAMES
        for person, face in enumerate(faces):
            if index in AWAY[person]:
                continue
            side = 1 - 2 * person
            matrix = cv2.getRotationMatrix2D((240.0, 240.0), 25 * np.sin(2 * phase) * side, 0.45)
            matrix[:, 2] += [80 + 160 * side * np.cos(phase), 30 * np.sin(phase) * side]
            mask = cv2.warpAffine(np.ones_like(face), matrix, (640, 480))
            frame = np.where(mask > 0, cv2.warpAffine(face, matrix, (640, 480)), frame)
        frames.append(frame)
    return frames


@pytest.mark.parametrize("confident", [True, False])
def test_faces_of_a_video_are_those_of_the_toolkit(
    classes: Path, bundle: Path, silent: Path, tmp_path: Path, confident: bool, models: str
) -> None:
    predictor = LandmarkPredictor("research") if confident else Silent()
    tracker = FaceTracker(FaceLandmarker(predictor, open_detector("short")))
    frames = video()
    pictures = [write(tmp_path / f"{index}.bin", frame) for index, frame in enumerate(frames)]
    found = Answered(classes, bundle if confident else silent, "video", pictures).faces()
    numbers: list[list[int]] = []
    for index, (frame, faces) in enumerate(zip(frames, found, strict=True)):
        expected = tracker.update(frame, (2 + index) / FRAMES_A_SECOND)
        numbers.append([track for track, _, _ in faces])
        assert numbers[-1] == [face.track for face in expected]
        for (_, confidence, points), seen in zip(faces, expected, strict=True):
            assert confidence == pytest.approx(seen.confidence, abs=0.01)
            assert np.abs(points - seen.points).max() < 0.5
    if models != "wild":
        assert numbers[0] == [0, 1] and len(numbers[-1]) == 2 and min(numbers[-1]) > 1


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
    """What a JVM says that refuses a bundle, if it does."""
    answered = Answered(classes, bundle, "verify", [])
    assert answered.faces() == []
    return answered.told


def test_the_golden_output_is_given(classes: Path, bundle: Path, silent: Path) -> None:
    assert not failed(classes, bundle) and not failed(classes, silent)


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
