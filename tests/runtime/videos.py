"""Small videos for tests, made by FFmpeg, whose frames can be told apart."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.stream import Disposition

AUDIO_RATE = 48000
# Containers and a codec that each can have.
CODECS = {"mkv": "libx264", "mov": "libx264", "webm": "libvpx", "avi": "mpeg4", "flv": "libx264",
          "ts": "libx264", "mpg": "mpeg2video"}


def picture(index: int, width: int = 96, height: int = 64) -> np.ndarray:
    """Frame `index`: its number as the grey level of the right half; a white corner, top left."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[:, width // 2 :] = 60 + 5 * (index % 36)
    image[: height // 4, : width // 4] = 255
    return image


def number(image: np.ndarray) -> int:
    """Which picture it is, of the first 36."""
    height, width = image.shape[:2]
    grey = image[height // 4 : -height // 4, 5 * width // 8 : 7 * width // 8].mean()
    return round((float(grey) - 60) / 5)


def make(
    path: Path,
    ticks: Sequence[int] = tuple(range(30)),
    unit: Fraction = Fraction(1, 30),
    *,
    size: tuple[int, int] = (96, 64),
    codec: str = "libx264",
    audio: str | None = None,
    noise: float = 0.0,
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    """Writes a video of `picture`s that are shown at `ticks` * `unit` seconds.

    Args:
      size: width and height.
      audio: the codec of a tone of the same length; None for no audio.
      noise: standard deviation of grey levels, for files of more bytes.
      options: of the container.
    """
    random = np.random.default_rng(0)
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=30, width=size[0], height=size[1],
                                      pix_fmt="yuv420p", bit_rate=4_000_000,
                                      options={"g": "10", "bf": "2"})
        stream.codec_context.time_base = unit
        tone = container.add_stream(audio, rate=AUDIO_RATE) if audio else None
        if tone is not None:
            for packet in _tone(tone, float((ticks[-1] + 1) * unit)):
                container.mux(packet)
        for index, tick in enumerate(ticks):
            image = picture(index, *size) + random.normal(0, noise, (size[1], size[0], 3))
            frame = av.VideoFrame.from_ndarray(np.clip(image, 0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = tick, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def sound(path: Path, cover: bool = False) -> Path:
    """A file of audio only, or with the picture of a cover."""
    with av.open(str(path), "w") as container:
        tone = container.add_stream("aac", rate=AUDIO_RATE)
        if cover:
            stream = container.add_stream("mjpeg", width=96, height=64, pix_fmt="yuvj420p")
            stream.disposition = Disposition.attached_pic.value
        container.mux(_tone(tone, 0.5))
        if cover:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(0), "rgb24")))
            container.mux(stream.encode(None))
    return path


def turned(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """Writes a display matrix (a, b, c, d) into an MP4 file of one track."""
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40  # behind version, times, number, layer and volume
    a, b, c, d = (value * (1 << 16) for value in matrix)
    upright = (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    assert struct.unpack_from(">9i", content, place) == upright
    struct.pack_into(">9i", content, place, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    return path


def _tone(stream: av.AudioStream, seconds: float) -> list[av.Packet]:
    packets, size = [], 1024
    for start in range(0, int(seconds * AUDIO_RATE), size):
        time = np.arange(start, start + size) / AUDIO_RATE
        samples = (8000 * np.sin(2000 * time + 500 * time**2)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(samples.repeat(2)[None], "s16", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = AUDIO_RATE, start, Fraction(1, AUDIO_RATE)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def audio_packets(path: Path) -> list[tuple[Fraction, bytes]]:
    """Times and bytes of the audio's packets."""
    with av.open(str(path)) as container:
        return [(packet.pts * packet.time_base, bytes(packet))
                for packet in container.demux(audio=0) if packet.size]
