"""Spreads work over processes, in order and in bounded memory."""

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
from typing import TypeVar

from efld_tf import stopping
from efld_tf.errors import EfldError

Item = TypeVar("Item")
Result = TypeVar("Result")


def bounded_map(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int, window: int
) -> Iterator[Result]:
    """Yields `function(item)` for each of `items` in their order, computed by several processes.

    `items` may be a stream of any length. It is read only as results are taken, so that never more
    than `window` items are in progress. Closing the generator, or an exception, drops the items
    that have not begun, and each process ends when it has finished its current item.

    Args:
      function: it must be picklable, like items and results; an exception of it is raised in the
        place of its result and ends the iteration.
      workers: number of processes; 1 calls `function` in this process.
      window: the largest number of items that are handed out and not yet yielded; at least
        `workers` keep all of them busy.

    Raises:
      EfldError: a process died, for example because memory ran out.
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
    # Processes are spawned, because a fork can hang with the threads of TensorFlow or OpenCV.
    context = multiprocessing.get_context("spawn")
    with _stop_held_back():  # it starts Python's tracker of resources
        pool = ProcessPoolExecutor(workers, context, initializer=_begin)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            with _stop_held_back():
                pending.append(pool.submit(function, item))
            if len(pending) == window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    except BrokenProcessPool as error:
        raise EfldError(
            "a worker process died: try again with fewer workers if memory ran out; in a script, "
            "put what it does below: if __name__ == \"__main__\":"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def _stop_held_back() -> Iterator[None]:
    """Delays a stop to the end of the block, and keeps it from processes that the block starts.

    A pool that is interrupted while it starts its threads and processes cannot be shut down.
    """
    with stopping.held_back():
        # Processes inherit it.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, stopping.OF_TERMINAL)
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _begin() -> None:
    """Sets up a worker, which leaves stops to its parent and does not outlive it."""
    for number in stopping.OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
