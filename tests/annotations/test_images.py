from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from efld_tf.annotations import images
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError
from tests.annotations.writers import write_cofw
from tests.errors import refuses


def _record(path: Path, frame: int | None = None, upright: bool = False) -> FaceRecord:
    return FaceRecord(path, np.zeros((5, 2), np.float32), "mtfl5", frame=frame, upright=upright)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """Eight frames, of which frame K is grey with the value 30 K."""
    path = tmp_path / "vid.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (64, 48))
    for index in range(8):
        writer.write(np.full((48, 64, 3), 30 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def cofw(tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    cells = [rng.integers(0, 256, s).astype(np.uint8) for s in [(6, 5, 3), (4, 7), (5, 9, 3)]]
    return write_cofw(
        tmp_path / "COFW_train_color.mat", cells, np.ones((3, 87)), np.ones((3, 4))
    ), cells


def test_a_photo_is_rgb(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), image[..., ::-1])
    found = images.read_image(_record(tmp_path / "a.png"))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, image)


def test_a_real_photo_and_its_truncations(shared_data: Path, tmp_path: Path) -> None:
    photo = shared_data / "aflw2000" / "image00050.jpg"
    assert images.read_photo(photo).shape == (450, 450, 3)
    content = photo.read_bytes()
    path = tmp_path / "a.jpg"
    for length, reason in ((0, "empty"), (1, "neither"), (10, "truncated"), (100, "truncated")):
        path.write_bytes(content[:length])
        with refuses(reason, path=path):
            images.read_photo(path)


def test_a_photo_that_claims_too_many_pixels_is_refused_unread(tmp_path: Path) -> None:
    """400 million pixels in a file of 50 kB would take 2.4 GB."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    rows = zlib.compress(bytes(20_001 * 20_000 // 8), 9)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in chunks
    ))
    # In a process of its own: OpenCV looks at its limit when it is loaded.
    code = (
        "import sys; from efld_tf.annotations import images; from pathlib import Path\n"
        "from efld_tf.errors import DataError\n"
        "try:\n    images.read_photo(Path(sys.argv[1]))\n"
        "except DataError as error:\n    print(error.reason)\n"
        "print(open('/proc/self/status').read().partition('VmHWM:')[2].split()[0])"
    )
    out = subprocess.run([sys.executable, "-c", code, str(tmp_path / "bomb.png")],
                         capture_output=True, text=True, check=True).stdout
    reason, peak_kb = out.splitlines()
    assert "too large" in reason
    assert int(peak_kb) < 300_000


def test_photos_that_cannot_be_read(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "missing.jpg", "No such file"), (tmp_path, "directory")):
        with refuses("read", reason, path=path):
            images.read_photo(path)
    path = tmp_path / "large.jpg"
    path.touch()
    os.truncate(path, 1 << 34)  # sparse
    with refuses("bytes", 268435456, 1 << 34, path=path):
        images.read_photo(path)


def test_a_video_forwards_and_backwards(video: Path) -> None:
    reader = images.ImageReader()
    for frame in (0, 1, 4, 4, 7, 2, 0, 6):
        image = reader.read(_record(video, frame))
        assert image.shape == (48, 64, 3)
        assert abs(float(image.mean()) - 30 * frame) < 3, frame


def test_a_video_is_rgb(tmp_path: Path) -> None:
    path = tmp_path / "red.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
    writer.write(np.full((32, 32, 3), (0, 0, 255), np.uint8))
    writer.release()
    red, green, blue = images.read_image(_record(path, 0)).reshape(-1, 3).mean(axis=0)
    assert red > 240 and green < 15 and blue < 15


def test_frames_behind_the_end_of_a_video(video: Path) -> None:
    reader = images.ImageReader()
    for frame in (8, 20):
        with refuses(f"frame {frame}", path=video):
            reader.read(_record(video, frame))
    assert abs(float(reader.read(_record(video, 3)).mean()) - 90) < 3  # goes on behind the error


def test_damaged_videos(video: Path, tmp_path: Path) -> None:
    content = video.read_bytes()
    path = tmp_path / "cut.avi"
    for length in range(0, len(content), len(content) // 20):
        path.write_bytes(content[:length])
        try:
            assert images.read_image(_record(path, 0)).shape == (48, 64, 3)
        except DataError as error:
            assert error.path == path
    path.write_bytes(b"no video")
    for name, reason in (("cut.avi", "damaged"), ("missing.avi", "No such file")):
        with refuses("read", reason, path=tmp_path / name):
            images.read_image(_record(tmp_path / name, 0))


def test_cofw_cells_in_colour_and_grey(cofw: tuple[Path, list[np.ndarray]]) -> None:
    path, cells = cofw
    reader = images.ImageReader()
    for frame in (0, 1, 2, 0):
        cell = cells[frame]
        expected = cell if cell.ndim == 3 else np.repeat(cell[..., None], 3, axis=-1)
        np.testing.assert_array_equal(reader.read(_record(path, frame)), expected)
    with refuses("image 3", "read", path=path):
        reader.read(_record(path, 3))


def test_cofw_files_of_something_else(
    cofw: tuple[Path, list[np.ndarray]], tmp_path: Path
) -> None:
    path, _ = cofw
    bad = write_cofw(
        tmp_path / "COFW_test_color.mat",
        [np.zeros((4, 5, 4), np.uint8), np.zeros((4, 5, 3)), np.zeros(4, np.uint8)],
        np.ones((3, 87)), np.ones((3, 4)),
    )  # fmt: skip
    for frame, shape in enumerate(((4, 5, 4), (3, 5, 4), (4,))):
        with refuses(f"image {frame}", f"shape {shape}", path=bad):
            images.read_image(_record(bad, frame))
    content = path.read_bytes()
    for length in (0, 100, len(content) // 2):
        (tmp_path / "cut.mat").write_bytes(content[:length])
        with refuses("MATLAB 7.3", path=tmp_path / "cut.mat"):
            images.read_image(_record(tmp_path / "cut.mat", 0))


def test_grey_values_in_a_csv_file(tmp_path: Path) -> None:
    path = tmp_path / "training.csv"
    image = np.arange(16).reshape(4, 4)
    first = "left_eye_x,Image\n"
    line = "1.5," + " ".join(map(str, image.ravel())) + "\n"
    path.write_text(first + line + "2,1 2 3\n2,1 2 3 256\n2,1 2 3 x\n2,")
    reader = images.ImageReader()
    start = len(first)
    found = reader.read(_record(path, start))
    np.testing.assert_array_equal(found, np.repeat(image[..., None], 3, axis=-1))
    start += len(line)
    for bad, fact in (
        ("2,1 2 3\n", "3 words"),
        ("2,1 2 3 256\n", "above 255"),
        ("2,1 2 3 x\n", "4 words"),
        ("2,", "1 words"),
        ("", "1 words"),  # behind the end of the file
    ):
        with refuses("grey", fact, f"byte {start}", path=path):
            reader.read(_record(path, start))
        start += len(bad)


def test_other_files_hold_no_images(tmp_path: Path) -> None:
    with refuses("images", ".avi", ".mat", ".csv", path=tmp_path / "a.txt"):
        images.read_image(_record(tmp_path / "a.txt", 0))
    with refuses("read", "No such file", path=tmp_path / "a.csv"):
        images.read_image(_record(tmp_path / "a.csv", 0))


def test_a_photo_is_decoded_once_for_its_faces(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), np.zeros((4, 4, 3), np.uint8))
    reader = images.ImageReader()
    first = reader.read(_record(tmp_path / "a.png"))
    assert reader.read(_record(tmp_path / "a.png")) is first
    reader.read(_record(tmp_path / "b.png"))
    assert reader.read(_record(tmp_path / "a.png")) is not first


def test_a_record_says_whether_its_photo_is_turned(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.png", Image.Exif()
    exif[0x0112] = 6  # to be seen turned by a quarter, clockwise
    image = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    Image.fromarray(image).save(path, exif=exif)
    reader = images.ImageReader()
    for upright in (False, True, True, False):
        found = reader.read(_record(path, upright=upright))
        np.testing.assert_array_equal(found, np.rot90(image, -1) if upright else image)
    np.testing.assert_array_equal(images.read_photo(path, upright=True), np.rot90(image, -1))
