"""Worker processes: as many as were asked for, new ones for those that died, and none that eats all memory."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flows.engines.failures import WorkerDied, WorkerOverMemory
from flows.runners import Runner
from storage.wrong_request import WrongRequest

MEGABYTE = 1 << 20


@pytest.fixture
def runner() -> Iterator[Runner]:
    runner = Runner(name="processes", workers=2)
    yield runner
    runner.close()


def process_id_after(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def fill(num_bytes: int, seconds: float = 0.0) -> int:
    """Use memory, and hold the interpreter while doing it; then keep it for a while."""
    filled = bytearray(b"x") * num_bytes
    time.sleep(seconds)
    return len(filled)


def fail_oddly() -> None:
    class Unpicklable(Exception):
        def __init__(self) -> None:
            super().__init__("the belt slipped")
            self.lock = threading.Lock()

    raise Unpicklable


def end_this_process() -> None:
    os._exit(3)


def threads_of_libraries() -> str:
    return os.environ["POLARS_MAX_THREADS"] + os.environ["OMP_NUM_THREADS"]


def print_something() -> str:
    print("a library that prints")  # noqa: T201 (what a library of somebody else may do)
    os.write(1, b"and one that writes by itself\n")
    return "an outcome"


def test_calls_from_many_threads_share_as_many_processes_as_there_are_workers(runner) -> None:
    with ThreadPoolExecutor(6) as threads:
        seen = set(threads.map(lambda _: runner.call(process_id_after, 0.05), range(18)))
    assert 1 <= len(seen) <= 2
    assert os.getpid() not in seen


def test_a_killed_worker_fails_its_call_and_no_other(runner) -> None:
    with ThreadPoolExecutor(2) as threads:
        calls = [threads.submit(runner.call, process_id_after, 2) for _ in range(2)]
        workers: list[psutil.Process] = []
        while len(workers) < 2:
            living = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
            workers = [each for each in living if "flows.engines.worker" in each.cmdline()]
        workers[0].kill()
        errors = [call.exception(timeout=120) for call in calls]
    (died,) = [error for error in errors if error is not None]
    assert isinstance(died, WorkerDied)
    assert "killed by SIGKILL" in str(died)
    assert "fewer --workers" in str(died)
    (other,) = [call.result() for call in calls if call.exception() is None]
    assert other == workers[1].pid
    assert runner.call(os.getpid) != workers[0].pid


def test_a_worker_that_ends_itself_is_told_by_its_exit_code(runner) -> None:
    with pytest.raises(WorkerDied, match="ended with exit code 3"):
        runner.call(end_this_process)


def test_what_a_function_raises_is_raised_with_the_place_where_it_was(runner) -> None:
    with pytest.raises(FileNotFoundError, match="no-such-file") as raised:
        runner.call(Path("no-such-file").read_bytes)
    assert "pathlib" in "".join(raised.value.__notes__)
    with pytest.raises(RuntimeError, match="Unpicklable: the belt slipped"):
        runner.call(fail_oddly)


def test_workers_have_one_thread_for_libraries_and_may_print(runner) -> None:
    assert runner.call(threads_of_libraries) == "11"
    assert runner.call(print_something) == "an outcome"


def test_a_closed_runner_has_no_processes_left_and_takes_no_work(runner) -> None:
    worker = psutil.Process(runner.call(os.getpid))
    with ThreadPoolExecutor(1) as threads:
        busy = threads.submit(runner.call, process_id_after, 120)
        time.sleep(0.3)
        runner.close()
        assert isinstance(busy.exception(timeout=10), RuntimeError)
    assert not worker.is_running()
    with pytest.raises(RuntimeError, match="its run is ending"):
        runner.call(os.getpid)


def test_workers_end_in_the_middle_of_a_call_when_their_parent_is_killed() -> None:
    script = (
        "import threading, time, os\n"
        "from flows.runners import Runner\n"
        "runner = Runner(name='processes', workers=1)\n"
        "print(runner.call(os.getpid), flush=True)\n"
        "runner.call(time.sleep, 120)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    psutil.wait_procs([worker], timeout=5)
    assert not worker.is_running()
    parent.stdout.close()


def test_threads_work_in_this_process() -> None:
    assert Runner(name="threads", workers=2).call(os.getpid) == os.getpid()
    assert Runner(name="processes", workers=2).call(os.getpid, in_process=True) == os.getpid()
    assert Runner(name="processes", workers=2).places() == 2


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="workers=0: at least one"):
        Runner(name="threads", workers=0)
    with pytest.raises(WrongRequest, match="the runner processes has no address"):
        Runner(name="processes", workers=1, address="tcp://127.0.0.1:8786")


def test_a_worker_over_its_bound_is_ended_and_its_call_made_again_alone_with_the_memory_of_all() -> None:
    runner = Runner(name="processes", workers=3, worker_memory_bytes=100 * MEGABYTE)
    try:
        with ThreadPoolExecutor(2) as threads:
            beside = threads.submit(runner.call, process_id_after, 1.0)
            assert runner.call(fill, 200 * MEGABYTE, 1.0) == 200 * MEGABYTE
            assert beside.result()
        with pytest.raises(WorkerOverMemory) as raised:
            runner.call(fill, 400 * MEGABYTE, 1.0)
        assert runner.call(fill, 10 * MEGABYTE) == 10 * MEGABYTE
    finally:
        runner.close()
    message = str(raised.value)
    assert raised.value.in_use > 300 * MEGABYTE
    assert "although it was tried again alone" in message
    assert f"where {300 * MEGABYTE:,} are allowed" in message
    for remedy in ("resources.worker_memory_bytes", "fewer --workers", "more memory", "smaller parts"):
        assert remedy in message
