"""Opens and decodes media files with FFmpeg (PyAV), for annotated frames and `runtime.video`.

Files may come from strangers: only ordinary containers are opened, none may refer to other files
or to the network, and the size of frames is bounded. What an address gives may be a playlist; it
may refer to the network, but not to files of this machine.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from av.error import FFmpegError
from av.sidedata.sidedata import Type as SideData
from av.stream import Disposition
from av.video.reformatter import Colorspace

from efld_tf.annotations import decoding, parsing
from efld_tf.errors import DataError
from efld_tf.urls import SCHEMES, UNTRUSTED, Url

# A file, or an address of `urls`.
Source = Path | Url

# FFmpeg's names of the containers of ordinary videos. Playlists, which name other files, and raw
# streams, which have no times, are not among them.
_FORMATS = "mov,matroska,webm,avi,mpegts,mpeg,flv,asf,ogg"

# FFmpeg's AVFMT_TS_DISCONT: the clocks of broadcasts, which start anywhere.
_CLOCK_STARTS_ANYWHERE = 0x0200

# For display matrices (a, b, c, d), whether to transpose, then cv2.flip's code. Some devices write
# 0s.
_TURNS = {
    (1, 0, 0, 1): (False, None), (-1, 0, 0, 1): (False, 1), (1, 0, 0, -1): (False, 0),
    (-1, 0, 0, -1): (False, -1), (0, 1, 1, 0): (True, None), (0, 1, -1, 0): (True, 1),
    (0, -1, 1, 0): (True, 0), (0, -1, -1, 0): (True, -1), (0, 0, 0, 0): (False, None),
}

# Each thread holds a frame of its own.
_MAX_THREADS = 4

# How long an address may take to answer, and a stream to go on: the segments of a live playlist
# come every ten seconds or so.
OPEN_SECONDS, READ_SECONDS = 10.0, 30.0

# A file that ends by more seconds before its stated end was cut short.
_EARLY_SECONDS = 0.5


@contextmanager
def opened(source: Source) -> Iterator[av.container.InputContainer]:
    """Opens a media file, or what an address gives.

    Raises:
      DataError: it cannot be read, or is not in a known format.
    """
    with _opened_address(source) if isinstance(source, Url) else _opened_file(source) as container:
        yield container


def _opened_file(path: Path) -> av.container.InputContainer:
    try:
        parsing.check_file(path)
        # `options` is not used: PyAV 16 hands them to every stream and crashes if one appears late.
        return av.open(
            f"file:{path}", metadata_errors="replace",
            container_options={"format_whitelist": _FORMATS, "protocol_whitelist": "file"},
        )
    except OSError as error:
        raise DataError(path, f"cannot be read: {error.strerror}") from error
    except FFmpegError as error:
        raise DataError(
            path, "not a video that can be read: damaged, cut short, or of another format"
        ) from error


def _opened_address(url: Url) -> av.container.InputContainer:
    scheme = SCHEMES[url.scheme]
    options = {
        "format_whitelist": ",".join([_FORMATS, *scheme.formats]),
        "protocol_whitelist": scheme.protocols,
        **scheme.options,
    }
    if url.scheme in ("http", "https", "rtsps"):  # HTTP may lead to HTTPS
        # FFmpeg checks no certificate by default. These are the ones that Python trusts.
        options |= {"tls_verify": "1"}
        if trusted := ssl.get_default_verify_paths().cafile:
            options |= {"ca_file": trusted}
    begin = time.monotonic()
    try:
        return av.open(url.full, metadata_errors="replace", container_options=options,
                       timeout=(OPEN_SECONDS, READ_SECONDS))
    except FFmpegError as error:
        late = time.monotonic() - begin >= OPEN_SECONDS  # whatever the error says
        reason = f"no answer within {OPEN_SECONDS:g} s" if late else _reason(url, error)
    raise DataError(str(url), reason)  # outside of the block: FFmpeg's errors hold the password


def _reason(url: Url, error: FFmpegError) -> str:
    """Why an address cannot be opened."""
    if isinstance(error, av.error.ProtocolNotFoundError):
        return f"the installed FFmpeg (PyAV) cannot open addresses of {url.scheme}"
    if isinstance(error, av.error.InvalidDataError):
        return "neither a photo nor a video that can be read: damaged, or of another format"
    if isinstance(error, av.error.HTTPClientError | av.error.HTTPServerError):
        return f"the server refuses it: {error.strerror}"
    try:
        socket.getaddrinfo(url.host or None, None)
    except OSError as unknown:
        return f"the host cannot be found: {unknown.strerror}"
    unverified = url.scheme in ("https", "rtsps") and error.errno == errno.EIO
    way_out = f", or its certificate is not trusted; {UNTRUSTED}" if unverified else ""
    return f"cannot be opened: {error.strerror}{way_out}"


def video_stream(source: Source, container: av.container.InputContainer) -> av.VideoStream:
    """The main video of a file, which is not the cover picture of a song.

    Raises:
      DataError: there is no video, its codec is unknown, or its frames are too large.
    """
    streams = [stream for stream in container.streams.video
               if not stream.disposition & Disposition.attached_pic]
    if not streams:
        raise DataError(str(source), "has no video")
    best = container.streams.best("video")
    stream = best if best in streams else streams[0]
    if stream.codec_context is None:
        raise DataError(str(source), "its video is of an unknown codec")
    width, height = stream.codec_context.width, stream.codec_context.height
    if width * height > decoding.MAX_PIXELS:
        raise DataError(str(source), f"frames of {width} x {height}; at most "
                        f"{decoding.MAX_PIXELS} pixels are read")
    # Frames may be larger than the header says.
    stream.codec_context.options = {"max_pixels": str(decoding.MAX_PIXELS)}
    # Whole frames are decoded in parallel: with parallel slices, damage to H.264 is not reported.
    stream.thread_type = "FRAME"
    stream.codec_context.thread_count = min(os.cpu_count() or 1, _MAX_THREADS)
    return stream


def start(container: av.container.InputContainer, stream: av.VideoStream) -> Fraction:
    """The time in seconds on the container's clock that counts as 0."""
    if not container.format.flags & _CLOCK_STARTS_ANYWHERE:
        return Fraction(0)
    streams = [stream, container.streams.best("audio")]
    return min((s.start_time * s.time_base for s in streams if s is not None
                and s.start_time is not None and s.time_base is not None), default=Fraction(0))


