"""`efld-predict` while it runs: interrupted, in a terminal, with a camera and in a window."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import ImageGrab

from efld_tf import progress, stopping
from efld_tf.annotations.images import read_photo
from efld_tf.cli import common, predict
from efld_tf.runtime import pictures
from efld_tf.runtime.camera import Camera
from efld_tf.runtime.inputs import CameraInput
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.outputs import Outputs
from efld_tf.runtime.prediction import Prediction
from efld_tf.runtime.video import VideoReader
from tests.cli.predict.command import PROGRAM, film, lines, run
from tests.errors import assert_error_line, assert_told
from tests.screens import run_at_terminal, screen


def _wait_for(happened: Callable[[], object], process: subprocess.Popen) -> None:
    """Waits until something has happened while a command runs."""
    for _ in range(600):
        if happened():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    process.kill()
    pytest.fail("it has not happened in a minute")


def _interrupted(
    folder: Path, arguments: list[str], started: Callable[[], bool],
    stop: signal.Signals = signal.SIGINT,
) -> str:
    """Runs the command until something is there, then stops it; returns its output."""
    with subprocess.Popen([PROGRAM, *arguments], cwd=folder, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True) as process:
        _wait_for(started, process)
        process.send_signal(stop)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 128 + stop
    assert err == ("interrupted\n" if stop == signal.SIGINT else f"stopped by {stop.name}\n")
    assert not list(folder.rglob(".*"))  # no temporary files
    return out


def _many(folder: Path, count: int = 1500) -> None:
    """Makes a folder of many photos."""
    os.mkdir(folder / "many")
    for index in range(count):
        os.link(folder / "photos/2.png", folder / f"many/{index}.png")


@pytest.mark.parametrize("stop", stopping.SIGNALS)
def test_a_stop_leaves_whole_files(folder: Path, stop: signal.Signals) -> None:
    _many(folder)
    drawn = folder / "predictions/pictures"
    out = _interrupted(folder, ["many", "--save", "pictures", "json", "csv"],
                       lambda: drawn.exists() and len(os.listdir(drawn)) > 5, stop)
    told = re.findall(r"many/(.*\.png): 1 face", out)
    found = lines(folder / "predictions/faces.jsonl")
    assert 5 < len(told) < 1500 and [face["image"] for face in found] == told
    table = (folder / "predictions/faces.csv").read_text()
    assert table.endswith("\n") and table.count("\n") == len(told) + 1
    for name in told:
        assert read_photo(drawn / name).shape == (512, 512, 3)


def test_a_kill_loses_nothing_that_was_found(folder: Path) -> None:
    _many(folder)
    parts = [folder / f"predictions/{name}.part" for name in ("faces.jsonl", "faces.csv")]
    with subprocess.Popen([PROGRAM, "many", "--save", "pictures", "json", "csv"], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        _wait_for(lambda: parts[1].exists() and parts[1].read_bytes().count(b"\n") > 9, process)
        process.kill()
        told = re.findall(r"many/(.*\.png): 1 face", process.communicate()[0])
    found = [json.loads(line)["image"] for line in parts[0].read_text().splitlines()]
    assert 1 < len(told) <= len(found) < 1500 and len(found) > 7 and found[: len(told)] == told
    # The next run keeps it beside its own.
    out, _ = run(folder, "many/0.png", "--save", "pictures", "json", "csv")
    for name in ("faces_killed.jsonl", "faces_killed.csv"):
        assert_told(out, f"predictions/{name}", "killed")
    kept = lines(folder / "predictions/faces_killed.jsonl")
    assert [face["image"] for face in kept] == found
    assert (folder / "predictions/faces_killed.csv").read_text().count("\n") == len(found) + 1
    assert len(lines(folder / "predictions/faces.jsonl")) == 1
    assert not [*folder.rglob("*.part"), *folder.rglob(".*")]


def test_a_full_disk_is_told_with_the_path_and_whole_lines_stay(folder: Path) -> None:
    """A limit of the size of files stands for the disk's, which a test cannot fill."""
    _many(folder, 60)
    (folder / "predictions").mkdir()
    older = run(folder, "many/0.png", "--save", "json") and lines(
        folder / "predictions/faces.jsonl")
    with subprocess.Popen([PROGRAM, "many", "--save", "json"], cwd=folder, stderr=subprocess.PIPE,
                          stdout=subprocess.PIPE, text=True, preexec_fn=lambda: resource.setrlimit(
                              resource.RLIMIT_FSIZE, (20_000, 20_000))) as process:
        out, err = process.communicate()
    assert process.returncode == 2
    assert_error_line(err, "predictions/faces.jsonl", "large")
    kept = lines(folder / "predictions/faces.jsonl.part")
    assert 5 < len(kept) < 60 and len(kept) == out.count("1 face")
    assert lines(folder / "predictions/faces.jsonl") == older


def test_a_second_run_into_one_folder_is_told(folder: Path) -> None:
    _many(folder)
    with subprocess.Popen([PROGRAM, "many", "--save", "json"], cwd=folder,
                          stdout=subprocess.PIPE, text=True) as process:
        _wait_for((folder / "predictions/faces.jsonl.part").exists, process)
        _, err = run(folder, "photos", code=2)
        assert_error_line(err, "predictions", "another")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate()
    assert len(lines(folder / "predictions/faces.jsonl")) == out.count("1 face")
    assert os.listdir(folder / "predictions") == ["faces.jsonl"]


