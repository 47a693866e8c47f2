"""Reads the frames of cameras as they come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Protocol

import cv2

from efld_tf.arrays import Image
from efld_tf.errors import EfldError
from efld_tf.quiet import silenced_stderr
from efld_tf.runtime.video import Frame
from efld_tf.text import counted


class Capture(Protocol):
    """The part of `cv2.VideoCapture` that a camera needs."""

    def isOpened(self) -> bool: ...
    def get(self, propId: int) -> float: ...
    def read(self) -> tuple[bool, Image | None]: ...
    def release(self) -> None: ...


class Camera:
    """Yields the frames of a camera as they come, timed by a monotonic clock; the first is at 0.

    Iterate it once, and close it or use it in a `with` block. Its frames do not end by themselves.

    Attributes:
      width, height: the size of the frames in pixels.
      frame_count, duration: None, as for a video whose container does not tell.
      average_rate: frames a second as the camera tells it; None if it does not.
    """

    frame_count: int | None = None
    duration: float | None = None

    def __init__(
        self, device: int | str, on_damage: Callable[[EfldError], None] | None = None, *,
        capture: Capture | None = None, clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Opens a camera.

        Args:
          device: its number from 0 on, or its path, e.g. `/dev/video0`.
          on_damage: called with the error when the camera is lost, which ends the frames; without
            it the error is raised.
          capture: what to read from instead of the device.
          clock: a monotonic clock in seconds.

        Raises:
          EfldError: there is no such camera, or it gives no picture.
        """  # fmt: skip
        self._name = f"camera {device}"
        self._on_damage = on_damage
        self._clock = clock
        self._capture = _capture(device) if capture is None else capture
        image = self._read() if self._capture.isOpened() else None
        if image is None:
            self.close()
            raise EfldError(f"{self._name}: there is none, or it is in use or gives no picture")
        self.height, self.width = image.shape[:2]
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.average_rate = Fraction(rate).limit_denominator(1001) if 0 < rate < 1e4 else None

    def __iter__(self) -> Iterator[Frame]:
        """Reads frame after frame.

        Raises:
          EfldError: the camera is lost.
        """
        begin, seconds = None, 0.0
        for index in count():
            image = self._read()
            if image is None:
                break
            now = self._clock()
            begin = now if begin is None else begin
            # Frames from the driver's buffer may come within one tick of the clock.
            seconds = max(now - begin, seconds + 0.001) if index else 0.0
            yield Frame(image, index, seconds)
        error = EfldError(f"{self._name}: lost after {counted(index, 'frame')}")
        if self._on_damage is None:
            raise error
        self._on_damage(error)

    def _read(self) -> Image | None:
        success, image = self._capture.read()
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if success and image is not None else None

    def close(self) -> None:
        """Lets go of the device."""
        self._capture.release()

    def __enter__(self) -> Camera:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _capture(device: int | str) -> Capture:
    """Opens a device. A path is checked first, since OpenCV would also open files and addresses."""
    if isinstance(device, str) and not Path(device).is_char_device():
        raise EfldError(f"camera {device}: no such device")
    with silenced_stderr():  # OpenCV warns of every backend that it tried
        return cv2.VideoCapture(device)
