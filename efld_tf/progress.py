"""Shows on stderr how far long work is: a bar at a terminal, else a plain line now and then."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, TypeVar

from efld_tf import stopping
from efld_tf.text import shown as shown_text

if TYPE_CHECKING:  # It is imported where something is shown, so that commands start faster.
    from tqdm import tqdm

Item = TypeVar("Item")

# Seconds between two drawings of a bar, before the first line, and between two lines. Short work
# shows no line.
DRAWN, FIRST, EVERY = 0.1, 10.0, 30.0

LONGEST_DESCRIPTION = 60

# Formats of tqdm, for a known and for an unknown total. A bar fills the terminal's line, and the
# cursor goes back to its start, where the `^C` that a terminal shows is wiped with it.
_LINE = "{desc}: {percentage:.0f}% {n_fmt}/{total_fmt} [{elapsed}<{remaining}, {rate_fmt}{postfix}]"
_COUNT_LINE = "{desc}: {n_fmt} [{elapsed}, {rate_fmt}{postfix}]"
_BAR, _COUNT_BAR = "{l_bar}{bar}{r_bar}\r", _COUNT_LINE + "{bar}\r"


class Progress:
    """The progress of one piece of work, shown until the block ends.

        with Progress("reading faces", len(records), "face", shown=progress) as bar:
            for record in bar.over(records):
                ...

    It shows count, total, elapsed and remaining time, and rate. Lines that are printed meanwhile
    stand above the bar. What cannot be written is not shown, and never stops the work.

    Attributes:
      count: how much is done.
      total: how much there is; None if that is not known, or turned out to be wrong.
    """

    def __init__(
        self, description: str, total: int | None, unit: str, *, shown: bool = True, begun: int = 0,
        kept: bool = False, details: Callable[[float], str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):  # fmt: skip
        """Shows the bar.

        Args:
          description: what is being done; it may hold foreign text.
          total: how much there is to do; None if that is not known.
          unit: what is counted, in the singular.
          shown: False shows nothing.
          begun: how much was done by an earlier run.
          kept: whether the last state stays to be seen, also of short work.
          details: gives more to show, from the present rate in units a second.
          clock: seconds, for the times at which something is shown.
        """
        self.count, self.total = begun, total
        self._description, self._unit = shown_text(description, LONGEST_DESCRIPTION), unit
        self._begun, self._kept, self._details, self._clock = begun, kept, details, clock
        stream = _without_bars(sys.stderr)
        self._stream: TextIO | None = stream if shown else None
        self._bar: tqdm[NoReturn] | None = None
        self._streams = contextlib.ExitStack()
        self._begun_at = self._line_at = clock()
        self._line_count = begun
        self._next_at = self._begun_at + FIRST
        if shown and _is_terminal(stream):
            try:
                self._begin_bar(stream)
            except BaseException:  # a stop; the block will not be entered
                self.close()
                raise

    def update(self, count: int = 1) -> None:
        """Adds to what is done."""
        self.reach(self.count + count)

    def reach(self, count: int) -> None:
        """Sets how much is done."""
        self.count = count
        if self._stream is not None and (now := self._clock()) >= self._next_at:
            # A stop in the middle would leave tqdm's lock held and a line cut off.
            with stopping.held_back():
                self._show(now)

    def over(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yields items, and counts each when the next is asked for."""
        for item in items:
            yield item
            self.update()

    def close(self) -> None:
        """Shows the last state, if it is to be seen, and takes the bar away."""
        with stopping.held_back():
            if self._bar is not None:
                self._draw(self._bar)
                self._bar.close()
                self._bar = None
            elif self._line_at > self._begun_at or self._kept:
                self._print(self._clock(), last=True)
            self._stream = None
            self._streams.close()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _begin_bar(self, stream: TextIO) -> None:
        from tqdm import tqdm

        with stopping.held_back():
            self._streams.enter_context(_messages_above(stream))
            columns, rows = _size(stream)
            self._bar = tqdm(
                total=self.total, desc=self._description, unit=self._unit, initial=self._begun,
                leave=self._kept, file=stream, mininterval=0, miniters=1, ncols=columns, nrows=rows,
                bar_format=_BAR if self.total else _COUNT_BAR)
        self._next_at = self._begun_at + DRAWN

    def _show(self, now: float) -> None:
        if self._bar is not None:
            self._next_at = now + DRAWN
            self._draw(self._bar)
        elif self.count != self._line_count:
            self._next_at = now + EVERY
            self._print(now)

    def _draw(self, bar: tqdm[NoReturn]) -> None:
        self._check_total()
        bar.total, bar.bar_format = self.total, _BAR if self.total else _COUNT_BAR
        if self._stream is not None:
            bar.ncols, bar.nrows = _size(self._stream)
        if self._details is not None and self.count > self._begun:
            seconds = max(self._clock() - self._begun_at, 1e-9)
            rate = bar.format_dict["rate"] or (self.count - self._begun) / seconds
            bar.set_postfix_str(self._details(rate), refresh=False)
        bar.update(self.count - bar.n)

    def _print(self, now: float, last: bool = False) -> None:
        """Prints a line, with the rate since the line before, or since the begin on the last."""
        if self._stream is None or self.count == self._line_count:
            return
        from tqdm import tqdm

        self._check_total()
        since, before = (self._begun_at, self._begun) if last else (self._line_at, self._line_count)
        rate = (self.count - before) / max(now - since, 1e-9)
        line = tqdm.format_meter(
            self.count, self.total or 0, now - self._begun_at, prefix=self._description,
            unit=self._unit, rate=rate, initial=self._begun,
            bar_format=_LINE if self.total else _COUNT_LINE,
            postfix=None if self._details is None else self._details(rate))
        self._line_at, self._line_count = now, self.count
        try:
            print(line, file=self._stream, flush=True)
        except (OSError, ValueError):  # a full disk, a closed pipe, a closed file
            self._stream = None

    def _check_total(self) -> None:
        if self.total is not None and self.count > self.total:
            self.total = None


