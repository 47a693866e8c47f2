"""The three threads: order, bounds, errors, and the end by Ctrl-C."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from efld_tf.errors import DataError, EfldError
from efld_tf.runtime.stream import run
from efld_tf.runtime.video import VideoReader
from tests.errors import refuses
from tests.runtime import videos


@pytest.fixture(autouse=True)
def all_threads_end() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("ahead", [1, 4])
def test_results_come_in_order(ahead: int) -> None:
    taken: list[int] = []
    assert run(range(300), lambda value: value * value, taken.append, ahead) == 300
    assert taken == [value * value for value in range(300)]
    assert run([], lambda value: value, taken.append, ahead) == 0


def test_each_stage_stays_in_its_own_thread() -> None:
    threads: dict[str, set[int]] = {"frames": set(), "work": set(), "sink": set()}

    def seen(stage: str, value: int) -> int:
        threads[stage].add(threading.get_ident())
        return value

    run((seen("frames", value) for value in range(50)), lambda value: seen("work", value),
        lambda value: seen("sink", value) and None)
    assert all(len(found) == 1 for found in threads.values())
    assert len(set.union(*threads.values(), {threading.get_ident()})) == 4


def test_stages_run_at_once() -> None:
    """Each waits for the two others: one after the other they would wait for ever."""
    meeting = threading.Barrier(3, timeout=20)

    def frames() -> Iterator[int]:
        for value in range(8):
            if value >= 3:  # by then each stage has an item
                meeting.wait()
            yield value

    def work(value: int) -> int:
        if 1 <= value < 6:
            meeting.wait()
        return value

    def sink(value: int) -> None:
        if value < 5:
            meeting.wait()

    assert run(frames(), work, sink) == 8


@pytest.mark.parametrize("ahead", [1, 3])
def test_no_more_than_so_many_wait(ahead: int) -> None:
    drawn: list[int] = []
    waiting: list[int] = []

    def frames() -> Iterator[int]:
        for value in range(200):
            drawn.append(value)
            yield value

    run(frames(), lambda value: value, lambda value: waiting.append(len(drawn) - value), ahead)
    # Two queues, and an item in the hands of each thread.
    assert max(waiting) <= 2 * ahead + 3


def fails_at(value: int, error: BaseException) -> Callable[[int], int]:
    def function(item: int) -> int:
        if item == value:
            raise error
        return item

    return function


@pytest.mark.parametrize("stage", ["frames", "work", "sink"])
@pytest.mark.parametrize("error", [
    DataError("a.mp4", "damaged"), ZeroDivisionError(), StopIteration(), KeyboardInterrupt(),
])
def test_errors_of_any_stage_come_out_at_once(stage: str, error: BaseException) -> None:
    def nothing(value: int) -> int:
        return value

    stages = {name: fails_at(7, error) if name == stage else nothing
              for name in ("frames", "work", "sink")}
    expected = RuntimeError if isinstance(error, StopIteration) and stage != "sink" else type(error)
    with pytest.raises(expected) as raised:
        run((stages["frames"](value) for value in itertools.count()), stages["work"],
            stages["sink"])
    assert raised.value is error or raised.value.__cause__ is error


def test_an_error_does_not_wait_for_frames_that_do_not_come() -> None:
    released = threading.Event()

    def frames() -> Iterator[int]:
        yield 1
        released.wait(20)
        yield 2

    def work(value: int) -> int:
        released.set()
        raise EfldError(f"no face in frame {value}")

    with refuses("no face in frame 1"):
        run(frames(), work, lambda value: None)


def test_frames_that_do_not_come_can_be_ended() -> None:
    """Before the threads are waited for, as a live stream that stalls needs it."""
    gone, taken = threading.Event(), []

    def frames() -> Iterator[int]:
        yield 1
        gone.wait()

    def enough(count: int) -> None:
        if count:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(frames(), lambda value: value, taken.append, progress=enough, end=gone.set)
    assert taken == [1]


def test_a_generator_of_frames_is_closed() -> None:
    closed = []

    def frames() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(threading.current_thread())

    with pytest.raises(ZeroDivisionError):
        run(frames(), lambda value: 1 // (10 - value), lambda value: None)
    assert len(closed) == 1


def test_progress_is_told_in_the_callers_thread() -> None:
    told: list[int] = []
    gate = threading.Event()

    def progress(count: int) -> None:
        told.append(count)
        assert threading.current_thread() is threading.main_thread()
        if len(told) > 2:
            gate.set()

    run(range(9), lambda value: value, lambda value: gate.wait(20) and None, progress=progress)
    assert len(told) > 2 and told == sorted(told) and told[-1] == 9


def test_progress_may_end_the_run() -> None:
    def progress(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(itertools.count(), lambda value: value, lambda value: None, progress=progress)


def test_nothing_ahead_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\b0\b"):
        run([1], lambda value: value, lambda value: None, 0)


def test_ctrl_c_leaves_a_whole_shorter_video(tmp_path: Path) -> None:
    """A process is interrupted while it decodes, works and encodes."""
    source = videos.make(tmp_path / "a.mp4", range(600), audio="aac")
    code = (
        "import sys, time\n"
        "from efld_tf.runtime.stream import run\n"
        "from efld_tf.runtime.video import VideoReader, VideoWriter\n"
        "reader = VideoReader('a.mp4')\n"
        "def work(frame):\n"
        "    time.sleep(0.02)\n"
        "    return frame\n"
        "def sink(frame):\n"
        "    writer.write(frame)\n"
        "    print(frame.index, flush=True)\n"
        "with VideoWriter('b.mp4', reader) as writer:\n"
        "    try:\n"
        "        run(reader, work, sink)\n"
        "    except KeyboardInterrupt:\n"
        "        print('interrupted', flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    while process.stdout.readline() != "9\n":
        pass
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and err == "" and out.endswith("interrupted\n")
    found = list(VideoReader(tmp_path / "b.mp4"))
    assert 10 <= len(found) < 500
    assert len(found) == 10 + out.count("\n") - 1  # what was told to be written was written
    times = [frame.seconds for frame in VideoReader(source)]
    assert [frame.seconds for frame in found] == times[: len(found)]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "b.mp4"]
