"""Leases: one holder at a time, over when silent or dead, whatever clocks do; on folders and on S3."""

import dataclasses
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from storage.leases import Holder, Lease, Leases
from storage.processes import Process, this_process
from storage.store import Store

ELSEWHERE = Process(machine="0123abcd", boot="0000", space="0000", pid=1, started="5")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leases_of(store, run, clock, process=None) -> Leases:
    return Leases(store=store, run=run, seconds=8.0, clock=clock, process=process or this_process())


def test_a_lease_has_one_holder_and_the_other_is_told_who(store, clock):
    first, second = (leases_of(store, run, clock) for run in ("first", "second"))
    lease = first.acquire("extract-k-part-00000")
    assert isinstance(lease, Lease)
    found = second.acquire("extract-k-part-00000")
    assert isinstance(found, Holder)
    assert str(found).startswith("run first (host ")
    assert f"pid {os.getpid()}" in str(found)
    assert isinstance(second.acquire("extract-k-part-00001"), Lease)  # another part is nobody's

    first.release(lease)
    assert isinstance(second.acquire("extract-k-part-00000"), Lease)


@pytest.mark.parametrize("jump", [1e9, -1e9])
def test_a_clock_that_jumps_neither_ends_a_lease_nor_keeps_it(store, clock, jump):
    holder, watcher = leases_of(store, "holder", clock, ELSEWHERE), leases_of(store, "watcher", clock)
    lease = holder.acquire("name")
    assert isinstance(watcher.acquire("name"), Holder)
    clock.now += jump
    assert isinstance(watcher.acquire("name"), Holder)  # two looks are not enough, however far apart

    looks = 0
    while isinstance(watcher.acquire("name"), Holder):
        clock.now += 1
        looks += 1
        assert looks <= 10, "a holder that is silent for longer than its lease lasts keeps it"
    assert looks >= 5
    assert not lease.claim.is_held(store)


def test_a_lease_that_beats_is_held_for_ever_and_one_that_was_taken_is_given_up(store, clock):
    holder, watcher = leases_of(store, "holder", clock, ELSEWHERE), leases_of(store, "watcher", clock)
    lease = holder.acquire("name")
    for _ in range(50):
        clock.now += 2
        holder.beat()
        assert isinstance(watcher.acquire("name"), Holder)
    while isinstance(taken := watcher.acquire("name"), Holder):
        clock.now += 2
        assert clock.now < 120
    assert taken.claim.is_held(store)

    holder.beat()  # it was only asleep: it must not take back what another holds now
    assert not lease.claim.is_held(store)
    assert isinstance(holder.acquire("name"), Holder)
    holder.release(lease)
    assert taken.claim.is_held(store)


def test_a_file_that_cannot_be_read_is_a_lease_that_ends(store, clock):
    store.publish_bytes("leases/name.00000007.json", b"{")
    watcher = leases_of(store, "watcher", clock)
    assert isinstance(watcher.acquire("name"), Holder)
    while isinstance(taken := watcher.acquire("name"), Holder):
        clock.now += 2
        assert clock.now < 60
    assert taken.claim.number == 8


def test_what_a_holder_uses_is_seen_by_others_at_once(store, clock):
    first, second = (leases_of(store, run, clock) for run in ("first", "second"))
    lease = first.acquire("run-first", uses=["fetch/k"])
    assert second.users("run-", "extract/k") == []
    first.tell(lease, ["fetch/k", "extract/k"])
    first.acquire("part-1", uses=["extract/k"])
    assert [holder.run for holder in second.users("run-", "extract/k")] == ["first"]
    assert first.users("run-", "extract/k") == []  # its own are none of others'


def test_of_another_machine_those_that_beat_are_users_and_those_that_do_not_are_not(store, clock):
    silent, beating = (leases_of(store, run, clock, ELSEWHERE) for run in ("silent", "beating"))
    silent.acquire("run-silent", uses=["fetch/k"])
    beating.acquire("run-beating", uses=["fetch/k"])
    looks = 0

    def wait(seconds: float) -> None:
        nonlocal looks
        looks += 1
        clock.now += seconds
        beating.beat()

    watcher = leases_of(store, "watcher", clock)
    assert [holder.run for holder in watcher.users("run-", "fetch/k", wait)] == ["beating"]
    assert clock.now >= 8
    looks = 0
    assert [holder.run for holder in watcher.users("run-", "fetch/k", wait)] == ["beating"]
    assert looks == 0  # it was seen to beat a moment ago


