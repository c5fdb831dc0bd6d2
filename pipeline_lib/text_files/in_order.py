"""Work on batches in threads, results in the order of the batches."""

from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from pipeline_lib.text_files.batches import TextBatch

Result = TypeVar("Result")


def results_in_order(
    batches: Iterator[TextBatch], work: Callable[[TextBatch], Result], workers: int
) -> Generator[tuple[TextBatch, Result], None, None]:
    """Each batch with its result. At most one batch more than there are workers is waiting or being worked on."""
    pending: deque[tuple[TextBatch, Future[Result]]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="batch") as pool:
        try:
            for batch in batches:
                pending.append((batch, pool.submit(work, batch)))
                del batch
                if len(pending) > workers:
                    done, future = pending.popleft()
                    yield done, future.result()
                    del done, future
            while pending:
                done, future = pending.popleft()
                yield done, future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
