"""Finds the faces of photos, videos, cameras and addresses, and writes the outputs.

One photo or frame is decoded while the model looks at another.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from efld_tf.annotations import image_paths, images
from efld_tf.arrays import Floats, Image
from efld_tf.errors import DataError, EfldError
from efld_tf.runtime import pictures, stream
from efld_tf.runtime.inputs import Address, CameraInput, Photo, VideoFile
from efld_tf.runtime.landmarker import FaceLandmarker
from efld_tf.runtime.outputs import Outputs, Result
from efld_tf.runtime.tracker import TrackerOptions
from efld_tf.runtime.window import HEIGHT, WIDTH, Window
from efld_tf.text import counted
from efld_tf.urls import SCHEMES, Url

if TYPE_CHECKING:  # it imports FFmpeg, which photos do not need
    from efld_tf.runtime.video import Frame, VideoReader

# Photos that wait between two threads; each may take 400 MB.
_AHEAD = 2


class Reporter(Protocol):
    """Receives the events of a run; it is called from any thread."""

    def done(self, name: str, summary: str) -> None:
        """An input was looked at; `summary` says what was found, such as `2 faces`."""

    def note(self, text: str) -> None:
        """There is something that the user should know."""

    def failed(self, error: EfldError) -> None:
        """An input cannot be used, or not all of it."""

    def begin(self, total: int | None, unit: str) -> None:
        """About `total` photos or frames will be looked at; None if the number is not known."""

    def progress(self, count: int) -> None:
        """`count` of them were looked at so far."""


class _Ended(Exception):
    """The user has seen enough."""


@dataclass(frozen=True)
class _LoadedPhoto:
    """A photo and its pixels; the orientation is that of `Result`."""

    item: Photo | Address
    image: Image
    orientation: int | None = None


@dataclass(frozen=True)
class _PhotoResult:
    """A photo and what was found in it."""

    item: Photo | Address
    result: Result
    note: str | None = None


class Prediction:
    """Finds the faces of inputs and hands them on; one run at a time."""

    def __init__(
        self,
        landmarker: FaceLandmarker,
        outputs: Outputs,
        reporter: Reporter,
        *,
        boxes: Mapping[str, Floats] | None = None,
        tracking: TrackerOptions | None = None,
        window: Window | None = None,
    ):
        """Combines a landmarker, outputs and a reporter.

        Args:
          boxes: face boxes that replace the detector: [F, 4] for each photo's `image`, path or
            file name.
          tracking: how faces of videos are followed.
          window: a window that also shows all results.
        """
        self._landmarker, self._outputs, self._reporter = landmarker, outputs, reporter
        self._boxes, self._tracking, self._window = boxes, tracking, window

    def photos(self, items: Sequence[Photo]) -> bool:
        """Looks at photos and reports each; one that cannot be read is reported and passed over.

        Returns:
          Whether to go on: False if the user ended the run in the window.
        """
        self._reporter.begin(len(items), "photo")
        return self._run(map(_load, items), self._look, self._keep_photo, _AHEAD)

    def video(self, item: VideoFile) -> bool:
        """Looks at a video; its annotated copy has its sound. The result is as in `photos`."""
        try:
            return self._video(item, item.path)
        except EfldError as error:
            self._reporter.failed(error)
            return True

    def address(self, item: Address) -> bool:
        """Looks at what an address gives: a photo, a video, or a live stream until it is ended.

        The result is as in `photos`.
        """
        from efld_tf.runtime import remote  # photos on disk need no HTTP

        try:
            photo = remote.photo(item.url)
            if photo is None:
                return self._video(item, item.url)
            self._reporter.begin(1, "photo")
            loaded = _LoadedPhoto(item, photo.image, photo.orientation)
            return self._run([loaded], self._look, self._keep_photo, 1)
        except EfldError as error:
            self._reporter.failed(error)
            return True

    def _video(self, item: VideoFile | Address, source: Path | Url) -> bool:
        """Looks at a video or a live stream.

        Raises:
          EfldError: it cannot be read.
        """
        from efld_tf.runtime import live, video

        if self._boxes is not None:
            raise EfldError(f"{item.label}: boxes can be given for photos only")
        if not isinstance(source, Url) or not SCHEMES[source.scheme].live:
            reader = video.VideoReader(source, on_damage=self._reporter.failed)
            if not isinstance(source, Url) or reader.duration is not None:
                self._reporter.begin(reader.expected_frames, "frame")
                return self.frames(item, reader, reader)
        self._reporter.begin(None, "frame")
        with live.LiveStream(source, on_damage=self._reporter.failed) as frames:
            return self.frames(item, frames, end=frames.close)

    def camera(self, item: CameraInput) -> bool:
        """Looks at a camera until it is ended. The result is as in `photos`."""
        from efld_tf.runtime.camera import Camera

        try:
            with Camera(item.device, on_damage=self._reporter.failed) as frames:
                self._reporter.begin(None, "frame")
                return self.frames(item, frames)
        except EfldError as error:
            self._reporter.failed(error)
            return True

    def frames(
        self,
        item: VideoFile | CameraInput | Address,
        frames: Iterable[Frame],
        source: VideoReader | None = None,
        end: Callable[[], None] | None = None,
    ) -> bool:
        """Looks at the frames of a video, camera or stream, which are reported together.

        Ctrl-C leaves a whole, shorter video.

        Args:
          source: the `VideoReader` whose sound and times the annotated video takes.
          end: ends the frames, see `stream.run`.
        """
        from efld_tf.runtime import video

        tracker = self._landmarker.track(self._tracking)
        path = self._outputs.video_path(item)
        summary = _VideoSummary()

        def look(frame: Frame) -> tuple[Result, video.Frame | None]:
            faces = tracker.update(frame.image, frame.seconds)
            result = Result(item, frame.image, faces, frame.index, frame.seconds)
            if writer is None:
                return result, None
            # The faces are drawn in this thread, because encoding, in the other one, takes longer.
            drawn = pictures.annotate(frame.image, faces)
            return result, video.Frame(drawn, frame.index, frame.seconds)

        def keep(outcome: tuple[Result, video.Frame | None]) -> None:
            result, drawn = outcome
            self._outputs.write(result)
            if writer is not None and drawn is not None:
                writer.write(drawn)
            summary.add(result)
            # A video is shown at its own speed, unless looking at it takes longer.
            ahead = 0.0
            if source is not None and result.seconds is not None:
                ahead = max(result.seconds - summary.elapsed, 0.0)
            self._show(result, ahead)

        interrupted: KeyboardInterrupt | None = None
        with ExitStack() as stack:
            writer = None if path is None else stack.enter_context(video.VideoWriter(path, source))
            try:
                go_on = self._run(frames, look, keep, _AHEAD if source is not None else 1, end)
            except KeyboardInterrupt as error:
                if not summary.frames:
                    raise
                interrupted, go_on = error, False
        self._reporter.done(item.label, str(summary))
        if writer is not None and writer.audio_left_out:
            self._reporter.note(f"{path}: without its sound: {writer.audio_left_out}")
        if interrupted is not None:
            raise interrupted
        return go_on

    def _run(
        self, frames: Iterable[Any], work: Callable[[Any], Any], sink: Callable[[Any], None],
        ahead: int, end: Callable[[], None] | None = None,
    ) -> bool:  # fmt: skip
        if self._window is None:
            stream.run(frames, work, sink, ahead, self._reporter.progress, end)
            return True
        try:  # a window belongs to the main thread
            for count, frame in enumerate(frames, 1):
                sink(work(frame))
                self._reporter.progress(count)
        except _Ended:
            return False
        return True

    def _look(self, loaded: _LoadedPhoto | DataError) -> _PhotoResult | EfldError:
        if isinstance(loaded, DataError):
            return loaded
        item, image = loaded.item, loaded.image
        try:
            boxes = None if self._boxes is None else _boxes_of(item, self._boxes)
            boxes, note = (None, None) if boxes is None else _inside(boxes, image)
            faces = self._landmarker.find(image, boxes)
            result = Result(item, image, faces, orientation=loaded.orientation)
            return _PhotoResult(item, result, note)
        except EfldError as error:
            return error

    def _keep_photo(self, outcome: _PhotoResult | EfldError) -> None:
        if isinstance(outcome, _PhotoResult):
            try:
                self._outputs.write(outcome.result)
            except EfldError as error:
                outcome = error
            except OSError as error:
                if error.errno != errno.ENAMETOOLONG:
                    raise
                outcome = DataError(outcome.item.label, "its name is too long for the outputs'")
        if isinstance(outcome, EfldError):
            self._reporter.failed(outcome)
            return
        self._reporter.done(outcome.item.label, counted(len(outcome.result.faces), "face"))
        if outcome.note is not None:
            self._reporter.note(f"{outcome.item.label}: {outcome.note}")
        self._show(outcome.result, None)

    def _show(self, result: Result, seconds: float | None) -> None:
        if self._window is not None:
            picture = pictures.annotate_to_fit(result.image, result.faces, WIDTH, HEIGHT)
            if not self._window.show(picture, seconds):
                raise _Ended


class _VideoSummary:
    """Counts the frames and faces of a video."""

    def __init__(self) -> None:
        self.frames = 0
        self._tracks: set[int | None] = set()
        self._begin: float | None = None

    def add(self, result: Result) -> None:
        self._begin = time.monotonic() if self._begin is None else self._begin
        self.frames += 1
        self._tracks |= {face.track for face in result.faces}

    @property
    def elapsed(self) -> float:
        """Seconds since the first frame was added."""
        return 0.0 if self._begin is None else time.monotonic() - self._begin

    def __str__(self) -> str:
        return f"{counted(self.frames, 'frame')}, {counted(len(self._tracks), 'face')}"


def _load(item: Photo) -> _LoadedPhoto | DataError:
    try:
        if image_paths.relative_name(item.image, item.path) != item.image:
            raise DataError(item.path, "no source can have an image of that name: rename it")
        return _LoadedPhoto(item, images.read_photo(item.path, upright=True))
    except DataError as error:
        return error


def _boxes_of(item: Photo | Address, boxes: Mapping[str, Floats]) -> Floats:
    paths = [item.path.as_posix(), item.path.name] if isinstance(item, Photo) else []
    for name in (item.image, *paths):
        if name in boxes:
            return boxes[name]
    raise DataError(item.label, "there are no boxes for it")


def _inside(boxes: Floats, image: Image) -> tuple[Floats, str | None]:
    """The boxes [F, 4] that share some of an image [H, W, 3], and what to tell of the others."""
    height, width = image.shape[:2]
    ends = np.array([width, height]) - 0.5  # pixel centres are whole numbers
    outside = ((boxes[:, 2:] <= -0.5) | (boxes[:, :2] >= ends)).any(axis=1)
    if not outside.any():
        return boxes, None
    numbers = ", ".join(f"box {number}" for number in np.flatnonzero(outside))
    return boxes[~outside], f"no face, for outside the {width} x {height} pixels: {numbers}"
