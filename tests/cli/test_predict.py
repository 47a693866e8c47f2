"""`efld-predict` as people run it, on rendered faces."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image, ImageGrab

from efld_tf import assets
from efld_tf.annotations import sources
from efld_tf.annotations.images import ImageReader, read_photo
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.cli import common, predict
from efld_tf.landmarks import schemas
from efld_tf.runtime import pictures
from efld_tf.runtime.detector import open_detector
from efld_tf.runtime.inputs import CameraInput
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.outputs import Outputs
from efld_tf.runtime.prediction import Prediction
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.runtime.video import Camera, VideoReader

PROGRAM = str(Path(sys.executable).parent / "efld-predict")
FACES = 4


def run(
    folder: Path, *arguments: object, code: int = 0, stdin: str = "", **environment: str
) -> tuple[str, str]:
    """Runs the command in `folder`; returns what it printed."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], cwd=folder, capture_output=True, text=True, input=stdin,
        timeout=120, check=False, env=os.environ | environment,
    )  # fmt: skip
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout, done.stderr


def lines(path: Path) -> list[dict]:
    """The objects of a file of JSON lines, all of which must be whole."""
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def faces() -> list[np.ndarray]:
    return [render_face(5, index, 256).image for index in range(FACES)]


@pytest.fixture
def folder(tmp_path: Path, faces: list[np.ndarray]) -> Path:
    """A folder with `photos/`: three photos of a face, one in a sub-folder, and one of a wall."""
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    for name, face in zip(("2.png", "10.jpg", "sub/c.png"), faces, strict=False):
        Image.fromarray(face).save(tmp_path / "photos" / name, quality=95)
    Image.fromarray(np.full((90, 120, 3), 128, np.uint8)).save(tmp_path / "photos" / "wall.png")
    return tmp_path


@pytest.fixture(scope="module")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker(LandmarkPredictor(assets.INT8_MODEL), open_detector())


