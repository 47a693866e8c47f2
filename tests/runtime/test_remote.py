"""Photos and videos from a server."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import efld_tf
from efld_tf.annotations import images, media
from efld_tf.annotations.synthetic.render import render_face
from efld_tf.errors import DataError
from efld_tf.runtime import remote
from efld_tf.runtime.remote import photo
from efld_tf.runtime.video import VideoReader, VideoWriter
from efld_tf.urls import Url
from tests import servers
from tests.errors import assert_refusal, refuses
from tests.runtime import videos


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def face(tmp_path: Path) -> Path:
    """A photo that is stored turned."""
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "face.jpg"
    Image.fromarray(np.rot90(render_face(5, 0, 128).image)).save(path, quality=95, exif=exif)
    return path


@pytest.fixture
def stop() -> Iterator[threading.Event]:
    """Ends answers that wait for it."""
    event = threading.Event()
    yield event
    event.set()


def test_a_photo_is_told_by_its_content(face: Path, tmp_path: Path) -> None:
    film = videos.make(tmp_path / "a.mp4").read_bytes()
    page = b"<?xml version='1.0'?><html><body>Not found</body></html>" * 9
    with servers.http({
        "/photo.mp4": servers.file(face.read_bytes()), "/film.jpg": servers.file(film),
        "/page.jpg": servers.file(page), "/empty.jpg": servers.file(b""),
        "/few.jpg": servers.file(b"\xff\xd8\xff"),
    }) as server:  # fmt: skip
        found = photo(Url.parse(f"{server.address}/photo.mp4?size=1#x"))
        assert found is not None and found.orientation == 6
        np.testing.assert_array_equal(found.image, images.read_photo(face, upright=True))
        for name in ("film.jpg", "page.jpg", "empty.jpg"):
            assert photo(Url.parse(f"{server.address}/{name}")) is None
        with refuses("damaged", "JPEG", path=f"{server.address}/few.jpg"):
            photo(Url.parse(f"{server.address}/few.jpg"))
        assert server.seen[0][0] == "/photo.mp4?size=1"
        assert photo(Url.parse("rtsp://127.0.0.1:9/photo.jpg")) is None  # nothing is asked


def test_a_landmarker_takes_the_address_of_a_photo(face: Path, tmp_path: Path) -> None:
    landmarker = efld_tf.load("synthetic")
    answers = {"/a": servers.behind_a_password(servers.file(face.read_bytes())),
               "/film": servers.file(videos.make(tmp_path / "a.mp4").read_bytes())}
    with servers.http(answers) as server:
        (found,), (local,) = landmarker([server.with_login("/a"), str(face)])
        np.testing.assert_array_equal(found.points, local.points)
        with refuses("photo", path=f"{server.address}/film"):
            landmarker(server.with_login("/film"))
    with refuses("ftp://...", "http"):
        landmarker(f"ftp://us:{servers.PASSWORD}@host/a.jpg")


def test_a_photo_behind_a_password(face: Path) -> None:
    answer = servers.behind_a_password(servers.file(face.read_bytes()))
    with servers.http({"/a.jpg": answer}) as other, \
            servers.http({"/a.jpg": answer, "/away": servers.redirect(f"{other.address}/a.jpg"),
                          "/here": servers.redirect("/a.jpg")}) as server:
        for path in ("/a.jpg", "/here"):
            found = photo(Url.parse(server.with_login(path)))
            assert found is not None and found.image.shape == (128, 128, 3)
        with refuses(401, "USER:PASSWORD", path=f"{server.address}/a.jpg"):
            photo(Url.parse(f"{server.address}/a.jpg"))
        # The password is for the host that it was given for.
        with refuses(401, path=f"{server.address}/away"):
            photo(Url.parse(server.with_login("/away")))
        assert other.seen and all("Authorization" not in headers for _, headers in other.seen)


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1:9/a.jpg",
                                    "data:image/png;base64,AAAA", "/loop"])
def test_redirects_stay_with_http(target: str) -> None:
    with servers.http({"/loop": servers.redirect(target)}) as server, pytest.raises(DataError):
        photo(Url.parse(f"{server.address}/loop"))


def test_servers_that_are_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 0.3)
    with servers.http({}) as server, refuses("404", path=f"{server.address}/a.jpg"):
        photo(Url.parse(server.with_login("/a.jpg")))
    with refuses("Connection refused", path="http://127.0.0.1:9/a.jpg"):
        photo(Url.parse("http://us:pw@127.0.0.1:9/a.jpg"))
    with servers.silent() as port, refuses("answer", "0.3 s", path=f"http://127.0.0.1:{port}/"):
        photo(Url.parse(f"http://127.0.0.1:{port}/"))
    with refuses("read", path="http://no-such-host.invalid/a.jpg"):
        photo(Url.parse("http://no-such-host.invalid/a.jpg"))


def test_downloads_are_bounded(
    face: Path, monkeypatch: pytest.MonkeyPatch, stop: threading.Event
) -> None:
    def endless(request: servers.Request) -> None:
        request.begin()
        request.wfile.write(face.read_bytes())
        while not stop.wait(0.02):
            request.wfile.write(b"\0")

    def dripping(request: servers.Request) -> None:
        while not stop.wait(0.02):
            request.wfile.write(b"H")

    content = face.read_bytes()
    with servers.http({
        "/a.jpg": servers.file(content), "/cut.jpg": servers.file(content, short=900),
        "/endless.jpg": endless, "/dripping.jpg": dripping,
    }) as server:  # fmt: skip
        with refuses("damaged", path=f"{server.address}/cut.jpg"):
            photo(Url.parse(f"{server.address}/cut.jpg"))
        monkeypatch.setattr(remote, "DOWNLOAD_SECONDS", 0.4)
        for name in ("endless.jpg", "dripping.jpg"):
            with refuses("0.4 s", path=f"{server.address}/{name}"):
                photo(Url.parse(f"{server.address}/{name}"))
        monkeypatch.setattr(remote, "MAX_IMAGE_BYTES", len(content) - 1)
        with refuses(len(content) - 1, "bytes", path=f"{server.address}/a.jpg"):
            photo(Url.parse(f"{server.address}/a.jpg"))


def test_certificates_are_checked(
    face: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = servers.own_certificate(tmp_path / "own.pem")
    film = videos.make(tmp_path / "a.mkv").read_bytes()
    answers = {"/a.jpg": servers.file(face.read_bytes()), "/a.mkv": servers.file(film)}
    with servers.http(answers, certificate) as server:
        address, video = (Url.parse(f"{server.address}/{name}") for name in ("a.jpg", "a.mkv"))
        with refuses("certificate", "SSL_CERT_FILE", path=str(address)):
            photo(address)
        with refuses("certificate", "SSL_CERT_FILE", path=str(video)):
            VideoReader(video)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert photo(address) is not None
        assert len(list(VideoReader(video))) == 30


@pytest.mark.parametrize(("suffix", "ranges"), [("mp4", True), ("mkv", False), ("avi", True)])
def test_a_video_is_read_as_from_a_disk(tmp_path: Path, suffix: str, ranges: bool) -> None:
    """An mp4 file has its index at the end, so that parts have to be asked for."""
    codec = videos.CODECS.get(suffix, "libx264")
    path = videos.make(tmp_path / f"a.{suffix}", noise=30, codec=codec, audio="libmp3lame")
    with servers.http({"/film": servers.file(path.read_bytes(), ranges=ranges)}) as server:
        reader, local = VideoReader(Url.parse(f"{server.address}/film")), VideoReader(path)
        assert (reader.width, reader.height, reader.duration, reader.frame_count) == \
            (local.width, local.height, local.duration, local.frame_count)
        frames = list(reader)
        for frame, expected in zip(frames, local, strict=True):
            assert frame.seconds == expected.seconds
            np.testing.assert_array_equal(frame.image, expected.image)
        for name, source in (("remote", reader), ("local", local)):
            with VideoWriter(tmp_path / f"{name}.mp4", source) as writer:
                for frame in source:
                    writer.write(frame)
    sounds = [videos.audio_packets(tmp_path / f"{name}.mp4") for name in ("remote", "local")]
    assert sounds[0] == sounds[1] and sounds[0]


def test_a_video_whose_index_cannot_be_reached(tmp_path: Path) -> None:
    content = videos.make(tmp_path / "a.mp4", range(200), noise=30).read_bytes()
    with servers.http({"/a.mp4": servers.file(content, ranges=False)}) as server, \
            refuses("frame", "download", path=f"{server.address}/a.mp4"):
        VideoReader(Url.parse(f"{server.address}/a.mp4"))


def test_of_a_lost_connection_the_rest_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: threading.Event
) -> None:
    content = videos.make(tmp_path / "a.mkv", range(200), noise=30).read_bytes()

    def stalled(request: servers.Request) -> None:
        request.begin(Content_Length=len(content))
        request.wfile.write(content[: len(content) // 2])
        stop.wait()

    monkeypatch.setattr(media, "READ_SECONDS", 0.5)
    half = len(content) // 2
    with servers.http({"/lost": servers.file(content, short=half), "/stalled": stalled}) as server:
        for name, fact in (("lost", "early"), ("stalled", "0.5 s")):
            told: list[DataError] = []
            url = Url.parse(server.with_login(f"/{name}"))
            frames = list(VideoReader(url, on_damage=told.append))
            assert 50 < len(frames) < 150
            (error,) = told
            assert_refusal(error, "damaged", fact, f"{len(frames)} frames", path=str(url))


def playlist(*segments: str) -> bytes:
    lines = ["#EXTM3U", "#EXT-X-TARGETDURATION:1"]
    for segment in segments:
        lines += ["#EXTINF:1,", segment]
    return "\n".join([*lines, "#EXT-X-ENDLIST", ""]).encode()


def test_a_playlist_of_segments(tmp_path: Path) -> None:
    videos.make(tmp_path / "list.m3u8", range(60), options={"hls_time": "1"})
    answers = {f"/live/{path.name}": servers.file(path.read_bytes())
               for path in tmp_path.iterdir()}
    assert len(answers) == 3
    with servers.http(answers) as server:
        reader = VideoReader(Url.parse(f"{server.address}/live/list.m3u8"))
        frames = list(reader)
    assert reader.duration == 2 and [videos.number(f.image) for f in frames[:36]] == list(range(36))
    assert [frame.seconds for frame in frames] == pytest.approx([i / 30 for i in range(60)])


@pytest.mark.parametrize("way", ["file://{}", "{}", "concat:{}", "subfile,,start,0,end,0,,:{}",
                                 "crypto+file://{}", "cache:file://{}", "async:file:{}", "pipe:0"])
def test_a_playlist_cannot_name_files_of_this_machine(tmp_path: Path, way: str) -> None:
    """Neither as its only segment nor beside one that it may name."""
    path = videos.make(tmp_path / "secret.ts")
    segment = videos.make(tmp_path / "a.ts", range(12)).read_bytes()
    named = way.format(path)
    key = f'#EXT-X-KEY:METHOD=AES-128,URI="{named}"\n'.encode()
    answers = {
        "/alone.m3u8": servers.file(playlist(named)),
        "/beside.m3u8": servers.file(playlist("a.ts", named)),
        "/key.m3u8": servers.file(playlist("a.ts").replace(b"#EXTINF", key + b"#EXTINF")),
        "/master.m3u8": servers.file(
            f"#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\n{named}\n".encode()),
        "/ffconcat": servers.file(f"ffconcat version 1.0\nfile '{named}'\n".encode()),
        "/a.ts": servers.file(segment),
    }
    with servers.http(answers) as server:
        for name in ("alone.m3u8", "key.m3u8", "master.m3u8", "ffconcat"):
            with refuses(path=f"{server.address}/{name}"):
                VideoReader(Url.parse(f"{server.address}/{name}"))
        frames = []
        with suppress(DataError):  # some ways end the whole playlist
            frames += VideoReader(Url.parse(f"{server.address}/beside.m3u8"), lambda error: None)
        assert len(frames) in (0, 12)  # and none of the 30 of the file


def test_what_is_no_video() -> None:
    with servers.http({"/a.mp4": servers.file(b"hello\n" * 1000)}) as server:
        with refuses("neither a photo nor a video", path=f"{server.address}/a.mp4"):
            VideoReader(Url.parse(f"{server.address}/a.mp4"))
        with refuses("404", path=f"{server.address}/b.mp4"):
            VideoReader(Url.parse(server.with_login("/b.mp4")))


def test_a_file_is_opened_as_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what was parsed as an address is one."""
    path = videos.make(tmp_path / "a.mp4")
    with servers.http({"/a.mp4": servers.file(path.read_bytes())}) as server:
        with pytest.raises(DataError):
            VideoReader(f"{server.address}/a.mp4")
        assert not server.seen
