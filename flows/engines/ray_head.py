"""A Ray cluster on this machine that ends with the run that started it: `python -m flows.engines.ray_head`.

Ray ties its processes to those that start them, and loses some all the same: after a `kill -9` of a program that has
called `ray.init`, two of its agents were still there minutes later. So a process of ours starts Ray, adopts whatever
loses its parent (a subreaper, in Linux's words), waits for the end of its standard input, and then ends all of it.
"""

import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import sys
import tempfile

import psutil

MODULE = "flows.engines.ray_head"

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_OBJECT_STORE_BYTES = 80 << 20  # about the least that Ray takes: stage outputs go through the run's store
_LOOK_MILLISECONDS = 1000


def main(workers: int, parent: int) -> None:
    """Start Ray, print its address as a line of JSON, and stay until standard input or the parent ends."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # for the run, which then ends us
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    answers = os.dup(1)
    os.dup2(2, 1)
    folder = tempfile.mkdtemp(prefix="gr-", dir="/tmp")  # a short path: sockets lie in it
    try:
        import ray

        ray.init(
            address="local",
            num_cpus=workers,
            include_dashboard=False,
            log_to_driver=False,
            configure_logging=False,
            object_store_memory=_OBJECT_STORE_BYTES,
            _node_ip_address="127.0.0.1",
            _temp_dir=folder,
        )
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Ray put a handler of its own
        os.write(answers, json.dumps({"address": ray.get_runtime_context().gcs_address}).encode() + b"\n")
        _wait_for_end(parent)
    finally:
        _end_children()
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)  # Ray's own good-byes would wait for processes that are gone


def _wait_for_end(parent: int) -> None:
    poll = select.poll()
    poll.register(0, 0)  # nothing but the end of the pipe
    while not poll.poll(_LOOK_MILLISECONDS) and os.getppid() == parent:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:  # those we adopted
                pass


def _end_children() -> None:
    """End all processes below this one, again and again: who is killed may have started another meanwhile."""
    while children := psutil.Process().children(recursive=True):
        for child in children:
            with contextlib.suppress(psutil.Error):
                child.kill()
        psutil.wait_procs(children, timeout=5)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
