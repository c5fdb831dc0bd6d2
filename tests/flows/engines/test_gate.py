"""The gate before the engines: never more inside than there are places, and who is alone is alone."""

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.engines import gate as gate_module
from flows.engines.gate import Gate


def test_never_more_are_inside_than_there_are_places_and_nobody_beside_who_is_alone() -> None:
    gate = Gate(lambda: 3)
    lock = threading.Lock()
    inside: set[int] = set()
    most = 0
    wrong: list[str] = []

    def pass_through(number: int) -> None:
        nonlocal most
        alone = number % 7 == 0
        with gate.alone() if alone else gate.place():
            with lock:
                inside.add(number)
                most = max(most, len(inside))
                if alone and len(inside) > 1:
                    wrong.append(f"{number} is not alone: {inside}")
            time.sleep(random.Random(number).random() / 500)
            with lock:
                if alone and len(inside) > 1:
                    wrong.append(f"{number} did not stay alone: {inside}")
                inside.remove(number)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(pass_through, range(200)))
    assert wrong == []
    assert most == 3


def test_two_who_want_to_be_alone_are_so_one_after_the_other() -> None:
    gate = Gate(lambda: 4)
    inside = 0

    def alone(_: int) -> int:
        nonlocal inside
        with gate.alone():
            inside += 1
            seen = inside
            time.sleep(0.01)
            inside -= 1
            return seen

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(alone, range(8))) == {1}


def test_a_cluster_that_grows_lets_more_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate_module, "_ASK_SECONDS", 0.05)
    places = 1
    gate = Gate(lambda: places)
    both = threading.Barrier(2, timeout=20)

    def wait_for_the_other(_: int) -> None:
        with gate.place():
            both.wait()

    with ThreadPoolExecutor(2) as threads:
        waiting = [threads.submit(wait_for_the_other, number) for number in range(2)]
        time.sleep(0.2)
        assert not any(each.done() for each in waiting)
        places = 2
        for each in waiting:
            each.result(timeout=20)


def test_who_waits_at_a_gate_that_closes_is_told() -> None:
    gate = Gate(lambda: 1)
    with ThreadPoolExecutor(2) as threads, gate.place():

        def wait(alone: bool) -> None:
            with gate.alone() if alone else gate.place():
                pass

        waiting = [threads.submit(wait, alone) for alone in (False, True)]
        time.sleep(0.1)
        gate.close()
        for each in waiting:
            with pytest.raises(RuntimeError, match="its run is ending"):
                each.result(timeout=20)
