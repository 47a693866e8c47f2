"""A window that shows pictures while they are made. Only the main thread may use it."""

from __future__ import annotations

import os
import subprocess
import sys

import cv2

from efld_tf.arrays import Image
from efld_tf.errors import EfldError

# The largest picture; it fits on any screen of today.
WIDTH, HEIGHT = 1280, 720

_END = (ord("q"), 27)  # Esc
_WAIT_MS = 50


class Window:
    """A window, which is closed by `close` or by the user."""

    def __init__(self, title: str):
        """Makes sure that a window can be opened; it opens with the first picture.

        Raises:
          EfldError: there is no display, or OpenCV was built without windows.
        """
        self._title = title
        self._open = False
        _check()

    def show(self, image: Image, seconds: float | None = None) -> bool:
        """Shows a picture [H, W, 3] uint8 RGB.

        Args:
          seconds: how long to wait for a key; None to wait forever.

        Returns:
          Whether to go on: False for the keys q and Esc, and if the window was closed.
        """
        if not self._open:
            cv2.namedWindow(self._title, cv2.WINDOW_AUTOSIZE | cv2.WINDOW_GUI_NORMAL)
            self._open = True
        cv2.imshow(self._title, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        if seconds is not None:
            return self._go_on(cv2.waitKey(max(1, round(1000 * seconds))))
        while (key := cv2.waitKey(_WAIT_MS)) < 0:  # Ctrl-C is handled in between
            if not self._go_on(key):
                return False
        return self._go_on(key)

    def _go_on(self, key: int) -> bool:
        closed = cv2.getWindowProperty(self._title, cv2.WND_PROP_VISIBLE) < 1
        return not closed and (key < 0 or key & 0xFF not in _END)

    def close(self) -> None:
        """Closes the window."""
        if self._open:
            cv2.destroyAllWindows()
            self._open = False


def _check() -> None:
    """Tries a window in another process, since Qt ends the process if there can be no window."""
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        raise EfldError("--show: there is no display here")
    code = "import cv2; cv2.namedWindow('efld'); cv2.waitKey(1)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    if b"not implemented" in process.stderr:
        raise EfldError("--show: this OpenCV was built without windows (opencv-python-headless?)")
    if process.returncode:
        raise EfldError("--show: no window can be opened on this display")
