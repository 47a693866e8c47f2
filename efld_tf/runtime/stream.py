"""Runs frames through three threads at once: one decodes, one works, one takes the results.

FFmpeg, OpenCV and LiteRT let other threads run while they compute, so that the pipeline is as fast
as its slowest stage (measured in benchmarks/video).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import chain
from queue import Empty, Full, Queue
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# How often a waiting thread checks whether it is to end, and progress is reported, in seconds.
_TICK = 0.05

_END = object()


def run(
    frames: Iterable[Item],
    work: Callable[[Item], Result],
    sink: Callable[[Result], None],
    ahead: int = 4,
    progress: Callable[[int], None] | None = None,
    end: Callable[[], None] | None = None,
) -> int:
    """Calls `sink(work(frame))` for each of `frames` in their order, each stage in its own thread.

    `frames` is iterated in one thread, and `work` and `sink` are called in one other thread each,
    so that all three may keep state. When the call returns or raises, the threads have ended; each
    first finishes its current item, so that KeyboardInterrupt, which is raised here, cuts no frame
    in two: a file that `sink` writes can then be finished.

    Args:
      frames: the items; they may be endless, such as a camera's.
      ahead: the largest number of items that wait before `work`, and before `sink`; 1 for a camera
        whose picture is watched while it runs.
      progress: called with the number of results that `sink` has taken so far, about 20 times a
        second and at the end, in the caller's thread; it may raise to end the run.
      end: called at the end, before the threads are waited for; it is for `frames` that wait long
        for the next one, and end them.

    Returns:
      The number of results that `sink` has taken.

    Raises:
      Whatever a stage raises, at once; the items under way are dropped.
      ValueError: `ahead` is below 1.
    """
    if ahead < 1:
        raise ValueError(f"expected at least one frame ahead, got {ahead}")
    pipe = _Pipe()
    decoded: Queue[Any] = Queue(ahead)
    results: Queue[Any] = Queue(ahead)
    stages = (
        lambda: pipe.fill(decoded, _drawn(frames)),
        lambda: pipe.fill(results, (work(frame) for frame in pipe.items(decoded))),
        lambda: pipe.take(sink, results),
    )
    threads = [threading.Thread(target=pipe.guarded, args=(s,), daemon=True) for s in stages]
    try:
        for thread in threads:
            thread.start()
        while not pipe.stop.wait(_TICK):
            if progress is not None:
                progress(pipe.taken)
    finally:
        pipe.stop.set()
        if end is not None:
            end()
        for thread in threads:
            if thread.ident is not None:  # None if Ctrl-C came before the thread was started
                thread.join()
    if pipe.error is not None:
        raise pipe.error
    if progress is not None:
        progress(pipe.taken)
    return pipe.taken


def _drawn(frames: Iterable[Item]) -> Generator[Item, None, None]:
    """Yields the frames; closing it closes their generator, and with it the file."""
    yield from frames


class _Pipe:
    """The state that the threads of a run share.

    Attributes:
      stop: set at the end, or earlier to end the threads.
      error: the first error that a stage raised.
      taken: number of results that the sink has taken.
    """

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.error: BaseException | None = None
        self.taken = 0

    def guarded(self, stage: Callable[[], None]) -> None:
        """Runs a stage in its thread and keeps its error for the caller."""
        try:
            stage()
        except BaseException as error:  # whatever it is, it is raised again in the caller
            self.error = self.error or error
            self.stop.set()

    def fill(self, queue: Queue[Any], items: Generator[Any, None, None]) -> None:
        """Puts `items` into a queue, then `_END`."""
        with closing(items):
            for item in chain(items, [_END]):
                while not self.stop.is_set():
                    with suppress(Full):
                        queue.put(item, timeout=_TICK)
                        break
                if self.stop.is_set():
                    return

    def items(self, queue: Queue[Any]) -> Iterator[Any]:
        """Yields what comes out of a queue, up to `_END`."""
        while not self.stop.is_set():
            try:
                item = queue.get(timeout=_TICK)
            except Empty:
                continue
            if item is _END:
                return
            yield item

    def take(self, sink: Callable[[Any], None], queue: Queue[Any]) -> None:
        """Hands everything in a queue to the sink."""
        for item in self.items(queue):
            sink(item)
            self.taken += 1
        self.stop.set()
