"""CPU time of the work on a part: of threads and processes that help, too."""

import multiprocessing
import subprocess
import sys
import threading
import time

from flows.part_usage import measured


def burn(seconds: float) -> None:
    """Take so much CPU time of this thread."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        sum(range(1_000))


def test_helper_threads_and_child_processes_count_and_waiting_does_not() -> None:
    child = "import time\nwhile time.process_time() < 0.5: pass"
    with measured("burning") as usage:
        helper = threading.Thread(target=burn, args=[0.3])
        helper.start()
        subprocess.run([sys.executable, "-c", child], check=True)
        helper.join()
        time.sleep(0.2)
    assert 0.75 <= usage["cpu_seconds"] < 3.0


def test_a_child_that_still_runs_counts() -> None:
    context = multiprocessing.get_context("spawn")
    done, leave = context.Event(), context.Event()
    with measured("burning") as usage:
        child = context.Process(target=burn_and_wait, args=[0.5, done, leave])
        child.start()
        assert done.wait(timeout=60)
    leave.set()
    child.join()
    assert usage["cpu_seconds"] >= 0.45


def burn_and_wait(seconds: float, done, leave) -> None:
    burn(seconds)
    done.set()
    leave.wait(timeout=60)