def _film(path: Path, faces: list[np.ndarray], count: int) -> Path:
    """A video of one person who moves."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (480, 320))
    for index in range(count):
        frame = np.full((320, 480, 3), 90, np.uint8)
        x = round(100 + 60 * np.sin(index / 12))
        frame[30:286, x : x + 256] = faces[0][..., ::-1]
        writer.write(frame)
    writer.release()
    return path


def test_a_photo(folder: Path, landmarker: FaceLandmarker, monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = run(folder, "photos/10.jpg")
    assert out.splitlines()[0] == "photos/10.jpg: 1 face" and not err
    (found,) = lines(folder / "predictions/faces.jsonl")
    image = read_photo(folder / "photos/10.jpg")
    (face,) = landmarker.find(image)
    np.testing.assert_allclose(found["points"], face.points, atol=1e-3)
    truth = render_face(5, 1, 256).points["ibug51"]
    eyes = schemas.get("ibug51").normaliser.distance(truth)
    assert np.linalg.norm(found["points"] - truth, axis=-1).mean() < 0.1 * eyes
    drawn = read_photo(folder / "predictions/pictures/10.png")
    np.testing.assert_array_equal(drawn, pictures.annotate_photo(image, [face]))
    # What is printed last reads the predictions again.
    source = re.search(r"readable as '(.*)'", out)[1]
    monkeypatch.chdir(folder)
    (record,) = sources.read(source).records
    np.testing.assert_allclose(record.points, face.points, atol=1e-3)
    np.testing.assert_array_equal(ImageReader().read(record), image)


def test_a_photo_loads_only_what_it_needs(folder: Path) -> None:
    code = (
        "import sys\nfrom efld_tf.cli import predict\n"
        "assert not predict.main(sys.argv[1:])\nprint(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, "photos/10.jpg", "--align", "--save", "json",
                           "csv", "pts", "pictures"],
                          cwd=folder, capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}
    assert "cv2" in loaded and "ai_edge_litert" in loaded
    assert not loaded & {"tensorflow", "tf_keras", "mediapipe", "jax", "scipy", "matplotlib",
                         "h5py", "av", "tqdm", "psutil"}


def test_a_folder_with_everything(folder: Path) -> None:
    out, err = run(folder, "photos", "--save", "pictures", "json", "csv", "pts", "--align",
                   "--output", "out")
    assert out.splitlines()[:-1] == [
        "photos/2.png: 1 face", "photos/10.jpg: 1 face", "photos/sub/c.png: 1 face",
        "photos/wall.png: no face",
    ] and not err  # fmt: skip
    files = sorted(str(p.relative_to(folder / "out")) for p in (folder / "out").rglob("*.*"))
    assert files == [
        "aligned/10_0.png", "aligned/2_0.png", "aligned/sub/c_0.png", "faces.csv", "faces.jsonl",
        "pictures/10.png", "pictures/2.png", "pictures/sub/c.png", "pictures/wall.png",
        "pts/10_0.pts", "pts/2_0.pts", "pts/sub/c_0.pts",
    ]  # fmt: skip
    wall = read_photo(folder / "out/pictures/wall.png")
    assert (wall == 128).all()  # the photo as it is: nothing was found
    shutil.copytree(folder / "out/pts", folder / "photos", dirs_exist_ok=True)
    by_pts = sources.read(f"ibug:{folder}/photos").records
    by_table = sources.read(f"csv:{folder}/out/faces.csv?schema=ibug51&images={folder}/photos")
    points = {record.key: record.points for record in by_table.records}
    for record in by_pts:
        key = os.path.relpath(record.image, folder / "out")
        np.testing.assert_allclose(record.points, points[key], atol=1e-3)


def test_patterns_lists_and_outputs_that_are_no_inputs(folder: Path) -> None:
    out, _ = run(folder, "**/*.png")
    assert [line.partition(":")[0] for line in out.splitlines()[:-1]] == [
        "photos/2.png", "photos/sub/c.png", "photos/wall.png"]
    assert run(folder, "**/*.png")[0] == out  # and not the pictures of the first run
    found, _ = run(folder, "-", "photos/10.jpg", "--save", "json",
                   stdin="photos/sub/c.png\n\nphotos/sub/c.png\n")
    assert found.splitlines()[:-1] == ["photos/sub/c.png: 1 face", "photos/10.jpg: 1 face"]


def test_a_turned_photo(folder: Path, faces: list[np.ndarray]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(faces[0])).save(folder / "turned.png", exif=exif)
    run(folder, "turned.png", "photos/2.png", "--save", "pictures", "json", "pts")
    upright, turned = sorted(lines(folder / "predictions/faces.jsonl"), key=lambda f: f["image"])
    assert turned["points"] == upright["points"] and turned["upright"] is True
    np.testing.assert_array_equal(read_photo(folder / "predictions/pictures/turned.png"),
                                  read_photo(folder / "predictions/pictures/photos/2.png"))
    (folder / "own").mkdir()
    for name in ("turned.png", "predictions/pts/turned_0.pts"):
        shutil.copy(folder / name, folder / "own")
    (record,) = sources.read(f"ibug:{folder}/own").records  # of the pixels as they lie in the file
    x, y = np.array(upright["points"]).T
    np.testing.assert_allclose(record.points, np.stack([y, 255 - x], axis=-1), atol=2e-3)


def test_an_odd_corpus(folder: Path, faces: list[np.ndarray]) -> None:
    photos = folder / "photos"
    jpeg = (photos / "10.jpg").read_bytes()
    (photos / "cut.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (photos / "closed.jpg").write_bytes(jpeg[: len(jpeg) // 2] + b"\xff\xd9")
    (photos / "cut.png").write_bytes((photos / "2.png").read_bytes()[:-100])
    (photos / "empty.png").touch()
    (photos / "text.jpg").write_text("Dear all,\n")
    (photos / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (photos / "folder.jpg").mkdir()
    os.mkfifo(photos / "pipe.jpg")
    Image.fromarray(faces[3]).convert("L").save(photos / "grey.jpg", quality=95)
    Image.fromarray(faces[3]).convert("CMYK").save(photos / "cmyk.jpg", quality=95)
    Image.fromarray(np.dstack([faces[3], faces[3][..., 0]])).save(photos / "alpha.png")
    out, err = run(folder, "photos", code=1)
    assert sorted(re.findall(r"photos/(.*): 1 face", out)) == \
        ["10.jpg", "2.png", "alpha.png", "cmyk.jpg", "grey.jpg", "sub/c.png"]
    failed = err.splitlines()
    assert all(line.startswith("error: photos/") for line in failed)
    assert [re.match(r"error: photos/(.*?): ", line)[1] for line in failed] == [
        "closed.jpg", "cut.jpg", "cut.png", "empty.png", "phone.heic", "pipe.jpg", "text.jpg"]
    out, err = run(folder, "photos/text.jpg", "photos/cut.jpg", "--output", "none", code=2)
    assert not out and len(err.splitlines()) == 2 and not (folder / "none").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.jpg"], "missing.jpg: does not exist"),
        (["empty"], "empty: there is no image or video in this folder"),
        (["*.gif"], "*.gif: no image or video matches this pattern"),
        (["a.png", "--model", "missing.tflite"], "missing.tflite: cannot read the model"),
        (["a.png", "--model", "empty"], "empty: expected one .tflite in the folder, found 0"),
        (["a.png", "--model", "a.png"], "a.png: has no landmark metadata"),
        (["a.png", "--detector", "missing.tflite"], "missing.tflite: "),
        (["a.png", "--model", "synthetic", "--min-confidence", "0.3"], "synthetic has no confid"),
        (["a.png", "--boxes", "missing.json"], "missing.json: cannot be read"),
        (["a.png", "--output", "a.png"], "a.png: expected a folder to write to"),
        (["out/pictures/a.png", "--output", "out"], "is an input and would be replaced"),
        (["7"], "camera 7: there is none"),
        (["/dev/null"], "camera /dev/null: there is none"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(
    tmp_path: Path, arguments: list[str], message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    for path in (Path("a.png"), Path("out/pictures/a.png")):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(path)
    assert common.run(predict.main, arguments) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ") and message in err and err.count("\n") == 1
    assert not Path("predictions").exists()


def test_boxes_instead_of_a_detector(folder: Path, landmarker: FaceLandmarker) -> None:
    box = [60.0, 60.0, 200.0, 210.0]
    (folder / "boxes.json").write_text(json.dumps({"2.png": [box, box], "10.jpg": []}))
    out, err = run(folder, "photos/2.png", "photos/10.jpg", "photos/wall.png", "--boxes",
                   "boxes.json", code=1)
    assert out.splitlines()[:2] == ["photos/2.png: 2 faces", "photos/10.jpg: no face"]
    assert err == "error: photos/wall.png: there are no boxes for it\n"
    first, _ = lines(folder / "predictions/faces.jsonl")
    (expected, _) = landmarker.find(read_photo(folder / "photos/2.png"), [box, box])
    np.testing.assert_allclose(first["points"], expected.points, atol=1e-3)
    assert first["box"] == box


def test_a_video(folder: Path, faces: list[np.ndarray]) -> None:
    _film(folder / "clip.avi", faces, 30)
    out, err = run(folder, "clip.avi", "photos/2.png", "--save", "pictures", "json", "csv")
    assert out.splitlines()[:2] == ["clip.avi: 30 frames, 1 face", "photos/2.png: 1 face"]
    assert not err
    video = VideoReader(folder / "predictions/pictures/clip.mp4")
    frames = list(video)
    assert (video.width, video.height, len(frames)) == (480, 320, 30)
    assert frames[10].seconds == pytest.approx(0.4, abs=1e-3)
    found = lines(folder / "predictions/faces.jsonl")
    assert [face.get("frame") for face in found] == [*range(30), None]
    assert {face["identity"] for face in found} == {"clip.avi 0", "photos/2.png"}
    records = sources.read(
        f"json:{folder}/predictions/faces.jsonl?schema=ibug51&images={folder}").records
    (still,) = [r for r in records if r.frame == 20]
    # The points lie on the frame that the reader of sources finds: on its moving face.
    assert ImageReader().read(still).shape == (320, 480, 3)
    shift = still.points.mean(axis=0) - records[0].points.mean(axis=0)
    assert shift[0] == pytest.approx(60 * np.sin(20 / 12), abs=6) and abs(shift[1]) < 4


def _wait_for(happened: Callable[[], object], process: subprocess.Popen) -> None:
    """Waits until something has happened while a command runs."""
    for _ in range(600):
        if happened():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()
    pytest.fail("it has not happened in a minute")


def _interrupted(folder: Path, arguments: list[str], started: Callable[[], bool]) -> str:
    """Runs the command until something is there, then presses Ctrl-C; returns its output."""
    with subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        _wait_for(started, process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130 and err == "interrupted\n"
    assert not list(folder.rglob(".*"))  # no temporary files
    return out


def test_ctrl_c_leaves_whole_files(folder: Path) -> None:
    os.mkdir(folder / "many")
    for index in range(1500):
        os.link(folder / "photos/2.png", folder / f"many/{index}.png")
    drawn = folder / "predictions/pictures"
    out = _interrupted(folder, ["many", "--save", "pictures", "json", "csv"],
                       lambda: drawn.exists() and len(os.listdir(drawn)) > 5)
    told = re.findall(r"many/(.*\.png): 1 face", out)
    found = lines(folder / "predictions/faces.jsonl")
    assert 5 < len(told) < 1500 and [face["image"] for face in found] == told
    table = (folder / "predictions/faces.csv").read_text()
    assert table.endswith("\n") and table.count("\n") == len(told) + 1
    for name in told:
        assert read_photo(drawn / name).shape == (512, 512, 3)


def test_ctrl_c_leaves_a_whole_video(folder: Path, faces: list[np.ndarray]) -> None:
    _film(folder / "clip.avi", faces, 1500)
    drawn = folder / "predictions/pictures"
    out = _interrupted(folder, ["clip.avi"], lambda: drawn.exists() and any(
        path.stat().st_size for path in drawn.iterdir()))
    count = int(re.match(r"clip.avi: (\d+) frames?, 1 face\n", out)[1])
    assert 0 < count < 1500
    assert len(list(VideoReader(drawn / "clip.mp4"))) == count
    assert [face["frame"] for face in lines(folder / "predictions/faces.jsonl")] == \
        list(range(count))


def test_a_terminal_shows_the_rate(folder: Path) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    for index in range(60):
        os.link(folder / "photos/2.png", folder / f"photos/{index + 100}.png")
    with subprocess.Popen([PROGRAM, "photos", "--save", "json"], cwd=folder, text=True,
                          stdout=(folder / "out").open("w"), stderr=theirs):
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the end of a terminal
            while part := os.read(ours, 1 << 16):
                shown += part
    os.close(ours)
    assert re.search(rb"[\d.]+ ?(photo/s|s/photo)", shown) and b"/64" in shown
    out = (folder / "out").read_text()
    assert len(out.splitlines()) == 65 and "photo/s" not in out
    out, err = run(folder, "photos", "--save", "json", "--quiet")
    assert not out and not err


class _Recorded:
    """A camera that gives some frames and is then unplugged."""

    def __init__(self, frames: list[np.ndarray]):
        self._frames = [np.ascontiguousarray(frame[..., ::-1]) for frame in frames]

    def isOpened(self) -> bool:
        return True

    def get(self, propId: int) -> float:
        return 25.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        return (True, self._frames.pop(0)) if self._frames else (False, None)

    def release(self) -> None:
        self._frames = []


class _Told:
    """What is told of a run."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def begin(self, total: int | None, unit: str) -> None:
        pass

    def progress(self, count: int) -> None:
        pass

    def note(self, text: str) -> None:
        self.lines.append(text)

    def done(self, name: str, found: str) -> None:
        self.lines.append(f"{name}: {found}")

    def failed(self, error: Exception) -> None:
        self.lines.append(f"error: {error}")


