"""The bounded parallel map: order, bounded hand-out, errors, early end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil
import pytest

from efld_tf.errors import DataError, EfldError
from efld_tf.parallel import bounded_map
from tests.errors import refuses


def slow_first(value: int) -> int:
    """Earlier items take longer, so that results would come in another order by themselves."""
    time.sleep(0.05 if value < 3 else 0)
    return value * value


def fail_at_five(value: int) -> int:
    if value == 5:
        raise DataError("photo.jpg", "damaged")
    return value


def die(value: int) -> int:
    os._exit(3)


def process_id(value: int) -> int:
    time.sleep(0.02)
    return os.getpid()


def counted(drawn: list[int], count: int) -> Iterator[int]:
    for value in range(count):
        drawn.append(value)
        yield value


@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order(workers: int) -> None:
    assert list(bounded_map(slow_first, range(40), workers, 6)) == [v * v for v in range(40)]
    assert list(bounded_map(slow_first, [], workers, 6)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_than_the_window_is_drawn(workers: int) -> None:
    drawn: list[int] = []
    results = bounded_map(slow_first, counted(drawn, 10**9), workers, 5)
    for taken in range(1, 21):
        next(results)
        assert len(drawn) <= taken + 4
    results.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_exceptions_of_the_function_come_out_in_their_place(workers: int) -> None:
    results = bounded_map(fail_at_five, range(20), workers, 8)
    assert [next(results) for _ in range(5)] == [0, 1, 2, 3, 4]
    with refuses("damaged", path="photo.jpg"):
        next(results)
    assert list(results) == []


def test_exceptions_of_the_items_come_out() -> None:
    def items() -> Iterator[int]:
        yield from range(3)
        raise EfldError("the list ends early")

    with refuses("the list ends early"):
        list(bounded_map(slow_first, items(), 2, 2))


def test_one_worker_is_this_process_and_more_are_others() -> None:
    assert set(bounded_map(process_id, range(3), 1, 3)) == {os.getpid()}
    assert os.getpid() not in set(bounded_map(process_id, range(8), 2, 8))


def test_closing_ends_the_processes_at_once() -> None:
    before = set(psutil.Process().children(recursive=True))
    results = bounded_map(process_id, range(10**6), 2, 1000)  # 10 s of work in the window
    next(results)
    begun = time.monotonic()
    results.close()
    assert time.monotonic() - begun < 3
    left = set(psutil.Process().children(recursive=True)) - before
    assert not [process for process in left if "spawn_main" in " ".join(process.cmdline())]


def test_a_dead_worker_is_told() -> None:
    with refuses("worker", "died"):
        list(bounded_map(die, range(4), 2, 4))


def test_workers_end_with_a_killed_parent() -> None:
    code = (
        "from efld_tf.parallel import bounded_map\nfrom tests.test_parallel import process_id\n"
        "if __name__ == '__main__':\n"
        "    for pid in bounded_map(process_id, range(10**6), 2, 8):\n"
        "        print(pid, flush=True)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    worker.wait(10)


INTERRUPTED_AT_START = """
import os, signal, time
from concurrent.futures import process
from efld_tf import parallel
from tests.test_parallel import process_id

def interrupt():
    os.killpg(0, signal.SIGINT)  # as a terminal does: the processes that started hear it too

def start(thread, start=process._ExecutorManagerThread.start):
    {when} == "before its thread" and interrupt()
    start(thread)

def spawn(pool, spawn=process.ProcessPoolExecutor._spawn_process):
    spawn(pool)
    if {when} == "while a process starts":
        time.sleep(0.2)
        interrupt()

process._ExecutorManagerThread.start = start
process.ProcessPoolExecutor._spawn_process = spawn
if __name__ == "__main__":
    try:
        print(list(parallel.bounded_map(process_id, range(10**6), 2, 8)))
    except KeyboardInterrupt:
        print("interrupted")
"""


@pytest.mark.parametrize("when", ["before its thread", "while a process starts"])
def test_ctrl_c_while_the_processes_start_ends_them(when: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED_AT_START.format(when=repr(when))], text=True,
        capture_output=True, timeout=60, start_new_session=True,
    )
    assert (done.stdout, done.stderr, done.returncode) == ("interrupted\n", "", 0)


@pytest.mark.parametrize("workers, window", [(0, 1), (1, 0), (2, -1)])
def test_no_workers_are_refused(workers: int, window: int) -> None:
    with pytest.raises(ValueError, match=rf"\b{workers}\b.* {window}\b"):
        bounded_map(slow_first, [1], workers, window)