HOLD = """
import sys, time
from storage.leases import Leases
from storage.store import Store

with Leases(store=Store(sys.argv[1]), run="other", seconds=0.4) as leases:
    leases.acquire("name")
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other_process(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


@pytest.mark.chaos
def test_of_a_killed_process_here_leases_are_over_at_once(tmp_path, clock, other_process):
    leases = leases_of(Store(str(tmp_path)), "watcher", clock)
    assert isinstance(leases.acquire("name"), Holder)
    other_process.send_signal(signal.SIGKILL)
    other_process.wait()
    assert isinstance(leases.acquire("name"), Lease)  # by a clock that stands still


@pytest.mark.chaos
def test_of_a_stopped_process_leases_are_over_after_a_while_and_of_a_running_one_never(tmp_path, other_process):
    leases = Leases(store=Store(str(tmp_path)), run="watcher", seconds=0.4)
    ends = time.monotonic() + 1.2
    while time.monotonic() < ends:
        assert isinstance(leases.acquire("name"), Holder)
        time.sleep(0.02)
    other_process.send_signal(signal.SIGSTOP)
    while isinstance(leases.acquire("name"), Holder):
        assert time.monotonic() < ends + 20
        time.sleep(0.02)


def test_a_pid_that_was_given_again_is_not_the_holder(tmp_path, clock):
    alive = this_process()
    earlier = dataclasses.replace(alive, started="1")
    store = Store(str(tmp_path))
    leases_of(store, "holder", clock, earlier).acquire("name")
    assert isinstance(leases_of(store, "watcher", clock).acquire("name"), Lease)


def test_on_the_end_of_a_run_nothing_is_left(tmp_path):
    store = Store(str(tmp_path))
    with Leases(store=store, run="run") as leases:
        leases.acquire("one")
        leases.acquire("two")
        expires = json.loads(Path(store.full_path("leases/one.00000001.json")).read_text())["expires_at"]
        assert expires.endswith("+00:00")
    assert store.names("leases") == []


class Races(RuleBasedStateMachine):
    """Runs on several machines that take leases, beat, fall silent, die, are killed in the middle, and have clocks that
    jump. The dumb oracle: of those that believe in a lease and have beaten in time, there is one at most."""

    names = st.sampled_from(["a", "b"])
    runs = Bundle("runs")

    @initialize()
    def begin(self) -> None:
        self.store = Store(f"memory://{next(_numbers)}")
        self.time = 0.0
        self.last_beat: dict[int, float] = {}
        self.held: dict[int, dict[str, Lease]] = {}
        self.all: dict[int, Leases] = {}
        self.offsets: dict[int, float] = {}

    @rule(target=runs)
    def start(self) -> int:
        number = len(self.all)
        self.offsets[number] = 1000.0 * number
        self.all[number] = Leases(
            store=self.store,
            run=str(number),
            seconds=8.0,
            clock=lambda: self.time + self.offsets[number],
            process=dataclasses.replace(ELSEWHERE, machine=f"{number:08d}"),
        )
        self.held[number], self.last_beat[number] = {}, self.time
        return number

    @rule(run=runs, name=names)
    def take(self, run: int, name: str) -> None:
        if name in self.held[run]:
            return
        self.beat(run)
        outcome = self.all[run].acquire(name)
        if isinstance(outcome, Lease):
            for other, leases in self.held.items():
                if name in leases and leases[name].claim.is_held(self.store):
                    raise AssertionError(f"{run} took {name}, which {other} holds")
                if name in leases:
                    assert self.time - self.last_beat[other] >= 6, f"{run} took {name} from {other}, which was beating"
            self.held[run][name] = outcome

    @rule(run=runs)
    def beat(self, run: int) -> None:
        self.all[run].beat()
        self.last_beat[run] = self.time
        self.held[run] = {name: lease for name, lease in self.held[run].items() if lease.claim.is_held(self.store)}

    @rule(run=runs, name=names)
    def release(self, run: int, name: str) -> None:
        if name in self.held[run]:
            self.all[run].release(self.held[run].pop(name))

    @rule(run=consumes(runs))
    def die(self, run: int) -> None:
        del self.held[run]

    @rule(seconds=st.sampled_from([0.5, 1.0, 2.0]))
    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    @rule(run=runs, seconds=st.sampled_from([-500.0, 3.0, 500.0]))
    def jump(self, run: int, seconds: float) -> None:
        self.offsets[run] += seconds

    @invariant()
    def one_holder_each(self) -> None:
        for name in ("a", "b"):
            holding = [
                run
                for run, leases in getattr(self, "held", {}).items()
                if name in leases and leases[name].claim.is_held(self.store)
            ]
            assert len(holding) <= 1

    def teardown(self) -> None:
        if not getattr(self, "all", None):
            return
        # whatever was left behind by whom: somebody who asks often enough gets every lease
        watcher = Leases(store=self.store, run="last", seconds=8.0, clock=lambda: self.time)
        for name in ("a", "b"):
            looks = 0
            while isinstance(watcher.acquire(name), Holder):
                self.time += 1.0
                looks += 1
                assert looks < 20


_numbers = itertools.count()
TestRaces = Races.TestCase
TestRaces.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
