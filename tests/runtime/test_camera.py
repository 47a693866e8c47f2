"""Cameras: frames and times, one that is lost, one that is not there."""

from __future__ import annotations

import numpy as np
import pytest

from efld_tf.errors import EfldError
from efld_tf.runtime.camera import Camera
from tests.errors import assert_refusal, refuses


class FakeCapture:
    """A camera of four blue frames."""

    def __init__(self, count: int = 4):
        self.left, self.released = count, False

    def isOpened(self) -> bool:
        return self.left > 0

    def get(self, propId: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, np.ndarray | None]:
        if not self.left:
            return False, None
        self.left -= 1
        image = np.zeros((48, 64, 3), np.uint8)
        image[..., 0] = 200 + self.left
        return True, image

    def release(self) -> None:
        self.released = True


def test_frames_of_a_camera() -> None:
    times = iter([100.0, 100.04, 100.04])
    capture = FakeCapture()
    told: list[EfldError] = []
    with Camera(0, told.append, capture=capture, clock=lambda: next(times)) as camera:
        assert (camera.width, camera.height, camera.average_rate) == (64, 48, 30)
        found = list(camera)
    assert capture.released
    assert [frame.index for frame in found] == [0, 1, 2]  # one was looked at before
    seconds = [frame.seconds for frame in found]
    assert seconds[0] == 0 and seconds[1] == pytest.approx(0.04)
    assert seconds[2] == pytest.approx(0.041)  # frames of one tick of the clock are set apart
    np.testing.assert_array_equal(found[0].image[0, 0], [0, 0, 202])
    (error,) = told
    assert_refusal(error, "camera 0", "3 frames")


def test_a_camera_that_is_lost_is_an_error() -> None:
    iterator = iter(Camera(1, capture=FakeCapture(2)))
    assert next(iterator).index == 0
    with refuses("camera 1", "1 frame"):
        next(iterator)


@pytest.mark.parametrize("device", [97, "/dev/video97", "clip.mp4", "http://127.0.0.1/"])
def test_no_camera_is_one_line(device: int | str, capfd: pytest.CaptureFixture) -> None:
    with refuses(f"camera {device}"):
        Camera(device)
    assert capfd.readouterr().err == ""
    capture = FakeCapture(0)
    with refuses(f"camera {device}", "none"):
        Camera(device, capture=capture)
    assert capture.released
