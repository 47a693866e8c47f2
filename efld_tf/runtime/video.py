"""Reads the frames of videos with their times, and writes frames as videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import ColorRange, Colorspace

from efld_tf.annotations import media
from efld_tf.arrays import Image
from efld_tf.errors import DataError, EfldError
from efld_tf.files import atomic_path
from efld_tf.runtime.audio import AudioCopy
from efld_tf.text import counted
from efld_tf.urls import Url

# The time base if there is no source to take one from; it is fine enough for any clock.
_TIME_BASE = Fraction(1, 1_000_000)

# The frames a second that are assumed if a container does not tell.
_RATE = Fraction(30)

# Without B-frames, players show the first frame at its time even if they ignore edit lists.
_ENCODER = {"preset": "veryfast", "crf": "20", "bf": "0"}


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame of a video or a camera.

    Attributes:
      image: [H, W, 3] uint8 RGB, upright.
      index: counted from 0.
      seconds: when it is shown, after the start of the video.
    """

    image: Image
    index: int
    seconds: float


class VideoReader:
    """Yields the frames of a video file, from the first to the last in each iteration.

    Times are the container's presentation timestamps, also where the rate varies; only the clocks
    of broadcast formats (MPEG-TS, MPEG-PS) are set to 0 at the start of the file. Times always
    increase: a frame without a time, or not later than the one before it, counts as damage and is
    given the time one frame period after that one. Frames are turned as the file's display matrix
    says (phones set it); pixels that are not square stay as they are stored.

    All frames of a damaged file that can be decoded are yielded, then the damage is reported:
    `on_damage` is called once with the error, or, without it, the error is raised after the last
    frame.

    Attributes:
      path: the path of the file, or its address.
      width, height: the size of the upright frames in pixels.
      frame_count: number of frames as the container tells it, None if it does not; the true
        number may differ.
      average_rate: frames a second; None if not known.
      duration: in seconds; None if not known.
      time_base: the unit of the timestamps in seconds.
      finished: whether an iteration has come to the end of the file.
    """

    def __init__(
        self, path: str | Path | Url, on_damage: Callable[[DataError], None] | None = None
    ) -> None:
        """Opens a video and decodes its first frame.

        Args:
          path: a file, or an address, which is opened again by every iteration.

        Raises:
          DataError: the file cannot be read, is not a video of a common format, its frames are too
            large, or none can be decoded.
        """
        self.path = path if isinstance(path, Url) else Path(path)
        self.finished = False
        self._on_damage = on_damage
        with media.opened(self.path) as container:
            stream = media.video_stream(self.path, container)
            first_frame = next(media.decoded(container, stream, media.Damage()), None)
            if first_frame is None:
                served = "; or its server gives no parts of files: download it first"
                raise DataError(str(path), "has no frame that can be decoded"
                                + served * isinstance(path, Url))
            self.height, self.width = media.upright_rgb(self.path, first_frame).shape[:2]
            self.frame_count: int | None = stream.frames or None
            self.average_rate: Fraction | None = stream.average_rate or stream.guessed_rate
            ticks = container.duration
            self.duration = None if ticks is None else ticks / av.time_base
            assert stream.time_base is not None  # FFmpeg gives every stream one
            self.time_base: Fraction = stream.time_base

    @property
    def expected_frames(self) -> int | None:
        """About how many frames there are: as the container tells, or by duration and rate."""
        if self.frame_count is not None or self.duration is None or self.average_rate is None:
            return self.frame_count
        return round(self.duration * self.average_rate) or None

    def __iter__(self) -> Iterator[Frame]:
        """Decodes from the start.

        Raises:
          DataError: the file is damaged, or can no longer be read.
        """
        damage = media.Damage()
        period = max(round(1 / (self.average_rate or _RATE) / self.time_base), 1) * self.time_base
        index, last_seconds = 0, None
        with media.opened(self.path) as container:
            stream = media.video_stream(self.path, container)
            zero = media.start(container, stream)
            for decoded in media.decoded(container, stream, damage):
                ticks = decoded.pts if decoded.pts is not None else decoded.dts
                seconds = None if ticks is None else ticks * self.time_base - zero
                if seconds is None or (last_seconds is not None and seconds <= last_seconds):
                    seconds = Fraction(0) if last_seconds is None else last_seconds + period
                    damage.times += 1
                image = media.upright_rgb(self.path, decoded)
                if image.shape[:2] != (self.height, self.width):
                    damage.others.append(
                        f"the size changes to {image.shape[1]} x {image.shape[0]} after "
                        f"{counted(index, 'frame')}, where it ends")
                    break
                yield Frame(image, index, float(seconds))
                index, last_seconds = index + 1, seconds
            else:
                damage.check_end(container)
        self.finished = True
        if reason := str(damage):
            error = DataError(
                str(self.path), f"damaged: {reason} ({counted(index, 'frame')} decoded)")
            if self._on_damage is None:
                raise error
            self._on_damage(error)


