"""Where parts are worked on: threads of this process, or worker processes that may die without taking the run along."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from loky import ProcessPoolExecutor
from loky.process_executor import TerminatedWorkerError

RunnerName = Literal["threads", "processes"]
Result = TypeVar("Result")

# A worker process of one thread each: libraries that start a thread a core would run workers x cores of them.
_WORKER_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "ARROW_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
_IDLE_SECONDS = 60


class WorkerDied(RuntimeError):
    """A worker process was killed, by the system for its memory or by somebody; its part can be tried again."""


@dataclass(kw_only=True)
class Runner:
    """How many parts at once, and where.

    Calls from several threads share one pool of `workers` processes, which is made anew when a worker died. (Loky's
    own reusable pool is one for each thread that asks: N threads would have N pools of N processes.)
    """

    name: RunnerName
    workers: int
    _pool: ProcessPoolExecutor | None = field(default=None, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers={self.workers}: at least one is needed")

    def call(self, function: Callable[..., Result], *arguments: Any, in_process: bool = False) -> Result:
        """Call a function where this runner works, and wait for it.

        Args:
            in_process: run it in this process whatever the runner, because it reports progress or uses all cores.

        Raises:
            WorkerDied: the worker process ended before the function did.
        """
        if in_process or self.name == "threads":
            return function(*arguments)
        pool = self._open_pool()
        try:
            future: Future[Result] = pool.submit(function, *arguments)
            return future.result()
        except TerminatedWorkerError as error:
            with self._lock:
                if self._pool is pool:  # else somebody met the broken pool before us
                    self._pool = None
            raise WorkerDied(
                "a worker process died: killed by hand, or by the system for its memory. "
                "Run again to continue; if it dies each time, use fewer --workers"
            ) from error

    def close(self) -> None:
        """End the worker processes, whatever they are doing; no further work is taken."""
        with self._lock:
            pool, self._pool, self._is_closed = self._pool, None, True
        if pool is not None:
            pool.shutdown(wait=True, kill_workers=True)

    def _open_pool(self) -> ProcessPoolExecutor:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the runner was closed: its run is ending")
            if self._pool is None:
                # Idle workers end by themselves, also when this process is killed and nobody closes the pool.
                self._pool = ProcessPoolExecutor(
                    max_workers=self.workers, timeout=_IDLE_SECONDS, env=_WORKER_ENVIRONMENT
                )
            return self._pool


def default_workers() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
