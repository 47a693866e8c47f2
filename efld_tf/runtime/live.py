"""Reads the frames of live streams as they come from a network."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from queue import Empty, Full, Queue

import av

from efld_tf.annotations import media
from efld_tf.errors import DataError
from efld_tf.runtime.video import Frame
from efld_tf.text import counted
from efld_tf.urls import SCHEMES, Url

# How often a waiting thread checks whether it is to end, in seconds.
_TICK = 0.05
# Frames that wait to be taken.
_AHEAD = 2
# FFmpeg's name of motion JPEG over HTTP, whose frames have no time: it counts 25 a second.
_WITHOUT_TIMES = "mpjpeg"
# The seconds between two frames, where the stream does not tell, or tells that none have passed.
_LEAST = 0.001


class LiveStream:
    """Yields the frames of a live stream as they come, like `camera.Camera`; the first is at 0.

    Iterate it once, and close it or use it in a `with` block. Times are the stream's own, and those
    of a clock where it has none; they always increase. The stream is read by a thread of its own,
    which may have to wait for the network, so that others need not: `close` ends the frames at
    once.

    Attributes:
      width, height: the size of the frames in pixels.
      frame_count, duration: None, as for a video whose container does not tell.
    """

    frame_count: int | None = None
    duration: float | None = None

    def __init__(self, url: Url, on_damage: Callable[[DataError], None] | None = None) -> None:
        """Opens a stream and waits for its first frame.

        Args:
          on_damage: called with the error when the stream is lost, or at its end if frames of it
            were damaged; without it the error is raised after the last frame.

        Raises:
          DataError: it cannot be opened, has no video, or none of its frames can be decoded.
        """
        self._url, self._on_damage = url, on_damage
        self._closed = threading.Event()
        self._items: Queue[Frame | BaseException | None] = Queue(_AHEAD)
        threading.Thread(target=self._read, daemon=True).start()
        try:
            first = self._next()
            if isinstance(first, BaseException):
                raise first
            if first is None:
                raise DataError(str(url), "has no frame that can be decoded")
        except BaseException:
            self.close()
            raise
        self._first = first
        self.height, self.width = first.image.shape[:2]

    def __iter__(self) -> Iterator[Frame]:
        """Yields frame after frame.

        Raises:
          DataError: the stream is lost or was damaged.
        """
        item: Frame | BaseException | None = self._first
        while isinstance(item, Frame):
            yield item
            item = self._next()
        if isinstance(item, DataError) and self._on_damage is not None:
            self._on_damage(item)
        elif item is not None:
            raise item

    def close(self) -> None:
        """Ends the frames; the connection is closed as soon as the network lets go of it."""
        self._closed.set()

    def __enter__(self) -> LiveStream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _next(self) -> Frame | BaseException | None:
        """The next frame, or the error with which they end; None at their end."""
        while not self._closed.is_set():
            with suppress(Empty):
                return self._items.get(timeout=_TICK)
        return None

    def _put(self, item: Frame | BaseException | None) -> bool:
        """Hands something over; False if nobody wants it any more."""
        while not self._closed.is_set():
            with suppress(Full):
                self._items.put(item, timeout=_TICK)
                return True
        return False

    def _read(self) -> None:
        """Reads the stream in a thread of its own; what it raises is raised by the iteration."""
        try:
            with media.opened(self._url) as container:
                self._put(self._frames(container))
        except BaseException as error:  # whatever it is, it is raised again by the iteration
            self._put(error)

    def _frames(self, container: av.container.InputContainer) -> DataError | None:
        """Hands over the frames of a stream; returns what was wrong with it, at its end."""
        stream = media.video_stream(self._url, container)
        stream.codec_context.thread_count = 1  # every further thread would hold a frame back
        timed = container.format.name != _WITHOUT_TIMES
        clock = _Clock(float(stream.time_base) if timed and stream.time_base else None)
        damage = media.Damage()
        count, shape = 0, None
        for decoded in media.decoded(container, stream, damage):
            if not count:  # what cannot be decoded before belongs to a picture from earlier
                damage.packets = damage.frames = 0
            image = media.upright_rgb(self._url, decoded)
            if shape not in (None, image.shape):
                damage.others.append(f"the size changes to {image.shape[1]} x {image.shape[0]}")
                break
            if not self._put(Frame(image, count, clock.seconds(decoded))):
                return None
            count, shape = count + 1, image.shape
        if not count:
            return None
        if SCHEMES[self._url.scheme].live and not damage.others:
            damage.others.append("nothing more comes")
        if not str(damage):
            return None
        return DataError(str(self._url), f"ended after {counted(count, 'frame')}: {damage}")


class _Clock:
    """Times of frames, of which the first is at 0 and each is later than the one before."""

    def __init__(self, unit: float | None):
        """Takes the stream's own times, of that unit in seconds; a monotonic clock's without."""
        self._unit = unit
        self._zero: float | None = None
        self._last = -_LEAST

    def seconds(self, frame: av.VideoFrame) -> float:
        """The time of the next frame."""
        now = self._now(frame)
        if now is None:
            self._last += _LEAST
            return self._last
        # Where a stream's times begin anew, they go on from the last one.
        if self._zero is None or now - self._zero <= self._last:
            self._zero = now - self._last - _LEAST
        self._last = now - self._zero
        return self._last

    def _now(self, frame: av.VideoFrame) -> float | None:
        if self._unit is None:
            return time.monotonic()
        ticks = frame.pts if frame.pts is not None else frame.dts
        return None if ticks is None else ticks * self._unit
