"""What the work on a part takes of a machine: recorded beside what it made, and no part of that."""

import resource
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil

USAGE = "usage"  # the name of all this among the metrics of a part

_lock = threading.Lock()
_at_work = 0  # parts, in this process, now
_begun = 0  # parts that this process has ever begun
_stages: set[str] = set()  # that this process has worked on


@contextmanager
def measured(stage: str) -> Iterator[dict[str, Any]]:
    """What a part takes, filled in at the end.

    - `cpu_seconds`: of this process, its threads and its helpers; null where other parts were at work in it meanwhile,
      since nobody can tell whose they are.
    - `peak_memory_bytes`: the most that this process, and its helpers at the end, have had resident so far.
    - `is_first`: whether this process worked on the stage for the first time, and so imported and loaded what it needs.
    """
    global _at_work, _begun
    usage: dict[str, Any] = {}
    with _lock:
        _at_work += 1
        _begun += 1
        mine, was_alone = _begun, _at_work == 1
        usage["is_first"] = stage not in _stages
        _stages.add(stage)
    before = _cpu_seconds()
    try:
        yield usage
    finally:
        with _lock:
            _at_work -= 1
            was_alone = was_alone and _begun == mine
    usage["cpu_seconds"] = round(max(_cpu_seconds() - before, 0.0), 3) if was_alone else None
    usage["peak_memory_bytes"] = _peak_memory_bytes()


def _cpu_seconds() -> float:
    """Of this process and all that it started, ended or not."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    total = time.process_time() + ended.ru_utime + ended.ru_stime
    for child in psutil.Process().children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.Error:
            continue  # it ended just now, and is counted among those next time
        total += times.user + times.system
    return total


def _peak_memory_bytes() -> int:
    unit = 1 if sys.platform == "darwin" else 1024
    total = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    for child in psutil.Process().children(recursive=True):
        try:
            total += child.memory_info().rss
        except psutil.Error:
            continue
    return int(total)