def test_a_camera(tmp_path: Path, faces: list[np.ndarray], landmarker: FaceLandmarker) -> None:
    """Its frames until it is lost, which leaves whole files."""
    told, item = _Told(), CameraInput(0, "camera0", "camera0")
    with Outputs(tmp_path, ("pictures", "json"), landmarker.schema) as outputs, \
            Camera(0, told.failed, capture=_Recorded([faces[0]] * 9)) as camera:
        assert Prediction(landmarker, outputs, told).frames(item, camera)
    # The first frame is looked at when the camera is opened.
    assert told.lines == ["error: camera 0: lost after 8 frames", "camera0: 8 frames, 1 face"]
    assert len(list(VideoReader(tmp_path / "pictures/camera0.mp4"))) == 8
    found = lines(tmp_path / "faces.jsonl")
    assert [face["frame"] for face in found] == list(range(8)) and found[3]["image"] == "camera0"


@pytest.fixture(scope="module")
def display() -> Iterator[str]:
    """A screen without a monitor. Where there is no Xvfb it is skipped, but it fails in CI."""
    if shutil.which("Xvfb") is None or shutil.which("xdotool") is None:
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail("Xvfb and xdotool are not installed")
        pytest.skip("Xvfb and xdotool are not installed")
    reader, writer = os.pipe()
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", str(writer), "-screen", "0", "1400x1000x24", "-nolisten", "tcp",
         "-noreset"],
        pass_fds=[writer], stderr=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(writer)
    with os.fdopen(reader) as told:
        number = told.readline().strip()
    yield f":{number}"
    server.terminate()
    server.wait()


