"""Work on batches in threads, results in the order of the batches."""

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline_lib.text_files.batches import TextBatch
from pipeline_lib.text_files.in_threads import in_order

Result = TypeVar("Result")


def results_in_order(
    batches: Iterator[TextBatch], work: Callable[[TextBatch], Result], workers: int
) -> Generator[tuple[TextBatch, Result], None, None]:
    """Each batch with its result. At most one batch more than there are workers is waiting or being worked on."""
    with ThreadPoolExecutor(workers, thread_name_prefix="batch") as pool:
        yield from in_order(lambda batch: (batch, work(batch)), batches, pool, ahead=workers)
