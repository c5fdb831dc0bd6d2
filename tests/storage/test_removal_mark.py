"""Who removes is seen by those who begin, and a mark that nobody keeps is waited for no longer than it lasts."""

import json
import os
from dataclasses import replace

import pytest
from dead_process import dead_process

from storage.processes import Process, this_process
from storage.removal_mark import (
    MARK_PATH,
    MarkLost,
    RemovalInProgress,
    find_remover,
    removal_mark,
    wait_for_removal,
)
from storage.store import Store

ELSEWHERE = replace(this_process(), machine="0" * 8)


def write_mark(store: Store, process: Process, *, beat: int = 1, seconds: float = 5.0) -> None:
    body = {"host": "a-host", "process": process.mark(), "nonce": "abc", "beat": beat, "seconds": seconds}
    store.publish_bytes(MARK_PATH, json.dumps(body).encode())


class Waiting:
    """Counts the seconds that somebody waits, and does something after some of them."""

    def __init__(self, after: float = float("inf"), do=lambda: None) -> None:
        self.waited, self.said = 0.0, []
        self._after, self._do = after, do

    def wait(self, seconds: float) -> None:
        self.waited += seconds
        if self.waited >= self._after:
            self._do()

    def at(self, store: Store) -> "Waiting":
        wait_for_removal(store, self.said.append, self.wait)
        return self


def test_a_mark_is_there_while_it_is_held_and_gone_after_also_when_something_went_wrong(store) -> None:
    assert find_remover(store) is None
    with removal_mark(store):
        remover = find_remover(store)
        assert remover is not None
        assert remover.process == this_process()
        with pytest.raises(RemovalInProgress, match="removes outputs"), removal_mark(store):
            pass
        assert find_remover(store) == remover
    with pytest.raises(ZeroDivisionError), removal_mark(store):
        1 / 0  # noqa: B018
    assert find_remover(store) is None


def test_whoever_begins_waits_until_the_removal_ends(store) -> None:
    write_mark(store, this_process())
    waiting = Waiting(2.0, lambda: store.remove(MARK_PATH)).at(store)
    assert waiting.waited == 2.0
    assert len(waiting.said) == 1
    assert str(os.getpid()) in waiting.said[0]
    assert Waiting().at(store).waited == 0


def test_the_mark_of_a_dead_process_of_this_machine_stops_nobody(store) -> None:
    write_mark(store, dead_process())
    assert Waiting().at(store).waited == 0
    with removal_mark(store):
        pass


def test_the_mark_of_another_machine_is_waited_for_as_long_as_it_is_written_again_and_lasts(store) -> None:
    write_mark(store, ELSEWHERE, seconds=5.0)
    assert Waiting().at(store).waited == 5.0
    beats = iter(range(2, 100))
    moving = Waiting(0.0)

    def beat() -> None:
        if moving.waited < 20:
            write_mark(store, ELSEWHERE, beat=next(beats), seconds=5.0)

    moving._do = beat
    assert 24 <= moving.at(store).waited <= 26


def test_a_mark_that_cannot_be_read_is_waited_for_and_not_for_ever(tmp_path) -> None:
    store = Store(str(tmp_path))
    store.publish_bytes(MARK_PATH, b"{")
    assert Waiting().at(store).waited == 600
    store.publish_bytes(MARK_PATH, b'{"seconds": 1e9}')
    assert Waiting().at(store).waited == 600


def test_a_remover_that_could_not_keep_its_mark_removes_nothing_more(store) -> None:
    with removal_mark(store, seconds=100.0) as mark:
        mark.require()
        mark._written_at = (mark._written_at[0] - 51, mark._written_at[1])
        with pytest.raises(MarkLost, match="run `gristmill gc` again"):
            mark.require()
