"""Worker processes as their parent sees them: one call at a time each, watched from outside while they work.

The same processes work for the runner `processes`, and inside of the workers of Dask and Ray. So on all of them a part
runs in an environment of ours, is stopped when nobody wants it any more, and has its memory watched by somebody whom
the work cannot keep from looking. A thread in the worker could be kept: one that looks ten times a second looked once
while a single call filled 4 GB, for a minute of a busy machine; from outside it was seen 580 times.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable

import psutil

from flows.engines import worker
from flows.engines.failures import EngineFailed, WorkerDied, WorkerOverMemory
from flows.engines.frames import FrameReader, PipeClosed, write_frame

# One thread each: libraries that start a thread a core would run workers x cores of them.
_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)
# A look costs 0.1 ms. New memory grows by 0.6 GB in a second of a core (measured: an array of ones), so that a worker
# is seen before it is 0.1 GB over its bound.
_LOOK_SECONDS = 0.1

Bound = Callable[["WorkerProcess", int], int | None]
"""Asked with a worker and the bytes it uses: the bound that it is over, None where it may go on."""


class Unwanted(RuntimeError):
    """Nobody waits for this call any more."""


class WorkerProcess:
    """One process. It starts with its first call, and again for a call after it ended of itself."""

    def __init__(self) -> None:
        self.in_use = 0  # bytes of memory, when last looked at
        self._is_killed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: psutil.Process | None = None
        self._outcomes: FrameReader | None = None
        self._end: Callable[[], object] = lambda: None

    @property
    def process_id(self) -> int | None:
        return None if self._process is None else self._process.pid

    def exchange(self, call: bytes, bound: Bound, is_wanted: Callable[[], bool]) -> bytes:
        """Send a call, and wait for its outcome.

        Raises:
            WorkerDied: the process ended first.
            WorkerOverMemory: it used more than it may, and was ended.
            Unwanted: `is_wanted` said no, and it was ended.
        """
        while True:
            try:
                self._send(call)
                return self._outcome(bound, is_wanted)
            except PipeClosed:
                code = self._code()
                self.end()
                if code == worker.ENDED_IDLE and not self._is_killed:
                    continue  # it ended of itself while the call was on its way
                how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
                raise WorkerDied(
                    f"a worker process was {how}: by hand, or by the system for its memory. Run again to continue; "
                    "if it dies each time, use fewer --workers"
                ) from None

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._end()
        self._process = self._outcomes = self._seen = None
        self.in_use = 0

    def kill(self) -> None:
        """End the process for good; to be called from another thread than the one that waits for it."""
        self._is_killed = True
        if self._process is not None:
            self._process.kill()

    def _send(self, call: bytes) -> None:
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._start()
        assert self._process is not None
        assert self._process.stdin is not None
        write_frame(self._process.stdin.fileno(), call)

    def _outcome(self, bound: Bound, is_wanted: Callable[[], bool]) -> bytes:
        assert self._outcomes is not None
        while (outcome := self._outcomes.read(_LOOK_SECONDS)) is None:
            self.in_use = memory_in_use(self._seen)
            exceeded = bound(self, self.in_use)
            if exceeded is not None:
                in_use = self.in_use
                self.end()
                raise WorkerOverMemory(in_use, exceeded)
            if not is_wanted():
                self.end()
                raise Unwanted
        return outcome

    def _start(self) -> None:
        command = [sys.executable, "-P", "-m", worker.MODULE, str(os.getpid())]
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env={**os.environ, **_ENVIRONMENT}
            )
            self._seen = psutil.Process(process.pid)
        except (OSError, psutil.Error) as error:
            raise EngineFailed(f"a worker process cannot be started: {error}") from error
        assert process.stdin is not None
        assert process.stdout is not None
        self._process = process
        self._outcomes = FrameReader(process.stdout.fileno())
        self._end = weakref.finalize(self, _end, process)
        if self._is_killed:
            process.kill()
        write_frame(process.stdin.fileno(), json.dumps(sys.path).encode())

    def _code(self) -> int:
        return 0 if self._process is None else self._process.wait()


class WorkerPool:
    """As many worker processes as there are calls at once; they are kept for the calls that follow."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._busy: set[WorkerProcess] = set()
        self._is_closed = False

    def exchange(self, call: bytes, bound: Bound, is_wanted: Callable[[], bool] = lambda: True) -> bytes:
        """See `WorkerProcess.exchange`; may be called from several threads.

        Raises:
            RuntimeError: the pool is closed, or was meanwhile.
        """
        with self._lock:
            self._check_open()
            taken = self._idle.pop() if self._idle else WorkerProcess()
            self._busy.add(taken)
        try:
            return taken.exchange(call, bound, is_wanted)
        except WorkerDied:
            with self._lock:
                self._check_open()
            raise
        finally:
            with self._lock:
                self._busy.discard(taken)
                if self._is_closed:
                    taken.end()
                else:
                    self._idle.append(taken)

    def in_use(self) -> dict[WorkerProcess, int]:
        """Bytes of memory that each worker that works used when it was last looked at."""
        with self._lock:
            return {each: each.in_use for each in self._busy}

    def process_ids(self) -> list[int]:
        with self._lock:
            return [each.process_id for each in (*self._idle, *self._busy) if each.process_id is not None]

    def end_idle(self) -> None:
        with self._lock:
            for each in self._idle:
                each.end()

    def close(self) -> None:
        """End all processes, whatever they are doing; no further call is taken."""
        with self._lock:
            self._is_closed = True
            for each in self._idle:
                each.end()
            for each in self._busy:
                each.kill()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the runner was closed: its run is ending")


def memory_in_use(process: psutil.Process | None) -> int:
    """Bytes that a process holds for itself; 0 for one that is gone.

    On Linux without pages of mapped files, which the system takes back when it needs them: token shards and the
    libraries themselves are read that way.
    """
    if process is None:
        return 0
    try:
        memory = process.memory_info()
    except psutil.Error:
        return 0
    return max(0, memory.rss - getattr(memory, "shared", 0))


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