class _AboveBars:
    """Writes whole lines to a terminal, above its bars."""

    def __init__(self, stream: TextIO, of_bars: TextIO):
        self.stream, self._of_bars, self._begun = stream, of_bars, ""

    def write(self, text: str) -> int:
        """Writes the lines that are complete, and keeps the start of another."""
        from tqdm import tqdm

        with tqdm.get_lock():
            lines, newline, self._begun = (self._begun + text).rpartition("\n")
            if newline:
                with tqdm.external_write_mode(file=self._of_bars):
                    self.stream.write(lines + newline)
                    self.stream.flush()
        return len(text)

    def end(self) -> None:
        """Writes the start of a line that was never completed."""
        self.stream.write(self._begun)
        self._begun = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextlib.contextmanager
def _messages_above(of_bars: TextIO) -> Iterator[None]:
    """Writes what is printed in a block above the bars of a terminal, also warnings of libraries.

    A bar within the bar of another changes nothing more.
    """
    replaced: list[tuple[str, Any, _AboveBars]] = []
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, _AboveBars) and _is_terminal(stream):
            replaced.append((name, stream, _AboveBars(stream, of_bars)))
            setattr(sys, name, replaced[-1][2])
    try:
        yield
    finally:
        for name, stream, ours in replaced:
            ours.end()
            if getattr(sys, name) is ours:
                setattr(sys, name, stream)


def _size(terminal: TextIO) -> tuple[int, int]:
    """The columns and rows for bars, without the last ones of the terminal.

    A terminal that does not tell its size, as in some containers, has the usual one.
    """
    try:
        columns, rows = os.get_terminal_size(terminal.fileno())
    except (OSError, ValueError):  # a notebook's cell
        columns, rows = 0, 0
    return (columns or 80) - 1, (rows or 24) - 1


def _without_bars(stream: Any) -> Any:
    return stream.stream if isinstance(stream, _AboveBars) else stream


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a stream shows a line in place of another: a terminal, or a notebook's cell."""
    try:
        return stream is not None and (
            stream.isatty() or type(stream).__module__.startswith("ipykernel."))
    except ValueError:  # it is closed
        return False
