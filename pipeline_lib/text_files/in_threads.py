"""Work on files in threads: results in order, a bounded number under way, and an end at the first error."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """Another thread has failed, or a person has interrupted: nobody waits for this result any more."""


def for_each(work: Callable[[Item, Event], Result], items: Sequence[Item], workers: int) -> list[Result]:
    """`work` on all items, `workers` at a time; their results in order.

    Args:
        work: is given an event, too; once that is set, it should raise `Stopped` soon.

    Raises:
        what `work` raised first, of those that are there when the first fails the one that comes first in `items`.
    """
    stop = Event()

    def unless_stopped(item: Item) -> Result:
        if stop.is_set():
            raise Stopped
        try:
            return work(item, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(workers, thread_name_prefix="files") as pool:
        try:
            futures = [pool.submit(unless_stopped, item) for item in items]
            return _results(futures)
        finally:
            stop.set()


def _results(futures: Sequence[Future[Result]]) -> list[Result]:
    results, stopped = [], None
    for future in futures:
        try:
            results.append(future.result())
        except Stopped as error:  # the cause comes later in the list
            stopped = error
    if stopped is not None:
        raise stopped
    return results


def in_order(
    work: Callable[[Item], Result], items: Iterable[Item], pool: Executor, ahead: int, stop: Event | None = None
) -> Generator[Result, None, None]:
    """The results of items, worked on in the pool; at most `ahead` more than the one that is waited for are under way.

    Raises:
        Stopped: `stop` was set.
    """
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            if stop is not None and stop.is_set():
                raise Stopped
            pending.append(pool.submit(work, item))
            del item
            if len(pending) > ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
