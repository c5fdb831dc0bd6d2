"""A call on its way to a worker of Dask or Ray, and what happens there.

The worker of the engine only checks itself, and hands the call on to a worker process of ours beside it, as bytes: it
imports nothing of the pipeline, answers its scheduler while the work goes on, and survives what the work does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from flows.compiled import keep_compiled_kernels
from flows.engines.worker_check import Expectations, check_worker
from flows.engines.worker_process import WorkerPool, WorkerProcess


@dataclass(frozen=True, kw_only=True)
class RemoteCall:
    """A pickled call, and how it is to be worked on.

    Attributes:
        expected: what the worker has to be like; None where it is a process of this run, on its machine.
        memory_bytes: what the worker process may use; None: no bound of ours.
    """

    call: bytes
    expected: Expectations | None
    memory_bytes: int | None


def work_here(remote: RemoteCall, is_wanted: Callable[[], bool] = lambda: True) -> bytes:
    """Work on a call in a process beside this one; returns its pickled outcome.

    Raises:
        WorkerDied, WorkerOverMemory: as `WorkerProcess.exchange`.
        WrongWorker: this worker would make other bytes than the run, or does not see its store.
    """
    if remote.expected is not None:
        check_worker(remote.expected)

    def bound(_: WorkerProcess, in_use: int) -> int | None:
        return remote.memory_bytes if remote.memory_bytes is not None and in_use > remote.memory_bytes else None

    return _pool().exchange(remote.call, bound, is_wanted)


@cache
def _pool() -> WorkerPool:
    keep_compiled_kernels()
    return WorkerPool()
