"""Reads a face's image: a photo, a frame of a video, or an image inside another file."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from efld_tf import hdf5
from efld_tf.annotations import decoding, matlab, parsing
from efld_tf.annotations.record import FaceRecord
from efld_tf.errors import DataError

if TYPE_CHECKING:
    import av

VIDEO_SUFFIXES = (".avi", ".mp4", ".mov", ".mkv", ".webm")

# The limit for images and frames in other files is that for photos.
MAX_PIXELS = decoding.MAX_PIXELS

# The largest file of a single image, and the most images in a file of many.
MAX_IMAGE_BYTES = 1 << 28
MAX_IMAGES = 1 << 20


class Container(Protocol):
    """An open file that holds several images."""

    def read(self, frame: int) -> np.ndarray:
        """Image `frame` as [H, W, 3] uint8 RGB; raises DataError."""


def read_photo(path: Path, upright: bool = False) -> np.ndarray:
    """A photo as [H, W, 3] uint8 RGB.

    Args:
      upright: whether to turn it as its EXIF orientation says. Most annotations are for the pixels
        as they lie in the file, since the usual annotation tools ignore EXIF.

    Raises:
      DataError: the file cannot be read, or cannot be decoded as a whole (see `decoding.decode`).
    """
    return decoding.decode(parsing.read_bytes(path, MAX_IMAGE_BYTES), path, upright)


def orientation(path: Path) -> int:
    """The EXIF orientation by which `read_photo(upright=True)` turns a photo, 1 to 8; 1 is none.

    Raises:
      DataError: the file cannot be read.
    """
    return decoding.orientation(parsing.read_bytes(path, MAX_IMAGE_BYTES), path)


class ImageReader:
    """Reads the images of records one after the other.

    A photo is decoded once for faces that follow each other, and a video is decoded forwards, so
    that records should come in the order of the source.
    """

    def __init__(self) -> None:
        self._path: Path | None = None
        self._image_key: tuple[int | None, bool] = (None, False)
        self._container: Container | None = None
        self._image: np.ndarray | None = None

    def read(self, record: FaceRecord) -> np.ndarray:
        """The record's image as [H, W, 3] uint8 RGB; do not change it.

        Raises:
          DataError: the file or the image in it cannot be read.
        """
        same_file = record.image == self._path
        image_key = (record.frame, bool(record.upright))
        if same_file and image_key == self._image_key and self._image is not None:
            return self._image
        self._image = None
        if not same_file:
            self._container = None
        self._path, self._image_key = record.image, image_key
        if record.frame is None:
            self._image = read_photo(record.image, bool(record.upright))
        else:
            if self._container is None:
                self._container = open_container(record.image)
            self._image = self._container.read(record.frame)
        return self._image


def read_image(record: FaceRecord) -> np.ndarray:
    """One record's image as [H, W, 3] uint8 RGB; for several, an `ImageReader` is faster.

    Raises:
      DataError: the file or the image in it cannot be read.
    """
    return ImageReader().read(record)


def open_container(path: Path) -> Container:
    """Opens a file that holds several images, by its suffix.

    Raises:
      DataError: the file cannot be read, or does not have the suffix of such a file.
    """
    suffix = path.suffix.lower()
    if suffix in VIDEO_SUFFIXES:
        return Video(path)
    if suffix not in _CONTAINERS:
        suffixes = ", ".join([*VIDEO_SUFFIXES, *_CONTAINERS])
        raise DataError(path, f"expected a file that holds images ({suffixes})")
    return _CONTAINERS[suffix](path)


class Video:
    """The upright frames of a video, counted from 0 while decoding, as in `VideoReader`."""

    def __init__(self, path: Path):
        from efld_tf.annotations import media  # which imports PyAV; photos do not need it

        self._media, self._path = media, path
        self._frames, self._next = self._decoded(), 0

    def _decoded(self) -> Iterator[av.VideoFrame]:
        with self._media.opened(self._path) as container:
            stream = self._media.video_stream(self._path, container)
            yield from self._media.decoded(container, stream, self._media.Damage())

    def read(self, frame: int) -> np.ndarray:
        """Decodes on from the last frame to frame `frame`; going back starts anew.

        Seeking by number would be off by some frames in videos without an index.
        """
        if frame < self._next:
            self._frames, self._next = self._decoded(), 0
        for decoded in self._frames:
            self._next += 1
            if self._next > frame:
                return self._media.upright_rgb(self._path, decoded)
        raise DataError(self._path, f"the video ends before frame {frame}")


class CofwImages:
    """The images in a COFW `.mat` file (MATLAB 7.3, which is HDF5): cells `IsTr` or `IsT`."""

    CELLS = ("IsTr", "IsT")

    def __init__(self, path: Path):
        self._path = path
        self._file = matlab.open_hdf5(path)
        try:
            cells = next(name for name in self.CELLS if name in self._file)
            self._cells = matlab.read_hdf5(self._file, cells, "O", MAX_IMAGES).ravel()
        except (*hdf5.ERRORS, StopIteration) as error:
            raise DataError(path, "not a MATLAB 7.3 file with the cells IsTr or IsT") from error

    def read(self, frame: int) -> np.ndarray:
        """Image `frame` of the cell array, counted from 0; grey ones become RGB."""
        try:
            image = matlab.read_hdf5(self._file, self._cells[frame], "u", MAX_PIXELS * 3)
            if image.dtype != np.uint8 or not (image.ndim == 2 or image.shape[2:] == (3,)):
                raise ValueError(f"of shape {image.shape}, {image.dtype}")
        except hdf5.ERRORS as error:
            reason = parsing.shorten(str(error), 200)
            raise DataError(self._path, f"image {frame} cannot be read: {reason}") from error
        if image.ndim == 2:
            return np.repeat(image[..., None], 3, axis=-1)
        return np.ascontiguousarray(image)


class CsvPixels:
    """Square grey images written as numbers in the last column of a CSV file (Kaggle's).

    A frame is the byte offset of its line.
    """

    MAX_LINE_BYTES = 1 << 17

    def __init__(self, path: Path):
        self._path = path
        try:
            self._file = open(path, "rb")  # noqa: SIM115 - open as long as the container is used
        except OSError as error:
            raise DataError(path, f"cannot be read: {error.strerror}") from error

    def read(self, frame: int) -> np.ndarray:
        """The image in the line that starts at byte `frame`."""
        self._file.seek(frame)
        line = self._file.readline(self.MAX_LINE_BYTES)
        words = re.split(rb"\s+", line.rpartition(b",")[2].strip())
        side = round(len(words) ** 0.5)
        if side * side != len(words) or not all(word.isdigit() for word in words):
            raise DataError(self._path, "expected the grey values of a square image at the line's "
                            f"end, got {len(words)} words (line at byte {frame})")
        values = np.array([int(word[:4]) for word in words])
        if values.max() > 255:
            raise DataError(self._path, f"a grey value above 255 (line at byte {frame})")
        return np.repeat(values.astype(np.uint8).reshape(side, side, 1), 3, axis=-1)


_CONTAINERS: dict[str, Callable[[Path], Container]] = {".mat": CofwImages, ".csv": CsvPixels}
