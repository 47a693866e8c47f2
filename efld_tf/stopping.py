"""Signals that ask a command to stop; all of them act like Ctrl-C, so that files are finished."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# Ctrl-C, `kill` and service managers, a closed terminal, Ctrl-\.
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
# What a terminal sends to all processes that it started.
OF_TERMINAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Stopped(KeyboardInterrupt):
    """Somebody asked the command to stop.

    Attributes:
      signal: by which of `SIGNALS`.
    """

    def __init__(self, number: int):
        self.signal = signal.Signals(number)
        super().__init__(self.signal.name)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped(number)


@contextlib.contextmanager
def raised() -> Iterator[None]:
    """Raises `Stopped` in the main thread when a signal comes during the block.

    Signals that are ignored, as under `nohup`, stay so. In other threads nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in SIGNALS}
    ours = [number for number in SIGNALS if before[number] not in (signal.SIG_IGN, None)]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


class Held:
    """Signals that came while they were held back.

    Attributes:
      signals: their numbers, in order.
    """

    def __init__(self) -> None:
        self.signals: list[int] = []


@contextlib.contextmanager
def held_back() -> Iterator[Held]:
    """Holds signals back that would raise an exception, until the end of the block.

    In other threads than the main one, which hear no signals, nothing changes.
    """
    held = Held()
    if threading.current_thread() is not threading.main_thread():
        yield held
        return
    handlers = {number: handler for number in SIGNALS
                if callable(handler := signal.getsignal(number))}
    for number in handlers:
        signal.signal(number, lambda number, _: held.signals.append(number))
    try:
        yield held
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if held.signals:
            handlers[signal.Signals(held.signals[0])](held.signals[0], None)
