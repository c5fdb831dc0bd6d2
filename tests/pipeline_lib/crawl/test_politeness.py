"""The pace towards a host: shared by processes, never exceeded, slowed by refusals, free of what the dead held."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from crawl_server import CrawlServer
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.crawl.politeness import MAX_PAUSE_SECONDS, Pace, PaceUnavailable


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def pace_with(clock, folder, **changes):
    settings = {"requests_per_second": 10.0, "max_connections": 2, **changes}
    return Pace("host.example", folder=folder, clock=clock, sleep=clock.sleep, **settings)


EVENTS = st.lists(
    st.one_of(
        st.just("ask"),
        st.just("success"),
        st.tuples(st.just("refusal"), st.floats(0, 5)),
        st.tuples(st.just("idle"), st.floats(0, 3)),
    ),
    max_size=60,
)


@given(EVENTS, st.floats(0.5, 500))
def test_whatever_happens_requests_are_never_closer_than_the_rate_allows(tmp_path_factory, events, rate):
    clock = Clock()
    paces = [pace_with(clock, folder, requests_per_second=rate) for folder in [tmp_path_factory.mktemp("pace")] * 3]
    granted = []
    not_before = 0.0
    for number, event in enumerate(events):
        pace = paces[number % 3]  # as three workers would
        if event == "ask":
            granted.append(pace.wait())
            assert granted[-1] >= not_before
        elif event == "success":
            pace.succeeded()
        elif event[0] == "refusal":
            pace.refused(granted[-1] if granted else clock.now, event[1])
            not_before = max(not_before, clock.now + event[1])
        else:
            clock.sleep(event[1])
    assert all(later - earlier >= (1 - 1e-9) / rate for earlier, later in itertools.pairwise(granted))


def test_refusals_halve_the_rate_once_for_requests_that_were_on_their_way_together(tmp_path):
    clock = Clock()
    pace = pace_with(clock, tmp_path)
    together = [pace.wait() for _ in range(4)]
    for granted in together:
        pace.refused(granted, 0.0)
    assert pace.rate() == 5.0
    pace.refused(pace.wait(), 0.0)
    assert pace.rate() == 2.5


def test_successes_give_the_rate_back_bit_by_bit_and_not_more(tmp_path):
    clock = Clock()
    pace = pace_with(clock, tmp_path)
    pace.refused(pace.wait(), 0.0)
    rates = []
    for _ in range(20):
        pace.succeeded()
        rates.append(pace.rate())
    assert rates == sorted(rates)
    assert 5.0 < rates[0] < 5.5
    assert rates[-1] == 10.0


def test_a_pause_is_for_everybody_and_bounded(tmp_path):
    clock = Clock()
    one, other = pace_with(clock, tmp_path), pace_with(clock, tmp_path)
    one.refused(one.wait(), 1e9)
    before = clock.now
    assert other.wait() - before == pytest.approx(MAX_PAUSE_SECONDS)


def test_another_host_goes_its_own_pace(tmp_path):
    clock = Clock()
    pace_with(clock, tmp_path).refused(clock.now, 100)
    other = Pace(
        "other.example", folder=tmp_path, requests_per_second=1, max_connections=1, clock=clock, sleep=clock.sleep
    )
    assert other.wait() == 1000.0


def test_state_from_before_a_restart_of_the_system_holds_nobody_up(tmp_path):
    late = Clock()
    late.now = 9e6
    pace = pace_with(late, tmp_path)
    pace.refused(pace.wait(), 500)
    early = Clock()  # the monotonic clock began anew
    assert pace_with(early, tmp_path).wait() < 1001
    assert pace_with(early, tmp_path).rate() == 10.0


@pytest.mark.parametrize("content", [b"x", b"\xff" * 56, b"pace" * 100])
def test_a_damaged_state_begins_anew_and_grants_no_burst(tmp_path, content):
    clock = Clock()
    pace = pace_with(clock, tmp_path)
    first = pace.wait()
    (path,) = tmp_path.glob("*.pace")
    path.write_bytes(content)
    assert pace.wait() - first >= 0.1


def test_a_folder_of_somebody_else_is_refused(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(PaceUnavailable, match="pace_folder"):
        pace_with(Clock(), tmp_path / "link")
    (tmp_path / "file").touch()
    with pytest.raises(PaceUnavailable, match="pace_folder"):
        pace_with(Clock(), tmp_path / "file")


HOLD = """
import sys, time
from pathlib import Path
from pipeline_lib.crawl.politeness import Pace
pace = Pace("h", requests_per_second=1, max_connections=1, folder=Path(sys.argv[1]))
with pace.connection():
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_gives_its_connection_back(tmp_path):
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    taken = threading.Event()

    def take():
        with Pace("h", requests_per_second=1, max_connections=1, folder=tmp_path).connection():
            taken.set()

    thread = threading.Thread(target=take)
    thread.start()
    assert not taken.wait(0.3)
    os.kill(holder.pid, signal.SIGKILL)
    assert taken.wait(10)
    thread.join()
    holder.wait()
    holder.stdout.close()


def test_never_more_connections_than_allowed_by_any_mix_of_threads(tmp_path):
    held, most = 0, 0
    lock = threading.Lock()

    def work():
        nonlocal held, most
        pace = Pace("h", requests_per_second=1e6, max_connections=3, folder=tmp_path)
        for _ in range(5):
            with pace.connection():
                with lock:
                    held += 1
                    most = max(most, held)
                time.sleep(0.002)
                with lock:
                    held -= 1

    threads = [threading.Thread(target=work) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 3


FETCH = """
import sys
from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.crawl.remote import Remote
url, folder, rate, count, offset = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5])
remote = Remote(FetchParameters(requests_per_second=rate, max_connections=3, backoff_seconds=0.01, timeout_seconds=5,
                                pace_folder=folder))
expected = bytes(range(256)) * 40
for number in range(count):
    start = (offset + number * 97) % 9000
    assert remote.read(url, start, 500) == expected[start:start + 500]
print(remote.traffic.requests)
"""


@pytest.mark.parametrize(("rate", "share"), [(40.0, 0.0), (60.0, 0.3)])
def test_several_processes_together_never_exceed_the_rate_in_any_stretch_of_time(tmp_path, rate, share):
    (tmp_path / "file").write_bytes(bytes(range(256)) * 40)
    # nothing that takes time: stalled requests would only make room
    faults = dict.fromkeys(("500", "503", "short", "reset", "wrong_range"), share / 5)
    with CrawlServer(tmp_path, faults=faults, seed=5) as server:
        arguments = [f"{server.url}/file", str(tmp_path / "pace"), str(rate), "12"]
        fleet = [
            subprocess.Popen([sys.executable, "-c", FETCH, *arguments, str(offset)], stdout=subprocess.PIPE, text=True)
            for offset in range(4)
        ]
        counted = [int(process.communicate(timeout=120)[0]) for process in fleet]
        assert [process.returncode for process in fleet] == [0] * 4
    times = sorted(request.at for request in server.requests)
    assert sum(counted) == len(times) >= 48
    # the way from the permission to the server takes a varying while, which can push requests together a little
    slack = 0.25
    for first, begin in enumerate(times):
        for last in range(first, len(times)):
            assert last - first + 1 <= 1 + rate * (times[last] - begin + slack)
    assert len(times) <= 1 + rate * (times[-1] - times[0] + slack)
