"""Work in threads: results in order, a bounded number under way, an end at the first error."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from pipeline_lib.text_files.in_threads import Stopped, for_each, in_order


@pytest.mark.parametrize("workers", [1, 3])
def test_results_come_in_the_order_of_the_items(workers: int) -> None:
    assert for_each(lambda item, stop: item * item, range(50), workers) == [item * item for item in range(50)]


def test_at_an_error_the_others_are_told_to_stop_and_none_is_begun() -> None:
    begun = []
    first_waits = Event()

    def work(item: int, stop: Event) -> None:
        begun.append(item)
        if item == 0:
            first_waits.set()
            assert stop.wait(timeout=60)
            raise Stopped
        first_waits.wait(timeout=60)
        raise ValueError(f"item {item}")

    with pytest.raises(ValueError, match="item 1"):
        for_each(work, range(100), 2)
    assert set(begun) == {0, 1}


def test_of_what_is_worked_on_ahead_there_is_a_bounded_number() -> None:
    lock = threading.Lock()
    taken = finished = most = 0

    def items() -> Iterator[int]:
        nonlocal taken, most
        for item in range(40):
            with lock:
                taken += 1
                most = max(most, taken - finished)
            yield item

    with ThreadPoolExecutor(4) as pool:
        for expected, result in enumerate(in_order(lambda item: item, items(), pool, 3, Event())):
            assert result == expected
            with lock:
                finished += 1
    assert finished == 40
    assert most <= 5  # three ahead, the one that is waited for, and the one just taken


def test_what_is_stopped_takes_no_further_item() -> None:
    stop = Event()
    taken = []

    def items() -> Iterator[int]:
        for item in range(10):
            taken.append(item)
            yield item

    with ThreadPoolExecutor(1) as pool:
        results = in_order(lambda item: item, items(), pool, 1, stop)
        assert next(results) == 0
        stop.set()
        with pytest.raises(Stopped):
            next(results)
    assert len(taken) <= 3
