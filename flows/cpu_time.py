"""CPU time of the work on a part, wherever it is done."""

import os
import threading
import time
from types import TracebackType
from typing import Self

import psutil


class CpuMeter:
    """Measures CPU time between enter and exit, as `seconds`.

    It is of the process, all its threads and the processes it started; but of the entering thread alone where another
    meter ran in the process at the same time, since nobody can tell then whose the rest was.
    """

    _running: "set[CpuMeter]" = set()  # noqa: RUF012 (of the class on purpose: all meters of a process)
    _changing = threading.Lock()

    def __init__(self) -> None:
        self.seconds = 0.0
        self._is_alone = True

    def __enter__(self) -> Self:
        with self._changing:
            self._is_alone = not self._running
            for other in self._running:
                other._is_alone = False
            self._running.add(self)
        self._thread_began, self._process_began = time.thread_time(), _process_seconds()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._changing:
            self._running.discard(self)
        of_thread = time.thread_time() - self._thread_began
        of_process = _process_seconds() - self._process_began if self._is_alone else 0.0
        # a child that ended and was not waited for takes its time along
        self.seconds = round(max(of_thread, of_process), 3)


def _process_seconds() -> float:
    own = os.times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in psutil.Process().children(recursive=True):
        try:
            used = child.cpu_times()
        except psutil.Error:  # it ended this moment
            continue
        total += used.user + used.system
    return total
