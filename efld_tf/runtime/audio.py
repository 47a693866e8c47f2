"""The audio of a video, copied into another one."""

from __future__ import annotations

from fractions import Fraction

import av
from av.error import FFmpegError


class AudioCopy:
    """Copies the audio of a file packet by packet into another one without decoding it.

    Attributes:
      trouble: why the audio was not copied to its end; None if it was.
    """

    def __init__(
        self, source: av.container.InputContainer, audio: av.AudioStream, zero: Fraction,
        output: av.container.OutputContainer,
    ):
        """Adds a stream to `output`, whose time 0 is `zero` on the clock of `source`.

        Raises:
          ValueError: the format of `output` cannot carry the codec.
        """  # fmt: skip
        assert audio.time_base is not None  # FFmpeg gives every stream one
        self.trouble: str | None = None
        self._output = output
        self._stream = output.add_stream_from_template(audio)
        self._shift = round(zero / audio.time_base)
        self._packets = source.demux(audio)
        self._next: av.Packet | None = None

    def copy_until(self, seconds: float | None) -> None:
        """Copies the packets that begin up to a time; None copies all that remain.

        Raises:
          OSError: the file cannot be written.
        """
        try:
            while packet := self._next or next(self._packets, None):
                if packet.dts is None:  # PyAV marks the end by such packets
                    continue
                time = float((packet.dts - self._shift) * packet.time_base)
                if seconds is not None and time > seconds:
                    self._next = packet
                    return
                packet.stream = self._stream
                packet.dts -= self._shift
                packet.pts = packet.dts if packet.pts is None else packet.pts - self._shift
                self._output.mux(packet)
                self._next = None
        except OSError:
            raise
        except FFmpegError as error:
            self.trouble = f"its audio is damaged and is not copied on ({error.strerror})"
            self._packets = iter(())
