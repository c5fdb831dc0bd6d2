"""Worker processes: as many as were asked for, whoever asks, and new ones for those that died."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from flows.engines.failures import WorkerDied
from flows.runners import Runner


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner(name="processes", workers=2)
    yield runner
    runner.close()


def process_id_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_calls_from_many_threads_share_as_many_processes_as_there_are_workers(runner) -> None:
    with ThreadPoolExecutor(6) as threads:
        seen = set(threads.map(lambda _: runner.call(process_id_after, 0.05), range(18)))
    assert 1 <= len(seen) <= 2
    assert os.getpid() not in seen


def test_a_killed_worker_fails_its_call_and_the_next_call_works(runner) -> None:
    first = runner.call(os.getpid)

    killer = threading.Timer(0.2, psutil.Process(first).kill)
    killer.start()
    with pytest.raises(WorkerDied, match="fewer --workers"):
        runner.call(process_id_after, 120)
    killer.join()
    assert runner.call(os.getpid) != first


def test_a_closed_runner_has_no_processes_left_and_takes_no_work(runner) -> None:
    worker = psutil.Process(runner.call(os.getpid))
    runner.close()
    assert not worker.is_running()
    with pytest.raises(RuntimeError, match="its run is ending"):
        runner.call(os.getpid)


def test_threads_work_in_this_process() -> None:
    assert Runner(name="threads", workers=2).call(os.getpid) == os.getpid()
    assert Runner(name="processes", workers=2).call(os.getpid, in_process=True) == os.getpid()


def test_no_workers_are_refused() -> None:
    with pytest.raises(ValueError, match="workers=0: at least one"):
        Runner(name="threads", workers=0)
