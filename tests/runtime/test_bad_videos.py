"""Videos that are damaged, are none, or are too large."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import decoding, images
from efld_tf.errors import DataError
from efld_tf.runtime.video import Frame, VideoReader
from tests.runtime import videos
from tests.runtime.videos import CODECS


def damaged(path: Path) -> tuple[list[Frame], str]:
    """The frames and the damage of a video."""
    told: list[DataError] = []
    found = list(VideoReader(path, on_damage=told.append))
    return found, "".join(map(str, told))


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "flv"])
def test_of_a_truncated_video_the_rest_is_given(tmp_path: Path, suffix: str) -> None:
    path = cut(videos.make(tmp_path / f"a.{suffix}", range(36), noise=5,
                           codec=CODECS.get(suffix, "libx264"),
                           options={"movflags": "faststart"} if suffix == "mp4" else None), 0.4)
    found, told = damaged(path)
    assert 5 <= len(found) < 20
    numbers = [videos.number(frame.image) for frame in found]
    # The last may be one that was stored before its predecessor, which was cut off.
    assert numbers[:-1] == list(range(len(found) - 1)) and numbers[-1] - len(found) in (-1, 0)
    assert told.startswith(f"{path}: damaged: ") and told.count("\n") == 0
    assert f"({len(found)} frames were decoded)" in told
    iterator = iter(VideoReader(path))
    assert [next(iterator).index for _ in found] == list(range(len(found)))
    with pytest.raises(DataError, match="damaged"):  # by default, after the last frame
        next(iterator)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.mp4", noise=5)
    content = bytearray(path.read_bytes())
    place = content.index(b"mdat") + len(content) // 3
    content[place : place + 300] = bytes(300)
    path.write_bytes(content)
    found, told = damaged(path)
    assert 20 < len(found) <= 30 and videos.number(found[-1].image) == 29
    assert "decoded" in told


def test_whole_videos_tell_no_damage(tmp_path: Path) -> None:
    for suffix, codec in CODECS.items():
        for audio in (None, "libvorbis" if suffix == "webm" else "libmp3lame"):
            path = videos.make(tmp_path / f"a.{suffix}", codec=codec, audio=audio)
            assert damaged(path)[1] == ""


def test_a_size_that_changes_ends_the_video(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.ts", range(12)).read_bytes()
    second = videos.make(tmp_path / "b.ts", range(12), size=(64, 96)).read_bytes()
    (tmp_path / "c.ts").write_bytes(first + second)
    found, told = damaged(tmp_path / "c.ts")
    assert len(found) == 12 and "the size changes to 64 x 96 after 12 frames" in told


def test_times_always_increase(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.ts", range(12)).read_bytes()
    (tmp_path / "c.ts").write_bytes(first + first)  # the second starts at 0 again
    found, told = damaged(tmp_path / "c.ts")
    assert (np.diff([frame.seconds for frame in found]) > 0).all()
    assert len(found) == 24 and "without a time of their own: 12" in told


def test_a_stream_may_turn_up_on_the_way(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.flv", range(300)).read_bytes()
    second = videos.make(tmp_path / "b.flv", audio="libmp3lame").read_bytes()
    (tmp_path / "c.flv").write_bytes(first + second[13:])  # without a header of its own
    assert len(damaged(tmp_path / "c.flv")[0]) == 330


def text(path: Path) -> None:
    path.write_text("hello\n" * 1000)


def playlist(path: Path) -> None:
    videos.make(path.with_suffix(".ts"))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path.stem}.ts\n"
                    "#EXT-X-ENDLIST\n")


def listing(path: Path) -> None:
    videos.make(path.with_suffix(".mkv"))
    path.write_text(f"ffconcat version 1.0\nfile {path.stem}.mkv\n")


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: None, "cannot be read: No such file"),
    "folder": (lambda path: path.mkdir(), "cannot be read: Is a directory"),
    "pipe": (lambda path: os.mkfifo(path), "expected a file, got a pipe"),
    "empty": (lambda path: path.write_bytes(b""), "not a video that can be read"),
    "text": (text, "not a video that can be read"),
    "playlist": (playlist, "not a video that can be read"),
    "listing": (listing, "not a video that can be read"),
    "without its index": (lambda path: cut(videos.make(path), 0.6), "cut short"),
    "sound": (lambda path: videos.sound(path), "has no video"),
    "song with a cover": (lambda path: videos.sound(path, cover=True), "has no video"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_is_told_in_a_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a: 100%.mp4"
    make, message = BAD[kind]
    make(path)
    for read in (VideoReader, lambda path: images.Video(path).read(0)):
        with pytest.raises(DataError) as error:
            read(path)
        assert str(error.value).startswith(f"{path}: ") and message in str(error.value)
        assert "\n" not in str(error.value) and capfd.readouterr().err == ""


def test_names_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos.make(tmp_path / "a.mp4").rename(tmp_path / "http:a%d.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoReader("http:a%d.mp4"))) == 30
    with pytest.raises(DataError, match="No such file"):
        VideoReader("http://127.0.0.1/a.mp4")


def test_metadata_of_other_encodings(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.mp4", metadata={"title": "Xyzzy"})
    path.write_bytes(path.read_bytes().replace(b"Xyzzy", b"Xyz\xff\xe9"))
    assert len(list(VideoReader(path))) == 30


def test_large_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = videos.make(tmp_path / "a.mp4", size=(128, 64))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64 - 1)
    with pytest.raises(DataError, match="frames of 128 x 64; at most 8191 pixels"):
        VideoReader(path)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64)
    assert len(list(VideoReader(path))) == 30


def test_frames_larger_than_the_header_says_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = videos.make(tmp_path / "a.ts", range(12), size=(128, 64)).read_bytes()
    large = videos.make(tmp_path / "b.ts", range(12), size=(256, 128)).read_bytes()
    (tmp_path / "c.ts").write_bytes(small + large)
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64)
    found, told = damaged(tmp_path / "c.ts")
    assert {frame.image.shape for frame in found} == {(64, 128, 3)}
    assert "packets that cannot be decoded: 1" in told and "the size changes" not in told