def _place(display: str, picture: np.ndarray) -> tuple[int, int] | None:
    """Where on the screen a picture is, exactly; its middle (x, y)."""
    screen = np.array(ImageGrab.grab(xdisplay=display).convert("RGB"))
    match = cv2.matchTemplate(screen, picture, cv2.TM_SQDIFF)
    _, _, (x, y), _ = cv2.minMaxLoc(match)
    height, width = picture.shape[:2]
    same = np.array_equal(screen[y : y + height, x : x + width], picture)
    return (x + width // 2, y + height // 2) if same else None


def _xdotool(display: str, *arguments: object) -> None:
    subprocess.run(["xdotool", *map(str, arguments)], check=False, stdout=subprocess.DEVNULL,
                   env=os.environ | {"DISPLAY": display})


def _press(display: str, key: str, picture: np.ndarray, process: subprocess.Popen) -> None:
    """Waits for a picture and presses a key until it has gone.

    Without a window manager Qt sometimes misses that its window is to be painted, until it is put
    there again; and keys go to the window under the pointer, but the first may be lost.
    """
    for _ in range(20):
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
        if process.poll() is not None or _place(display, picture):
            break
        _xdotool(display, "search", "--name", "efld-predict", "windowunmap", "windowmap")
    assert _place(display, picture), process.poll() is not None and process.communicate()
    while process.poll() is None and (place := _place(display, picture)):
        _xdotool(display, "mousemove", *place, "sleep", 0.2, "key", key)
        for _ in range(20):
            if process.poll() is None and _place(display, picture):
                time.sleep(0.1)


@pytest.mark.parametrize("last_key", ["q", "Escape"])
def test_the_window_shows_the_photos_and_listens(
    folder: Path, faces: list[np.ndarray], landmarker: FaceLandmarker, display: str, last_key: str
) -> None:
    pictures_ = [pictures.annotate_photo(f, landmarker.find(f)) for f in (faces[0], faces[2])]
    with subprocess.Popen(
        [PROGRAM, "photos/2.png", "photos/sub/c.png", "photos/10.jpg", "--show"], cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"DISPLAY": display},
    ) as process:  # fmt: skip
        for picture, key in zip(pictures_, ("space", last_key), strict=True):
            _press(display, key, picture, process)
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[:-1] == ["photos/2.png: 1 face", "photos/sub/c.png: 1 face"]
    assert [face["image"] for face in lines(folder / "predictions/faces.jsonl")] == \
        ["2.png", "sub/c.png"]


