"""`efld-predict` with addresses: photos, videos and live streams from a network."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from efld_tf.annotations.images import read_photo
from efld_tf.cli import common, predict
from efld_tf.runtime import pictures
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.video import VideoReader
from efld_tf.text import counted
from tests import servers
from tests.cli.predict.command import PROGRAM, film, lines, run
from tests.cli.predict.test_live import _wait_for
from tests.errors import assert_error_line, assert_told


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends servers that wait for it."""
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture(scope="module")
def moving(faces: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The film of a moving face as MPEG-TS, as cameras send it."""
    folder = tmp_path_factory.mktemp("moving")
    with av.open(str(folder / "a.ts"), "w") as container:
        stream = container.add_stream("libx264", rate=25, width=480, height=320,
                                      pix_fmt="yuv420p", options={"g": "5", "bf": "0"})
        for frame in VideoReader(film(folder / "a.avi", faces, 150)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, "rgb24")))
        container.mux(stream.encode(None))
    return (folder / "a.ts").read_bytes()


def _secrets(folder: Path) -> list[Path]:
    """The files that hold the password, in their content or their name."""
    secret = servers.PASSWORD
    return [path for path in folder.rglob("*")
            if secret in path.name or (path.is_file() and secret.encode() in path.read_bytes())]


def test_photos_and_videos_from_a_server(
    folder: Path, faces: list[np.ndarray], landmarker: FaceLandmarker
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(faces[0])).save(folder / "turned.png", exif=exif)
    answers = {
        "/cgi": servers.behind_a_password(servers.file((folder / "turned.png").read_bytes())),
        "/clip": servers.behind_a_password(
            servers.file(film(folder / "clip.avi", faces, 30).read_bytes())),
    }
    with servers.http(answers) as server:
        photo, clip = (server.with_login(path) for path in ("/cgi?snapshot=1", "/clip"))
        out, err = run(folder, photo, "turned.png", clip, server.with_login("/gone.jpg"), "--save",
                       "pictures", "json", "csv", "pts", "--align", code=1)
    told = out.splitlines()
    assert told[:3] == [f"{server.address}/cgi?...: 1 face", "turned.png: 1 face",
                        f"{server.address}/clip: 30 frames, 1 face"]
    assert_error_line(err, f"{server.address}/gone.jpg", 404)
    assert servers.PASSWORD not in out + err and not _secrets(folder)
    found = lines(folder / "predictions/faces.jsonl")
    assert [face["image"] for face in found[:3]] == \
        ["127.0.0.1_cgi", "turned.png", "127.0.0.1_clip"]
    assert found[0]["points"] == found[1]["points"] and found[0]["upright"] is True
    written = folder / "predictions"
    for kind, suffix in (("pictures", ""), ("aligned", "_0"), ("pts", "_0")):
        paths = [next((written / kind).glob(f"{name}{suffix}.*"))
                 for name in ("127.0.0.1_cgi", "turned")]
        assert paths[0].read_bytes() == paths[1].read_bytes(), kind
    (face,) = landmarker.find(faces[0])
    np.testing.assert_array_equal(read_photo(written / "pictures/127.0.0.1_cgi.png"),
                                  pictures.annotate_photo(faces[0], [face]))
    assert len(list(VideoReader(written / "pictures/127.0.0.1_clip.mp4"))) == 30


def test_only_what_can_be_read_again_is_said_to_be(folder: Path) -> None:
    photo = servers.file((folder / "photos/2.png").read_bytes())
    with servers.http({"/a.png": photo}) as server:
        out, _ = run(folder, "-", "--save", "json", stdin=f"{server.address}/a.png\n")
    assert out.splitlines() == [f"{server.address}/a.png: 1 face", "written to predictions"]


def test_a_camera_that_is_lost_leaves_what_was_found(folder: Path, moving: bytes) -> None:
    with servers.rtsp(moving) as camera:
        out, err = run(folder, camera.with_login("/stream"), "--save", "pictures", "json", "csv",
                       code=1)
    found = lines(folder / "predictions/faces.jsonl")
    count = len(found)
    assert out.splitlines()[0] == f"{camera.address}/stream: {count} frames, 1 face"
    assert_error_line(err, f"{camera.address}/stream", f"{count} frames")
    assert servers.PASSWORD not in out + err and not _secrets(folder)
    assert 140 < count <= 150 and {face["image"] for face in found} == {"127.0.0.1_stream"}
    frames = list(VideoReader(folder / "predictions/pictures/127.0.0.1_stream.mp4"))
    assert len(frames) == count
    assert frames[-2].seconds == pytest.approx((count - 2) / 25, abs=1e-3)


def test_ctrl_c_ends_a_stream_that_stalls(
    folder: Path, moving: bytes, stop: threading.Event
) -> None:
    """At once, though the network would be waited for much longer; all files are whole."""
    written = folder / "predictions/pictures"
    with (
        servers.rtsp(moving, lambda index: stop.wait(None if index == 300 else 0)) as camera,
        subprocess.Popen([PROGRAM, camera.with_login("/stream")], cwd=folder, text=True,
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process,
    ):
        _wait_for(lambda: written.exists() and any(
            path.stat().st_size for path in written.iterdir()), process)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=15)
    assert process.returncode == 130 and err == "interrupted\n"
    count = len(lines(folder / "predictions/faces.jsonl"))
    assert out == f"{camera.address}/stream: {counted(count, 'frame')}, 1 face\n" and count > 0
    assert len(list(VideoReader(written / "127.0.0.1_stream.mp4"))) == count
    assert not list(folder.rglob(".*"))


@pytest.mark.parametrize(
    ("path", "facts"),
    [
        ("/gone.mp4", [404]),
        ("/text.mp4", ["neither", "photo", "video"]),
        ("/photo.jpg", ["JPEG XL", "PNG"]),
        ("/list.m3u8", ["neither", "photo", "video"]),
        ("/away", ["302"]),
    ],
)
def test_what_is_not_there_is_one_line_and_exit_2(
    tmp_path: Path, path: str, facts: list[object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    secret = tmp_path / "secret.ts"
    secret.write_bytes(b"G" * 188 * 100)
    answers = {
        "/text.mp4": servers.file(b"hello\n" * 1000),
        "/photo.jpg": servers.file(b"\xff\x0a" + bytes(400)),
        "/list.m3u8": servers.file(f"#EXTM3U\n#EXTINF:1,\nfile://{secret}\n".encode()),
        "/away": servers.redirect(f"file://{secret}"),
    }
    with servers.http(answers) as server:
        assert common.run(predict.main, [server.with_login(path)]) == 2
    out, err = capsys.readouterr()
    assert_error_line(err, f"{server.address}{path}", *facts)
    assert not out and servers.PASSWORD not in err and not Path("predictions").exists()


@pytest.mark.parametrize(
    ("argument", "facts"),
    [
        ("ftp://us:s3cr3t@host/a.jpg", ["ftp://...", "http", "rtsp"]),
        ("file:///etc/passwd", ["file://...", "path"]),
        ("http:/us:s3cr3t@host/a.jpg", ["http://..."]),
        ("http://us:s3cr3t@127.0.0.1:9/a.jpg", ["http://127.0.0.1:9/a.jpg", "refused"]),
        ("rtsp://us:s3cr3t@127.0.0.1:9/a?b", ["rtsp://127.0.0.1:9/a?...", "refused"]),
        ("srt://us:s3cr3t@127.0.0.1:9", ["srt://127.0.0.1:9"]),
    ],
)
def test_addresses_that_lead_nowhere_are_one_line_and_exit_2(
    tmp_path: Path, argument: str, facts: list[object], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert common.run(predict.main, [argument]) == 2
    out, err = capsys.readouterr()
    assert_error_line(err, *facts)
    assert not out and "s3cr3t" not in err and not Path("predictions").exists()


def test_boxes_are_for_photos(folder: Path, faces: list[np.ndarray]) -> None:
    box = [60.0, 60.0, 200.0, 210.0]
    (folder / "boxes.json").write_text(json.dumps({"127.0.0.1_a.png": [box]}))
    answers = {"/a.png": servers.file((folder / "photos/2.png").read_bytes()),
               "/clip": servers.file(film(folder / "clip.avi", faces, 5).read_bytes())}
    shutil.rmtree(folder / "photos")
    with servers.http(answers) as server:
        out, err = run(folder, f"{server.address}/a.png", f"{server.address}/clip", "--boxes",
                       "boxes.json", code=1)
    assert out.splitlines()[0] == f"{server.address}/a.png: 1 face"
    assert_error_line(err, f"{server.address}/clip", "boxes", "photos")
    assert_told(out, "written")