@dataclass
class Damage:
    """Collects the damage of a video while it is decoded.

    Attributes:
      packets: number of packets that cannot be read or decoded.
      frames: number of frames that were decoded in part.
      times: number of frames without a time, or not later than the one before.
      end: when the last packet of any stream ends, in seconds.
      others: texts about other damage.
    """

    packets: int = 0
    frames: int = 0
    times: int = 0
    end: float = 0.0
    others: list[str] = field(default_factory=list)

    def see(self, packet: av.Packet) -> None:
        """Records the end of a packet."""
        time = packet.pts if packet.pts is not None else packet.dts
        if time is not None:
            self.end = max(self.end, float((time + (packet.duration or 0)) * packet.time_base))

    def check_end(self, container: av.container.InputContainer) -> None:
        """Compares the end of the last packet with the container's duration."""
        missing = (container.duration or 0) / av.time_base - self.end
        if missing > _EARLY_SECONDS:
            self.others.append(f"it ends {missing:.1f} s early")

    def __str__(self) -> str:
        """All damage in one line; empty if there is none."""
        counts = {
            "packets that cannot be decoded": self.packets,
            "frames decoded in part": self.frames,
            "frames without a time of their own": self.times,
        }
        return "; ".join([*(f"{label}: {n}" for label, n in counts.items() if n), *self.others])


def decoded(
    container: av.container.InputContainer, stream: av.VideoStream, damage: Damage
) -> Iterator[av.VideoFrame]:
    """Yields the frames of a stream, as far as they can be decoded."""
    # The None at the end makes the decoder return the frames that it still holds.
    for packet in chain(_packets(container, damage), [None]):
        if packet is not None:
            damage.see(packet)
            if packet.stream is not stream:
                continue
            if packet.is_corrupt:
                damage.packets += 1
                continue
        try:
            frames = stream.decode(packet)
        except FFmpegError:
            damage.packets += 1
            continue
        for frame in frames:
            damage.frames += frame.is_corrupt
            yield frame


def _packets(
    container: av.container.InputContainer, damage: Damage
) -> Iterator[av.Packet]:
    """The packets of all streams."""
    try:
        for packet in container.demux():
            if packet.size:  # PyAV marks the end by packets of no size
                yield packet
    except IndexError:
        pass  # PyAV 16 raises this at the end of a file in which another stream appeared late
    except FFmpegError as error:
        late = isinstance(error, av.error.ExitError)
        reason = f"nothing came for {READ_SECONDS:g} s" if late else error.strerror
        damage.others.append(f"it cannot be read on: {reason}")


def upright_rgb(source: Source, frame: av.VideoFrame) -> np.ndarray:
    """A frame as [H, W, 3] uint8 RGB, turned as its display matrix says.

    Raises:
      DataError: the matrix is not one of quarter turns and mirrors.
    """
    image = frame.to_ndarray(
        format="rgb24", dst_colorspace=Colorspace.DEFAULT, src_color_range=frame.color_range)
    side_data: Any = frame.side_data  # of PyAV's own type, whatever its stubs say
    for data in side_data:
        if data.type == SideData.DISPLAYMATRIX:
            return _turned(source, image, bytes(data))
    return image


def _turned(source: Source, image: np.ndarray, matrix: bytes) -> np.ndarray:
    """Applies a display matrix: x' = a x + c y, y' = b x + d y (libavutil/display.h)."""
    a, b, _, c, d = struct.unpack("=9i", matrix)[:5]
    scale = max(map(abs, (a, b, c, d))) or 1
    turn = tuple(round(value / scale, 2) for value in (a, b, c, d))
    if turn not in _TURNS:
        raise DataError(
            str(source), f"its display matrix {turn} is not one of quarter turns and mirrors")
    transpose, flip = _TURNS[turn]
    if transpose:
        image = cv2.transpose(image)
    return image if flip is None else cv2.flip(image, flip)
