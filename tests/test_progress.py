"""How far long work is: at a terminal, and elsewhere."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest
from tqdm import tqdm

from efld_tf import progress, stopping
from efld_tf.progress import Progress
from efld_tf.text import say
from tests.screens import Terminal


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Puts standard output and stderr on one screen, on which each update is drawn."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "DRAWN", 0.0)
    return stream


def work(bar: Progress, clock: Clock, count: int, seconds: float) -> None:
    for _ in range(count):
        clock.seconds += seconds
        bar.update()


def test_without_a_terminal_there_is_a_line_now_and_then(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """After 10 seconds and every 30 more; the end is not told twice."""
    with Progress("reading faces", 100, "face", clock=clock) as bar:
        work(bar, clock, 100, 1.0)
    out, err = capsys.readouterr()
    assert not out and err.splitlines() == [
        "reading faces: 10% 10/100 [00:10<01:30,  1.00face/s]",
        "reading faces: 40% 40/100 [00:40<01:00,  1.00face/s]",
        "reading faces: 70% 70/100 [01:10<00:30,  1.00face/s]",
        "reading faces: 100% 100/100 [01:40<00:00,  1.00face/s]",
    ]


def test_rate_and_remaining_time_are_those_of_late(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """And those of all of it at the end."""
    with Progress("a", 200, "step", clock=clock) as bar:
        work(bar, clock, 1, 20.0)
        work(bar, clock, 60, 0.5)  # 30 seconds
        work(bar, clock, 139, 0.125)
    assert capsys.readouterr().err.splitlines() == [
        "a: 0% 1/200 [00:20<1:06:20, 20.00s/step]",
        "a: 30% 61/200 [00:50<01:09,  2.00step/s]",
        "a: 100% 200/200 [01:07<00:00,  2.97step/s]",
    ]


def test_short_work_is_quiet_unless_its_end_is_to_be_kept(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("short", 9, "face", clock=clock) as bar:
        work(bar, clock, 9, 1.0)
    assert capsys.readouterr() == ("", "")
    with Progress("kept", 9, "face", kept=True, clock=clock) as bar:
        work(bar, clock, 9, 1.0)
    assert capsys.readouterr() == ("", "kept: 100% 9/9 [00:09<00:00,  1.00face/s]\n")
    with Progress("nothing done", 9, "face", kept=True, clock=clock):
        pass
    assert capsys.readouterr() == ("", "")


def test_what_has_not_changed_is_not_told_again(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("a", 4, "frame", clock=clock) as bar:
        work(bar, clock, 2, 10.0)
        for _ in range(100):
            clock.seconds += 10
            bar.reach(2)
    assert capsys.readouterr().err.splitlines() == [
        "a: 25% 1/4 [00:10<00:30, 10.00s/frame]",
        "a: 50% 2/4 [00:40<01:00, 30.00s/frame]",
    ]


def test_an_unknown_or_wrong_total(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress("stream", None, "frame", clock=clock) as bar:
        work(bar, clock, 20, 0.5)
    assert capsys.readouterr().err == "stream: 20 [00:10,  2.00frame/s]\n"
    with Progress("video", 10, "frame", clock=clock) as bar:
        work(bar, clock, 20, 0.5)
    assert capsys.readouterr().err == "video: 20 [00:10,  2.00frame/s]\n" and bar.total is None


def test_resumed_work_has_the_rate_of_its_new_part(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Progress("training", 1000, "step", begun=900, kept=True, clock=clock,
                  details=lambda rate: f"{rate * 8:.0f} images/s") as bar:
        work(bar, clock, 50, 0.125)
    assert capsys.readouterr().err == \
        "training: 95% 950/1000 [00:06<00:06,  8.00step/s, 64 images/s]\n"


def test_a_bar_stands_below_what_is_printed_and_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("reading", 4, "face") as bar:
        assert terminal.screen[0].startswith("reading:   0%|") and "0/4" in terminal.screen[0]
        bar.update()
        say("on standard output")
        print("a line in ", end="")
        bar.update()
        print("two parts", file=sys.stdout)
        say("an error", sys.stderr)
        *above, line = terminal.screen
        assert above == ["on standard output", "a line in two parts", "an error"]
        assert line.startswith("reading:  50%|") and "2/4" in line and "face" in line
        # The cursor is where the terminal's `^C` is wiped with the bar.
        assert terminal.getvalue().endswith("\r")
    assert terminal.screen == above and sys.stdout is terminal and sys.stderr is terminal


def test_a_kept_bar_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("training", 2, "step", kept=True, details=lambda rate: "loss 3") as bar:
        bar.update(2)
    say("done")
    line, done = terminal.screen
    assert line.startswith("training: 100%|") and "2/2" in line and line.endswith(", loss 3]")
    assert done == "done"


def test_a_bar_without_a_total(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    texts = ["a long text", "a short one", ""]
    with Progress("stream", None, "frame", details=lambda rate: texts.pop(0)) as bar:
        bar.update(1000)
        assert terminal.screen[0].startswith("stream: 1000 [")
        assert terminal.screen[0].endswith("frame/s, a long text]")
        bar.update(1)
        assert terminal.screen[0].endswith("frame/s, a short one]")
    with Progress("video", 2, "frame") as bar:
        bar.update(3)
        assert terminal.screen[0].startswith("video: 3 [") and "%" not in terminal.screen[0]
    assert terminal.screen == []


def test_a_bar_within_another(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("outer", 2, "mode") as outer:
        with Progress("inner", 3, "face") as inner:
            inner.update()
            say("told")
            told, first, second = terminal.screen
            assert told == "told" and first.startswith("outer:   0%|")
            assert second.startswith("inner:  33%|")
        outer.update()
        say("more")
        told, more, first = terminal.screen
        assert more == "more" and first.startswith("outer:  50%|")
    assert terminal.screen == ["told", "more"] and sys.stderr is terminal


def test_an_error_leaves_the_terminal_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with pytest.raises(KeyboardInterrupt), Progress("reading", 4, "face") as bar:
        for _ in bar.over(range(4)):
            raise KeyboardInterrupt
    say("interrupted", sys.stderr)
    assert terminal.screen == ["interrupted"] and sys.stderr is terminal


@pytest.mark.parametrize("drawing", ["0/4", "2/4"])
def test_a_stop_while_the_bar_is_drawn(drawing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes after the drawing, which holds a lock that other threads need to print."""
    terminal = at_terminal(monkeypatch)
    write = Terminal.write

    def stopped(stream: Terminal, text: str) -> int:
        if drawing in text:
            signal.raise_signal(signal.SIGTERM)
        return write(stream, text)

    monkeypatch.setattr(Terminal, "write", stopped)
    done = []
    with stopping.raised(), pytest.raises(stopping.Stopped), Progress("reading", 4, "face") as bar:
        for item in bar.over(range(4)):
            done.append(item)
    assert done == {"0/4": [], "2/4": [0, 1]}[drawing]
    assert terminal.screen == [] and sys.stderr is terminal
    thread = threading.Thread(target=lambda: tqdm.write("free"), daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert terminal.screen == ["free"]


def test_nothing_is_shown_where_nothing_is_wanted(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("reading", 4, "face", shown=False, clock=clock) as bar:
        work(bar, clock, 4, 100.0)
        print("here", end="")
    assert terminal.getvalue() == "here" and bar.count == 4


class _Full(io.StringIO):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def _closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


@pytest.mark.parametrize("stream", [_Full, _closed, lambda: None])
def test_work_goes_on_where_nothing_can_be_shown(
    stream: Callable[[], io.StringIO | None], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", stream())
    with Progress("reading", 4, "face", kept=True, clock=clock) as bar:
        work(bar, clock, 4, 100.0)
    assert bar.count == 4


def test_a_foreign_name_is_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("\x1b[2J" + "x" * 500, 4, "face"):
        (line,) = terminal.screen
    assert "\x1b" not in terminal.getvalue() and line.startswith("\\x1b[2Jxxx") and len(line) < 80


def test_a_notebook_shows_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = type("OutStream", (io.StringIO,), {"__module__": "ipykernel.iostream"})()
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("reading", 4, "face"):
        assert stream.getvalue().startswith("\rreading:   0%|")


def test_a_terminal_that_does_not_tell_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()  # 0 x 0
    with open(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress("reading", 4, "face"):
            stream.flush()
            line = os.read(ours, 1 << 16).decode().strip("\r")
    os.close(ours)
    assert line.startswith("reading:   0%|") and len(line) < 80


def test_threads_print_above_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = at_terminal(monkeypatch)
    with Progress("reading", 200, "face") as bar:
        threads = [threading.Thread(target=lambda n=n: [say(f"line {n}") for _ in range(50)])
                   for n in range(2)]
        for thread in threads:
            thread.start()
        for _ in bar.over(range(200)):
            time.sleep(0.0001)
        for thread in threads:
            thread.join()
    assert len(terminal.screen) == 100
    assert sorted(terminal.screen) == ["line 0"] * 50 + ["line 1"] * 50
