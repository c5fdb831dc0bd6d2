"""CPU time of the work on a part."""

import multiprocessing
import subprocess
import sys
import threading
import time

from flows.cpu_time import CpuMeter


def burn(seconds: float) -> None:
    """Take so much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1_000))


def test_helper_threads_and_child_processes_count_and_waiting_does_not() -> None:
    child = "import time\nwhile time.process_time() < 0.5: pass"
    with CpuMeter() as meter:
        helper = threading.Thread(target=burn, args=[0.3])
        helper.start()
        subprocess.run([sys.executable, "-c", child], check=True)
        helper.join()
        time.sleep(0.2)
    assert 0.75 <= meter.seconds < 3.0


def test_a_child_that_still_runs_counts() -> None:
    context = multiprocessing.get_context("spawn")
    done, leave = context.Event(), context.Event()
    with CpuMeter() as meter:
        child = context.Process(target=burn_and_wait, args=[0.5, done, leave])
        child.start()
        assert done.wait(timeout=60)
    leave.set()
    child.join()
    assert meter.seconds >= 0.45


def burn_and_wait(seconds: float, done, leave) -> None:
    burn(seconds)
    done.set()
    leave.wait(timeout=60)


def test_parts_at_work_in_threads_of_one_process_do_not_count_each_other() -> None:
    meet, found = threading.Barrier(2), {}

    def work(seconds: float) -> None:
        with CpuMeter() as meter:
            meet.wait(timeout=20)
            burn(seconds)
            meet.wait(timeout=20)
        found[seconds] = meter.seconds

    threads = [threading.Thread(target=work, args=[seconds]) for seconds in (0.1, 0.6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.1 <= found[0.1] < 0.4
    assert 0.6 <= found[0.6] < 1.0
