"""Pages read by other processes, each within a budget of time and memory that is enforced from outside.

A page over its budget, and one that takes its worker down, costs itself: it gets its reason, the worker is replaced,
and the pages that waited behind it are read by the next. Answers come in the order of the pages, and what they say does
not depend on how many workers there are or how far ahead pages are sent.

CPU time decides, so that a busy machine does not: a budget of wall time stands far behind, for workers that wait for
something that never comes.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import TypeVar

import orjson
import psutil

from pipeline_lib.extract import page_worker
from pipeline_lib.extract.page_frames import FrameBuffer, Page, PageAnswer, answer_of, packed, packed_page
from pipeline_lib.extract.parameters import ExtractParameters

Tag = TypeVar("Tag")

_WALL_FACTOR = 20  # wall time for a page, in budgets of CPU time: machines may be that busy
_LOOK_SECONDS = 0.05
_AHEAD_PAGES = 8  # sent to one worker before it has answered
_AHEAD_BYTES = 4 << 20
_WINDOW_PAGES = 64  # for each worker, taken from the source and not yet given back
_WINDOW_BYTES = 32 << 20
_READ_BYTES = 1 << 17  # larger ones are memory that the system has to clear first: five times slower
_PIPE_BYTES = 1 << 20  # what an unprivileged process may ask for (Linux, pipe-max-size)
_ATTEMPTS = 2  # a page that takes its worker down may have met somebody who killed it; twice is no chance
_START_SECONDS = 300
_MAX_FAILED_STARTS = 3

# One thread: workers are as many as there are cores already.
_ENVIRONMENT = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "ARROW_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)


class PageWorkerFailed(RuntimeError):
    """A page worker cannot be started, or ends before its first page."""


class PageWorkers:
    """`num_workers` processes that read pages; they start when they are needed, and live until `close`.

    To be used by one thread, the one that made it: on Linux, workers end with that thread.
    """

    def __init__(self, parameters: ExtractParameters, num_workers: int = 1) -> None:
        if num_workers < 1:
            raise ValueError(f"num_workers={num_workers}: expected at least 1")
        self.parameters = parameters
        self.num_workers = num_workers
        self._workers: list[_Worker] = []
        self._backlog: deque[_Job] = deque()  # not sent to any worker yet
        self._failed_starts = 0  # in a row

    def __enter__(self) -> "PageWorkers":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def answers(self, items: Iterable[tuple[Tag, Page | None]]) -> Iterator[tuple[Tag, PageAnswer | None]]:
        """Each item with the answer to its page, in order; items without a page pass.

        Items are taken a bounded number ahead. One call at a time.

        Raises:
            PageWorkerFailed: no worker can be started.
            Exception: what `items` raises; the items before it have been given by then.
        """
        window: deque[tuple[Tag, _Job | None]] = deque()
        source = iter(items)
        window_bytes = 0
        finished = False
        failure: Exception | None = None
        try:
            while True:
                while window and (window[0][1] is None or window[0][1].answer is not None):
                    tag, job = window.popleft()
                    if job is not None:
                        window_bytes -= len(job.page.body)
                    yield tag, None if job is None else job.answer
                if finished and not window:
                    break
                is_full = len(window) >= _WINDOW_PAGES * self.num_workers or (
                    window_bytes >= _WINDOW_BYTES * self.num_workers
                )
                if finished or is_full:
                    self._work(_LOOK_SECONDS)
                    continue
                try:
                    tag, page = next(source)
                except StopIteration:
                    finished = True
                    continue
                except Exception as error:  # noqa: BLE001 (raised again when the items before it are through)
                    failure, finished = error, True
                    continue
                job = None if page is None else _Job(page)
                window.append((tag, job))
                if job is not None:
                    window_bytes += len(job.page.body)
                    self._backlog.append(job)
                    self._work(0.0)
            if failure is not None:
                raise failure
        finally:
            if window:  # nobody waits for these answers any more
                self.close()

    def process_ids(self) -> list[int]:
        """Of the workers that read pages right now, or are ready to."""
        return [worker.process_id for worker in self._workers if worker.is_ready]

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        self._backlog.clear()
        for worker in self._workers:
            worker.end()
        self._workers.clear()

    def _work(self, seconds: float) -> None:
        """Send pages, receive answers and watch the workers, waiting at most so long for something to happen."""
        self._assign()
        poll = select.poll()
        by_descriptor = {}
        for worker in self._workers:
            poll.register(worker.answers, select.POLLIN)
            by_descriptor[worker.answers] = worker
            if worker.outbox:
                poll.register(worker.pages, select.POLLOUT)
                by_descriptor[worker.pages] = worker
        ready = {by_descriptor[descriptor] for descriptor, _ in poll.poll(seconds * 1000)}
        for worker in list(self._workers):
            if worker in ready and not worker.exchange():
                self._replace(worker, worker.cause_of_death())
            elif (verdict := worker.over_budget(self.parameters)) is not None:
                self._replace(worker, verdict)
        self._assign()

    def _assign(self) -> None:
        while self._backlog:
            free = [worker for worker in self._workers if worker.has_room()]
            if len(self._workers) < self.num_workers and not any(not worker.jobs for worker in free):
                free = [_Worker(self.parameters)]
                self._workers += free
            if not free:
                return
            min(free, key=lambda worker: len(worker.jobs)).take(self._backlog.popleft())

    def _replace(self, worker: "_Worker", verdict: str | None) -> None:
        """End a worker; its first page gets the verdict or another attempt, the others go to the next worker."""
        self._workers.remove(worker)
        worker.end()
        self._failed_starts = 0 if worker.is_ready else self._failed_starts + 1
        if self._failed_starts == _MAX_FAILED_STARTS:
            raise PageWorkerFailed(
                f"{_MAX_FAILED_STARTS} processes to read pages in were killed before their first page; is there memory "
                "for them?"
            )
        waiting = list(worker.jobs)
        if waiting and verdict is not None:
            first = waiting[0]
            first.attempts += 1
            # A worker's memory may be full of what pages before left there; and whoever killed one may not come again.
            may_differ = verdict == "extractor_crashed" or (verdict == "over_memory_budget" and worker.num_answers > 0)
            if not (may_differ and first.attempts < _ATTEMPTS):
                first.answer = PageAnswer(reason=verdict)
                del waiting[0]
        self._backlog.extendleft(reversed(waiting))


class _Job:
    """A page on its way."""

    __slots__ = ("answer", "attempts", "page")

    def __init__(self, page: Page) -> None:
        self.page = page
        self.answer: PageAnswer | None = None
        self.attempts = 0


class _Worker:
    """One process, and the pages that it was sent."""

    def __init__(self, parameters: ExtractParameters) -> None:
        command = [sys.executable, "-P", "-m", page_worker.MODULE, str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env={**os.environ, **_ENVIRONMENT}
            )
            self._seen = psutil.Process(self._process.pid)
        except (OSError, psutil.Error) as error:
            raise PageWorkerFailed(f"a process to read pages in cannot be started: {error}") from error
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.process_id = self._process.pid
        self.pages = self._process.stdin.fileno()
        self.answers = self._process.stdout.fileno()
        for descriptor in (self.pages, self.answers):
            os.set_blocking(descriptor, False)
            _enlarge_pipe(descriptor)
        self.end = weakref.finalize(self, _end, self._process)
        self.jobs: deque[_Job] = deque()
        self.outbox: deque[memoryview] = deque()
        self.num_answers = 0
        self.is_ready = False
        self._buffer = FrameBuffer()
        self._cpu_before = 0.0  # used by the process when it began its first unanswered page
        self._looked_at = time.monotonic()
        self._waited = 0.0
        self._send(packed({}, orjson.dumps(asdict(parameters))))

    def has_room(self) -> bool:
        if not self.jobs:
            return True
        return len(self.jobs) < _AHEAD_PAGES and sum(len(job.page.body) for job in self.jobs) < _AHEAD_BYTES

    def take(self, job: _Job) -> None:
        if not self.jobs:
            self._waited = 0.0
        self.jobs.append(job)
        self._send(packed_page(job.page))

    def exchange(self) -> bool:
        """Write and read what can be without waiting; whether the process still answers."""
        self._write()
        while True:
            try:
                chunk = os.read(self.answers, _READ_BYTES)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._buffer.feed(chunk)
            while (frame := self._buffer.pop()) is not None:
                answer, further = answer_of(frame)
                self._cpu_before = further["cpu_seconds"]
                self._waited = 0.0
                if self.is_ready:
                    self.jobs.popleft().answer = answer
                    self.num_answers += 1
                self.is_ready = True
            if len(chunk) < _READ_BYTES:
                return True

    def over_budget(self, parameters: ExtractParameters) -> str | None:
        """The reason against the page that the process is reading; looks at most twenty times a second."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_SECONDS:
            return None
        # the time when nobody looked, since the crawl came slowly, is not the page's
        self._waited += min(now - self._looked_at, 1.0)
        self._looked_at = now
        if not self.is_ready:
            if self._waited > _START_SECONDS:
                raise PageWorkerFailed(f"a process to read pages in was not ready after {_START_SECONDS} s")
            return None
        if not self.jobs:
            return None
        try:
            with self._seen.oneshot():
                used = self._seen.cpu_times()
                resident = self._seen.memory_info().rss
        except psutil.Error:
            return None  # it is gone, which reading from it will tell
        if used.user + used.system - self._cpu_before > parameters.max_page_seconds:
            return "over_time_budget"
        if self._waited > _WALL_FACTOR * parameters.max_page_seconds:
            return "over_time_budget"
        return "over_memory_budget" if resident > parameters.max_page_memory_bytes else None

    def cause_of_death(self) -> str | None:
        """The reason against the page that the process was reading; None: it ended of itself, and was not to blame.

        Raises:
            PageWorkerFailed: it never began to work.
        """
        code = self._process.wait()
        if not self.is_ready and code < 0:
            return None  # killed, and no page was read
        if not self.is_ready:
            raise PageWorkerFailed(
                f"a process to read pages in ended with exit code {code} before its first page; what it said stands "
                "above"
            )
        if code in (0, page_worker.ENDED_IDLE):
            return None
        return "over_time_budget" if code == -signal.SIGXCPU else "extractor_crashed"

    def _send(self, pieces: Iterable[bytes]) -> None:
        self.outbox.extend(memoryview(piece) for piece in pieces if piece)
        self._write()

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # of a broken one, reading will tell
            while self.outbox:
                written = os.write(self.pages, self.outbox[0])
                if written < len(self.outbox[0]):
                    self.outbox[0] = self.outbox[0][written:]
                else:
                    self.outbox.popleft()


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()


def _enlarge_pipe(descriptor: int) -> None:
    try:
        from fcntl import F_SETPIPE_SZ, fcntl
    except ImportError:  # not Linux
        return
    with contextlib.suppress(OSError):  # the user's pipes are many already
        fcntl(descriptor, F_SETPIPE_SZ, _PIPE_BYTES)


class _ThreadWorkers(threading.local):
    """The workers of a thread: kept from part to part, since starting one takes two seconds."""

    workers: PageWorkers | None = None


_of_thread = _ThreadWorkers()


def thread_workers(parameters: ExtractParameters) -> PageWorkers:
    """One page worker for the calling thread, the same at the next call with equal parameters.

    It ends by itself when it is not asked for a minute, and with the thread.
    """
    workers = _of_thread.workers
    if workers is None or workers.parameters != parameters:
        if workers is not None:
            workers.close()
        workers = _of_thread.workers = PageWorkers(parameters)
    return workers