def test_ctrl_c_leaves_a_whole_video(folder: Path, faces: list[np.ndarray]) -> None:
    film(folder / "clip.avi", faces, 1500)
    drawn = folder / "predictions/pictures"
    out = _interrupted(folder, ["clip.avi"], lambda: drawn.exists() and any(
        path.stat().st_size for path in drawn.iterdir()))
    count = int(re.match(r"clip.avi: (\d+) frames?, 1 face\n", out)[1])
    assert 0 < count < 1500
    assert len(list(VideoReader(drawn / "clip.mp4"))) == count
    assert [face["frame"] for face in lines(folder / "predictions/faces.jsonl")] == \
        list(range(count))


def test_a_terminal_shows_how_far_photos_are(folder: Path) -> None:
    for index in range(60):
        os.link(folder / "photos/2.png", folder / f"photos/{index + 100}.png")
    written = run_at_terminal([PROGRAM, "photos", "--save", "json"], folder, folder / "out")
    assert re.search(r"\| \d+/64 \[.*[\d.]+(photo/s|s/photo)\]", written)
    assert screen(written) == []  # it goes at the end
    out = (folder / "out").read_text()
    assert len(out.splitlines()) == 65 and "photo/s" not in out
    out, err = run(folder, "photos", "--save", "json", "--quiet")
    assert not out and not err


def test_a_terminal_shows_how_far_a_video_is(folder: Path, faces: list[np.ndarray]) -> None:
    film(folder / "clip.avi", faces, 60)
    written = run_at_terminal([PROGRAM, "clip.avi", "--save", "json"], folder)
    assert re.search(r"\| \d+/60 \[.*frame/s\]", written)
    assert screen(written)[0] == "clip.avi: 60 frames, 1 face"
    assert screen(written)[1].startswith("written to predictions")


def test_ctrl_c_leaves_the_terminal_in_order(folder: Path) -> None:
    _many(folder)
    written = run_at_terminal([PROGRAM, "many", "--save", "json"], folder,
                              stop_at="many/5.png: 1 face", code=130)
    *found, last = screen(written)
    assert last == "interrupted" and len(found) > 2
    assert all(re.fullmatch(r"many/\d+\.png: 1 face", line) for line in found)


def test_without_a_terminal_progress_is_whole_lines(
    folder: Path, faces: list[np.ndarray], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As often as they come, which is not every 30 seconds here."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    monkeypatch.chdir(folder)
    film(folder / "clip.avi", faces, 60)
    for name, count, unit in (("photos", 4, "photo"), ("clip.avi", 60, "frame")):
        assert common.run(predict.main, [name, "--save", "json"]) == 0
        out, err = capsys.readouterr()
        assert "predicting" not in out and "\r" not in err
        told = [re.fullmatch(rf"predicting: (\d+)% (\d+)/{count} \[.*<.*, .*{unit}.*\]", line)
                for line in err.splitlines()]
        numbers = [int(line[2]) for line in told if line]
        assert len(numbers) == len(told) and numbers == sorted(set(numbers))
        assert numbers[-1] == count
        assert common.run(predict.main, [name, "--save", "json", "--quiet"]) == 0
        assert capsys.readouterr() == ("", "")


def test_a_closed_stderr_stops_nothing(folder: Path) -> None:
    done = subprocess.run(["sh", "-c", f"{PROGRAM} photos --save json 2>&-"], cwd=folder,
                          capture_output=True, text=True, check=True)
    assert done.stdout.count("face") == 5 and len(lines(folder / "predictions/faces.jsonl")) == 3


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

    def done(self, name: str, summary: str) -> None:
        self.lines.append(f"{name}: {summary}")

    def failed(self, error: Exception) -> None:
        self.lines.append(f"error: {error}")


def test_a_camera(tmp_path: Path, faces: list[np.ndarray], landmarker: FaceLandmarker) -> None:
    """Its frames until it is lost, which leaves whole files."""
    told, item = _Told(), CameraInput(0, "camera0", "camera0")
    with Outputs(tmp_path, ("pictures", "json"), landmarker.schema) as outputs, \
            Camera(0, told.failed, capture=_Recorded([faces[0]] * 9)) as camera:
        assert Prediction(landmarker, outputs, told).frames(item, camera)
    # The first frame is looked at when the camera is opened.
    lost, done = told.lines
    assert_told(lost, "error", "camera 0", "8 frames")
    assert done == "camera0: 8 frames, 1 face"
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


@pytest.mark.parametrize("last_key", ["q", pytest.param("Escape", marks=pytest.mark.long)])
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
    film(folder / "clip.avi", faces, 12)
    out, err = run(folder, "clip.avi", "--show", DISPLAY=display)
    assert out.startswith("clip.avi: 12 frames, 1 face") and not err
    assert len(list(VideoReader(folder / "predictions/pictures/clip.mp4"))) == 12


@pytest.mark.parametrize(("display_name", "reason"), [("", "no display"), (":987", "no window")])
def test_show_without_a_display_is_one_line_before_any_work(
    folder: Path, display_name: str, reason: str
) -> None:
    out, err = run(folder, "photos", "--show", code=2, DISPLAY=display_name, WAYLAND_DISPLAY="")
    assert_error_line(err, "--show", reason)
    assert not out
    assert not (folder / "predictions").exists()