@dataclass
class _OpenVideo:
    """A video that is being written.

    Attributes:
      container, video: the file and its stream of frames.
      audio: the copy of the source's audio; None if there is none, or it cannot be copied.
      shape: the shape of the frames.
      last_ticks: the time of the last frame in ticks; None before the first.
    """

    container: av.container.OutputContainer
    video: av.VideoStream
    audio: AudioCopy | None
    shape: tuple[int, ...]
    last_ticks: int | None = None


class VideoWriter:
    """Writes frames as an H.264 video (yuv420p, BT.709) in an MP4 file.

        with VideoWriter("out.mp4", source=reader) as writer:
            for frame in reader:
                writer.write(frame)

    The file appears under its name when the block ends, and not at all when an exception leaves
    the block. If KeyboardInterrupt is caught inside the block, the result is a whole, shorter
    video.

    Frames keep their `seconds`: to the tick if there is a source, whose time base is used, and to
    half a microsecond otherwise. Players want yuv420p with even sizes, so an odd width or height
    is made even by repeating the last column or row.

    The source's audio is copied as it is, to its end if all of the source's frames were read and
    otherwise to the end of the last frame written.

    Attributes:
      path: the path of the file.
      audio_left_out: why the source's audio is not copied, or not to its end; None if it is, or
        there is none.
    """

    def __init__(self, path: str | Path, source: VideoReader | None = None) -> None:
        """Prepares a video; nothing is written before the first frame.

        Args:
          path: a name that ends in `.mp4`.
          source: the video whose audio, time base and rate are taken.

        Raises:
          EfldError: `path` does not end in `.mp4`.
        """
        self.path = Path(path)
        if self.path.suffix.lower() != ".mp4":
            raise EfldError(f"{path}: expected the name of a video that ends in .mp4")
        self.audio_left_out: str | None = None
        self._source = source
        self._time_base = _TIME_BASE if source is None else source.time_base
        self._rate = (source.average_rate if source else None) or _RATE
        self._stack = ExitStack()
        self._input: av.container.InputContainer | None = None
        self._opened: _OpenVideo | None = None

    def __enter__(self) -> VideoWriter:
        self._temporary = self._stack.enter_context(atomic_path(self.path))
        if self._source is not None:
            self._input = self._stack.enter_context(media.opened(self._source.path))
        self._stack.push(self._end)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._stack.__exit__(kind, error, traceback)

    def write(self, frame: Frame) -> None:
        """Appends a frame, whose image has the size of the first one.

        Raises:
          EfldError: the image has another size or form, or the frame does not follow the one before
            in time.
          DataError: the file cannot be written.
        """
        image = frame.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
            raise EfldError(f"frame: expected [H, W, 3] uint8, got {image.shape} {image.dtype}")
        ticks = round(Fraction(frame.seconds) / self._time_base)
        last_ticks = None if self._opened is None else self._opened.last_ticks
        if last_ticks is not None and ticks <= last_ticks:
            raise EfldError(f"{self.path}: the frame at {frame.seconds:g} s does not follow "
                            f"the one at {float(last_ticks * self._time_base):g} s")
        with self._errors():
            if self._opened is None:
                self._opened = self._begin(image.shape)
            opened = self._opened
            if image.shape != opened.shape:
                raise EfldError(f"{self.path}: expected frames of {opened.shape[1]} x "
                                f"{opened.shape[0]}, got {image.shape[1]} x {image.shape[0]}")
            even = cv2.copyMakeBorder(
                image, 0, image.shape[0] % 2, 0, image.shape[1] % 2, cv2.BORDER_REPLICATE)
            picture = av.VideoFrame.from_ndarray(even, "rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709)
            picture.colorspace, picture.color_range = Colorspace.ITU709, ColorRange.MPEG
            picture.pts, picture.time_base = ticks, self._time_base
            opened.container.mux(opened.video.encode(picture))
            opened.last_ticks = ticks
            self._copy_audio(opened, float(ticks * self._time_base))

    def _begin(self, shape: tuple[int, ...]) -> _OpenVideo:
        """Opens the file and writes its header, without audio where MP4 cannot carry it."""
        if self._source is not None and self._input is not None \
                and isinstance(audio := self._input.streams.best("audio"), av.AudioStream):
            zero = media.start(self._input, media.video_stream(self._source.path, self._input))
            try:
                return self._open(shape, partial(AudioCopy, self._input, audio, zero))
            except OSError:
                raise
            except (FFmpegError, ValueError):
                name = audio.codec_context.name if audio.codec_context else "unknown"
                self.audio_left_out = f"an mp4 file cannot carry audio of the codec {name} as it is"
        return self._open(shape, None)

    def _open(
        self, shape: tuple[int, ...],
        audio: Callable[[av.container.OutputContainer], AudioCopy] | None,
    ) -> _OpenVideo:  # fmt: skip
        height, width = shape[:2]
        output = av.open(f"file:{self._temporary}", "w", format="mp4", options={
            # The index goes before the frames, so that players can start while they load.
            "movflags": "faststart",
            # The first frame's time is kept in this unit.
            "movie_timescale": str(self._time_base.denominator),
        })
        video = output.add_stream(
            "libx264", rate=self._rate, width=width + width % 2, height=height + height % 2,
            pix_fmt="yuv420p", time_base=self._time_base, options=_ENCODER)
        coding = video.codec_context
        coding.colorspace, coding.color_range = Colorspace.ITU709, ColorRange.MPEG
        coding.color_primaries = coding.color_trc = Colorspace.ITU709  # the numbers are the same
        copied = None if audio is None else audio(output)
        output.start_encoding()
        return _OpenVideo(output, video, copied, shape)

    def _copy_audio(self, opened: _OpenVideo, seconds: float | None) -> None:
        if opened.audio is not None:
            opened.audio.copy_until(seconds)
            self.audio_left_out = opened.audio.trouble

    def _end(self, kind: type[BaseException] | None, *_: object) -> None:
        """Finishes the file, or drops it after an exception."""
        try:
            if kind is None:
                opened = self._opened
                if opened is None or opened.last_ticks is None:
                    raise EfldError(f"{self.path}: no frame was written")
                with self._errors():
                    opened.container.mux(opened.video.encode(None))
                    source_finished = self._source is not None and self._source.finished
                    end = float(opened.last_ticks * self._time_base + 1 / self._rate)
                    self._copy_audio(opened, None if source_finished else end)
                    opened.container.close()
        finally:
            if self._opened is not None:
                with suppress(FFmpegError):  # the file is not kept
                    self._opened.container.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except FFmpegError as error:
            raise DataError(self.path, f"cannot be written: {error.strerror}") from error
