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
from tests.errors import assert_refusal, refuses
from tests.runtime import videos
from tests.runtime.videos import CODECS


def damaged(path: Path, *facts: object) -> tuple[list[Frame], str]:
    """The frames of a damaged video, and its damage, which is told once."""
    told: list[DataError] = []
    found = list(VideoReader(path, on_damage=told.append))
    (error,) = told
    assert_refusal(error, "damaged", *facts, f"{len(found)} frames", path=path)
    return found, error.reason


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm", "avi", "flv"])
def test_of_a_truncated_video_the_rest_is_given(tmp_path: Path, suffix: str) -> None:
    path = cut(videos.make(tmp_path / f"a.{suffix}", range(36), noise=5,
                           codec=CODECS.get(suffix, "libx264"),
                           options={"movflags": "faststart"} if suffix == "mp4" else None), 0.4)
    found, _ = damaged(path)
    assert 5 <= len(found) < 20
    numbers = [videos.number(frame.image) for frame in found]
    # The last may be one that was stored before its predecessor, which was cut off.
    assert numbers[:-1] == list(range(len(found) - 1)) and numbers[-1] - len(found) in (-1, 0)
    iterator = iter(VideoReader(path))
    assert [next(iterator).index for _ in found] == list(range(len(found)))
    with refuses("damaged", path=path):  # by default, after the last frame
        next(iterator)


def test_damage_in_the_middle_is_told(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.mp4", noise=5)
    content = bytearray(path.read_bytes())
    place = content.index(b"mdat") + len(content) // 3
    content[place : place + 300] = bytes(300)
    path.write_bytes(content)
    found, _ = damaged(path, "decoded")
    assert 20 < len(found) <= 30 and videos.number(found[-1].image) == 29


def test_whole_videos_tell_no_damage(tmp_path: Path) -> None:
    for suffix, codec in CODECS.items():
        for audio in (None, "libvorbis" if suffix == "webm" else "libmp3lame"):
            path = videos.make(tmp_path / f"a.{suffix}", codec=codec, audio=audio)
            told: list[DataError] = []
            assert list(VideoReader(path, on_damage=told.append)) and not told


def test_a_size_that_changes_ends_the_video(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.ts", range(12)).read_bytes()
    second = videos.make(tmp_path / "b.ts", range(12), size=(64, 96)).read_bytes()
    (tmp_path / "c.ts").write_bytes(first + second)
    assert len(damaged(tmp_path / "c.ts", "size", "64 x 96", "12 frames")[0]) == 12


def test_times_always_increase(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.ts", range(12)).read_bytes()
    (tmp_path / "c.ts").write_bytes(first + first)  # the second starts at 0 again
    found, _ = damaged(tmp_path / "c.ts", "time", 12)
    assert (np.diff([frame.seconds for frame in found]) > 0).all()
    assert len(found) == 24


def test_a_stream_may_turn_up_on_the_way(tmp_path: Path) -> None:
    first = videos.make(tmp_path / "a.flv", range(300)).read_bytes()
    second = videos.make(tmp_path / "b.flv", audio="libmp3lame").read_bytes()
    (tmp_path / "c.flv").write_bytes(first + second[13:])  # without a header of its own
    assert len(list(VideoReader(tmp_path / "c.flv", on_damage=lambda error: None))) == 330


def text(path: Path) -> None:
    path.write_text("hello\n" * 1000)


def playlist(path: Path) -> None:
    videos.make(path.with_suffix(".ts"))
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{path.stem}.ts\n"
                    "#EXT-X-ENDLIST\n")


def listing(path: Path) -> None:
    videos.make(path.with_suffix(".mkv"))
    path.write_text(f"ffconcat version 1.0\nfile {path.stem}.mkv\n")


BAD: dict[str, tuple[Callable[[Path], object], list[str]]] = {
    "missing": (lambda path: None, ["read", "No such file"]),
    "folder": (lambda path: path.mkdir(), ["read", "directory"]),
    "pipe": (lambda path: os.mkfifo(path), ["a file", "a pipe"]),
    "empty": (lambda path: path.write_bytes(b""), ["not a video"]),
    "text": (text, ["not a video"]),
    "playlist": (playlist, ["not a video"]),
    "listing": (listing, ["not a video"]),
    "without its index": (lambda path: cut(videos.make(path), 0.6), ["not a video", "cut short"]),
    "sound": (lambda path: videos.sound(path), ["no video"]),
    "song with a cover": (lambda path: videos.sound(path, cover=True), ["no video"]),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_video_is_told_in_a_line(
    tmp_path: Path, kind: str, capfd: pytest.CaptureFixture
) -> None:
    path = tmp_path / "a: 100%.mp4"
    make, facts = BAD[kind]
    make(path)
    for read in (VideoReader, lambda path: images.Video(path).read(0)):
        with refuses(*facts, path=path):
            read(path)
        assert capfd.readouterr().err == ""


def test_names_are_no_addresses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos.make(tmp_path / "a.mp4").rename(tmp_path / "http:a%d.mp4")
    monkeypatch.chdir(tmp_path)
    assert len(list(VideoReader("http:a%d.mp4"))) == 30
    with refuses("No such file", path="http://127.0.0.1/a.mp4"):
        VideoReader("http://127.0.0.1/a.mp4")


def test_metadata_of_other_encodings(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.mp4", metadata={"title": "Xyzzy"})
    path.write_bytes(path.read_bytes().replace(b"Xyzzy", b"Xyz\xff\xe9"))
    assert len(list(VideoReader(path))) == 30


def test_large_frames_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = videos.make(tmp_path / "a.mp4", size=(128, 64))
    monkeypatch.setattr(decoding, "MAX_PIXELS", 128 * 64 - 1)
    with refuses("128 x 64", 8191, path=path):
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
    found, damage = damaged(tmp_path / "c.ts", "packets", 12)
    assert {frame.image.shape for frame in found} == {(64, 128, 3)} and "size" not in damage