def test_the_window_shows_a_video(
    folder: Path, faces: list[np.ndarray], display: str
) -> None:
    _film(folder / "clip.avi", faces, 12)
    out, err = run(folder, "clip.avi", "--show", DISPLAY=display)
    assert out.startswith("clip.avi: 12 frames, 1 face") and not err
    assert len(list(VideoReader(folder / "predictions/pictures/clip.mp4"))) == 12


@pytest.mark.parametrize(("display_name", "message"), [
    ("", "there is no display here"), (":987", "no window can be opened on this display"),
])
def test_show_without_a_display_is_one_line_before_any_work(
    folder: Path, display_name: str, message: str
) -> None:
    out, err = run(folder, "photos", "--show", code=2, DISPLAY=display_name, WAYLAND_DISPLAY="")
    assert err == f"error: --show: {message}\n" and not out
    assert not (folder / "predictions").exists()


def test_one_bad_input_keeps_nothing_from_the_others(folder: Path, tmp_path: Path) -> None:
    (folder / "odd").mkdir(exist_ok=True)
    face = (folder / "photos/10.jpg").read_bytes()
    for name in ("a" * 246 + ".jpg", "e\x1b[31m.jpg", "good.jpg"):
        (folder / "odd" / name).write_bytes(face)
    cv2.imwrite(str(folder / "odd/long.png"), np.full((4, 40000, 3), 90, np.uint8))
    (folder / "odd" / "b\\c.jpg").write_bytes(face)
    out, err = run(folder, "odd", "--output", tmp_path / "out", code=1)
    assert "its name is too long for the outputs'" in err and len(err.splitlines()) == 2
    assert "c.jpg: no source can have an image of that name: rename it" in err
    assert "\x1b" not in out and "e\\x1b[31m.jpg: 1 face" in out
    assert "long.png: no face" in out and "good.jpg: 1 face" in out
    assert len(lines(tmp_path / "out/faces.jsonl")) >= 2


def test_a_video_that_cannot_be_written_keeps_nothing_from_the_others(
    folder: Path, tmp_path: Path
) -> None:
    import av

    with av.open(str(tmp_path / "wide.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 17000, 64, "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.full((64, 17000, 3), 90, np.uint8), format="rgb24")
        for packet in [*stream.encode(frame), *stream.encode()]:
            container.mux(packet)
    out, err = run(folder, tmp_path / "wide.mkv", "photos/10.jpg", "--output", tmp_path / "out",
                   code=1)
    assert "wide.mp4: cannot be written" in err and len(err.splitlines()) == 1
    assert "photos/10.jpg: 1 face" in out and lines(tmp_path / "out/faces.jsonl")


def test_boxes_take_the_place_of_the_detector(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("{}")
    _, err = run(folder, "photos/10.jpg", "--boxes", tmp_path / "b.json", "--min-face", 50, code=2)
    assert "--boxes take the detector's place" in err
