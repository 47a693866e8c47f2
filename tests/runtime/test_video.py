"""Videos: times, orientation, what is written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import images
from efld_tf.runtime.video import Frame, VideoReader, VideoWriter
from tests.errors import assert_told, refuses
from tests.runtime import videos
from tests.runtime.videos import CODECS

VARYING = (0, 33, 40, 41, 150, 151, 152, 700, 733, 1499)
MILLISECOND = Fraction(1, 1000)


def frames(seconds: list[float], width: int = 96, height: int = 64) -> list[Frame]:
    return [Frame(videos.picture(i, width, height), i, s) for i, s in enumerate(seconds)]


def written(path: Path, given: list[Frame], source: VideoReader | None = None) -> list[Frame]:
    """Writes frames and reads them again."""
    with VideoWriter(path, source) as writer:
        for frame in given:
            writer.write(frame)
    return list(VideoReader(path))


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_times_are_exact_where_the_rate_varies(tmp_path: Path, suffix: str) -> None:
    path = videos.make(tmp_path / f"a.{suffix}", VARYING, MILLISECOND)
    found = list(VideoReader(path))
    assert [frame.seconds for frame in found] == [tick / 1000 for tick in VARYING]
    assert [frame.index for frame in found] == list(range(len(VARYING)))
    assert [videos.number(frame.image) for frame in found] == list(range(len(VARYING)))


@pytest.mark.parametrize("suffix", CODECS)
def test_common_containers(tmp_path: Path, suffix: str) -> None:
    path = videos.make(tmp_path / f"a.{suffix}", codec=CODECS[suffix])
    reader = VideoReader(path)
    assert (reader.width, reader.height) == (96, 64)
    assert reader.duration == pytest.approx(1, abs=0.3)  # of some it is estimated
    found = list(reader)
    assert [videos.number(frame.image) for frame in found] == list(range(30))
    steps = np.diff([frame.seconds for frame in found])
    np.testing.assert_allclose(steps, 1 / 30, atol=0.00067)  # some count in ms
    assert reader.finished
    assert len(list(reader)) == 30  # again from the start


def test_what_the_container_tells(tmp_path: Path) -> None:
    reader = VideoReader(videos.make(tmp_path / "a.mp4"))
    assert (reader.frame_count, reader.average_rate, reader.duration) == (30, 30, 1.0)
    assert reader.time_base == Fraction(1, 15360) and not reader.finished
    assert reader.expected_frames == 30
    reader = VideoReader(videos.make(tmp_path / "a.mkv"))
    assert reader.frame_count is None and reader.expected_frames == 30  # 1 s of 30 a second


MATRICES = [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1), (0, 1, 1, 0), (0, 1, -1, 0),
            (0, -1, 1, 0), (0, -1, -1, 0)]


@pytest.mark.parametrize("matrix", MATRICES)
def test_annotated_frames_are_read_as_they_were_predicted(
    tmp_path: Path, matrix: tuple[int, int, int, int]
) -> None:
    path = videos.turned(videos.make(tmp_path / "a.mp4", range(3)), matrix)
    expected = list(VideoReader(path))[1].image
    np.testing.assert_array_equal(images.Video(path).read(1), expected)


@pytest.mark.parametrize("matrix", MATRICES)
def test_frames_are_upright(tmp_path: Path, matrix: tuple[int, int, int, int]) -> None:
    a, b, c, d = matrix
    reader = VideoReader(videos.turned(videos.make(tmp_path / "a.mp4", range(3)), matrix))
    assert (reader.width, reader.height) == ((96, 64) if a else (64, 96))
    image = next(iter(reader)).image
    assert image.shape == (reader.height, reader.width, 3)
    # The white corner is at (-1, -1) from the centre.
    x, y = a * -1 + c * -1, b * -1 + d * -1
    corner = image[-8 if y > 0 else 8, -8 if x > 0 else 8]
    assert corner.min() > 240
    assert (image.min(axis=-1) > 240).mean() == pytest.approx(1 / 16, abs=0.02)


def test_other_display_matrices_are_refused(tmp_path: Path) -> None:
    path = videos.turned(videos.make(tmp_path / "a.mp4"), (2, 1, -1, 2))
    with refuses("display matrix", (1.0, 0.5, -0.5, 1.0), path=path):
        VideoReader(path)


def test_frames_are_those_that_annotations_count(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.mp4", VARYING, MILLISECOND)
    counted = images.Video(path)
    for frame in VideoReader(path):
        np.testing.assert_array_equal(frame.image, counted.read(frame.index))


@pytest.mark.parametrize("size", [(95, 63), (33, 64), (2, 2), (1, 1)])
def test_odd_sizes_are_made_even(tmp_path: Path, size: tuple[int, int]) -> None:
    given = frames([0.0, 0.1], *size)
    found = written(tmp_path / "a.mp4", given)
    for before, after in zip(given, found, strict=True):
        height, width = (n + n % 2 for n in before.image.shape[:2])
        expected = before.image[np.minimum(np.arange(height), size[1] - 1)]
        expected = expected[:, np.minimum(np.arange(width), size[0] - 1)]
        assert after.image.shape == expected.shape
        assert np.abs(after.image.astype(int) - expected).mean() < 4


def test_a_video_of_odd_size_is_read(tmp_path: Path) -> None:
    path = videos.make(tmp_path / "a.webm", size=(95, 63), codec="libvpx")
    found = list(VideoReader(path))
    assert found[0].image.shape == (63, 95, 3) and found[0].image.flags.c_contiguous
    assert [videos.number(frame.image) for frame in found] == list(range(30))


@pytest.mark.parametrize(("suffix", "ticks", "unit"), [
    ("mp4", VARYING, MILLISECOND),
    ("mp4", (5, 6, 9), Fraction(1, 7)),
    ("mp4", (0, 1001, 2002, 30030), Fraction(1, 24000)),
    ("mkv", VARYING, MILLISECOND),
    ("avi", range(4), Fraction(1, 25)),
    ("ts", (0, 3003, 9009), Fraction(1, 90000)),
])
def test_written_frames_keep_the_times_of_the_source(
    tmp_path: Path, suffix: str, ticks: tuple[int, ...], unit: Fraction
) -> None:
    codec = CODECS.get(suffix, "libx264")
    reader = VideoReader(videos.make(tmp_path / f"a.{suffix}", ticks, unit, codec=codec))
    before = list(reader)
    after = written(tmp_path / "b.mp4", before, reader)
    assert [f.seconds for f in after] == [f.seconds for f in before]
    assert [videos.number(f.image) for f in after] == [videos.number(f.image) for f in before]


@given(steps=st.lists(st.floats(1e-3, 2.0), min_size=1, max_size=8), start=st.floats(0, 100))
def test_times_without_a_source_are_kept_to_the_microsecond(
    tmp_path_factory: pytest.TempPathFactory, steps: list[float], start: float
) -> None:
    seconds = (start + np.cumsum([0, *steps])).tolist()
    path = tmp_path_factory.mktemp("v") / "a.mp4"
    found = written(path, frames(seconds, 16, 16))
    np.testing.assert_allclose([f.seconds for f in found], seconds, atol=1e-6)


def test_what_players_want(tmp_path: Path) -> None:
    """H.264 in yuv420p, the index before the frames, colours that are said to be BT.709."""
    colours = np.array([[200, 30, 30], [30, 180, 40], [40, 50, 200], [128, 128, 128]], np.uint8)
    image = colours[None].repeat(16, axis=1).repeat(64, axis=0)
    found = written(tmp_path / "a.mp4", [Frame(image, 0, 0.0)])
    np.testing.assert_allclose(found[0].image[32, 8::16], colours, atol=6)
    with av.open(str(tmp_path / "a.mp4")) as container:
        coding = container.streams.video[0].codec_context
        assert (coding.name, coding.pix_fmt, coding.colorspace) == ("h264", "yuv420p", 1)
    content = (tmp_path / "a.mp4").read_bytes()
    assert content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize(("suffix", "audio"), [("mp4", "aac"), ("mkv", "libopus"), ("ts", "aac")])
def test_audio_is_copied_as_it_is(tmp_path: Path, suffix: str, audio: str) -> None:
    path = videos.make(tmp_path / f"a.{suffix}", audio=audio)
    reader = VideoReader(path)
    with VideoWriter(tmp_path / "b.mp4", reader) as writer:
        for frame in reader:
            writer.write(frame)
    assert writer.audio_left_out is None
    before, after = (videos.audio_packets(p) for p in (path, tmp_path / "b.mp4"))
    assert len(after) > 40
    if suffix == "ts":  # there each packet has a header, and the clock starts anywhere
        assert all(old.endswith(new) for (_, old), (_, new) in zip(before, after, strict=True))
        first = next(av.open(str(path)).demux(video=0))
        zero = min(before[0][0], first.pts * first.time_base)
    else:
        assert [data for _, data in after] == [data for _, data in before]
        zero = 0
    np.testing.assert_allclose([float(t) for t, _ in after], [float(t - zero) for t, _ in before],
                               atol=0.0011)
    assert [f.seconds for f in VideoReader(tmp_path / "b.mp4")] == [f.seconds for f in reader]


def test_audio_that_does_not_fit_is_left_out_and_told(tmp_path: Path) -> None:
    reader = VideoReader(videos.make(tmp_path / "a.mov", audio="pcm_alaw"))
    with VideoWriter(tmp_path / "b.mp4", reader) as writer:
        for frame in reader:
            writer.write(frame)
    assert_told(writer.audio_left_out or "", "audio", "pcm_alaw")
    assert len(list(VideoReader(tmp_path / "b.mp4"))) == 30


def test_audio_of_a_shorter_video_ends_with_it(tmp_path: Path) -> None:
    reader = VideoReader(videos.make(tmp_path / "a.mp4", audio="aac"))
    with VideoWriter(tmp_path / "b.mp4", reader) as writer:
        for frame in reader:
            writer.write(frame)
            if frame.index == 9:
                break
    assert not reader.finished
    assert len(list(VideoReader(tmp_path / "b.mp4"))) == 10
    assert float(videos.audio_packets(tmp_path / "b.mp4")[-1][0]) == pytest.approx(1 / 3, abs=0.03)


def test_nothing_is_left_of_a_video_that_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("the one before")
    with pytest.raises(KeyError), VideoWriter(path) as writer:
        for frame in frames([0.0, 0.1]):
            writer.write(frame)
        raise KeyError
    assert path.read_text() == "the one before"
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_who_catches_ctrl_c_gets_a_whole_video(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4") as writer:
        try:
            for frame in frames([0.0, 0.1, 0.2]):
                writer.write(frame)
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert len(list(VideoReader(tmp_path / "a.mp4"))) == 3
    assert os.listdir(tmp_path) == ["a.mp4"]


def test_ctrl_c_within_the_first_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is open then, but has no frame."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("efld_tf.runtime.video.cv2.copyMakeBorder", interrupted)
    with refuses("a.mp4", "no frame"), \
            VideoWriter(tmp_path / "a.mp4") as writer, suppress(KeyboardInterrupt):
        writer.write(frames([0.0])[0])
    assert not os.listdir(tmp_path)


def test_mistakes_of_writing(tmp_path: Path) -> None:
    with refuses(tmp_path / "a.avi", ".mp4"):
        VideoWriter(tmp_path / "a.avi")
    with refuses(tmp_path / "a.mp4", "no frame"), VideoWriter(tmp_path / "a.mp4"):
        pass
    first, second = frames([0.5, 0.5])
    for wrong, facts in [
        (second, [tmp_path / "a.mp4", "frame", "0.5 s"]),
        (Frame(videos.picture(0, 64, 64), 1, 1.0), [tmp_path / "a.mp4", "96 x 64", "64 x 64"]),
        (Frame(first.image[..., 0], 1, 1.0), ["frame", "[H, W, 3]", "(64, 96)"]),
    ]:
        with refuses(*facts), VideoWriter(tmp_path / "a.mp4") as writer:
            writer.write(first)
            writer.write(wrong)
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="needs a limit of file sizes")
def test_a_full_disk_is_told(tmp_path: Path) -> None:
    code = (
        "import resource, numpy as np\n"
        "from efld_tf.errors import DataError\n"
        "from efld_tf.runtime.video import Frame, VideoWriter\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))\n"
        "noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)\n"
        "try:\n"
        "    with VideoWriter('a.mp4') as writer:\n"
        "        for i in range(60):\n"
        "            writer.write(Frame(np.roll(noise, 7 * i, 0), i, i / 30))\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.count("\n") == 1 and done.stderr == ""
    assert_told(done.stdout, "a.mp4", "written", "File too large")
    assert os.listdir(tmp_path) == []
