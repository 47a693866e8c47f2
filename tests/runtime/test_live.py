"""Live streams: a camera over RTSP, motion JPEG over HTTP, MPEG-TS over UDP."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.annotations import media
from efld_tf.errors import DataError
from efld_tf.runtime.live import LiveStream
from efld_tf.runtime.video import Frame
from efld_tf.urls import SCHEMES, Url
from tests import servers
from tests.errors import assert_refusal, refuses
from tests.runtime import videos


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """200 pictures, which begin anew after each 36."""
    path = tmp_path_factory.mktemp("film") / "film.ts"
    return videos.make(path, range(200), noise=3).read_bytes()


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends servers that wait for it."""
    event = threading.Event()
    yield event
    event.set()


def taken(url: Url) -> tuple[list[Frame], DataError]:
    """The frames of a stream that ends, and the line that tells why."""
    told: list[DataError] = []
    with LiveStream(url, told.append) as stream:
        assert (stream.width, stream.height, stream.duration) == (96, 64, None)
        frames = list(stream)
    (error,) = told
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert_refusal(error, f"{len(frames)} frames", path=str(url))
    return frames, error


def test_a_camera_over_rtsp(film: bytes) -> None:
    with servers.rtsp(film) as camera:
        frames, error = taken(Url.parse(camera.with_login("/stream")))
    numbers = [videos.number(frame.image) for frame in frames]
    # Those before the first whole picture, and what was under way at the end, are missing.
    assert numbers == [(numbers[0] + index) % 36 for index in range(len(numbers))]
    assert 190 < len(numbers) < 200
    seconds = [frame.seconds for frame in frames]
    assert seconds[0] == 0
    assert np.diff(seconds[:-1]) == pytest.approx(1 / 30, abs=1e-6)  # the stream's own times
    assert servers.PASSWORD not in str(error) and "more" in error.reason
    methods = [request.split()[0] for request, _ in camera.seen]
    assert methods[-1] == "PLAY" and camera.seen[-1][1]["Authorization"].startswith("Basic ")


def test_a_camera_over_rtsps(
    film: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = servers.own_certificate(tmp_path / "own.pem")
    with servers.rtsp(film, certificate=certificate) as camera:
        url = Url.parse(camera.with_login("/stream"))
        with refuses("certificate", "SSL_CERT_FILE", path=str(url)):
            LiveStream(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert len(taken(url)[0]) > 190


def test_a_camera_that_stalls_is_lost(
    film: bytes, monkeypatch: pytest.MonkeyPatch, stop: threading.Event
) -> None:
    monkeypatch.setattr(media, "READ_SECONDS", 0.5)
    with servers.rtsp(film, lambda index: stop.wait(1e-3 if index < 99 else None)) as camera:
        frames, error = taken(Url.parse(camera.with_login("/stream")))
        assert frames
    assert_refusal(error, "0.5 s", path=error.path)


def test_close_does_not_wait_for_the_network(film: bytes, stop: threading.Event) -> None:
    with servers.rtsp(film, lambda index: stop.wait(1e-3 if index < 99 else None)) as camera, \
            LiveStream(Url.parse(camera.with_login("/stream"))) as stream:
        ended: list[int] = []
        thread = threading.Thread(target=lambda: ended.append(sum(1 for _ in stream)), daemon=True)
        thread.start()
        time.sleep(0.3)
        assert thread.is_alive()  # it waits for a frame
        stream.close()
        thread.join(5)
        assert not thread.is_alive() and ended[0] > 0


def test_motion_jpeg_is_timed_by_a_clock() -> None:
    pictures = [cv2.imencode(".jpg", videos.picture(index))[1].tobytes() for index in range(12)]
    answer = servers.motion_jpeg(pictures, lambda index: time.sleep(0.2 * (index == 6)))
    with servers.http({"/mjpeg": servers.behind_a_password(answer)}) as server:
        frames, _ = taken(Url.parse(server.with_login("/mjpeg?quality=9")))
    numbers = [videos.number(frame.image) for frame in frames]
    assert numbers == list(range(len(numbers))) and len(numbers) >= 11
    gaps = np.diff([frame.seconds for frame in frames])
    assert (gaps > 0).all() and gaps.argmax() in (4, 5, 6) and gaps.max() > 0.1


def test_packets_over_udp(film: bytes, stop: threading.Event) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            while not stop.is_set():
                for begin in range(0, len(film), 1316):
                    sender.sendto(film[begin : begin + 1316], ("127.0.0.1", port))
                    time.sleep(0.002)

    threading.Thread(target=send, daemon=True).start()
    with LiveStream(Url.parse(f"udp://127.0.0.1:{port}")) as stream:
        frames = [frame for frame, _ in zip(stream, range(100), strict=False)]
    assert len(frames) == 100  # of a film that is sent again and again
    assert (np.diff([frame.seconds for frame in frames]) > 0).all()


def test_a_finite_stream_ends_without_a_word(film: bytes) -> None:
    """Over HTTP it may be a file whose server does not tell its length."""
    with servers.http({"/film": servers.file(film, ranges=False)}) as server, \
            LiveStream(Url.parse(f"{server.address}/film")) as stream:
        assert [videos.number(frame.image) for frame in stream] == [i % 36 for i in range(200)]


def test_a_size_that_changes_ends_the_stream(film: bytes, tmp_path: Path) -> None:
    other = videos.make(tmp_path / "b.ts", range(12), size=(64, 96)).read_bytes()
    with servers.http({"/film": servers.file(film + other, ranges=False)}) as server:
        frames, error = taken(Url.parse(f"{server.address}/film"))
    assert 198 <= len(frames) <= 200
    assert_refusal(error, "size", "64 x 96", path=error.path)


def test_without_anybody_to_tell_the_loss_is_raised(film: bytes) -> None:
    with servers.rtsp(film) as camera, LiveStream(Url.parse(camera.with_login("/s"))) as stream, \
            refuses("frames", path=f"{camera.address}/s"):
        list(stream)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_nobody_there_is_one_line(
    scheme: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(media, "OPEN_SECONDS", 0.3)
    with pytest.raises(DataError) as caught:
        LiveStream(Url.parse(f"{scheme}://{servers.USER}:{servers.PASSWORD}@127.0.0.1:9/a?b=c"))
    error: BaseException | None = caught.value
    assert_refusal(error, path=f"{scheme}://127.0.0.1:9/a?...")
    while error is not None:  # nor in what a notebook shows of the causes
        assert servers.PASSWORD not in str(error)
        error = error.__cause__ or error.__context__
    assert capfd.readouterr().err == ""


def test_wrong_logins_hosts_and_answers(
    film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "OPEN_SECONDS", 0.3)
    with servers.rtsp(film) as camera, refuses("401", path=f"{camera.address}/stream"):
        LiveStream(Url.parse(f"{camera.address}/stream"))
    with refuses("host", path="rtsp://no-such-host.invalid/stream"):
        LiveStream(Url.parse("rtsp://us:pw@no-such-host.invalid/stream"))
    with servers.silent() as port, refuses("answer", "0.3 s", path=f"rtsp://127.0.0.1:{port}/a"):
        LiveStream(Url.parse(f"rtsp://127.0.0.1:{port}/a"))
    with servers.rtsp(b"\x47" + bytes(187)) as camera, pytest.raises(DataError):
        LiveStream(Url.parse(camera.with_login("/nothing")))
