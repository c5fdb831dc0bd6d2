"""Work done in threads: kernels release the interpreter. What comes out does not depend on how many there are."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pipeline_lib.text_files.in_threads import in_order

Item = TypeVar("Item")
Result = TypeVar("Result")


def num_workers() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """The results, in the order of the items. Of results that were not asked for yet there are at most as many as
    there are workers; after an error no further item is begun."""
    workers = num_workers()
    with ThreadPoolExecutor(workers) as pool:
        yield from in_order(work, items, pool, ahead=workers - 1)
