"""Work spread over processes, in order and in bounded memory."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import FrameType
from typing import TypeVar

from efld_tf.errors import EfldError

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, window: int
) -> Iterator[Result]:
    """`function(item)` for each of `items`, in their order, computed by several processes.

    `items` may be a stream of any length: it is drawn on only as results are taken, so that never
    more than `window` items are under way. Closing the generator, or an exception, drops what has
    not begun and ends the processes as soon as each has finished the item in its hands.

    Args:
      function: picklable, as are items and results; an exception of it comes out in the place of
        its result and ends the iteration.
      workers: processes; 1 calls `function` in this process.
      window: the largest number of items handed out and not yet yielded, at least `workers` to
        keep them all busy.

    Raises:
      EfldError: a process died, e.g. for want of memory.
      ValueError: `workers` or `window` is below 1.
    """
    if workers < 1 or window < 1:
        raise ValueError(f"expected at least one worker and item, got {workers} and {window}")
    if workers == 1:
        return (function(item) for item in items)
    return _spread(function, items, workers, window)


def _spread(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, window: int
) -> Iterator[Result]:
    # Spawned, because a fork of a process that runs TensorFlow or OpenCV's threads can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _interrupt_held_back():
                pending.append(pool.submit(function, item))
            if len(pending) == window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise EfldError(
            "a worker process died (out of memory?); try again with fewer workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _interrupt_held_back() -> Iterator[None]:
    """Ctrl-C in the block is told at its end, and not at all to processes that the block starts.

    A pool that is cut while it starts its threads and processes cannot be shut down.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield  # it does not come up here
        return
    came: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda *arguments: came.append(arguments))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what processes inherit
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
        if came:
            handler(*came[0])


def _begin() -> None:
    """Sets up a worker: Ctrl-C is the parent's to handle, and no worker outlives its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
